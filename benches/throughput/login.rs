//! From a fresh connection to a bound session (RFC 6120 §4–§7), as a function from a stanza to
//! what is sent next. It is strict where a server could be wrong without being noticed (the SCRAM
//! server signature) and takes the rest as it comes.

use crate::scan::{attribute, text_of};
use crate::scram::{Exchange, Hash, SaltCache, base64_encode};

/// The mechanism to log in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// PLAIN: the server derives the key.
    Plain,
    /// SCRAM-SHA-1: the client does.
    ScramSha1,
}

/// Whom to log in, and how.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name before the `@`.
    pub user: String,
    /// The domain.
    pub domain: String,
    /// The password.
    pub password: String,
    /// The resource to ask for.
    pub resource: String,
    /// The mechanism.
    pub mechanism: Mechanism,
    /// Upgrade with STARTTLS first.
    pub tls: bool,
}

/// How far a login has come: what is waited for.
#[derive(Debug)]
pub enum Phase {
    /// The first features.
    Greeting,
    /// `<proceed/>`
    Proceed,
    /// Features under TLS, or the only ones.
    Mechanisms,
    /// The end of PLAIN.
    Plain,
    /// The challenge or success of SCRAM.
    Scram(Exchange),
    /// Features after authentication.
    BindFeatures,
    /// The result of the bind.
    Bind,
    /// Bound, presence sent.
    Ready,
}

/// What a login does next.
#[derive(Debug, Default)]
pub struct Step {
    /// Bytes to send.
    pub send: String,
    /// TLS starts before they are sent.
    pub start_tls: bool,
    /// A new stream begins.
    pub restart: bool,
}

/// The stream header.
pub fn header(account: &Account) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xml:lang='en' \
         xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
        account.domain
    )
}

/// Handles one stanza of a login. `nonce` need only be different for each login.
pub fn handle(
    account: &Account,
    phase: &mut Phase,
    stanza: &[u8],
    nonce: u64,
    cache: &mut SaltCache,
) -> Result<Step, String> {
    let is = |name: &str| stanza.starts_with(format!("<{name}").as_bytes());
    let mut step = Step::default();
    let next = match phase {
        Phase::Greeting if is("stream:features") && account.tls => {
            step.send = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>".to_owned();
            Phase::Proceed
        }
        Phase::Proceed if is("proceed") => {
            step = Step { send: header(account), start_tls: true, restart: true };
            Phase::Mechanisms
        }
        Phase::Greeting | Phase::Mechanisms if is("stream:features") => {
            authenticate(account, nonce, &mut step)
        }
        Phase::Scram(exchange) if is("challenge") => {
            let challenge = text_of(stanza, "challenge").ok_or("an empty challenge")?;
            let answer = exchange.answer(challenge, &account.password, cache)?;
            let ns = "urn:ietf:params:xml:ns:xmpp-sasl";
            step.send = format!("<response xmlns='{ns}'>{answer}</response>");
            return Ok(step);
        }
        Phase::Plain | Phase::Scram(_) if is("success") => {
            if let Phase::Scram(exchange) = phase {
                exchange.check(text_of(stanza, "success").unwrap_or_default())?;
            }
            step = Step { send: header(account), restart: true, start_tls: false };
            Phase::BindFeatures
        }
        Phase::BindFeatures if is("stream:features") => {
            step.send = format!(
                "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                 <resource>{}</resource></bind></iq>",
                account.resource
            );
            Phase::Bind
        }
        Phase::Bind if is("iq") && attribute(stanza, " type=") == Some("result") => {
            "<presence/>".clone_into(&mut step.send);
            Phase::Ready
        }
        _ => {
            let stanza = String::from_utf8_lossy(stanza);
            return Err(format!("{} waits for {phase:?} and gets {stanza}", account.user));
        }
    };
    *phase = next;
    Ok(step)
}

fn authenticate(account: &Account, nonce: u64, step: &mut Step) -> Phase {
    let (mechanism, first, phase) = match account.mechanism {
        Mechanism::Plain => {
            let text = format!("\0{}\0{}", account.user, account.password);
            ("PLAIN", base64_encode(text.as_bytes()), Phase::Plain)
        }
        Mechanism::ScramSha1 => {
            let nonce = format!("bench{nonce:016x}");
            let exchange = Exchange::new(Hash::Sha1, &account.user, &nonce, "n,,", b"");
            ("SCRAM-SHA-1", exchange.first(), Phase::Scram(exchange))
        }
    };
    step.send = format!(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{first}</auth>"
    );
    phase
}
