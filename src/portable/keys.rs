//! SCRAM credentials (§4.3), or the password that they are derived from (§4.2).

use super::SCRAM;
use super::export::Writer;
use super::import::{Import, User};
use crate::credentials::{Credentials, ScramHash, ScramKeys};
use crate::xml::Element;
use crate::xmpp::base64;

/// The mechanisms whose keys are kept, by their names in the format.
const MECHANISMS: [(&str, ScramHash); 2] =
    [("SCRAM-SHA-1", ScramHash::Sha1), ("SCRAM-SHA-256", ScramHash::Sha256)];
/// What an attacker who wrote the file could make a login cost (advisory a13 in reverse).
const ITERATIONS_MAX: u32 = 10_000_000;
/// Bytes of a salt.
const SALT_BYTES_MAX: usize = 1024;

/// What a user's document says of its password.
#[derive(Default)]
pub(super) struct Keys {
    /// In the order of [`MECHANISMS`].
    scram: [Option<ScramKeys>; 2],
    password: Option<String>,
}

impl Keys {
    /// Of `<user/>` itself (§4.2).
    pub(super) fn of(user: &Element) -> Self {
        Self { password: user.attr("password").map(str::to_owned), ..Self::default() }
    }
}

pub(super) fn write(credentials: &Credentials, writer: &mut Writer<'_>) -> Result<(), String> {
    for (keys, (mechanism, _)) in [&credentials.sha1, &credentials.sha256].iter().zip(MECHANISMS) {
        let part = |name: &'static str, text: String| Element::new(name, SCRAM).with_text(text);
        let element = Element::new("scram-credentials", SCRAM)
            .with_attr("mechanism", mechanism)
            .with_child(part("iter-count", keys.iterations.to_string()))
            .with_child(part("salt", base64::encode(&keys.salt)))
            .with_child(part("server-key", base64::encode(&keys.server_key)))
            .with_child(part("stored-key", base64::encode(&keys.stored_key)));
        writer.element(&element)?;
    }
    Ok(())
}

/// `<scram-credentials/>`
pub(super) fn read(
    import: &mut Import<'_>,
    user: &mut User,
    _: &Element,
    element: &Element,
) -> Result<(), String> {
    let mechanism = element.attr("mechanism").unwrap_or_default();
    let Some(index) = MECHANISMS.iter().position(|(known, _)| *known == mechanism) else {
        import.leave_out(element);
        return Ok(());
    };
    let keys = &mut user.keys.scram[index];
    if keys.is_some() {
        return Err(format!("there are keys for {mechanism} already"));
    }
    *keys = Some(parse(element, MECHANISMS[index].1)?);
    Ok(())
}

/// The keys that an account gets. Known ones go before the password, which takes milliseconds.
pub(super) fn credentials(import: &mut Import<'_>, keys: Keys) -> Result<Credentials, String> {
    match (keys.scram, keys.password) {
        ([Some(sha1), Some(sha256)], _) => Ok(Credentials { sha1, sha256 }),
        (_, Some(password)) => {
            let iterations = import.config.sasl.iterations;
            Credentials::derive(&password, iterations, import.entropy)
                .map_err(|_| "the password cannot be used".to_owned())
        }
        _ => {
            let both = MECHANISMS.map(|(name, _)| name).join(" and ");
            Err(format!("there is neither a password nor keys for {both}"))
        }
    }
}

/// What stands in the row of an account until its user has been read to the end.
pub(super) fn no_credentials() -> Credentials {
    let none = || ScramKeys {
        salt: Vec::new(),
        iterations: 1,
        stored_key: Vec::new(),
        server_key: Vec::new(),
    };
    Credentials { sha1: none(), sha256: none() }
}

fn parse(element: &Element, hash: ScramHash) -> Result<ScramKeys, String> {
    let part = |name: &str| {
        let text = element.child(name, SCRAM).map(Element::text);
        text.ok_or_else(|| format!("credentials without {name}"))
    };
    let bytes = |name: &str| {
        let decoded = base64::decode(part(name)?.trim());
        decoded.ok_or_else(|| format!("{name} is not base64"))
    };
    let key = |name: &str| {
        let key = bytes(name)?;
        match key.len() == hash.output_bytes() {
            true => Ok(key),
            false => Err(format!("{name} is not of the size of its mechanism")),
        }
    };
    let iterations = part("iter-count")?.trim().parse().ok();
    let iterations = iterations.filter(|count| (1..=ITERATIONS_MAX).contains(count));
    let salt = bytes("salt")?;
    if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
        return Err("the salt has no possible size".to_owned());
    }
    Ok(ScramKeys {
        salt,
        iterations: iterations.ok_or("iter-count is no possible number")?,
        stored_key: key("stored-key")?,
        server_key: key("server-key")?,
    })
}
