//! The rules of DESIGN.md §2 and STYLE.md that a machine can check: who may import whom, what is
//! banned where, how long files, functions and lines are. It reads the text of src/ with comments,
//! strings and tests blanked out; it is no parser, and what it cannot see it does not judge.

mod source;

use std::path::Path;

use source::{Source, block_end, ident, line_of, read, sources};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_COLUMNS_MAX: usize = 100;

/// The layer of each folder and file at the top of src/ (DESIGN.md §2). Higher ones may import
/// lower ones; those of layer 1 may import each other, those of other layers may not.
const LAYERS: &[(&str, u8)] = &[
    ("xml", 0),
    ("xmpp", 0),
    ("accounts", 1),
    ("allowance", 1),
    ("archives", 1),
    ("blocks", 1),
    ("node_config", 1),
    ("portable", 1),
    ("certs", 1),
    ("config", 1),
    ("credentials", 1),
    ("cx", 1),
    ("dns", 1),
    ("peers", 1),
    ("ids", 1),
    ("outbound", 1),
    ("storage", 1),
    ("timers", 1),
    ("stream", 2),
    ("im", 2),
    ("muc", 2),
    ("iq", 2),
    ("server", 3),
    ("net", 4),
    ("cli", 5),
    ("main", 6),
    ("lib", 6),
];

/// What may not be written, but in the places named, and what to use instead.
const BANNED: &[(&str, &[&str], &str)] = &[
    (".unwrap()", &[], "`expect(\"why it holds\")` for our invariants, an error for their input"),
    ("Instant::now", &["net/"], "`cx.now`: time is an argument"),
    ("SystemTime::now", &["net/"], "`cx.now`: time is an argument"),
    ("mio::", &["net/"], "an `Action`: only net/ knows sockets"),
    ("TcpStream", &["net/"], "an `Action`: only net/ knows sockets"),
    ("TcpListener", &["net/"], "an `Action`: only net/ knows sockets"),
    ("UdpSocket", &["net/"], "an `Action`: only net/ knows sockets"),
    ("UnixStream", &["net/", "cli/"], "an `Action`: only net/ knows sockets"),
    ("SystemRandom", &["net/"], "`cx.entropy`: chance is an argument"),
    ("thread::spawn", &[], "a turn of the loop: there is one thread"),
    ("xml_rs::", &["xml/"], "`xml::StreamParser`"),
    ("rusqlite::", &["storage/"], "a method of `Storage`"),
    ("Rc<RefCell", &[], "a handle (src/ids.rs)"),
    ("static mut", &[], "a field"),
    ("OnceLock", &[], "a field: there are no globals"),
    ("LazyLock", &[], "a field: there are no globals"),
    ("thread_local!", &[], "a field: there are no globals"),
    ("unsafe ", &[], "safe code: it is forbidden at the head of the crate"),
    ("println!", &["cli/", "main.rs"], "`log::…!`"),
    ("todo!", &[], "code, or an issue"),
    ("unimplemented!", &[], "code, or an issue"),
    ("dbg!", &[], "`log::debug!`"),
];

/// Words in the name of a limit that say what it counts, besides any plural: STYLE.md rule 5.
const UNITS: &[&str] = &["MS", "DEPTH", "COUNT", "LENGTH"];

/// Names that a specification gives.
const GIVEN_NAMES: &[&str] = &["T_MIN", "T_MAX"];

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(known, _)| *known == name).map(|(_, layer)| *layer)
}

fn check_layers(source: &Source, found: &mut Vec<String>) {
    let module = source.module();
    let own = module[0];
    let Some(own_layer) = layer(own) else {
        found.push(format!("{}:1: a folder without a layer, name it in LAYERS", source.name));
        return;
    };
    for (line, target) in source.imports() {
        let Some(target_layer) = layer(&target) else { continue };
        let is_own = own == target;
        let is_lower = target_layer < own_layer;
        let are_tools = own_layer == 1 && target_layer == 1;
        // Values may be made of XML, and not the other way round.
        let is_value = own == "xmpp" && target == "xml";
        if !(is_own || is_lower || are_tools || is_value) {
            found.push(format!(
                "{}:{line}: crate::{target} (layer {target_layer}) is banned in {own} (layer \
                 {own_layer}), use a lower layer, `cx.route` or an `Action` (DESIGN.md §2)",
                source.name
            ));
        }
    }
}

fn check_banned(source: &Source, found: &mut Vec<String>) {
    for (number, line) in source.code.lines().enumerate() {
        for (what, places, instead) in BANNED {
            let is_allowed = places.iter().any(|place| source.name.starts_with(place));
            if line.contains(what) && !is_allowed {
                let (name, number) = (&source.name, number + 1);
                found.push(format!("{name}:{number}: `{what}` is banned, use {instead}"));
            }
        }
    }
    for (number, line) in source.text.lines().enumerate() {
        if ["TODO", "FIXME", "XXX"].iter().any(|word| line.contains(word)) {
            found.push(format!("{}:{}: a note is banned, use an issue", source.name, number + 1));
        }
    }
}

fn check_limits(source: &Source, found: &mut Vec<String>) {
    for (number, line) in source.code.lines().enumerate() {
        let rest = line.trim_start().trim_start_matches("pub ");
        let Some(rest) = rest.trim_start_matches("pub(super) ").strip_prefix("const ") else {
            continue;
        };
        let name = ident(rest);
        let is_number =
            rest[name.len()..].starts_with(": u") || rest[name.len()..].starts_with(": i");
        if !is_number || GIVEN_NAMES.contains(&name.as_str()) {
            continue;
        }
        let stem = name.strip_suffix("_MAX").or_else(|| name.strip_suffix("_MIN"));
        let says_what = |word: &str| word.ends_with('S') || UNITS.contains(&word);
        let is_vague =
            name.ends_with("LIMIT") || name.starts_with("MAX") || name.starts_with("MIN_");
        if is_vague || stem.is_some_and(|stem| !stem.split('_').any(says_what)) {
            let (file, number) = (&source.name, number + 1);
            found.push(format!(
                "{file}:{number}: the limit {name} is banned, use a name with unit and bound at \
                 its end (`STANZA_BYTES_MAX`)"
            ));
        }
    }
}

fn check_sizes(source: &Source, found: &mut Vec<String>) {
    let name = &source.name;
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        found.push(format!("{name}:{lines}: a file of {lines} lines is banned, use two concepts"));
    }
    for (number, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        // A row of a table in the documentation cannot be broken.
        if columns > LINE_COLUMNS_MAX && !line.starts_with("//! |") {
            let number = number + 1;
            found.push(format!("{name}:{number}: a line of {columns} columns is banned, use two"));
        }
    }
    for (at, _) in source.code.match_indices("fn ") {
        let is_word = source.code[..at].ends_with([' ', '\n', '(']) || at == 0;
        let rest = &source.code[at..];
        let body = rest.find('{').filter(|brace| !rest[..*brace].contains(';'));
        let Some(body) = body.filter(|_| is_word) else { continue };
        let length = rest[..body + block_end(&rest[body..])].lines().count();
        if length > FUNCTION_LINES_MAX {
            let line = line_of(&source.code, at);
            let function = ident(&rest[3..]);
            found.push(format!(
                "{name}:{line}: `fn {function}` of {length} lines is banned, use two steps"
            ));
        }
    }
}

fn check_essay(source: &Source, found: &mut Vec<String>) {
    let name = &source.name;
    if !source.text.starts_with("//!") {
        found.push(format!(
            "{name}:1: a file without a head is banned, use `//!` to say what it is"
        ));
    }
    if name.ends_with("utils.rs") || name.ends_with("helpers.rs") {
        found.push(format!("{name}:1: a file of this name is banned, use that of a concept"));
    }
    let is_root = name == "lib.rs" || name == "main.rs";
    if is_root && !source.text.contains("#![forbid(unsafe_code)]") {
        found.push(format!("{name}:1: a crate that may be unsafe is banned, use forbid"));
    }
}

fn check_product(source: &Source, found: &mut Vec<String>) {
    if !source.is_test() {
        check_layers(source, found);
        check_banned(source, found);
        check_limits(source, found);
    }
    check_essay(source, found);
    check_sizes(source, found);
}

#[test]
fn the_source_keeps_its_layers_and_style() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let folder = root.join("src");
    for path in sources(&folder, "rs") {
        check_product(&read(&folder, &path), &mut found);
    }
    for folder in [root.join("tests"), root.join("benches")].iter().filter(|f| f.is_dir()) {
        for path in sources(folder, "rs") {
            let source = read(folder, &path);
            if !source.name.contains("target/") {
                check_essay(&source, &mut found);
                check_sizes(&source, &mut found);
            }
        }
    }
    assert!(found.is_empty(), "{} findings\n{}", found.len(), found.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a product file of this name and text, without its place.
    #[track_caller]
    fn check(name: &str, text: &str, wants: &[&str]) {
        let mut found = Vec::new();
        check_product(&Source::new(name, &format!("//! Head.\n{text}")), &mut found);
        assert_eq!(found.len(), wants.len(), "{found:#?}");
        for (found, want) in found.iter().zip(wants) {
            assert!(found.contains(want), "{found}");
        }
    }

    #[test]
    fn arrows() {
        check("im/roster.rs", "use crate::storage::Storage;\nuse super::Im;", &[]);
        check("im/roster.rs", "use crate::muc::Muc;", &["im/roster.rs:2: crate::muc"]);
        check("im/roster.rs", "use super::super::muc::Muc;", &["crate::muc"]);
        check("im/mod.rs", "use super::server::Server;", &["crate::server"]);
        check("im/mod.rs", "use crate::{cx::Cx, server::{A, B}, xml};", &["crate::server"]);
        check("xml/writer.rs", "fn f() { crate::xmpp::ns::CLIENT; }", &["crate::xmpp"]);
        check("xmpp/jid.rs", "use crate::xml::Element;", &[]);
        check("cx.rs", "use crate::outbound::Outboxes;", &[]);
        check("cx.rs", "use crate::im::Im;", &["crate::im"]);
        check("server/mod.rs", "use crate::net::Reactor;", &["crate::net"]);
        check("fresh/mod.rs", "", &["a folder without a layer"]);
        check("im/mod.rs", "// crate::muc\n#[cfg(test)]\nmod tests { use crate::muc::Muc; }", &[]);
    }

    #[test]
    fn words() {
        check("im/mod.rs", "fn f() { x.unwrap() }", &["`.unwrap()` is banned"]);
        check("im/mod.rs", "#[cfg(test)]\nmod tests { fn f() { x.unwrap() } }", &[]);
        check("im/mod.rs", "fn f() { \"x.unwrap()\" } // x.unwrap()", &[]);
        check("im/mod.rs", "fn f() { r#\"x.unwrap()\"# }", &[]);
        check(
            "im/mod.rs",
            "fn f<'a>(x: &'a str) -> char { '\"' }\nfn g() { x.unwrap() }",
            &[":3:"],
        );
        check("im/mod.rs", "fn f() { Instant::now() }", &["use `cx.now`"]);
        check("net/clock.rs", "fn f() { Instant::now() }", &[]);
        check("cli/mod.rs", "fn f(x: UnixStream) { println!() }", &[]);
        check("im/mod.rs", "// TODO: later", &["a note is banned"]);
    }

    #[test]
    fn limits_have_units() {
        check("cx.rs", "const STANZA_BYTES_MAX: u8 = 1;\npub const WAIT_MS: u8 = 1;", &[]);
        check("cx.rs", "const LIMIT: u8 = 1;", &["the limit LIMIT"]);
        check("cx.rs", "const MAX_BYTES: u8 = 1;", &["MAX_BYTES"]);
        check("cx.rs", "const PATIENCE_MAX: u8 = 1;", &["PATIENCE_MAX"]);
    }

    #[test]
    fn sizes() {
        check("cx.rs", &"\n".repeat(FILE_LINES_MAX), &["a file of 501 lines"]);
        check("cx.rs", &format!("// {}", "x".repeat(98)), &["a line of 101 columns"]);
        let long = format!("fn f() {{{}}}", "\n".repeat(FUNCTION_LINES_MAX));
        check("cx.rs", &long, &["`fn f` of 71 lines"]);
        check("cx.rs", &format!("trait T {{ fn f();{} }}", "\n".repeat(80)), &[]);
    }
}
