//! The text of a source file as the rules look at it: comments, strings and tests blanked out,
//! lines where they were, and the paths that it imports.

use std::path::{Path, PathBuf};

/// A source file, and the same with everything blanked that is no code of the product.
pub struct Source {
    /// Relative to src/, with `/`.
    pub name: String,
    pub text: String,
    pub code: String,
}

pub fn sources(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of this repository") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths
}

impl Source {
    pub fn new(name: &str, text: &str) -> Self {
        let code = without_tests(&blank(text));
        Self { name: name.to_owned(), text: text.to_owned(), code }
    }

    pub fn is_test(&self) -> bool {
        let stem = self.name.trim_end_matches(".rs");
        stem.ends_with("tests") || stem.contains("tests/")
    }

    /// The path of the module within the crate: `im/mod.rs` is `[im]`, `im/roster.rs` is
    /// `[im, roster]`.
    pub fn module(&self) -> Vec<&str> {
        let stem = self.name.trim_end_matches(".rs");
        stem.split('/').filter(|part| *part != "mod").collect()
    }

    /// Line and top-level module of each path that starts at the crate.
    pub fn imports(&self) -> Vec<(usize, String)> {
        let mut imports = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            let line = line_of(&self.code, at);
            let rest = &self.code[at + "crate::".len()..];
            if let Some(group) = rest.strip_prefix('{') {
                imports.extend(group_heads(group).into_iter().map(|head| (line, head)));
            } else {
                imports.push((line, ident(rest)));
            }
        }
        let depth = self.module().len();
        for (at, _) in self.code.match_indices("super::") {
            let before = &self.code[..at];
            if before.ends_with("super::") {
                continue;
            }
            let mut rest = &self.code[at..];
            let mut supers = 0;
            while let Some(after) = rest.strip_prefix("super::") {
                (rest, supers) = (after, supers + 1);
            }
            if supers >= depth {
                imports.push((line_of(&self.code, at), ident(rest)));
            }
        }
        imports
    }
}

pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

pub fn ident(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first names of `a, b::{c, d}, e}`.
fn group_heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut at_head) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            c if at_head && !c.is_whitespace() => {
                heads.push(ident(&group[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

/// The text with comments, strings and characters blanked; lines stay where they are.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            at + rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            at + rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            at + rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len())
        } else if rest.starts_with('"') {
            at + string_end(&bytes[at..])
        } else if let Some(length) = char_literal(rest) {
            at + length
        } else {
            at
        };
        if end == at {
            let c = rest.chars().next().expect("not at the end");
            code.push(c);
            at += c.len_utf8();
        } else {
            let blanked = |c: char| if c == '\n' { '\n' } else { ' ' };
            code.extend(text[at..end].chars().map(blanked));
            at = end;
        }
    }
    code
}

fn raw_string(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('r')?;
    let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
    rest[hashes..].starts_with('"').then_some(hashes)
}

fn string_end(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of a character literal; a lifetime is none.
fn char_literal(text: &str) -> Option<usize> {
    let rest = text.strip_prefix('\'')?;
    if rest.starts_with('\\') {
        return rest[2..].find('\'').map(|end| end + 4);
    }
    let c = rest.chars().next()?;
    rest[c.len_utf8()..].starts_with('\'').then_some(c.len_utf8() + 2)
}

/// The code with each item behind `#[cfg(test)]` blanked.
fn without_tests(code: &str) -> String {
    let mut kept = code.to_owned();
    while let Some(start) = kept.find("#[cfg(test)]") {
        let rest = &kept[start..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(brace), semicolon) if semicolon.is_none_or(|at| brace < at) => {
                start + brace + block_end(&rest[brace..])
            }
            (_, Some(semicolon)) => start + semicolon + 1,
            (_, None) => kept.len(),
        };
        let blanked = |c: char| if c == '\n' { '\n' } else { ' ' };
        let blank: String = kept[start..end].chars().map(blanked).collect();
        kept.replace_range(start..end, &blank);
    }
    kept
}

/// Where the block that `text` begins with ends.
pub fn block_end(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// Reads a file below `folder`.
pub fn read(folder: &Path, path: &Path) -> Source {
    let text = std::fs::read_to_string(path).expect("a readable file");
    let name = path.strip_prefix(folder).expect("below the folder").to_string_lossy();
    Source::new(&name.replace('\\', "/"), &text)
}
