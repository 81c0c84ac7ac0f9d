//! From TOML text to [`File`], with the line of every key.
//!
//! The text is held against the default configuration: a key that is not in that is unknown, a
//! value of another kind is of the wrong type. So the defaults are the schema, and the wording of
//! these errors is ours. What is left to serde are words of a choice and numbers too large.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::error::{ConfigError, closest};
use super::file::File;

/// The table whose keys are the domains of others.
const HOSTS: &str = "s2s.hosts";
/// The list of tables.
const COMPONENTS: &str = "components";

/// The keys of one of `[[components]]`.
fn component_shape() -> Table {
    let keys = ["domain", "secret", "listen"];
    keys.into_iter().map(|key| (key.to_owned(), Value::String(String::new()))).collect()
}

/// Where the keys stand: `limits.rooms`, `c2s.listen[0]`.
pub(super) struct Places {
    keys: BTreeMap<String, Place>,
}

/// Where a key stands.
struct Place {
    line: usize,
    /// Bytes of its value.
    value: Range<usize>,
}

impl Places {
    /// The line of a key, or `None` when it is not in the file.
    pub(super) fn line(&self, key: &str) -> Option<usize> {
        self.keys.get(key).map(|place| place.line)
    }

    /// The keys that are in the file.
    #[cfg(test)]
    pub(super) fn keys(&self) -> Vec<&str> {
        self.keys.keys().map(String::as_str).collect()
    }

    /// The innermost key whose value has this byte.
    fn key_at(&self, byte: usize) -> Option<(&str, &Place)> {
        self.keys
            .iter()
            .filter(|(_, place)| place.value.contains(&byte))
            .max_by_key(|(key, _)| key.len())
            .map(|(key, place)| (key.as_str(), place))
    }
}

/// Reads a text into the shape of the file.
pub(super) fn read(text: &str) -> Result<(File, Places), ConfigError> {
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        ConfigError::new(first_letter_small(error.message())).on_line(line)
    })?;
    let template = template();
    let mut walk = Walk { text, template: &template, keys: BTreeMap::new() };
    walk.table("", &template, document.get_ref())?;
    let places = Places { keys: walk.keys };
    let file = toml::from_str(text).map_err(|error| {
        let found = error.span().and_then(|span| places.key_at(span.start));
        let message = reword(error.message());
        match found {
            Some((key, place)) => ConfigError::at(Some(place.line), key, message),
            None => ConfigError::new(message),
        }
    })?;
    Ok((file, places))
}

/// The default configuration as a table.
pub(super) fn template() -> Table {
    Table::try_from(File::default()).expect("our own defaults are a table")
}

/// The dotted names of all keys below a table, sections themselves not among them.
pub(super) fn key_names(prefix: &str, table: &Table) -> Vec<String> {
    let mut names = Vec::new();
    for (name, value) in table {
        let key = join(prefix, name);
        match value {
            Value::Table(section) => names.extend(key_names(&key, section)),
            _ => names.push(key),
        }
    }
    names
}

/// The comparison of a document with the template.
struct Walk<'a> {
    text: &'a str,
    /// The whole of it, for suggestions.
    template: &'a Table,
    keys: BTreeMap<String, Place>,
}

impl Walk<'_> {
    fn table(
        &mut self,
        prefix: &str,
        template: &Table,
        table: &DeTable<'_>,
    ) -> Result<(), ConfigError> {
        // In the order of the text, so that the first error is the one furthest up.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let key = join(prefix, name.get_ref());
            if prefix == HOSTS {
                // Whatever domain: this table has no keys of ours.
                let line = line_of(self.text, name.span().start);
                self.value(&key, &Value::String(String::new()), value)?;
                self.keys.insert(key, Place { line, value: value.span() });
                continue;
            }
            let line = line_of(self.text, name.span().start);
            let Some(default) = template.get(name.get_ref().as_ref()) else {
                let message = self.unknown(prefix, template, name.get_ref());
                return Err(ConfigError::at(Some(line), &key, message));
            };
            self.keys.insert(key.clone(), Place { line, value: value.span() });
            self.value(&key, default, value)?;
        }
        Ok(())
    }

    fn value(
        &mut self,
        key: &str,
        default: &Value,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let line = line_of(self.text, value.span().start);
        let wrong = |expected: &str, found: &str| {
            let message = format!("expected {expected}, found {found}");
            Err(ConfigError::at(Some(line), key, message))
        };
        match (default, value.get_ref()) {
            (Value::Table(template), DeValue::Table(table)) => self.table(key, template, table),
            (Value::Integer(_), DeValue::Integer(number)) => {
                if number.as_str().starts_with('-') {
                    return wrong("0 or more", number.as_str());
                }
                Ok(())
            }
            (Value::Array(_), DeValue::Array(items)) if key == COMPONENTS => {
                let shape = component_shape();
                for (index, item) in items.iter().enumerate() {
                    let key = format!("{key}[{index}]");
                    self.value(&key, &Value::Table(shape.clone()), item)?;
                    let line = line_of(self.text, item.span().start);
                    self.keys.insert(key, Place { line, value: item.span() });
                }
                Ok(())
            }
            (Value::Array(_), DeValue::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let key = format!("{key}[{index}]");
                    self.value(&key, &Value::String(String::new()), item)?;
                    let line = line_of(self.text, item.span().start);
                    self.keys.insert(key, Place { line, value: item.span() });
                }
                Ok(())
            }
            (Value::String(_), DeValue::String(_)) | (Value::Boolean(_), DeValue::Boolean(_)) => {
                Ok(())
            }
            (default, found) => wrong(expected_kind(default), found_kind(found)),
        }
    }

    /// The message about a key that nobody knows.
    fn unknown(&self, prefix: &str, siblings: &Table, name: &str) -> String {
        let near = closest(name, siblings.keys().map(String::as_str));
        let meant = near.map(|near| join(prefix, near)).or_else(|| {
            // Right name, wrong section: the usual slip is a top-level key below a section.
            let all = key_names("", self.template);
            all.into_iter().find(|key| key.rsplit('.').next() == Some(name))
        });
        match meant {
            Some(key) if !prefix.is_empty() && !key.contains('.') => {
                format!("unknown key; did you mean {key}, above the first section?")
            }
            Some(key) => format!("unknown key; did you mean {key}?"),
            None => "unknown key".to_owned(),
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// The line of a byte, counted from 1.
fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|&byte| byte == b'\n').count()
}

fn expected_kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) | Value::Datetime(_) => "a text in quotes",
        Value::Integer(_) | Value::Float(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list of texts",
        Value::Table(_) => "a section",
    }
}

fn found_kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// Our words for what serde says of a bad choice or a number that does not fit.
fn reword(message: &str) -> String {
    if let Some((found, expected)) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        return format!("expected {expected}, found {found}");
    }
    // The kind is right, `Walk` has seen that: it is the size.
    if message.starts_with("invalid value: integer") || message.contains(" as i128, expected") {
        return "this number is too large".to_owned();
    }
    first_letter_small(message)
}

fn first_letter_small(message: &str) -> String {
    let mut chars = message.chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).map(|c| if c == '\n' { ' ' } else { c }).collect()
}
