//! The two profiles by which SASL is spoken here: that of RFC 6120 §6 and the extensible one of
//! XEP-0388. They differ in the names of elements and where data stands, and in nothing else:
//! mechanisms, checks and failures are the same (`login`).

use super::Failure;
use crate::xml::Element;
use crate::xmpp::{base64, ns};

/// A profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// RFC 6120 §6
    Sasl1,
    /// XEP-0388
    Sasl2,
}

/// What a client says; data is still in base64.
pub enum Message<'a> {
    /// `<auth/>`, `<authenticate/>`
    Start {
        /// The name of the mechanism; empty without one.
        mechanism: &'a str,
        /// The initial response, where there is one.
        initial: Option<String>,
    },
    /// `<response/>`
    Response(String),
    /// `<abort/>`
    Abort,
}

impl Profile {
    /// The profile of an element that a client sends; `None`: it has nothing to do with SASL.
    pub fn of(element: &Element) -> Option<Self> {
        let profile = match element.ns.as_ref() {
            ns::SASL => Self::Sasl1,
            ns::SASL2 => Self::Sasl2,
            _ => return None,
        };
        let name = element.name.as_ref();
        let is_known = name == profile.start() || matches!(name, "response" | "abort");
        is_known.then_some(profile)
    }

    /// True for the element that begins a login.
    pub fn starts(self, element: &Element) -> bool {
        element.is(self.start(), self.ns())
    }

    /// Takes an element apart; `None`: it is malformed.
    pub fn read(self, element: &Element) -> Option<Message<'_>> {
        let is_plain = element.elements().next().is_none();
        if self.starts(element) {
            let mechanism = element.attr("mechanism").unwrap_or_default();
            let initial = match self {
                Self::Sasl1 if !is_plain => return None,
                // RFC 6120 §6.4.2: an equals sign is an empty response.
                Self::Sasl1 => match element.text().as_str() {
                    "" => None,
                    "=" => Some(String::new()),
                    text => Some(text.to_owned()),
                },
                // XEP-0388 §2.2: an empty element is an empty response.
                Self::Sasl2 => only_child(element, "initial-response", ns::SASL2)
                    .ok()?
                    .map(|initial| initial.text()),
            };
            return Some(Message::Start { mechanism, initial });
        }
        match element.name.as_ref() {
            "response" if is_plain => Some(Message::Response(element.text())),
            // XEP-0388 §4.5: with a text, and whatever else.
            "abort" if is_plain || self == Self::Sasl2 => Some(Message::Abort),
            _ => None,
        }
    }

    /// `<challenge/>`
    pub fn challenge(self, message: &[u8]) -> Element {
        Element::new("challenge", self.ns()).with_text(base64::encode(message))
    }

    /// `<failure/>` (RFC 6120 §6.4.5, XEP-0388 §2.6.2): the conditions are the same.
    pub fn failure(self, failure: Failure) -> Element {
        let text = failure
            .text
            .map(|text| Element::new("text", self.ns()).with_lang(Some("en")).with_text(text));
        Element::new("failure", self.ns())
            .with_child(Element::new(failure.condition.as_str(), ns::SASL))
            .with_child_opt(text)
    }

    fn start(self) -> &'static str {
        match self {
            Self::Sasl1 => "auth",
            Self::Sasl2 => "authenticate",
        }
    }

    fn ns(self) -> &'static str {
        match self {
            Self::Sasl1 => ns::SASL,
            Self::Sasl2 => ns::SASL2,
        }
    }
}

/// `<success/>` of RFC 6120 §6.4.6.
pub fn success(data: Option<&[u8]>) -> Element {
    Element::new("success", ns::SASL).with_text(data.map(base64::encode).unwrap_or_default())
}

/// `<success/>` of XEP-0388 §2.6.1: who is logged in, by the full address once a resource is bound,
/// and what the inlined features have to say.
pub fn success_inline(data: Option<&[u8]>, identity: &str, results: Vec<Element>) -> Element {
    let data =
        data.map(|data| Element::new("additional-data", ns::SASL2).with_text(base64::encode(data)));
    let identity = Element::new("authorization-identifier", ns::SASL2).with_text(identity);
    let mut success = Element::new("success", ns::SASL2).with_child_opt(data).with_child(identity);
    results.into_iter().for_each(|result| success.push(result));
    success
}

/// More than one child of a kind that may be there once.
pub struct Repeated;

/// The child of this name, which may be there once.
pub fn only_child<'a>(
    parent: &'a Element,
    name: &str,
    ns: &str,
) -> Result<Option<&'a Element>, Repeated> {
    let mut found = parent.elements().filter(|child| child.is(name, ns));
    match (found.next(), found.next()) {
        (child, None) => Ok(child),
        _ => Err(Repeated),
    }
}
