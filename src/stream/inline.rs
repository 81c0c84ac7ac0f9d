//! What a client asks for along with its login (XEP-0388 §2.3): a resource (XEP-0386), the
//! resumption of an earlier session (XEP-0198 §9.2), a login token (XEP-0484). Here it is only
//! taken apart; the server does it once the login has succeeded, and never otherwise.
//!
//! Of `<user-agent/>` only the id is read, to tell a client from the user's others: what it calls
//! itself and its device is for nobody here, and not kept.

use super::sasl::profile::{Repeated, only_child};
use super::sasl::{ChannelBindings, Condition, Failure, ht};
use crate::xml::Element;
use crate::xmpp::{jid::prepare_resource, ns};

/// The installation of a client: a UUID of version 4 (XEP-0388 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId([u8; 16]);

impl ClientId {
    /// Parses the form of RFC 9562 §4, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let is_hyphen = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        let is_form = bytes.len() == 36
            && bytes.iter().enumerate().all(|(at, byte)| match is_hyphen(at) {
                true => *byte == b'-',
                false => byte.is_ascii_hexdigit(),
            });
        let is_version_4 = is_form && bytes[14] == b'4' && b"89abAB".contains(&bytes[19]);
        if !is_version_4 {
            return None;
        }
        let digits: String = text.chars().filter(|digit| *digit != '-').collect();
        u128::from_str_radix(&digits, 16).ok().map(|number| Self(number.to_be_bytes()))
    }

    /// Its 16 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a new session can be given with its resource (XEP-0386 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Carbon copies (XEP-0280).
    Carbons,
    /// It begins active (XEP-0352).
    Active,
    /// It begins inactive (XEP-0352).
    Inactive,
    /// Stream management (XEP-0198 §9.1).
    Management,
}

/// Namespace, element, and what it asks for: the table that is offered is the table that is
/// understood.
const WISHES: &[(&str, &str, Wish)] = &[
    (ns::CARBONS, "enable", Wish::Carbons),
    (ns::CSI, "active", Wish::Active),
    (ns::CSI, "inactive", Wish::Inactive),
    (ns::SM, "enable", Wish::Management),
];

/// `<bind/>` of XEP-0386.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// What the resource is to begin with; a text that no resource can have is left out.
    pub tag: Option<String>,
    /// What the session is to have, each once, in the order of the table.
    pub wishes: Vec<(Wish, Element)>,
}

impl Bind {
    fn parse(bind: &Element) -> Result<Self, Failure> {
        let tag = only_child(bind, "tag", ns::BIND2)?.map(Element::text);
        let tag = tag.and_then(|tag| prepare_resource(&tag).ok());
        let wishes = WISHES.iter().filter_map(|(ns, name, wish)| {
            bind.child(name, ns).map(|element| (*wish, element.clone()))
        });
        Ok(Self { tag, wishes: wishes.collect() })
    }

    /// The feature (XEP-0386 §3.1).
    pub fn feature() -> Element {
        let mut inline = Element::new("inline", ns::BIND2);
        let mut last = "";
        for (var, _, _) in WISHES {
            if *var != last {
                inline.push(Element::new("feature", ns::BIND2).with_attr("var", *var));
            }
            last = var;
        }
        Element::new("bind", ns::BIND2).with_child(inline)
    }
}

/// `<fast/>` (XEP-0484 §3.4): the login is by a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fast {
    /// How often the token was used, by the client's count.
    pub count: Option<u32>,
    /// The token is to be void from now on (§3.6).
    pub invalidates: bool,
}

impl Fast {
    fn parse(fast: &Element) -> Result<Self, Failure> {
        // A positive integer; the schema bounds it by 32 bits.
        let count = match fast.attr("count").map(str::parse) {
            None => None,
            Some(Ok(count)) if count > 0 => Some(count),
            Some(_) => return Err(Condition::MalformedRequest.into()),
        };
        let invalidates = match fast.attr("invalidate") {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(_) => return Err(Condition::MalformedRequest.into()),
        };
        Ok(Self { count, invalidates })
    }
}

/// Everything that `<authenticate/>` asks for beside the login itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Inline {
    /// Which client it is.
    pub client: Option<ClientId>,
    /// The session to resume.
    pub resume: Option<Element>,
    /// The resource to bind.
    pub bind: Option<Bind>,
    /// How the login by a token is to be done; `None`: it is none.
    pub fast: Option<Fast>,
    /// The mechanism of the token that is asked for.
    pub token: Option<ht::Kind>,
}

impl Inline {
    /// Takes the children of `<authenticate/>` apart. Those that nobody knows are left alone.
    pub fn parse(authenticate: &Element, bindings: &ChannelBindings) -> Result<Self, Failure> {
        let agent = only_child(authenticate, "user-agent", ns::SASL2)?;
        let client = match agent.and_then(|agent| agent.attr("id")) {
            Some(id) => Some(ClientId::parse(id).ok_or(Condition::MalformedRequest)?),
            None => None,
        };
        let fast = only_child(authenticate, "fast", ns::FAST)?.map(Fast::parse).transpose()?;
        let token = match only_child(authenticate, "request-token", ns::FAST)? {
            Some(request) => {
                let name = request.attr("mechanism").unwrap_or_default();
                Some(ht::Kind::parse(name, bindings).ok_or(Condition::MalformedRequest)?)
            }
            None => None,
        };
        // Tokens are a client's (XEP-0484 §4.1).
        if client.is_none() && (fast.is_some() || token.is_some()) {
            return Err(Condition::MalformedRequest.into());
        }
        Ok(Self {
            client,
            resume: only_child(authenticate, "resume", ns::SM)?.cloned(),
            bind: only_child(authenticate, "bind", ns::BIND2)?.map(Bind::parse).transpose()?,
            fast,
            token,
        })
    }
}

impl From<Repeated> for Failure {
    fn from(_: Repeated) -> Self {
        Condition::MalformedRequest.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_uuids_of_version_4() {
        let parse = |text: &str| ClientId::parse(text);
        let id = parse("d4565fa7-4d72-4749-b3d3-740edbf87770").expect("that of the example");
        assert_eq!(id.as_bytes()[..3], [0xd4, 0x56, 0x5f]);
        assert_eq!(parse("D4565FA7-4D72-4749-B3D3-740EDBF87770"), Some(id));
        let bad = [
            "",
            "d4565fa7",
            "d4565fa74d724749b3d3740edbf87770",
            "{d4565fa7-4d72-4749-b3d3-740edbf87770}",
            "d4565fa7-4d72-1749-b3d3-740edbf87770",
            "d4565fa7-4d72-4749-73d3-740edbf87770",
            "d4565fa7-4d72-4749-b3d3-740edbf8777g",
            "d4565fa7-4d72-4749-b3d3-740edbf8777",
            "d4565fa7-4d72-4749-b3d3-740edbf877700",
            "d4565fa7_4d72_4749_b3d3_740edbf87770",
            "+4565fa7-4d72-4749-b3d3-740edbf87770",
            "é4565fa-4d72-4749-b3d3-740edbf877700",
        ];
        for text in bad {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_bind_has_each_wish_once() {
        let wish = |name: &'static str, ns: &'static str| Element::new(name, ns);
        let mut bind = Element::new("bind", ns::BIND2);
        bind.push(Element::new("tag", ns::BIND2).with_text("phone"));
        for _ in 0..3 {
            bind.push(wish("inactive", ns::CSI));
            bind.push(wish("enable", ns::CARBONS));
            bind.push(wish("enable", "urn:example:unheard-of"));
        }
        let bind = Bind::parse(&bind).expect("well-formed");
        assert_eq!(bind.tag.as_deref(), Some("phone"));
        let wishes: Vec<Wish> = bind.wishes.iter().map(|(wish, _)| *wish).collect();
        assert_eq!(wishes, [Wish::Carbons, Wish::Inactive]);
        for tag in ["", "\u{7}", &"x".repeat(1024)] {
            let tag = Element::new("tag", ns::BIND2).with_text(tag);
            let bind = Bind::parse(&Element::new("bind", ns::BIND2).with_child(tag));
            assert_eq!(bind.expect("well-formed"), Bind::default());
        }
    }
}
