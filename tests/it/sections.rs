//! tests/scenarios/XEP-0045.md and RFC-6121.md: which script proves which section. The scripts'
//! `# Proves:` lines are the truth; the tables must say the same, know every section of the
//! chapters that concern a server, and give a reason where there is no script.
//! `TERCET_WRITE_TABLE=1 cargo test --test it sections` writes their last columns anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::scenario::Scenario;

/// A table, and what it must have.
struct Table {
    /// Its specification, which keys without a name are sections of.
    spec: &'static str,
    file: &'static str,
    /// Chapters and sections that must be there with all their parts, and how many parts they
    /// have. A part that is not named has none.
    parts: &'static [(&'static str, usize)],
    /// The add-ons.
    add_ons: &'static [&'static str],
    /// Rows of WIRE.md.
    wire_rows: usize,
    /// What the names of scripts begin with that must prove something of this table.
    scripts: &'static [&'static str],
}

const TABLES: [Table; 2] = [
    Table {
        spec: "XEP-0045",
        file: "XEP-0045.md",
        parts: &[
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
        ],
        add_ons: &[
            "0050", "0054", "0059", "0068", "0077", "0122", "0153", "0249", "0307", "0313", "0317",
            "0359", "0410", "0421", "0424", "0425", "0463", "0486", "0500", "0502",
        ],
        wire_rows: 48,
        scripts: &["muc_"],
    },
    Table {
        spec: "RFC 6121",
        file: "RFC-6121.md",
        parts: &[
            ("2", 6),
            ("2.1", 6),
            ("2.1.2", 6),
            ("2.3", 3),
            ("2.4", 3),
            ("2.5", 3),
            ("2.6", 3),
            ("3", 4),
            ("3.1", 6),
            ("3.2", 3),
            ("3.3", 3),
            ("3.4", 2),
            ("4", 7),
            ("4.2", 4),
            ("4.3", 2),
            ("4.4", 4),
            ("4.5", 4),
            ("4.6", 6),
            ("4.7", 3),
            ("8", 5),
            ("8.5", 4),
            ("8.5.2", 2),
            ("8.5.2.1", 3),
            ("8.5.2.2", 3),
            ("8.5.3", 2),
            ("8.5.3.2", 3),
        ],
        add_ons: &[
            "0012", "0049", "0050", "0054", "0115", "0133", "0157", "0160", "0163", "0191", "0198",
            "0227", "0280", "0313", "0352", "0386", "0388", "0398", "0401", "0402", "0445", "0484",
        ],
        wire_rows: 0,
        scripts: &[
            "blocking_",
            "carbons_",
            "csi_",
            "delivery_",
            "message_",
            "offline_",
            "presence_",
            "roster_",
            "sm_",
            "subscription_",
        ],
    },
];

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
        let is_key = ["§", "A.", "XEP-", "WIRE ", "LIMITS", "SERVICE"]
            .iter()
            .any(|start| row.key.starts_with(start));
        is_key.then_some(row)
    }

    /// True when what a script proves is of this row: that section, or any of that add-on.
    fn is_of(&self, spec: &str, proof: &str) -> bool {
        if self.key.starts_with(['§', 'A']) {
            let section = proof.strip_prefix(spec).and_then(|rest| rest.strip_prefix(' '));
            return section == Some(&self.key);
        }
        let rest = proof.strip_prefix(&self.key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    }

    /// The last column as it should be; without scripts the reason stays.
    fn wanted(&self, spec: &str, scripts: &[(String, Vec<String>)]) -> String {
        let is_of = |proof: &String| self.is_of(spec, proof);
        let of_row = |(_, proves): &&(String, Vec<String>)| proves.iter().any(is_of);
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

impl Table {
    /// The keys that the table must have.
    fn required(&self) -> impl Iterator<Item = String> {
        let sections = self.parts.iter().flat_map(|(parent, parts)| {
            std::iter::once(format!("§{parent}"))
                .chain((1..=*parts).map(move |part| format!("§{parent}.{part}")))
        });
        let add_ons = self.add_ons.iter().map(|number| format!("XEP-{number}"));
        sections.chain(add_ons).chain((1..=self.wire_rows).map(|row| format!("WIRE {row}")))
    }

    /// What is wrong with the rows as such, and the text as it should be.
    fn rewrite(
        &self,
        text: &str,
        scripts: &[(String, Vec<String>)],
        faults: &mut Vec<String>,
    ) -> (String, Vec<Row>) {
        let (mut written, mut rows) = (String::new(), Vec::new());
        for line in text.lines() {
            let Some(row) = Row::read(line) else {
                written += &format!("{line}\n");
                continue;
            };
            let wanted = row.wanted(self.spec, scripts);
            let is_reason = wanted.starts_with('(') && wanted.ends_with(')');
            if !is_reason && !wanted.contains(".scs") {
                faults.push(format!("{}: neither scripts nor a reason in parentheses", row.key));
            } else if wanted != row.last {
                faults.push(format!("the row must be: {}", row.line(&wanted)));
            }
            written += &format!("{}\n", row.line(&wanted));
            rows.push(row);
        }
        (written, rows)
    }

    /// What rows are missing, and which scripts have none.
    fn check_rows(
        &self,
        rows: &[Row],
        scripts: &[(String, Vec<String>)],
        faults: &mut Vec<String>,
    ) {
        let keys: BTreeSet<&str> = rows.iter().map(|row| &*row.key).collect();
        if keys.len() != rows.len() {
            faults.push("a key is there twice".to_owned());
        }
        let missing = self.required().filter(|key| !keys.contains(&**key));
        faults.extend(missing.map(|key| format!("there is no row for {key}")));
        for (name, proves) in scripts {
            let has_row = |proof: &String| rows.iter().any(|row| row.is_of(self.spec, proof));
            let is_ours = self.scripts.iter().any(|start| name.starts_with(start));
            if is_ours && !proves.iter().any(has_row) {
                faults.push(format!("{name} proves nothing that has a row"));
            }
            let is_own = |proof: &str| {
                proof.strip_prefix(self.spec).is_some_and(|rest| rest.starts_with(' '))
                    || self.wire_rows > 0 && proof.starts_with("WIRE ")
            };
            for proof in proves {
                if is_own(proof) && !has_row(proof) {
                    faults.push(format!("{name}: there is no row for {proof}"));
                }
            }
        }
    }

    fn check(&self) {
        let path = folder().join(self.file);
        let text = std::fs::read_to_string(&path).expect("the table is there");
        let (scripts, mut faults) = (scripts(), Vec::new());
        let (written, rows) = self.rewrite(&text, &scripts, &mut faults);
        self.check_rows(&rows, &scripts, &mut faults);
        if std::env::var_os("TERCET_WRITE_TABLE").is_some() {
            std::fs::write(&path, written).expect("the table can be written");
            faults.retain(|fault| !fault.starts_with("the row must be"));
        }
        let how = "TERCET_WRITE_TABLE=1 cargo test --test it sections  writes the rows anew";
        assert!(faults.is_empty(), "{}:\n{}\n{how}", path.display(), faults.join("\n"));
    }
}

#[test]
fn every_section_has_its_scripts() {
    TABLES.iter().for_each(Table::check);
}

/// A section without its specification would be nobody's.
#[test]
fn proofs_name_what_they_are_of() {
    for (name, proves) in scripts() {
        let nameless = proves.iter().find(|proof| proof.starts_with('§'));
        assert_eq!(nameless, None, "{name}");
    }
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
        assert_eq!(row(key).is_of("XEP-0045", proof), want, "{key} {proof}");
    }
    assert!(Row::read("| Section | Title | Scripts |").is_none() && Row::read("text").is_none());
    let scripts = [("a.scs".to_owned(), vec!["WIRE 4".to_owned()])];
    assert_eq!(row("WIRE 4").wanted("XEP-0045", &scripts), "a.scs");
    assert_eq!(row("WIRE 5").wanted("XEP-0045", &scripts), "(none)");
    assert!(row("A.2.1").is_of("RFC 6121", "RFC 6121 A.2.1"));
    assert!(!row("§2.1").is_of("RFC 6121", "XEP-0045 §2.1"));
}
