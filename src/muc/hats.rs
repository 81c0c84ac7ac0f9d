//! Hats (XEP-0317): titles that owners make and give to accounts, shown in the presence of
//! whoever wears them. This is what a room knows of its hats; the commands by which it is asked
//! and told are in hats_commands.rs.
//!
//! A hat belongs to the bare address: it is worn under every nick, and again when its owner comes
//! back. Occupants hold the element that their presence shows, so that a presence costs no look
//! into these lists.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

use super::presence::Notice;
use super::room::Room;
use crate::cx::Cx;
use crate::storage::{Hat, StorageError};
use crate::xml::Element;
use crate::xmpp::command::Sessions;
use crate::xmpp::{BareJid, hex, ns};

/// The hats of a room, and who wears them.
#[derive(Default)]
pub struct Hats {
    /// By their addresses.
    hats: BTreeMap<Rc<str>, Hat>,
    /// The addresses of those that somebody wears. Invariant: never an empty set, and each is in
    /// `hats`.
    worn: BTreeMap<BareJid, BTreeSet<Rc<str>>>,
    /// Commands that are over.
    pub sessions: Sessions,
}

impl Hats {
    /// All hats, in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = &Hat> {
        self.hats.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hats.len()
    }

    /// The hat with an address.
    pub fn get(&self, uri: &str) -> Option<&Hat> {
        self.hats.get(uri)
    }

    /// Who wears which, in the order of the wearers' addresses.
    pub fn assigned(&self) -> impl Iterator<Item = (&BareJid, &Hat)> {
        let worn = self.worn.iter();
        worn.flat_map(move |(jid, uris)| uris.iter().map(move |uri| (jid, &self.hats[uri])))
    }

    /// How often a hat is worn, by anybody.
    pub fn assigned_count(&self) -> usize {
        self.worn.values().map(BTreeSet::len).sum()
    }

    /// How many hats somebody wears.
    pub fn worn_count(&self, jid: &BareJid) -> usize {
        self.worn.get(jid).map_or(0, BTreeSet::len)
    }

    /// True when somebody wears a hat.
    pub fn is_worn_by(&self, jid: &BareJid, uri: &str) -> bool {
        self.worn.get(jid).is_some_and(|uris| uris.contains(uri))
    }

    /// Those who wear a hat.
    pub fn wearers(&self, uri: &str) -> BTreeSet<BareJid> {
        let wearers = self.worn.iter().filter(|(_, uris)| uris.contains(uri));
        wearers.map(|(jid, _)| jid.clone()).collect()
    }

    /// A hash of the list, when there is one (§2): of all that is shown of a hat.
    pub fn hash(&self) -> Option<String> {
        if self.hats.is_empty() {
            return None;
        }
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        for hat in self.iter() {
            let texts =
                [Some(&*hat.uri), Some(&hat.title), hat.lang.as_deref(), hat.hue.as_deref()];
            for text in texts {
                context.update(text.unwrap_or_default().as_bytes());
                context.update(&[0]);
            }
        }
        Some(hex::encode(context.finish().as_ref()))
    }

    /// What the presence of an account shows (§3.1).
    pub fn element_for(&self, jid: &BareJid) -> Option<Rc<Element>> {
        let uris = self.worn.get(jid)?;
        let hat = |uri: &Rc<str>| {
            let hat = &self.hats[uri];
            Element::new("hat", ns::HATS)
                .with_attr("title", hat.title.clone())
                .with_attr("uri", &*hat.uri)
                .with_attr_opt("hue", hat.hue.as_deref())
                .with_lang(hat.lang.as_deref())
        };
        let hats = Element::new("hats", ns::HATS);
        Some(Rc::new(uris.iter().map(hat).fold(hats, Element::with_child)))
    }

    /// Makes a hat, or changes it.
    pub fn put(&mut self, hat: Hat) {
        match self.hats.get_mut(&hat.uri) {
            Some(known) => *known = hat,
            None => drop(self.hats.insert(hat.uri.clone(), hat)),
        }
    }

    /// Removes a hat, from those who wear it too.
    pub fn remove(&mut self, uri: &str) {
        self.hats.remove(uri);
        self.worn.retain(|_, uris| {
            uris.remove(uri);
            !uris.is_empty()
        });
    }

    /// Gives somebody a hat of this room.
    pub fn give(&mut self, jid: &BareJid, uri: &str) {
        if let Some((uri, _)) = self.hats.get_key_value(uri) {
            self.worn.entry(jid.clone()).or_default().insert(uri.clone());
        }
    }

    /// Takes a hat from somebody.
    pub fn take(&mut self, jid: &BareJid, uri: &str) {
        let Some(uris) = self.worn.get_mut(jid) else { return };
        uris.remove(uri);
        if uris.is_empty() {
            self.worn.remove(jid);
        }
    }

    /// Takes all hats from an account that is no more; true when it had any.
    pub fn forget(&mut self, jid: &BareJid) -> bool {
        self.worn.remove(jid).is_some()
    }
}

impl Room {
    /// Occupants look as their hats now say. Returns the keys of those among `accounts`.
    pub fn wear_hats(&mut self, accounts: &BTreeSet<BareJid>) -> Vec<u64> {
        let is_among = |key: &u64| {
            self.occupant(*key).is_some_and(|occupant| accounts.contains(&occupant.account))
        };
        let keys: Vec<_> = self.keys().into_iter().filter(is_among).collect();
        for key in &keys {
            self.wear_hats_of(*key);
        }
        keys
    }

    /// An occupant looks as its hats now say.
    pub fn wear_hats_of(&mut self, key: u64) {
        let Some(occupant) = self.occupant(key) else { return };
        let hats = self.hats.element_for(&occupant.account);
        if let Some(occupant) = self.occupant_mut(key) {
            occupant.hats = hats;
        }
    }

    /// Sends the presences of those whose hats have changed to all (§3.2).
    pub fn show_hats(&mut self, cx: &mut Cx, keys: &[u64]) {
        let notice = Notice::default();
        for key in keys {
            self.tell_self_alone(cx, *key, &notice);
            self.tell_change(cx, *key, &notice, false);
        }
    }

    /// Writes all hats of a room that has just been stored.
    pub fn store_hats(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        for hat in self.hats.iter() {
            cx.storage.room_hat_put(&self.jid, hat)?;
        }
        for (jid, hat) in self.hats.assigned() {
            cx.storage.room_hat_give(&self.jid, jid, &hat.uri)?;
        }
        Ok(())
    }

    /// Reads the hats of a stored room.
    pub fn load_hats(&mut self, cx: &mut Cx) -> Result<(), StorageError> {
        let mut hats =
            Hats { sessions: std::mem::take(&mut self.hats.sessions), ..Hats::default() };
        for hat in cx.storage.room_hats(&self.jid)? {
            hats.put(hat);
        }
        for (jid, uri) in cx.storage.room_hats_worn(&self.jid)? {
            hats.give(&jid, &uri);
        }
        self.hats = hats;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hat(uri: &str, title: &str) -> Hat {
        Hat { uri: uri.into(), title: title.into(), lang: None, hue: None }
    }

    #[test]
    fn given_taken_and_gone() {
        let [romeo, juliet] = ["romeo@h", "juliet@h"].map(|jid| BareJid::parse(jid).expect("jid"));
        let mut hats = Hats::default();
        hats.put(hat("u:b", "B"));
        hats.put(hat("u:a", "A"));
        for (jid, uri) in [(&romeo, "u:b"), (&romeo, "u:a"), (&juliet, "u:b"), (&juliet, "u:c")] {
            hats.give(jid, uri);
        }
        let shown = |hats: &Hats, jid| {
            let element = hats.element_for(jid)?;
            Some(element.elements().filter_map(|hat| hat.attr("title")).collect::<String>())
        };
        assert_eq!(shown(&hats, &romeo).as_deref(), Some("AB"));
        assert_eq!(shown(&hats, &juliet).as_deref(), Some("B"));
        assert_eq!((hats.assigned_count(), hats.worn_count(&romeo)), (3, 2));
        hats.put(hat("u:b", "C"));
        assert_eq!(shown(&hats, &romeo).as_deref(), Some("AC"));
        hats.take(&romeo, "u:a");
        hats.take(&romeo, "u:x");
        assert_eq!(hats.wearers("u:b"), [romeo.clone(), juliet.clone()].into());
        hats.remove("u:b");
        assert_eq!(shown(&hats, &romeo), None);
        assert!(!hats.forget(&romeo) && !hats.is_worn_by(&juliet, "u:b"));
        assert_eq!((hats.len(), hats.assigned_count()), (1, 0));
    }

    #[test]
    fn the_hash_is_of_the_list() {
        let mut hats = Hats::default();
        assert_eq!(hats.hash(), None);
        hats.put(hat("u:a", "A"));
        let one = hats.hash();
        hats.put(Hat { hue: Some("1".into()), ..hat("u:a", "A") });
        let coloured = hats.hash();
        assert!(one.is_some() && one != coloured);
        hats.give(&BareJid::parse("romeo@h").expect("jid"), "u:a");
        assert_eq!(hats.hash(), coloured);
        hats.put(hat("u:a", "A"));
        assert_eq!(hats.hash(), one);
    }
}
