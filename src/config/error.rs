//! What is wrong with a configuration, where, and what was meant instead.

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest name that is compared with others.
const COMPARED_CHARS_MAX: usize = 64;

/// One thing that is wrong: `conf/tercet.toml:12: limits.rooms: expected …, found …`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<PathBuf>,
    line: Option<usize>,
    key: Option<String>,
    message: String,
}

impl ConfigError {
    /// Something wrong with the whole.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Something wrong with a key. Its line is unknown when it is not in the file.
    pub(super) fn at(line: Option<usize>, key: &str, message: impl Into<String>) -> Self {
        Self { line, key: Some(key.to_owned()), message: message.into(), file: None }
    }

    /// The same on a line, where no key is known.
    pub(super) fn on_line(mut self, line: Option<usize>) -> Self {
        self.line = line;
        self
    }

    /// The same in a file.
    pub(super) fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{}", file.display())?,
            None => f.write_str("configuration")?,
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The one of `known` that `name` was probably meant to be.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.chars().count() / 3).clamp(1, 3);
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|&(distance, _)| distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to add, drop, change or swap with their neighbour to come from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(COMPARED_CHARS_MAX).collect();
    let b: Vec<char> = b.chars().take(COMPARED_CHARS_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, want) in [
            ("", "", 0),
            ("", "abc", 3),
            ("listen", "listen", 0),
            ("lisetn", "listen", 1),
            ("listn", "listen", 1),
            ("kitten", "sitting", 3),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(a, b), want, "{a} {b}");
            assert_eq!(distance(b, a), want, "{b} {a}");
        }
    }

    #[test]
    fn closest_is_close() {
        let known = ["listen", "listen_tls", "require_tls", "log"];
        for (name, want) in [
            ("lsiten", Some("listen")),
            ("listen-tls", Some("listen_tls")),
            ("require_ssl", Some("require_tls")),
            ("loq", Some("log")),
            ("port", None),
            ("x", None),
        ] {
            assert_eq!(closest(name, known.into_iter()), want, "{name}");
        }
    }
}
