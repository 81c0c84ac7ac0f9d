//! The XML declaration, `<?xml version='1.0' encoding='UTF-8'?>`: read here and kept from xml-rs,
//! which would take part of an encoding's name for the whole and let XML 1.1 in.

use super::parser::XmlError;

/// Bytes of a declaration. It has three short attributes; white space is the rest.
pub(super) const DECLARATION_BYTES_MAX: usize = 256;

/// Judges what stands between `<?xml` and `?>` (XML §2.8, RFC 6120 §11.5, §11.6).
pub(super) fn check_declaration(text: &str) -> Result<(), XmlError> {
    let (version, rest) = attribute(text, "version")?.ok_or(XmlError::NotWellFormed)?;
    if version != "1.0" {
        return Err(XmlError::NotWellFormed);
    }
    let (encoding, rest) = match attribute(rest, "encoding")? {
        Some((encoding, rest)) => (Some(encoding), rest),
        None => (None, rest),
    };
    let rest = match attribute(rest, "standalone")? {
        Some(("yes" | "no", rest)) => rest,
        Some(_) => return Err(XmlError::NotWellFormed),
        None => rest,
    };
    if !rest.trim_start_matches(is_space).is_empty() {
        return Err(XmlError::NotWellFormed);
    }
    match encoding {
        Some(name) if !name.eq_ignore_ascii_case("utf-8") => Err(XmlError::UnsupportedEncoding),
        _ => Ok(()),
    }
}

/// The value of `name` and what follows it, when `text` is white space and that attribute.
fn attribute<'a>(text: &'a str, name: &str) -> Result<Option<(&'a str, &'a str)>, XmlError> {
    let trimmed = text.trim_start_matches(is_space);
    let Some(rest) = trimmed.strip_prefix(name) else {
        return Ok(None);
    };
    let parse = || {
        let rest = rest.trim_start_matches(is_space).strip_prefix('=')?;
        let rest = rest.trim_start_matches(is_space);
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        rest[1..].split_once(quote)
    };
    match parse() {
        Some(parsed) if trimmed.len() < text.len() => Ok(Some(parsed)),
        _ => Err(XmlError::NotWellFormed),
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations() {
        use XmlError::{NotWellFormed, UnsupportedEncoding};
        let table = [
            (" version='1.0'", Ok(())),
            (" version=\"1.0\" ", Ok(())),
            ("\n version = '1.0'\tencoding = \"utf-8\"", Ok(())),
            (" version='1.0' encoding='UTF-8' standalone='yes'", Ok(())),
            (" version='1.0' standalone='no'", Ok(())),
            (" version='1.1'", Err(NotWellFormed)),
            (" version='1'", Err(NotWellFormed)),
            (" version=1.0", Err(NotWellFormed)),
            (" version='1.0", Err(NotWellFormed)),
            (" version", Err(NotWellFormed)),
            (" encoding='UTF-8'", Err(NotWellFormed)),
            (" encoding='UTF-8' version='1.0'", Err(NotWellFormed)),
            (" version='1.0'encoding='UTF-8'", Err(NotWellFormed)),
            (" version='1.0' version='1.0'", Err(NotWellFormed)),
            (" version='1.0' standalone='maybe'", Err(NotWellFormed)),
            (" version='1.0' standalone='yes' encoding='UTF-8'", Err(NotWellFormed)),
            (" version='1.0' x='y'", Err(NotWellFormed)),
            (" version='1.0' encoding='UTF8'", Err(UnsupportedEncoding)),
            (" version='1.0' encoding='UTF-8x'", Err(UnsupportedEncoding)),
            (" version='1.0' encoding=''", Err(UnsupportedEncoding)),
            (" version='1.0' encoding='u'", Err(UnsupportedEncoding)),
            (" version='1.0' encoding='ISO-8859-1'", Err(UnsupportedEncoding)),
        ];
        for (text, want) in table {
            assert_eq!(check_declaration(text), want, "{text}");
        }
    }
}
