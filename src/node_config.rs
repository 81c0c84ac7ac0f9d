//! The configuration of a node as a form (XEP-0060 §8.2, §16.4.4), and the options of a
//! publication, which are the same fields (§7.1.5), for who asks for nodes (`im::pep`) or brings
//! them along (`portable`). The values themselves are storage's.

use crate::config::Limits;
use crate::storage::{PepAccess, PepConfig, PepPublishers, PepSendLast};
use crate::xml::Element;
use crate::xmpp::dataform::{Form, Submission, Submitted};
use crate::xmpp::{Condition, StanzaError, ns};

/// Bytes of the name of a node, of the id of an item, of a text of a configuration.
pub const NAME_BYTES_MAX: usize = 1023;

/// Groups of the owner's roster that a node may name.
const GROUPS_MAX: usize = 64;
/// What says "as many as the server allows" (`config-node-max`).
const MAX: &str = "max";

const ACCESS: &[(&str, &str, PepAccess)] = &[
    ("open", "Everybody", PepAccess::Open),
    ("presence", "Those who see your presence", PepAccess::Presence),
    ("roster", "Those in certain groups of your roster", PepAccess::Roster),
    ("whitelist", "Those on a list", PepAccess::Whitelist),
];
const PUBLISHERS: &[(&str, &str, PepPublishers)] = &[
    ("publishers", "You and those you have made publishers", PepPublishers::Publishers),
    ("subscribers", "Subscribers", PepPublishers::Subscribers),
    ("open", "Everybody", PepPublishers::Open),
];
const SEND_LAST: &[(&str, &str, PepSendLast)] = &[
    ("never", "Never", PepSendLast::Never),
    ("on_sub", "With a new subscription", PepSendLast::OnSub),
    (
        "on_sub_and_presence",
        "With a new subscription and when a subscriber comes online",
        PepSendLast::OnSubAndPresence,
    ),
];
const TYPES: &[(&str, &str, bool)] =
    &[("headline", "Headlines", true), ("normal", "Messages", false)];

/// The fields that are understood.
const FIELDS: &[&str] = &[
    "pubsub#title",
    "pubsub#description",
    "pubsub#type",
    "pubsub#access_model",
    "pubsub#roster_groups_allowed",
    "pubsub#publish_model",
    "pubsub#max_items",
    "pubsub#item_expire",
    "pubsub#persist_items",
    "pubsub#send_last_published_item",
    "pubsub#deliver_notifications",
    "pubsub#deliver_payloads",
    "pubsub#notify_config",
    "pubsub#notify_delete",
    "pubsub#notify_retract",
    "pubsub#notification_type",
];

/// An error with a condition of publish-subscribe (XEP-0060 §17.2).
pub fn refused(condition: Condition, application: &'static str) -> StanzaError {
    let mut error = StanzaError::new(condition);
    error.extra_mut().application = Some(Element::new(application, ns::PUBSUB_ERRORS));
    error
}

/// The value of a choice, and what can be chosen.
fn choice<T: Copy + PartialEq>(
    choices: &'static [(&'static str, &'static str, T)],
    value: T,
) -> (&'static str, Vec<(&'static str, &'static str)>) {
    let name = choices.iter().find(|(.., choice)| *choice == value).map_or("", |(name, ..)| name);
    (name, choices.iter().map(|(name, label, _)| (*name, *label)).collect())
}

/// `pubsub#access_model` as text.
pub fn access_str(access: PepAccess) -> &'static str {
    choice(ACCESS, access).0
}

/// `pubsub#publish_model` as text.
pub fn publishers_str(publishers: PepPublishers) -> &'static str {
    choice(PUBLISHERS, publishers).0
}

/// A number that may be "max".
pub fn items_str(items_max: u32) -> String {
    if items_max == u32::MAX { MAX.to_owned() } else { items_max.to_string() }
}

/// The form to be filled in.
pub fn form(config: &PepConfig) -> Element {
    let form = Form::to_fill_in(ns::PUBSUB_NODE_CONFIG, "Node", "How this node is to work");
    fields(form, config).into_element()
}

/// The form as a result (§8.2.5.3).
pub fn result(config: &PepConfig) -> Element {
    fields(Form::result(ns::PUBSUB_NODE_CONFIG), config).into_element()
}

fn fields(form: Form, config: &PepConfig) -> Form {
    let groups: Vec<_> = config.roster_groups.iter().map(String::as_str).collect();
    let (access, accesses) = choice(ACCESS, config.access);
    let (publishers, models) = choice(PUBLISHERS, config.publishers);
    let (send_last, occasions) = choice(SEND_LAST, config.send_last);
    let (kind, kinds) = choice(TYPES, config.headline);
    let max = items_str(config.items_max);
    let expire = Some(config.expire_seconds).filter(|&seconds| seconds > 0);
    let expire = expire.map_or(MAX.to_owned(), |seconds| seconds.to_string());
    form.text("pubsub#title", "A name for people", &config.title)
        .text("pubsub#description", "A description", &config.description)
        .text("pubsub#type", "What the items are about", &config.semantic_type)
        .list("pubsub#access_model", "Who may subscribe and read", access, &accesses)
        .lists("pubsub#roster_groups_allowed", "Groups of your roster", &groups, &[])
        .list("pubsub#publish_model", "Who may publish", publishers, &models)
        .text("pubsub#max_items", "How many items are kept", &max)
        .text("pubsub#item_expire", "After how many seconds an item goes", &expire)
        .boolean("pubsub#persist_items", "Items are kept", config.persist)
        .list("pubsub#send_last_published_item", "When the last is sent", send_last, &occasions)
        .boolean("pubsub#deliver_notifications", "Events are sent", config.notify)
        .boolean("pubsub#deliver_payloads", "They have the payload", config.notify_payload)
        .boolean("pubsub#notify_config", "Changes here are told", config.notify_config)
        .boolean("pubsub#notify_delete", "The end of the node is told", config.notify_delete)
        .boolean("pubsub#notify_retract", "The end of an item is told", config.notify_retract)
        .list("pubsub#notification_type", "What events are", kind, &kinds)
}

/// Reads the form in `parent`; `None`: it was cancelled. A form that is not there is refused.
pub fn read(parent: &Element, form_type: &str) -> Result<Option<Submitted>, StanzaError> {
    let x = parent.child("x", ns::DATA).ok_or(Condition::BadRequest)?;
    match Submission::read(x, form_type)? {
        Submission::Submit(submitted) => Ok(Some(submitted)),
        Submission::Cancel => Ok(None),
    }
}

/// The configuration with what was filled in. Fields that are not understood are left out of
/// account (XEP-0004 §3.1).
pub fn with(
    config: &PepConfig,
    form: &Submitted,
    limits: &Limits,
) -> Result<PepConfig, StanzaError> {
    let mut config = config.clone();
    text(form, "pubsub#title", &mut config.title)?;
    text(form, "pubsub#description", &mut config.description)?;
    text(form, "pubsub#type", &mut config.semantic_type)?;
    // §8.1.2: what cannot be had of access models has an error of its own.
    let access = form.choice("pubsub#access_model", ACCESS);
    let access =
        access.map_err(|_| refused(Condition::NotAcceptable, "unsupported-access-model"))?;
    set(&mut config.access, access);
    if let Some(groups) = form.values("pubsub#roster_groups_allowed") {
        config.roster_groups = roster_groups(groups)?;
    }
    set(&mut config.publishers, form.choice("pubsub#publish_model", PUBLISHERS)?);
    if form.text("pubsub#max_items")? == Some(MAX) {
        config.items_max = u32::MAX;
    } else if let Some(items_max) = form.number("pubsub#max_items")? {
        let most = if limits.pep_items == 0 { usize::MAX } else { limits.pep_items };
        if items_max == 0 || items_max as usize > most {
            return Err(not_acceptable("pubsub#max_items is beyond what this server allows"));
        }
        config.items_max = items_max;
    }
    match form.text("pubsub#item_expire")?.map(str::trim) {
        Some(MAX | "") => config.expire_seconds = 0,
        // Not the same as no end: whoever asks for this does not want to have it kept.
        Some("0") => return Err(not_acceptable("pubsub#item_expire is no time")),
        _ => set(&mut config.expire_seconds, form.number("pubsub#item_expire")?),
    }
    set(&mut config.persist, form.boolean("pubsub#persist_items")?);
    set(&mut config.send_last, form.choice("pubsub#send_last_published_item", SEND_LAST)?);
    set(&mut config.notify, form.boolean("pubsub#deliver_notifications")?);
    set(&mut config.notify_payload, form.boolean("pubsub#deliver_payloads")?);
    set(&mut config.notify_config, form.boolean("pubsub#notify_config")?);
    set(&mut config.notify_delete, form.boolean("pubsub#notify_delete")?);
    set(&mut config.notify_retract, form.boolean("pubsub#notify_retract")?);
    set(&mut config.headline, form.choice("pubsub#notification_type", TYPES)?);
    Ok(config)
}

/// The preconditions of a publication against a node (§7.1.5). Every field has to be understood,
/// and to be as it is.
pub fn check_preconditions(
    config: &PepConfig,
    options: &Submitted,
    limits: &Limits,
) -> Result<(), StanzaError> {
    check_known(options)?;
    match with(config, options, limits) {
        Ok(wanted) if wanted == *config => Ok(()),
        _ => Err(precondition_not_met()),
    }
}

/// True for a field that is understood.
pub fn is_known(field: &str) -> bool {
    FIELDS.contains(&field)
}

/// `Err`: there is a field among the preconditions that nobody understands.
pub fn check_known(options: &Submitted) -> Result<(), StanzaError> {
    match options.names().all(is_known) {
        true => Ok(()),
        false => Err(precondition_not_met()),
    }
}

fn precondition_not_met() -> StanzaError {
    refused(Condition::Conflict, "precondition-not-met")
}

fn not_acceptable(text: &'static str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text(text)
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn text(form: &Submitted, var: &str, field: &mut String) -> Result<(), StanzaError> {
    if let Some(value) = form.text(var)? {
        if value.len() > NAME_BYTES_MAX {
            return Err(not_acceptable("A text is too long"));
        }
        value.clone_into(field);
    }
    Ok(())
}

/// Names of groups, sorted, each once.
fn roster_groups(groups: &[String]) -> Result<Vec<String>, StanzaError> {
    if groups.len() > GROUPS_MAX || groups.iter().any(|group| group.len() > NAME_BYTES_MAX) {
        return Err(not_acceptable("Too many groups, or too long a name of one"));
    }
    let mut groups = groups.to_vec();
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}
