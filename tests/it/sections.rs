//! tests/scenarios/XEP-0045.md: which script proves which section. The scripts' `# Proves:` lines
//! are the truth; the table must say the same, know every section of the chapters on entities,
//! occupants, moderators, admins, owners and services, and give a reason where there is no script.
//! `TERCET_WRITE_TABLE=1 cargo test --test it sections` writes its last column anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::scenario::Scenario;

/// Chapters and sections of XEP-0045 1.35.5 that must be there with all their parts, and how many
/// parts they have. A part that is not named has none.
const PARTS: &[(&str, usize)] = &[
    ("5", 2),
    ("5.1", 3),
    ("5.2", 2),
    ("6", 7),
    ("7", 14),
    ("7.2", 18),
    ("7.8", 2),
    ("8", 6),
    ("9", 9),
    ("10", 9),
    ("10.1", 3),
    ("10.2", 1),
    ("11", 2),
    ("14", 7),
    ("16.5", 4),
    ("17", 4),
    ("18", 2),
    ("18.1", 2),
    ("18.2", 2),
];
/// The add-ons that rooms have.
const ADD_ONS: &[&str] = &[
    "0050", "0054", "0059", "0068", "0077", "0122", "0153", "0249", "0307", "0313", "0317", "0359",
    "0410", "0421", "0424", "0425", "0463", "0486", "0500", "0502",
];
/// Rows of WIRE.md.
const WIRE_ROWS: usize = 48;

/// A row: `| key | title | scripts, or (why there are none) |`.
struct Row {
    /// `§7.2.5`, `XEP-0410` or `WIRE 8`.
    key: String,
    title: String,
    last: String,
}

impl Row {
    fn read(line: &str) -> Option<Self> {
        let mut cells = line.strip_prefix('|')?.trim_end().strip_suffix('|')?.split('|');
        let mut cell = || cells.next().map(|text| text.trim().to_owned());
        let row = Self { key: cell()?, title: cell()?, last: cell()? };
        let is_key = ["§", "XEP-", "WIRE ", "LIMITS", "SERVICE"]
            .iter()
            .any(|start| row.key.starts_with(start));
        is_key.then_some(row)
    }

    /// True when what a script proves is of this row: that section, or any of that add-on.
    fn is_of(&self, proof: &str) -> bool {
        if self.key.starts_with('§') {
            return proof.strip_prefix("XEP-0045 ") == Some(&self.key);
        }
        let rest = proof.strip_prefix(&self.key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }

    /// The last column as it should be; without scripts the reason stays.
    fn wanted(&self, scripts: &[(String, Vec<String>)]) -> String {
        let of_row = |(_, proves): &&(String, Vec<String>)| proves.iter().any(|p| self.is_of(p));
        let names: Vec<&str> = scripts.iter().filter(of_row).map(|(name, _)| &**name).collect();
        if names.is_empty() { self.last.clone() } else { names.join(", ") }
    }

    fn line(&self, last: &str) -> String {
        format!("| {} | {} | {last} |", self.key, self.title)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// Names of all scripts, and what they prove.
fn scripts() -> Vec<(String, Vec<String>)> {
    let entries = std::fs::read_dir(folder()).expect("the scripts are there");
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut scripts = Vec::new();
    for path in paths.filter(|path| path.extension().is_some_and(|end| end == "scs")) {
        let scenario = Scenario::read(&path).unwrap_or_else(|why| panic!("{why}"));
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        scripts.push((name, scenario.proves));
    }
    scripts.sort();
    scripts
}

/// The keys that the table must have.
fn required() -> impl Iterator<Item = String> {
    let sections = PARTS.iter().flat_map(|(parent, parts)| {
        std::iter::once(format!("§{parent}"))
            .chain((1..=*parts).map(move |part| format!("§{parent}.{part}")))
    });
    let add_ons = ADD_ONS.iter().map(|number| format!("XEP-{number}"));
    sections.chain(add_ons).chain((1..=WIRE_ROWS).map(|row| format!("WIRE {row}")))
}

#[test]
fn every_section_has_its_scripts() {
    let path = folder().join("XEP-0045.md");
    let table = std::fs::read_to_string(&path).expect("the table is there");
    let scripts = scripts();
    let mut written = String::new();
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    for line in table.lines() {
        let Some(row) = Row::read(line) else {
            written += &format!("{line}\n");
            continue;
        };
        let wanted = row.wanted(&scripts);
        let is_reason = wanted.starts_with('(') && wanted.ends_with(')');
        if wanted == row.last && !is_reason && !wanted.contains(".scs") {
            faults.push(format!("{}: neither scripts nor a reason in parentheses", row.key));
        } else if wanted != row.last {
            faults.push(format!("the row must be: {}", row.line(&wanted)));
        }
        written += &format!("{}\n", row.line(&wanted));
        rows.push(row);
    }
    let keys: BTreeSet<&str> = rows.iter().map(|row| &*row.key).collect();
    if keys.len() != rows.len() {
        faults.push("a key is there twice".to_owned());
    }
    let missing = required().filter(|key| !keys.contains(&**key));
    faults.extend(missing.map(|key| format!("there is no row for {key}")));
    for (name, proves) in &scripts {
        let has_row = |proof: &String| rows.iter().any(|row| row.is_of(proof));
        if name.starts_with("muc_") && !proves.iter().any(has_row) {
            faults.push(format!("{name} proves nothing that has a row"));
        }
        for proof in proves {
            let is_of_rooms = ["XEP-0045 ", "WIRE "].iter().any(|start| proof.starts_with(start));
            if is_of_rooms && !has_row(proof) {
                faults.push(format!("{name}: there is no row for {proof}"));
            }
        }
    }
    if std::env::var_os("TERCET_WRITE_TABLE").is_some() {
        std::fs::write(&path, written).expect("the table can be written");
        faults.retain(|fault| !fault.starts_with("the row must be"));
    }
    let how = "TERCET_WRITE_TABLE=1 cargo test --test it sections  writes the rows anew";
    assert!(faults.is_empty(), "{}:\n{}\n{how}", path.display(), faults.join("\n"));
}

#[test]
fn rows_know_what_is_theirs() {
    let row = |key: &str| Row::read(&format!("| {key} | a title | (none) |")).expect("a row");
    for (key, proof, want) in [
        ("§7.2", "XEP-0045 §7.2", true),
        ("§7.2", "XEP-0045 §7.2.1", false),
        ("§7.2", "XEP-0030 §7.2", false),
        ("XEP-0410", "XEP-0410 §3.2", true),
        ("XEP-0410", "XEP-0410", true),
        ("XEP-0410", "XEP-04101", false),
        ("WIRE 4", "WIRE 4", true),
        ("WIRE 4", "WIRE 40", false),
    ] {
        assert_eq!(row(key).is_of(proof), want, "{key} {proof}");
    }
    assert!(Row::read("| Section | Title | Scripts |").is_none() && Row::read("text").is_none());
    let scripts = [("a.scs".to_owned(), vec!["WIRE 4".to_owned()])];
    assert_eq!(row("WIRE 4").wanted(&scripts), "a.scs");
    assert_eq!(row("WIRE 5").wanted(&scripts), "(none)");
}
