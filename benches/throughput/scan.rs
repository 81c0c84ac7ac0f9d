//! Where stanzas end: depth counting over tags, found with memchr, without parsing names,
//! attributes or text. It trusts the server under test to send well-formed XML and to escape `>`
//! in attributes, which Tercet, Prosody and ejabberd do; with one that does not, counts are wrong
//! and the run fails.

use memchr::{memchr, memmem};

/// What the caller of [`Input::feed`] wants after a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The stream goes on.
    Go,
    /// A new stream begins (after TLS, after authentication).
    Restart,
}

/// The input of one connection.
#[derive(Debug, Default)]
pub struct Input {
    /// An unfinished stanza, from its first byte.
    rest: Vec<u8>,
    /// Bytes of `rest` that need no second look.
    scanned: usize,
    /// Open elements before `rest[scanned]`; 0: the stream header is still to come.
    depth: u32,
}

impl Input {
    /// Input without a stream header.
    pub fn headless() -> Self {
        Self { depth: 1, ..Self::default() }
    }

    /// Takes bytes and calls `stanza` for each that they complete. The stream end is reported as
    /// a stanza of its own.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        mut stanza: impl FnMut(&[u8]) -> Result<Next, String>,
    ) -> Result<(), String> {
        if self.rest.is_empty() {
            let (start, scanned) = self.scan(bytes, 0, &mut stanza)?;
            self.rest.extend_from_slice(&bytes[start..]);
            self.scanned = scanned - start;
        } else {
            let mut rest = std::mem::take(&mut self.rest);
            rest.extend_from_slice(bytes);
            let (start, scanned) = self.scan(&rest, self.scanned, &mut stanza)?;
            rest.drain(..start);
            self.scanned = scanned - start;
            self.rest = rest;
        }
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
        Ok(())
    }

    /// Returns where the unfinished stanza begins and how far the scan came.
    fn scan(
        &mut self,
        bytes: &[u8],
        scanned: usize,
        stanza: &mut impl FnMut(&[u8]) -> Result<Next, String>,
    ) -> Result<(usize, usize), String> {
        let (mut start, mut at) = (0, scanned);
        loop {
            let Some(open) = memchr(b'<', &bytes[at..]) else {
                let end = bytes.len();
                return Ok((if self.depth <= 1 { end } else { start }, end));
            };
            let open = at + open;
            if self.depth <= 1 {
                start = open;
            }
            let Some(close) = memchr(b'>', &bytes[open..]) else { return Ok((start, open)) };
            let close = open + close;
            at = close + 1;
            let is_end = match (bytes[open + 1], bytes[close - 1]) {
                (b'?', _) => continue,
                (b'/', _) => {
                    self.depth = self.depth.saturating_sub(1);
                    true
                }
                (_, b'/') => true,
                _ => {
                    self.depth += 1;
                    false
                }
            };
            if is_end && self.depth <= 1 && stanza(&bytes[start..at])? == Next::Restart {
                self.depth = 0;
            }
        }
    }
}

/// The text content of the first element whose name ends the tag that starts with `<name`.
pub fn text_of<'a>(stanza: &'a [u8], name: &str) -> Option<&'a str> {
    let start = memmem::find(stanza, format!("<{name}").as_bytes())?;
    let start = start + memchr(b'>', &stanza[start..])? + 1;
    let end = start + memchr(b'<', &stanza[start..])?;
    std::str::from_utf8(&stanza[start..end]).ok()
}

/// An attribute of the stanza's own tag; `name` is of the form ` from=`.
pub fn attribute<'a>(stanza: &'a [u8], name: &str) -> Option<&'a str> {
    let tag = &stanza[..memchr(b'>', stanza)?];
    let at = memmem::find(tag, name.as_bytes())? + name.len();
    let quote = *tag.get(at)?;
    let end = at + 1 + memchr(quote, &tag[at + 1..])?;
    std::str::from_utf8(&tag[at + 1..end]).ok()
}
