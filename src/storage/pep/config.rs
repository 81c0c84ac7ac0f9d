//! The configuration of a node as a value (XEP-0060 §16.4.4): what its form says is in `im::pep`.

use serde::{Deserialize, Serialize};

/// Who may subscribe and read (XEP-0060 §4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PepAccess {
    /// Everybody.
    Open,
    /// Who has a subscription to the owner's presence.
    #[default]
    Presence,
    /// Those of them in certain groups of the owner's roster.
    Roster,
    /// Who is on the node's list.
    Whitelist,
}

/// Who may publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PepPublishers {
    /// The owner, and those it has made publishers.
    #[default]
    Publishers,
    /// Subscribers as well.
    Subscribers,
    /// Everybody.
    Open,
}

/// When somebody is sent the last item unasked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PepSendLast {
    /// Never.
    Never,
    /// With a new subscription.
    OnSub,
    /// With a new subscription, and when a subscriber comes online.
    #[default]
    OnSubAndPresence,
}

/// The configuration of a node. The defaults are those of XEP-0163 §5.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PepConfig {
    /// A name for people.
    pub title: String,
    /// A description for people.
    pub description: String,
    /// What the items are about (`pubsub#type`).
    pub semantic_type: String,
    /// Who may subscribe and read.
    pub access: PepAccess,
    /// The groups of [`PepAccess::Roster`].
    pub roster_groups: Vec<String>,
    /// Who may publish.
    pub publishers: PepPublishers,
    /// Items kept; `u32::MAX` is "max", as many as the server allows.
    pub items_max: u32,
    /// After how many seconds an item goes; 0: never.
    pub expire_seconds: u32,
    /// Items are kept.
    pub persist: bool,
    /// When somebody is sent the last item unasked.
    pub send_last: PepSendLast,
    /// Events are sent at all.
    pub notify: bool,
    /// They carry the payload.
    pub notify_payload: bool,
    /// Changes of the configuration are told.
    pub notify_config: bool,
    /// The end of the node is told.
    pub notify_delete: bool,
    /// The end of an item is told.
    pub notify_retract: bool,
    /// Events are headlines; else they are messages of type normal.
    pub headline: bool,
}

impl Default for PepConfig {
    fn default() -> Self {
        Self {
            title: String::new(),
            description: String::new(),
            semantic_type: String::new(),
            access: PepAccess::Presence,
            roster_groups: Vec::new(),
            publishers: PepPublishers::Publishers,
            items_max: 1,
            expire_seconds: 0,
            persist: true,
            send_last: PepSendLast::OnSubAndPresence,
            notify: true,
            notify_payload: true,
            notify_config: false,
            notify_delete: true,
            notify_retract: true,
            headline: true,
        }
    }
}

impl PepConfig {
    /// XEP-0223 §3: nobody else is to see it, and nothing is dropped for the newest one.
    pub fn private(items_max: u32) -> Self {
        Self {
            access: PepAccess::Whitelist,
            items_max,
            send_last: PepSendLast::Never,
            ..Self::default()
        }
    }

    pub(super) fn to_text(&self) -> String {
        toml::to_string(self).expect("a configuration is a flat table of plain values")
    }

    /// The same of many nodes, one after the other: most have the same text.
    pub(super) fn from_texts() -> impl FnMut(&str, &str) -> Self {
        let mut last: Option<(String, Self)> = None;
        move |node, text| match &last {
            Some((known, config)) if known == text => config.clone(),
            _ => {
                let config = Self::from_text(node, text);
                last.insert((text.to_owned(), config)).1.clone()
            }
        }
    }

    /// A configuration as it was stored. One that cannot be read lets nobody but the owner in.
    pub(super) fn from_text(node: &str, text: &str) -> Self {
        toml::from_str(text).unwrap_or_else(|error| {
            log::error!("storage: the configuration of node {node:?} cannot be read: {error}");
            Self { access: PepAccess::Whitelist, ..Self::default() }
        })
    }
}
