//! Service discovery (XEP-0030) and entity capabilities (XEP-0115) as values. (Owned by the im
//! work package; this is the interface.)

use super::ns;
use crate::xml::Element;

/// An identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `category`
    pub category: &'static str,
    /// `type`
    pub kind: &'static str,
    /// `name`
    pub name: String,
}

/// A disco#info result.
#[derive(Clone, Debug, Default)]
pub struct DiscoInfo {
    /// Identities.
    pub identities: Vec<Identity>,
    /// Features, each once.
    pub features: Vec<&'static str>,
    /// Extension forms (XEP-0128).
    pub forms: Vec<Element>,
}

impl DiscoInfo {
    /// The `<query/>`, with `node` echoed.
    pub fn to_element(&self, node: Option<&str>) -> Element {
        let mut query = Element::new("query", ns::DISCO_INFO).with_attr_opt("node", node);
        for identity in &self.identities {
            query.push(
                Element::new("identity", ns::DISCO_INFO)
                    .with_attr("category", identity.category)
                    .with_attr("type", identity.kind)
                    .with_attr("name", identity.name.clone()),
            );
        }
        for feature in &self.features {
            query.push(Element::new("feature", ns::DISCO_INFO).with_attr("var", *feature));
        }
        for form in &self.forms {
            query.push(form.clone());
        }
        query
    }

    /// The verification string (XEP-0115 §5.1), SHA-1, base64.
    pub fn caps_ver(&self) -> String {
        String::new()
    }
}
