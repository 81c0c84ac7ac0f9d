//! What the commands of XEP-0133 do.

use crate::accounts::AccountError;
use crate::accounts::orders::{self, Order};
use crate::ids::SessionId;
use crate::timers::TimerKey;
use crate::xml::Element;
use crate::xmpp::command::{Fault, bad_payload};
use crate::xmpp::dataform::{Form, Submitted};
use crate::xmpp::{
    BareJid, Condition, MessageType, Stanza, StanzaError, StanzaKind, StreamCondition, ns,
};

use super::super::Server;
use super::{Asked, Outcome};

/// Accounts that one command may name.
const ACCOUNTS_NAMED_MAX: usize = 100;
/// Bytes of the addresses in one list: what is longer is cut, and the answer says so.
const LIST_BYTES_MAX: usize = 128 * 1024;
/// Accounts that are looked at for one list.
const LIST_ACCOUNTS_MAX: u32 = 10_000;
/// Bytes of an announcement.
const ANNOUNCEMENT_BYTES_MAX: usize = 8 * 1024;
/// The longest delay of a shutdown.
const DELAY_SECONDS_MAX: u32 = 24 * 60 * 60;

type Result<T> = std::result::Result<T, StanzaError>;

/// §4.1
pub(super) fn add_user(server: &mut Server, _: &Asked<'_>, form: &Submitted) -> Result<Outcome> {
    let account = account(server, form)?;
    let password = password(form)?;
    if form.text("password-verify").map_err(|_| several())?.is_some_and(|again| again != password) {
        return Err(bad_payload("the passwords differ"));
    }
    server.order(vec![Order::Add { account, password }])
}

/// §4.2
pub(super) fn delete_user(server: &mut Server, a: &Asked<'_>, form: &Submitted) -> Result<Outcome> {
    let accounts = others(server, a, form)?;
    server.order(accounts.into_iter().map(Order::Remove).collect())
}

/// §4.3
pub(super) fn disable_user(
    server: &mut Server,
    asked: &Asked<'_>,
    form: &Submitted,
) -> Result<Outcome> {
    let accounts = others(server, asked, form)?;
    server.order(accounts.into_iter().map(Order::Disable).collect())
}

/// §4.4
pub(super) fn reenable_user(
    server: &mut Server,
    _: &Asked<'_>,
    form: &Submitted,
) -> Result<Outcome> {
    let accounts = accounts(server, form)?;
    server.order(accounts.into_iter().map(Order::Enable).collect())
}

/// §4.5
pub(super) fn end_user_session(
    server: &mut Server,
    _: &Asked<'_>,
    form: &Submitted,
) -> Result<Outcome> {
    let texts = named(form)?;
    let parse = |text: &String| {
        let address = orders::parse_session(&server.cx.config, text.trim());
        address.map(Order::End).map_err(|error| bad_form(&error))
    };
    let orders = texts.iter().map(parse).collect::<Result<Vec<_>>>()?;
    server.order(orders)
}

/// §4.7
pub(super) fn change_user_password(
    server: &mut Server,
    _: &Asked<'_>,
    form: &Submitted,
) -> Result<Outcome> {
    let account = account(server, form)?;
    let password = password(form)?;
    server.order(vec![Order::ChangePassword { account, password }])
}

/// §4.13
pub(super) fn registered_users_num(server: &mut Server, asked: &Asked<'_>) -> Result<Outcome> {
    let (all, _) = server.cx.storage.accounts_count(asked.domain.domain())?;
    Ok(number("registeredusersnum", "The number of registered users", all))
}

/// §4.14
pub(super) fn disabled_users_num(server: &mut Server, asked: &Asked<'_>) -> Result<Outcome> {
    let (_, disabled) = server.cx.storage.accounts_count(asked.domain.domain())?;
    Ok(number("disabledusersnum", "The number of disabled users", disabled))
}

/// §4.15
pub(super) fn online_users_num(server: &mut Server, asked: &Asked<'_>) -> Result<Outcome> {
    let online = server.im.online(Some(asked.domain.domain())).len();
    Ok(number("onlineusersnum", "The number of online users", online))
}

/// §4.18
pub(super) fn registered_users_list(
    server: &mut Server,
    asked: &Asked<'_>,
    form: &Submitted,
) -> Result<Outcome> {
    let count_max = max_items(form)?;
    let accounts = server.cx.storage.accounts_of(asked.domain.domain(), count_max + 1)?;
    let accounts: Vec<&str> = accounts.iter().map(BareJid::as_str).collect();
    Ok(list("registereduserjids", "The list of all users", &accounts, count_max))
}

/// §4.19
pub(super) fn disabled_users_list(
    server: &mut Server,
    asked: &Asked<'_>,
    form: &Submitted,
) -> Result<Outcome> {
    let count_max = max_items(form)?;
    let accounts = server.cx.storage.accounts_disabled(asked.domain.domain(), count_max + 1)?;
    let accounts: Vec<&str> = accounts.iter().map(BareJid::as_str).collect();
    Ok(list("disableduserjids", "The list of all disabled users", &accounts, count_max))
}

/// §4.20
pub(super) fn online_users_list(
    server: &mut Server,
    asked: &Asked<'_>,
    form: &Submitted,
) -> Result<Outcome> {
    let count_max = max_items(form)?;
    let accounts = server.im.online(Some(asked.domain.domain()));
    let accounts: Vec<&str> = accounts.into_iter().map(BareJid::as_str).collect();
    Ok(list("onlineuserjids", "The list of all online users", &accounts, count_max))
}

/// §4.23
pub(super) fn make_announcement(
    server: &mut Server,
    asked: &Asked<'_>,
    form: &Submitted,
) -> Result<Outcome> {
    let text = form.lines("announcement").join("\n");
    check_announcement(&text).map_err(|error| bad_form(&error))?;
    server.announce(Some(asked.domain), &text);
    log::info!("announcement of {}", asked.requester.bare_str());
    Ok(Outcome::default())
}

/// §4.31
pub(super) fn shutdown(
    server: &mut Server,
    asked: &Asked<'_>,
    form: &Submitted,
) -> Result<Outcome> {
    let seconds = match form.text("delay").map_err(|_| several())?.map(str::trim) {
        None | Some("") => 0,
        Some(_) => form.number("delay").ok().flatten().unwrap_or(u32::MAX),
    };
    if seconds > DELAY_SECONDS_MAX {
        return Err(bad_payload("not a delay in seconds, of a day at most"));
    }
    let text = form.lines("announcement").join("\n");
    if !text.trim().is_empty() {
        check_announcement(&text).map_err(|error| bad_form(&error))?;
        server.announce(None, &text);
    }
    log::info!("shutdown in {seconds} s: ordered by {}", asked.requester.bare_str());
    let due_ms = server.cx.now.mono_ms.saturating_add(u64::from(seconds) * 1000);
    server.cx.timers.set(due_ms, TimerKey::Shutdown);
    Ok(Outcome::default())
}

impl Server {
    /// Carries out orders about accounts, all or none, and asks for the end of the sessions that
    /// are to end. The one way, for the command line and for admins with a client. Returns what was
    /// done, and single sessions that the caller ends when its answer is out.
    pub(in super::super) fn carry_out(
        &mut self,
        orders: Vec<Order>,
    ) -> std::result::Result<(String, Vec<SessionId>), AccountError> {
        let cx = &mut self.cx;
        let mut done = Vec::with_capacity(orders.len());
        for order in orders {
            if order.is_slow() {
                // Deriving keys takes milliseconds: a turn has room for one.
                cx.out.end_turn_early();
            }
            let (storage, unix_ms) = (&mut cx.storage, cx.now.unix_ms);
            done.push(order.carry_out(storage, &cx.config, &mut *cx.entropy, unix_ms)?);
        }
        let (mut texts, mut sessions) = (Vec::new(), Vec::new());
        for orders::Done { text, ends } in done {
            texts.push(text);
            match ends {
                None => {}
                Some((address, why)) if address.is_bare() => {
                    self.cx.end_account(address.to_bare(), why);
                }
                Some((address, _)) => sessions.extend(self.im.session_at(&address)),
            }
        }
        Ok((texts.join("\n"), sessions))
    }

    /// The end of a session that an admin wants to end (§4.5).
    pub(in super::super) fn end_kicked(&mut self, session: SessionId) {
        self.end_stream(session, Some(StreamCondition::NotAuthorized.into()));
    }

    /// Tells everybody who is connected, at a domain or at all (§4.23); returns how many sessions
    /// are told. A headline: nobody who is away gets it later, and no archive keeps it.
    pub(in super::super) fn announce(&mut self, domain: Option<&BareJid>, text: &str) -> usize {
        let domains = match domain {
            Some(domain) => vec![domain.clone()],
            None => self.cx.config.domains.clone(),
        };
        let body = Element::new("body", ns::CLIENT).with_text(text);
        let told = domains.into_iter().map(|domain| {
            let kind = StanzaKind::Message(MessageType::Headline);
            let message = Stanza::new(kind, domain.clone().into(), None).with_child(body.clone());
            self.im.push_to_domain(&mut self.cx, &domain, &message)
        });
        told.sum()
    }

    /// The time of a shutdown that was ordered has come.
    pub(in super::super) fn shut_down_as_ordered(&mut self) {
        if !self.drain.has_begun() {
            self.handle_shutdown(self.cx.now, "ordered by an admin");
        }
    }

    /// Orders of an admin with a client.
    fn order(&mut self, orders: Vec<Order>) -> Result<Outcome> {
        let (text, ends) = self.carry_out(orders).map_err(refusal)?;
        for line in text.lines() {
            log::info!("an admin has {line}");
        }
        Ok(Outcome { ends, ..Outcome::default() })
    }
}

/// Refuses an announcement that says nothing, or too much, or what cannot be said in XML.
pub fn check_announcement(text: &str) -> std::result::Result<(), String> {
    let is_bad = |char: char| char.is_control() && !matches!(char, '\n' | '\t');
    if text.trim().is_empty() {
        return Err("the announcement is empty".to_owned());
    }
    if text.len() > ANNOUNCEMENT_BYTES_MAX {
        return Err(format!(
            "the announcement is too long: {ANNOUNCEMENT_BYTES_MAX} bytes at most"
        ));
    }
    if text.contains(is_bad) {
        return Err("the announcement has a control character".to_owned());
    }
    Ok(())
}

/// XEP-0133 §5, XEP-0050 §4.4: which error says why an order is not carried out.
pub(super) fn refusal(error: AccountError) -> StanzaError {
    match &error {
        AccountError::BadAddress(_)
        | AccountError::NoSuchDomain(_)
        | AccountError::BadPassword(_) => bad_form(&error.to_string()),
        AccountError::NotFound(_) => {
            StanzaError::new(Condition::ItemNotFound).with_text(error.to_string())
        }
        AccountError::Exists(_) | AccountError::Reserved(_) => {
            StanzaError::new(Condition::Conflict).with_text(error.to_string())
        }
        AccountError::Storage(storage) => (*storage).into(),
    }
}

/// A form that cannot be accepted, and why.
fn bad_form(why: &str) -> StanzaError {
    StanzaError::from(Fault::BadPayload).with_text(why.to_owned())
}

fn several() -> StanzaError {
    bad_payload("more than one value")
}

/// The one account of a form.
fn account(server: &Server, form: &Submitted) -> Result<BareJid> {
    let text = form.text("accountjid").map_err(|_| several())?.unwrap_or_default().trim();
    crate::accounts::parse_address(&server.cx.config, text).map_err(refusal)
}

fn password(form: &Submitted) -> Result<String> {
    let text = form.text("password").map_err(|_| several())?.unwrap_or_default();
    Ok(text.to_owned())
}

/// The addresses of a form: at least one, each once.
fn named(form: &Submitted) -> Result<Vec<String>> {
    let mut texts: Vec<String> = Vec::new();
    for text in form.lines("accountjids").iter().filter(|text| !text.trim().is_empty()) {
        if !texts.contains(text) {
            texts.push(text.clone());
        }
        if texts.len() > ACCOUNTS_NAMED_MAX {
            return Err(bad_payload("too many accounts at once"));
        }
    }
    if texts.is_empty() { Err(bad_payload("no account is named")) } else { Ok(texts) }
}

/// The accounts of a form.
fn accounts(server: &Server, form: &Submitted) -> Result<Vec<BareJid>> {
    let mut accounts = Vec::new();
    for text in named(form)? {
        let account =
            crate::accounts::parse_address(&server.cx.config, text.trim()).map_err(refusal)?;
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    Ok(accounts)
}

/// The same, without the admin itself: nobody locks itself out by a slip.
fn others(server: &Server, asked: &Asked<'_>, form: &Submitted) -> Result<Vec<BareJid>> {
    let accounts = accounts(server, form)?;
    if accounts.iter().any(|account| account.as_str() == asked.requester.bare_str()) {
        return Err(StanzaError::new(Condition::NotAllowed).with_text("This is your own account"));
    }
    Ok(accounts)
}

/// How many a list is to show.
fn max_items(form: &Submitted) -> Result<u32> {
    match form.text("max_items").map_err(|_| several())?.map(str::trim) {
        None | Some("" | "none") => Ok(LIST_ACCOUNTS_MAX),
        Some(_) => match form.number("max_items") {
            Ok(Some(count)) if count > 0 => Ok(LIST_ACCOUNTS_MAX.min(count)),
            _ => Err(bad_payload("not a number of items")),
        },
    }
}

fn number(var: &str, label: &str, count: impl std::fmt::Display) -> Outcome {
    let form = Form::result(ns::ADMIN).text(var, label, &count.to_string());
    Outcome { form: Some(form), ..Outcome::default() }
}

/// The first `count_max` of `accounts`, as far as they fit into one answer.
fn list(var: &str, label: &str, accounts: &[&str], count_max: u32) -> Outcome {
    let mut bytes = 0;
    let fitting = accounts.iter().take(count_max as usize).take_while(|account| {
        bytes += account.len();
        bytes <= LIST_BYTES_MAX
    });
    let shown: Vec<&str> = fitting.copied().collect();
    let note = (shown.len() < accounts.len()).then(|| "There are more.".to_owned());
    let form = Form::result(ns::ADMIN).jids(var, label, &shown);
    Outcome { form: Some(form), note, ..Outcome::default() }
}
