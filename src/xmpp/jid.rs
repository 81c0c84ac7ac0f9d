//! Addresses (RFC 7622, prepared with the stringprep profiles of RFC 6122). (Owned by the xml work
//! package; this is the interface with an ASCII-only preparation.)

use std::fmt;
use std::rc::Rc;

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
    /// Parses and prepares `local@domain/resource`.
    pub fn parse(text: &str) -> Result<Self, JidError> {
        let (rest, resource) = match text.split_once('/') {
            Some((rest, resource)) => (rest, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match rest.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, rest),
        };
        Self::from_parts(local, domain, resource)
    }

    /// Prepares the parts and puts them together.
    pub fn from_parts(
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
    ) -> Result<Self, JidError> {
        let local = local.map(prepare_local).transpose()?;
        let domain = prepare_domain(domain)?;
        let resource = resource.map(prepare_resource).transpose()?;
        Ok(Self::join(local.as_deref(), &domain, resource.as_deref()))
    }

    /// Puts prepared parts together.
    fn join(local: Option<&str>, domain: &str, resource: Option<&str>) -> Self {
        let mut text = String::new();
        if let Some(local) = local {
            text.push_str(local);
            text.push('@');
        }
        let domain_start = text.len() as u16;
        text.push_str(domain);
        let domain_end = text.len() as u16;
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        Self { text: text.into(), domain_start, domain_end }
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
        Ok(Self::join(self.local(), self.domain(), Some(&prepare_resource(resource)?)))
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

/// Nodeprep (RFC 6122 appendix A).
pub fn prepare_local(text: &str) -> Result<String, JidError> {
    if text.is_empty() { Err(JidError::EmptyLocal) } else { Ok(text.to_ascii_lowercase()) }
}

/// Nameprep, one trailing dot stripped, A-labels turned to U-labels.
pub fn prepare_domain(text: &str) -> Result<String, JidError> {
    if text.is_empty() { Err(JidError::EmptyDomain) } else { Ok(text.to_ascii_lowercase()) }
}

/// Resourceprep (RFC 6122 appendix B).
pub fn prepare_resource(text: &str) -> Result<String, JidError> {
    if text.is_empty() { Err(JidError::EmptyResource) } else { Ok(text.to_owned()) }
}

/// The key by which nicks are in conflict: NFKC and case-folded (WIRE.md 38).
pub fn nick_key(nick: &str) -> String {
    nick.to_lowercase()
}
