//! Service discovery (XEP-0030) and entity capabilities (XEP-0115) as values: what an entity says
//! of itself, its form on the wire, and the hash of it that clients cache by. Who may ask whom,
//! and what each of our addresses says, is decided by those who compose a [`DiscoInfo`].

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::{base64, ns};
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
    /// Adds features, each only once.
    pub fn add_features(&mut self, features: impl IntoIterator<Item = &'static str>) {
        for feature in features {
            if !self.features.contains(&feature) {
                self.features.push(feature);
            }
        }
    }

    /// The `<query/>`, with `node` echoed.
    pub fn to_element(&self, node: Option<&str>) -> Element {
        let mut query = Element::new("query", ns::DISCO_INFO).with_attr_opt("node", node);
        for identity in &self.identities {
            let name = Some(identity.name.as_str()).filter(|name| !name.is_empty());
            query.push(
                Element::new("identity", ns::DISCO_INFO)
                    .with_attr("category", identity.category)
                    .with_attr("type", identity.kind)
                    .with_attr_opt("name", name),
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
        let mut identities: Vec<_> =
            self.identities.iter().map(|i| (i.category, i.kind, "", i.name.as_str())).collect();
        caps_ver(&caps_text(&mut identities, &self.features, &self.forms))
    }
}

/// What is hashed of what somebody else has said of itself (XEP-0115 §5.4); `None` when that is
/// ill-formed. Its parts, each ended by `<`, do not say what they are: a feature, an identity, the
/// type or a value of a form. So a hash vouches for the parts alone.
pub fn caps_text_of(query: &Element) -> Option<String> {
    let children = |name, ns| query.elements().filter(move |child| child.is(name, ns));
    let identity = |element| -> Option<_> {
        let element: &Element = element;
        let (category, kind) = (element.attr("category")?, element.attr("type")?);
        let (lang, name) = (element.lang(), element.attr("name"));
        Some((category, kind, lang.unwrap_or_default(), name.unwrap_or_default()))
    };
    let mut identities =
        children("identity", ns::DISCO_INFO).map(identity).collect::<Option<Vec<_>>>()?;
    let mut features = children("feature", ns::DISCO_INFO)
        .map(|feature| feature.attr("var"))
        .collect::<Option<Vec<_>>>()?;
    // Step 3.6: a form counts if its type is hidden.
    let has_hidden_type = |form: &&Element| {
        let mut fields = form.elements().filter(|child| child.is("field", ns::DATA));
        let field = fields.find(|field| field.attr("var") == Some("FORM_TYPE"));
        field.is_some_and(|field| field.attr("type") == Some("hidden"))
    };
    let forms: Vec<_> = children("x", ns::DATA).filter(has_hidden_type).cloned().collect();
    // Steps 3.3 to 3.5: nothing twice.
    identities.sort_unstable();
    features.sort_unstable();
    let mut form_types = Vec::new();
    for form in &forms {
        form_types.push(single_form_type(form)?);
    }
    form_types.sort_unstable();
    let is_repeated = has_pair(&identities) || has_pair(&features) || has_pair(&form_types);
    (!is_repeated).then(|| caps_text(&mut identities, &features, &forms))
}

fn has_pair<T: PartialEq>(sorted: &[T]) -> bool {
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// The FORM_TYPE of a form; `None` when it says several (XEP-0115 §5.4 step 3.5).
fn single_form_type(form: &Element) -> Option<String> {
    let fields = form.elements().filter(|child| child.is("field", ns::DATA));
    let fields = fields.filter(|field| field.attr("var") == Some("FORM_TYPE"));
    let values = fields.flat_map(|field| field.elements().filter(|v| v.is("value", ns::DATA)));
    let mut values: Vec<_> = values.map(Element::text).collect();
    values.dedup();
    let only = values.pop();
    only.filter(|_| values.is_empty())
}

/// The verification string (SHA-1) of XEP-0115 §5.1.
pub fn caps_ver(text: &str) -> String {
    base64::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
}

/// What is hashed by XEP-0115 §5.1; an identity is (category, type, lang, name). Our own identities
/// have no language, those of other entities may.
fn caps_text(
    identities: &mut [(&str, &str, &str, &str)],
    features: &[&str],
    forms: &[Element],
) -> String {
    let mut text = String::new();
    // A separator within a part stays as it is in XML (the note at the end of §5.1).
    let mut push = |part: &str| {
        text.push_str(&part.replace('<', "&lt;"));
        text.push('<');
    };
    identities.sort_unstable();
    for (category, kind, lang, name) in identities {
        push(&format!("{category}/{kind}/{lang}/{name}"));
    }
    let mut features = features.to_vec();
    features.sort_unstable();
    for feature in features {
        push(feature);
    }
    let mut forms: Vec<_> = forms.iter().filter_map(form_factors).collect();
    forms.sort_unstable();
    for (form_type, fields) in forms {
        for factor in std::iter::once(form_type).chain(fields.into_iter().flatten()) {
            push(&factor);
        }
    }
    text
}

/// FORM_TYPE and, per field in order, its name and sorted values. A form without FORM_TYPE counts
/// for nothing (§5.4 step 3.6).
fn form_factors(form: &Element) -> Option<(String, Vec<Vec<String>>)> {
    let mut form_type = None;
    let mut fields = Vec::new();
    for field in form.elements().filter(|child| child.is("field", ns::DATA)) {
        let name = field.attr("var").unwrap_or_default();
        let values = field.elements().filter(|child| child.is("value", ns::DATA));
        let mut values: Vec<_> = values.map(Element::text).collect();
        if name == "FORM_TYPE" {
            form_type = form_type.or(values.into_iter().next());
            continue;
        }
        values.sort_unstable();
        values.insert(0, name.to_owned());
        fields.push(values);
    }
    fields.sort_unstable();
    Some((form_type?, fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEATURES: [&str; 4] = [
        "http://jabber.org/protocol/muc",
        "http://jabber.org/protocol/disco#items",
        "http://jabber.org/protocol/caps",
        "http://jabber.org/protocol/disco#info",
    ];

    fn form(form_type: &str, fields: &[(&str, &[&str])]) -> Element {
        let field = |name: &str, values: &[&str]| {
            values
                .iter()
                .fold(Element::new("field", ns::DATA).with_attr("var", name), |field, value| {
                    field.with_child(Element::new("value", ns::DATA).with_text(*value))
                })
        };
        let mut form = Element::new("x", ns::DATA).with_attr("type", "result");
        for (name, values) in fields {
            form.push(field(name, values));
        }
        form.push(field("FORM_TYPE", &[form_type]).with_attr("type", "hidden"));
        form
    }

    #[test]
    fn simple_example_of_xep_0115_5_2() {
        let identity = Identity { category: "client", kind: "pc", name: "Exodus 0.9.1".to_owned() };
        let info = DiscoInfo {
            identities: vec![identity],
            features: FEATURES.to_vec(),
            forms: Vec::new(),
        };
        assert_eq!(info.caps_ver(), "QgayPKawpkPSDYmwT/WM94uAlu0=");
    }

    #[test]
    fn complex_example_of_xep_0115_5_3() {
        let form = form(
            "urn:xmpp:dataforms:softwareinfo",
            &[
                ("software_version", &["0.11"]),
                ("ip_version", &["ipv6", "ipv4"]),
                ("os_version", &["10.5.1"]),
                ("os", &["Mac"]),
                ("software", &["Psi"]),
            ],
        );
        let mut identities = [("client", "pc", "en", "Psi 0.11"), ("client", "pc", "el", "Ψ 0.11")];
        let want = "q07IKJEyjvHSyhy//CH0CxmKi8w=";
        let mut ver = |forms: &[Element]| caps_ver(&caps_text(&mut identities, &FEATURES, forms));
        assert_eq!(ver(std::slice::from_ref(&form)), want);
        // A form without FORM_TYPE changes nothing.
        let untyped = Element::new("x", ns::DATA);
        assert_eq!(ver(&[untyped, form]), want);
    }

    #[test]
    fn forms_are_hashed_in_the_order_of_their_type() {
        let (one, two) = (form("a", &[("x", &["1"])]), form("b", &[]));
        let hash = |forms: &[Element]| caps_text(&mut [], &[], forms);
        assert_eq!(hash(&[one.clone(), two.clone()]), hash(&[two.clone(), one.clone()]));
        assert_ne!(hash(std::slice::from_ref(&one)), hash(&[two, one]));
    }

    #[test]
    fn query_echoes_the_node_and_holds_each_feature_once() {
        let mut info = DiscoInfo::default();
        info.add_features([ns::PING, ns::PING, ns::TIME]);
        let query = info.to_element(Some("n"));
        assert_eq!(query.attr("node"), Some("n"));
        let features: Vec<_> = query.elements().filter_map(|child| child.attr("var")).collect();
        assert_eq!(features, [ns::PING, ns::TIME]);
    }

    fn query(children: &[&str]) -> Element {
        let xml = format!("<query xmlns='{}'>{}</query>", ns::DISCO_INFO, children.concat());
        crate::xml::read_fragment(xml.as_bytes(), ns::CLIENT).remove(0)
    }

    const PSI: [&str; 7] = [
        "<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>",
        "<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>",
        "<feature var='http://jabber.org/protocol/caps'/>",
        "<feature var='http://jabber.org/protocol/disco#info'/>",
        "<feature var='http://jabber.org/protocol/disco#items'/>",
        "<feature var='http://jabber.org/protocol/muc'/>",
        "<x xmlns='jabber:x:data' type='result'>\
           <field var='FORM_TYPE' type='hidden'>\
             <value>urn:xmpp:dataforms:softwareinfo</value></field>\
           <field var='ip_version' type='text-multi'><value>ipv4</value><value>ipv6</value></field>\
           <field var='os'><value>Mac</value></field>\
           <field var='os_version'><value>10.5.1</value></field>\
           <field var='software'><value>Psi</value></field>\
           <field var='software_version'><value>0.11</value></field></x>",
    ];

    #[test]
    fn answers_of_others_by_xep_0115_5_4() {
        let ver = |more: &[&str]| {
            caps_text_of(&query(&[&PSI[..], more].concat())).as_deref().map(caps_ver)
        };
        let want = Some("q07IKJEyjvHSyhy//CH0CxmKi8w=".to_owned());
        assert_eq!(ver(&[]), want);
        // Steps 3.3 to 3.5: ill-formed.
        assert_eq!(ver(&PSI[..1]), None);
        assert_eq!(ver(&PSI[2..3]), None);
        assert_eq!(ver(&PSI[6..]), None);
        let two = "<x xmlns='jabber:x:data'><field var='FORM_TYPE' type='hidden'>\
                   <value>a</value><value>b</value></field></x>";
        assert_eq!(ver(&[two]), None);
        assert_eq!(ver(&["<feature/>"]), None);
        // Step 3.6: ignored.
        for ignored in [
            "<x xmlns='jabber:x:data'><field var='a'><value>b</value></field></x>",
            "<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>b</value></field></x>",
            "<other xmlns='urn:x'/>",
        ] {
            assert_eq!(ver(&[ignored]), want, "{ignored}");
        }
        // A sign that separates parts stays a part of one.
        let split = ["<feature var='a'/>", "<feature var='b'/>"];
        let one = ["<feature var='a&lt;b'/>"];
        assert_ne!(caps_text_of(&query(&split)), caps_text_of(&query(&one)));
    }
}
