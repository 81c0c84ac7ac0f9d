//! An XML element in memory: what the parser yields and the writer takes.
//!
//! Names and namespaces are `Cow<'static, str>`, so that an element that the server builds itself
//! allocates nothing for them. Prefixes are not kept: a name is (namespace, local name), and the
//! writer declares what it needs. It is not a document model: comments, processing instructions
//! and DTDs never get here, XMPP forbids them (RFC 6120 §11.1).

use std::borrow::Cow;

/// A name, or a namespace: borrowed when the server made it, owned when a peer did.
pub type Name = Cow<'static, str>;

/// An attribute; `ns` is empty for the ordinary ones without a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Namespace; empty without a prefix.
    pub ns: Name,
    /// Local name.
    pub name: Name,
    /// Value, unescaped.
    pub value: String,
}

/// A child of an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Character data, unescaped.
    Text(String),
}

/// An element with its attributes and children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Namespace; empty for none.
    pub ns: Name,
    /// Local name.
    pub name: Name,
    /// Attributes in document order, namespace declarations excluded.
    pub attributes: Vec<Attribute>,
    /// Children in document order; adjacent texts are one.
    pub children: Vec<Node>,
}

impl Node {
    /// Bytes of memory that it takes: what its parts cost and what they hold.
    pub fn memory_bytes(&self) -> usize {
        let held = match self {
            Self::Element(element) => element.memory_bytes(),
            Self::Text(text) => text.len(),
        };
        size_of::<Self>() + held
    }
}

/// The namespace that the prefix `xml` is bound to.
pub const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";

impl Element {
    /// An empty element.
    pub fn new(name: impl Into<Name>, ns: impl Into<Name>) -> Self {
        Self { ns: ns.into(), name: name.into(), attributes: Vec::new(), children: Vec::new() }
    }

    /// Adds an attribute without a namespace (builder style).
    #[must_use]
    pub fn with_attr(mut self, name: impl Into<Name>, value: impl Into<String>) -> Self {
        self.set_attr(name, value);
        self
    }

    /// Adds an attribute when there is a value (builder style).
    #[must_use]
    pub fn with_attr_opt(self, name: impl Into<Name>, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with_attr(name, value),
            None => self,
        }
    }

    /// Adds `xml:lang` when there is one (builder style); the element has none yet.
    #[must_use]
    pub fn with_lang(mut self, lang: Option<&str>) -> Self {
        self.attributes.extend(lang.map(|lang| Attribute {
            ns: Cow::Borrowed(XML_NS),
            name: Cow::Borrowed("lang"),
            value: lang.to_owned(),
        }));
        self
    }

    /// Adds a child element (builder style).
    #[must_use]
    pub fn with_child(mut self, child: Element) -> Self {
        self.push(child);
        self
    }

    /// Adds a child element when there is one (builder style).
    #[must_use]
    pub fn with_child_opt(self, child: Option<Element>) -> Self {
        match child {
            Some(child) => self.with_child(child),
            None => self,
        }
    }

    /// Adds character data (builder style).
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.push_text(&text.into());
        self
    }

    /// Appends a child element.
    pub fn push(&mut self, child: Element) {
        self.children.push(Node::Element(child));
    }

    /// Appends character data, joined to a text that ends the children already.
    pub fn push_text(&mut self, text: &str) {
        match self.children.last_mut() {
            Some(Node::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.children.push(Node::Text(text.to_owned())),
        }
    }

    /// Bytes of memory that its parts take, besides itself.
    fn memory_bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|Attribute { ns, name, value }| {
            size_of::<Attribute>() + ns.len() + name.len() + value.len()
        });
        let children = self.children.iter().map(Node::memory_bytes);
        let own = self.ns.len() + self.name.len();
        own + attributes.sum::<usize>() + children.sum::<usize>()
    }

    /// True when the element has this name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// The value of an attribute without a namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns(name, "")
    }

    /// The value of an attribute in a namespace.
    pub fn attr_ns(&self, name: &str, ns: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.name == name && a.ns == ns).map(|a| a.value.as_str())
    }

    /// The value of `xml:lang` on this very element.
    pub fn lang(&self) -> Option<&str> {
        self.attr_ns("lang", XML_NS)
    }

    /// Sets an attribute without a namespace, replacing one of that name.
    pub fn set_attr(&mut self, name: impl Into<Name>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        match self.attributes.iter_mut().find(|a| a.ns.is_empty() && a.name == name) {
            Some(attribute) => attribute.value = value,
            None => self.attributes.push(Attribute { ns: Cow::Borrowed(""), name, value }),
        }
    }

    /// The child elements.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child element with this name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Element> {
        self.elements().find(|element| element.is(name, ns))
    }

    /// The text of this element's own character data, child elements left out.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for node in &self.children {
            if let Node::Text(part) = node {
                text.push_str(part);
            }
        }
        text
    }
}
