//! Addresses: `local@domain/resource` (RFC 7622), prepared with the stringprep profiles of
//! RFC 6122 in [`super::prep`].
//!
//! They are parsed once, at the edge; behind it two addresses are the same exactly when their bytes
//! are. An address is one shared string and two offsets, so a clone costs a counter. It says
//! nothing about who is meant: whether a domain is ours or an account exists is decided elsewhere.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

pub use super::prep::{nick_key, prepare_domain, prepare_local, prepare_nick, prepare_resource};
use super::{domain, prep};

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JidError {
    /// Nothing before the `@`.
    EmptyLocal,
    /// No domain.
    EmptyDomain,
    /// Nothing after the `/`.
    EmptyResource,
    /// A part is longer than 1023 bytes after preparation.
    TooLong,
    /// A character that the profile of this part forbids.
    Forbidden,
}

/// An address: `domain`, `local@domain`, either with `/resource`. Prepared, so that equal
/// addresses are equal bytes; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jid {
    text: Rc<str>,
    /// Where the domain begins: 0, or one past the `@`.
    domain_start: u16,
    /// Where the domain ends: the length of the text, or the place of the `/`.
    domain_end: u16,
}

/// An address without a resource: an account, a room, a domain.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BareJid(Jid);

impl Jid {
    /// Parses and prepares `local@domain/resource`: the first `/` begins the resource, the first
    /// `@` before it ends the localpart (RFC 7622 §3.1). Allocates once when `text` is prepared.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let (rest, resource) = match text.split_once('/') {
            Some((rest, resource)) => (rest, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match rest.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, rest),
        };
        let local = local.map(prep::local).transpose()?;
        let domain = domain::domain(domain)?;
        let resource = resource.map(prep::resource).transpose()?;
        let borrowed = |part: &Option<Cow<'_, str>>| !matches!(part, Some(Cow::Owned(_)));
        let is_prepared = borrowed(&local)
            && borrowed(&resource)
            && matches!(domain, Cow::Borrowed(_))
            // The domain is shorter when its trailing dot went.
            && rest.len() == local.as_ref().map_or(0, |local| local.len() + 1) + domain.len();
        let whole = is_prepared.then_some(text);
        Ok(Self::join(whole, local.as_deref(), &domain, resource.as_deref()))
    }

    /// Prepares the parts and puts them together.
    pub fn from_parts(
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Self, JidError> {
        let local = local.map(prep::local).transpose()?;
        let domain = domain::domain(domain)?;
        let resource = resource.map(prep::resource).transpose()?;
        Ok(Self::join(None, local.as_deref(), &domain, resource.as_deref()))
    }

    /// Puts prepared parts together; `text` is the result, where it exists already.
    fn join(text: Option<&str>, local: Option<&str>, domain: &str, resource: Option<&str>) -> Self {
        let domain_start = local.map_or(0, |local| local.len() + 1);
        let domain_end = domain_start + domain.len();
        let text: Rc<str> = match text {
            Some(text) => text.into(),
            None => {
                let mut text = String::with_capacity(domain_end + 1 + resource.map_or(0, str::len));
                if let Some(local) = local {
                    text.push_str(local);
                    text.push('@');
                }
                text.push_str(domain);
                if let Some(resource) = resource {
                    text.push('/');
                    text.push_str(resource);
                }
                text.into()
            }
        };
        // Three parts of at most 1023 bytes.
        let [domain_start, domain_end] = [domain_start, domain_end].map(|at| at as u16);
        Self { text, domain_start, domain_end }
    }

    /// The part before the `@`.
    pub fn local(&self) -> Option<&str> {
        (self.domain_start > 0).then(|| &self.text[..self.domain_start as usize - 1])
    }

    /// The domain.
    pub fn domain(&self) -> &str {
        &self.text[self.domain_start as usize..self.domain_end as usize]
    }

    /// The part after the `/`.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(self.domain_end as usize + 1..)
    }

    /// True without a resource.
    pub fn is_bare(&self) -> bool {
        self.domain_end as usize == self.text.len()
    }

    /// The address without its resource.
    pub fn to_bare(&self) -> BareJid {
        if self.is_bare() {
            return BareJid(self.clone());
        }
        BareJid(Self {
            text: Rc::from(self.bare_str()),
            domain_start: self.domain_start,
            domain_end: self.domain_end,
        })
    }

    /// The text of the address without its resource: no allocation.
    pub fn bare_str(&self) -> &str {
        &self.text[..self.domain_end as usize]
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// This address with another resource, which is prepared.
    pub fn with_resource(&self, resource: &str) -> Result<Self, JidError> {
        let resource = prep::resource(resource)?;
        Ok(Self::join(None, self.local(), self.domain(), Some(&resource)))
    }
}

impl BareJid {
    /// Parses an address that must not have a resource; one that has is `Forbidden`.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let jid = Jid::parse(text)?;
        if jid.is_bare() { Ok(Self(jid)) } else { Err(JidError::Forbidden) }
    }

    /// The part before the `@`.
    pub fn local(&self) -> Option<&str> {
        self.0.local()
    }

    /// The domain.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same address as a [`Jid`].
    pub fn as_jid(&self) -> &Jid {
        &self.0
    }

    /// This address with a resource, which is prepared.
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        self.0.with_resource(resource)
    }
}

impl From<BareJid> for Jid {
    fn from(bare: BareJid) -> Self {
        bare.0
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BareJid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (Option<&'a str>, &'a str, Option<&'a str>);

    #[track_caller]
    fn check(text: &str, want: Result<Parts<'_>, JidError>) {
        let got = Jid::parse(text);
        let parts = got.as_ref().map(|jid| (jid.local(), jid.domain(), jid.resource()));
        assert_eq!(parts.map_err(|error| *error), want, "{text:?}");
        let (Ok(jid), Ok((local, domain, resource))) = (got, want) else { return };
        assert_eq!(Jid::parse(jid.as_str()).as_ref(), Ok(&jid), "{text:?} settles");
        assert_eq!(Jid::from_parts(local, domain, resource).as_ref(), Ok(&jid));
        let bare = jid.to_bare();
        assert_eq!((bare.local(), bare.domain()), (local, domain));
        assert_eq!(bare.as_str(), jid.bare_str());
        assert_eq!(BareJid::parse(jid.bare_str()), Ok(bare.clone()));
        assert_eq!(jid.is_bare(), resource.is_none());
        if let Some(resource) = resource {
            assert_eq!(bare.with_resource(resource), Ok(jid.clone()));
            assert_eq!(BareJid::parse(jid.as_str()), Err(JidError::Forbidden));
        }
    }

    #[test]
    fn parts() {
        check("a@b/c", Ok((Some("a"), "b", Some("c"))));
        check("b", Ok((None, "b", None)));
        check("b/c", Ok((None, "b", Some("c"))));
        check("a@b", Ok((Some("a"), "b", None)));
        check("A@B/C", Ok((Some("a"), "b", Some("C"))));
        check("a@b.", Ok((Some("a"), "b", None)));
        check("a@b./c.", Ok((Some("a"), "b", Some("c."))));
        check("a@b。", Ok((Some("a"), "b", None)));
        check("b/c.", Ok((None, "b", Some("c."))));
        check("a@[::1]/c", Ok((Some("a"), "[::1]", Some("c"))));
        check("a@xn--bcher-kva.de/x", Ok((Some("a"), "bücher.de", Some("x"))));
        check("ß@ß.de/ß", Ok((Some("ss"), "ss.de", Some("ß"))));
    }

    /// RFC 7622 §3.1, and the examples of §3.5.
    #[test]
    fn where_the_parts_are_split() {
        check("b/c/d", Ok((None, "b", Some("c/d"))));
        check("b/c@d", Ok((None, "b", Some("c@d"))));
        check("b/c@d/e", Ok((None, "b", Some("c@d/e"))));
        check("a@b/c@d/e", Ok((Some("a"), "b", Some("c@d/e"))));
        check("a@b//", Ok((Some("a"), "b", Some("/"))));
        check("a@b/ ", Ok((Some("a"), "b", Some(" "))));
        check("a@b@c", Err(JidError::Forbidden));
        check("juliet@example.com/foo bar", Ok((Some("juliet"), "example.com", Some("foo bar"))));
        check("juliet@example.com/foo@bar", Ok((Some("juliet"), "example.com", Some("foo@bar"))));
        check("foo\\20bar@example.com", Ok((Some("foo\\20bar"), "example.com", None)));
        check("fussball@example.com", Ok((Some("fussball"), "example.com", None)));
        check("\u{3C0}@example.com", Ok((Some("\u{3C0}"), "example.com", None)));
        check("king@example.com/\u{265A}", Ok((Some("king"), "example.com", Some("\u{265A}"))));
        check("\"juliet\"@example.com", Err(JidError::Forbidden));
        check("foo bar@example.com", Err(JidError::Forbidden));
        check("\u{2163}@example.com", Ok((Some("iv"), "example.com", None)));
    }

    #[test]
    fn empty_parts() {
        check("", Err(JidError::EmptyDomain));
        check("@", Err(JidError::EmptyLocal));
        check("@b", Err(JidError::EmptyLocal));
        check("@/c", Err(JidError::EmptyLocal));
        check("a@", Err(JidError::EmptyDomain));
        check("a@.", Err(JidError::EmptyDomain));
        check("a@/c", Err(JidError::EmptyDomain));
        check("/c", Err(JidError::EmptyDomain));
        check("/", Err(JidError::EmptyDomain));
        check("b/", Err(JidError::EmptyResource));
        check("a@b/", Err(JidError::EmptyResource));
        check("a@b/\u{AD}", Err(JidError::EmptyResource));
    }

    #[test]
    fn the_longest_address_fits_its_offsets() {
        let (local, resource) = ("ß".repeat(511), "é".repeat(511));
        let jid = Jid::from_parts(Some(&local), "b", Some(&resource)).expect("each part is short");
        assert_eq!(jid.local().map(str::len), Some(1022));
        assert_eq!((jid.domain(), jid.resource()), ("b", Some(resource.as_str())));
        let long = format!("a@b/{}", "x".repeat(100_000));
        assert_eq!(Jid::parse(&long), Err(JidError::TooLong));
        assert_eq!(Jid::parse(&long.replace('x', "\u{AD}")), Err(JidError::TooLong));
    }
}
