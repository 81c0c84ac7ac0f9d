//! What a script writes for what it cannot know or spell: `${Romeo's full JID}`, `${captured}`,
//! and for raw bytes `{repeat 1000 x}`, `{base64 \0user\0pass}`, `\xff`, `\0`, `\n`.

/// Replaces each `${name}` by what `lookup` knows.
pub fn interpolate(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or("an open ${")?;
        done.push_str(before);
        done.push_str(&lookup(name).ok_or_else(|| format!("what is ${{{name}}}?"))?);
        rest = after;
    }
    Ok(done + rest)
}

/// The bytes that a `sends raw:` block stands for.
pub fn raw_bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['{', '\\']) {
        bytes.extend_from_slice(&rest.as_bytes()[..start]);
        let special = &rest[start..];
        if let Some(escape) = special.strip_prefix('\\') {
            rest = unescape(escape, &mut bytes)?;
            continue;
        }
        let (command, after) = special[1..].split_once('}').ok_or("an open {")?;
        rest = after;
        if let Some(arguments) = command.strip_prefix("repeat ") {
            let (count, unit) = arguments.split_once(' ').ok_or("{repeat COUNT TEXT}")?;
            let count: usize = count.parse().map_err(|_| format!("no count: {count}"))?;
            bytes.extend(raw_bytes(unit)?.repeat(count));
        } else if let Some(plain) = command.strip_prefix("base64 ") {
            bytes.extend(crate::sasl::base64(&raw_bytes(plain)?).bytes());
        } else if let Some(arguments) = command.strip_prefix("token ") {
            let (user, token) = arguments.split_once(' ').ok_or("{token USER TOKEN}")?;
            bytes.extend(crate::sasl::token_message(user, token).bytes());
        } else {
            return Err(format!("what is {{{command}}}?"));
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

fn unescape<'a>(text: &'a str, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let mut chars = text.chars();
    match chars.next() {
        Some('0') => bytes.push(0),
        Some('n') => bytes.push(b'\n'),
        Some('\\') => bytes.push(b'\\'),
        Some('x') => {
            let hex = text.get(1..3).ok_or("\\xHH")?;
            bytes.push(u8::from_str_radix(hex, 16).map_err(|_| format!("no byte: \\x{hex}"))?);
            return Ok(&text[3..]);
        }
        _ => return Err(format!("unknown escape: \\{text}")),
    }
    Ok(chars.as_str())
}

#[test]
fn names_are_replaced() {
    let lookup = |name: &str| (name == "a").then(|| "<A>".to_owned());
    assert_eq!(interpolate("1${a}2${a}3", lookup), Ok("1<A>2<A>3".to_owned()));
    assert!(interpolate("${b}", lookup).is_err());
    assert!(interpolate("${b", lookup).is_err());
}

#[test]
fn raw_bytes_are_made() {
    let check = |text, want: &[u8]| assert_eq!(raw_bytes(text), Ok(want.to_vec()));
    check(r"a\xffb\0\n\\c", b"a\xffb\0\n\\c");
    check("<{repeat 3 ab}>", b"<ababab>");
    check(r"{base64 \0u\0p}", b"AHUAcA==");
    assert!(raw_bytes("{what}").is_err());
}
