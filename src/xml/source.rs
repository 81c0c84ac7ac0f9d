//! The bytes of one stream on their way into xml-rs.
//!
//! xml-rs reads one byte at a time and can stop anywhere but inside a UTF-8 sequence, so an
//! incomplete sequence at the end is held back. Each byte passes the [`Guard`] and is counted
//! against the limit of the stanza it belongs to; because xml-rs takes no byte that it does not
//! need, the count is exact whatever the chunks were.

use std::io::{self, ErrorKind, Read};

use super::guard::Guard;
use super::parser::XmlError;

/// Bytes that were fed and not read yet, with what is known about them.
#[derive(Debug)]
pub(super) struct Source {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that were read. Invariant: `read <= valid <= bytes.len()`.
    read: usize,
    /// End of the part of `bytes` that is complete UTF-8.
    valid: usize,
    /// What follows `valid` can never become UTF-8.
    broken: bool,
    /// Bytes that the present unit may still have.
    left: usize,
    /// Judges each byte before xml-rs sees it.
    pub(super) guard: Guard,
    /// Why reading stopped, when it was not for want of bytes.
    pub(super) refused: Option<XmlError>,
}

impl Source {
    pub(super) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            read: 0,
            valid: 0,
            broken: false,
            left: 0,
            guard: Guard::new(),
            refused: None,
        }
    }

    /// Appends bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.broken {
            return;
        }
        self.bytes.drain(..self.read);
        self.valid -= self.read;
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
        match std::str::from_utf8(&self.bytes[self.valid..]) {
            Ok(_) => self.valid = self.bytes.len(),
            Err(error) => {
                self.valid += error.valid_up_to();
                self.broken = error.error_len().is_some();
            }
        }
    }

    /// The bytes that can be read.
    pub(super) fn ready(&self) -> &[u8] {
        &self.bytes[self.read..self.valid]
    }

    /// Leaves out bytes that [`Self::ready`] showed.
    pub(super) fn skip(&mut self, count: usize) {
        self.read += count;
        debug_assert!(self.read <= self.valid);
    }

    /// Leaves out white space, and shows what follows it.
    pub(super) fn skip_whitespace(&mut self) -> Option<u8> {
        let ready = self.ready();
        let space = ready.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        self.read += space.unwrap_or(ready.len());
        self.ready().first().copied()
    }

    /// True when everything that was fed has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.read == self.bytes.len()
    }

    /// The bytes that were not read, complete or not.
    pub(super) fn into_rest(mut self) -> Vec<u8> {
        self.bytes.split_off(self.read)
    }

    /// The bytes that can be read are followed by some that are not UTF-8.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// A unit (header, stanza, end of stream) of at most `bytes_max` bytes begins.
    pub(super) fn begin(&mut self, bytes_max: usize) {
        self.left = bytes_max;
    }

    /// Bytes of memory that the buffer takes.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Forgets the bytes, and gives their memory back.
    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.read = 0;
        self.valid = 0;
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (Some(slot), None) = (buffer.first_mut(), &self.refused) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        let Some(&byte) = self.bytes[..self.valid].get(self.read) else {
            return Err(ErrorKind::WouldBlock.into());
        };
        if self.left == 0 {
            self.refused = Some(XmlError::TooLarge);
            return Err(ErrorKind::WouldBlock.into());
        }
        if let Err(error) = self.guard.step(byte) {
            self.refused = Some(error);
            return Err(ErrorKind::WouldBlock.into());
        }
        self.read += 1;
        self.left -= 1;
        *slot = byte;
        Ok(1)
    }
}
