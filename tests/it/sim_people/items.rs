//! What accounts publish at nodes of their own (XEP-0163): the latest item of each is what it was
//! told to be.

use tercet::xml::Element;
use tercet::xmpp::ns;

use super::Sim;

const NODES: [&str; 2] = ["urn:x:one", "urn:x:two"];

/// The text of the one item in an answer.
pub fn item_of(iq: &Element) -> Option<String> {
    let items = iq.child("pubsub", ns::PUBSUB)?.child("items", ns::PUBSUB)?;
    let texts = items.elements().flat_map(Element::elements).map(Element::text);
    Some(texts.collect::<Vec<_>>().join(","))
}

impl Sim {
    pub(super) fn publish(&mut self, who: usize) {
        let own = self.truth.seats[who].account;
        let (id, text) = (self.id("n"), self.id("item"));
        let node = NODES[self.rng.below(NODES.len())];
        let item = format!("<item id='current'><x xmlns='urn:x:item'>{text}</x></item>");
        let publish = format!("<publish node='{node}'>{item}</publish>");
        let pubsub = format!("<pubsub xmlns='{}'>{publish}</pubsub>", ns::PUBSUB);
        self.send(who, &format!("<iq type='set' id='{id}'>{pubsub}</iq>"));
        self.truth.owe(who, format!("result {id}"));
        self.truth.accounts[own].items.insert(node, text);
        self.truth.count("items published");
    }

    pub(super) fn read_items(&mut self, who: usize) {
        for node in NODES {
            let id = self.id("g");
            let items = format!("<items node='{node}'/>");
            let pubsub = format!("<pubsub xmlns='{}'>{items}</pubsub>", ns::PUBSUB);
            self.send(who, &format!("<iq type='get' id='{id}'>{pubsub}</iq>"));
            let account = &self.truth.accounts[self.truth.seats[who].account];
            let label = match account.items.get(node) {
                Some(text) => format!("item {id} {text}"),
                None => format!("error {id} item-not-found"),
            };
            self.truth.owe(who, label);
            self.truth.count("items read");
        }
    }
}
