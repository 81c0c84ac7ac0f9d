//! XML: elements in memory, the incremental stream parser over xml-rs, and the writer.
//!
//! The only folder that knows `xml::reader`. It knows nothing of XMPP but the shape of a stream:
//! a root element whose children arrive one by one.

mod declaration;
pub mod document;
pub mod element;
mod fragment;
mod guard;
mod limits;
mod names;
pub mod parser;
mod reader;
mod source;
pub mod writer;

#[cfg(test)]
mod roundtrip;
#[cfg(test)]
mod tests;

pub use element::{Attribute, Element, Name, Node, XML_NS};
pub use fragment::read_fragment;
pub use limits::XmlLimits;
pub use parser::{StreamEvent, StreamHeader, StreamParser, XmlError};
