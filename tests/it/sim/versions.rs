//! A client that keeps the affiliations of a room by their versions (XEP-0463): the whole list when
//! it comes without a past, and from then on changes alone, without a gap. In a quiet moment its
//! list is the room's.

use std::collections::BTreeMap;

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::ledger::bare;

#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// The latest that is known; `None`: nothing is.
    pub version: Option<String>,
    list: BTreeMap<String, String>,
}

impl Versions {
    /// What is asked for at a join.
    pub fn request(&self) -> String {
        let since = self.version.as_ref().map(|version| format!(" since='{version}'"));
        format!("<mav xmlns='{}'{}/>", ns::MUC_AFFILIATIONS, since.unwrap_or_default())
    }

    /// A presence or a message of the room came.
    pub fn observe(&mut self, element: &Element) -> Result<(), String> {
        let Some(x) = element.child("x", ns::MUC_USER) else { return Ok(()) };
        let Some(mav) = x.child("mav", ns::MUC_AFFILIATIONS) else { return Ok(()) };
        let Some(until) = mav.attr("until") else { return Err("no version".to_owned()) };
        match mav.attr("since") {
            // §5.2.1: the own presence at the end of a join says what is current.
            None if element.name == "presence" => {
                if self.version.as_deref().is_some_and(|version| version != until) {
                    return Err(format!("{:?} is known", self.version));
                }
                return Ok(());
            }
            None => self.list.clear(),
            Some(since) if self.version.as_deref() == Some(since) => {}
            Some(_) if self.version.is_none() => return Ok(()),
            Some(_) => return Err(format!("a gap: {:?} is known", self.version)),
        }
        for item in x.elements().filter(|part| part.is("item", ns::MUC_USER)) {
            let (Some(jid), Some(affiliation)) = (item.attr("jid"), item.attr("affiliation"))
            else {
                return Err("an item without address or affiliation".to_owned());
            };
            if affiliation == "none" {
                self.list.remove(bare(jid));
            } else {
                self.list.insert(bare(jid).to_owned(), affiliation.to_owned());
            }
        }
        self.version = Some(until.to_owned());
        Ok(())
    }

    /// The list is this one. False when none was ever asked for.
    pub fn check(&self, affiliations: &BTreeMap<String, String>) -> Result<bool, String> {
        if self.version.is_none() || self.list == *affiliations {
            return Ok(self.version.is_some());
        }
        Err(format!("by versions {:?}, by lists {affiliations:?}", self.list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher;

    fn stanza(kind: &str, mav: &str, items: &str) -> Element {
        let text = format!(
            "<{kind}><x xmlns='{}'><mav xmlns='{}' {mav}/>{items}</x></{kind}>",
            ns::MUC_USER,
            ns::MUC_AFFILIATIONS
        );
        matcher::parse(&text).expect("XML").remove(0)
    }

    #[test]
    fn a_list_and_its_changes() {
        let mut versions = Versions::default();
        let (owner, member) =
            ("<item jid='a@h' affiliation='owner'/>", "<item jid='b@h/r' affiliation='member'/>");
        assert_eq!(versions.observe(&stanza("presence", "since='0' until='1'", member)), Ok(()));
        assert_eq!(versions.check(&BTreeMap::new()), Ok(false), "changes of an unknown list");
        assert_eq!(versions.observe(&stanza("message", "until='1'", owner)), Ok(()));
        assert_eq!(versions.observe(&stanza("presence", "until='1'", "")), Ok(()));
        assert_eq!(versions.observe(&stanza("presence", "since='1' until='2'", member)), Ok(()));
        let pair = |jid: &str, name: &str| (jid.to_owned(), name.to_owned());
        let both = BTreeMap::from([pair("a@h", "owner"), pair("b@h", "member")]);
        assert_eq!(versions.check(&both), Ok(true));
        assert!(versions.check(&BTreeMap::new()).is_err());
        assert!(versions.observe(&stanza("presence", "since='1' until='3'", member)).is_err());
        assert!(versions.observe(&stanza("presence", "until='1'", "")).is_err());
    }
}
