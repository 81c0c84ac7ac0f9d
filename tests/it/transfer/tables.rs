//! Two databases, table by table and row by row. What refers to a row is compared by the name of
//! what it refers to: numbers of rows may differ.

use std::collections::BTreeSet;
use std::path::Path;

use rusqlite::Connection;

/// Tables that are not carried: secrets of a server, tokens that are good for one (XEP-0484), and
/// versions of rosters, which begin anew.
const LEFT_OUT: &[&str] =
    &["secret", "login_token", "roster_epoch", "roster_version", "roster_removed"];

/// What must be in there, or it would be compared to nothing.
const FILLED: &[&str] = &[
    "account",
    "account_last",
    "account_vcard",
    "archive",
    "archive_message",
    "archive_preference",
    "archive_preference_jid",
    "blocked",
    "offline",
    "pep_affiliation",
    "pep_item",
    "pep_node",
    "pep_subscription",
    "private_xml",
    "roster",
    "roster_group",
    "subscription_request",
];

/// Tables whose order says something.
const IN_ORDER: &[&str] =
    &["archive_message", "offline", "pep_item", "private_xml", "subscription_request"];

/// Columns that say whose a row is.
const OWNERS: &[&str] = &["account INTEGER", "node INTEGER", "archive INTEGER"];

/// Each row of each table is in both.
#[track_caller]
pub fn compare(one: &str, other: &str) {
    let open =
        |folder: &str| Connection::open(Path::new(folder).join("tercet.db")).expect("a database");
    let (one, other) = (open(one), open(other));
    let tables = tables(&one);
    assert_eq!(tables, self::tables(&other));
    let mut filled = BTreeSet::new();
    for table in tables.iter().filter(|table| !LEFT_OUT.contains(&table.as_str())) {
        let rows = rows(&one, table);
        assert_eq!(rows, self::rows(&other, table), "{table}");
        if !rows.is_empty() {
            filled.insert(table.as_str());
        }
    }
    assert_eq!(filled, BTreeSet::from_iter(FILLED.iter().copied()));
}

fn tables(database: &Connection) -> BTreeSet<String> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
    texts(database, sql)
}

/// The rows of a table as text: in their order, within what they belong to, if that says something.
fn rows(database: &Connection, table: &str) -> Vec<String> {
    let sql = format!("SELECT name || ' ' || type FROM pragma_table_info('{table}') ORDER BY cid");
    let columns: Vec<String> = texts(database, &sql);
    let shown = columns.iter().filter(|column| *column != "id INTEGER");
    let shown = shown.filter(|column| (table, column.as_str()) != ("roster", "version INTEGER"));
    let shown: Vec<_> = shown.map(|column| value(column)).collect();
    let owner = columns.iter().find(|column| OWNERS.contains(&column.as_str()));
    let order = match owner {
        Some(owner) if IN_ORDER.contains(&table) => format!("{}, id", value(owner)),
        _ => "1".to_owned(),
    };
    let sql = format!("SELECT {} FROM {table} AS t ORDER BY {order}", shown.join(" || ' | ' || "));
    texts(database, &sql)
}

/// A column as text.
fn value(column: &str) -> String {
    let account = "(SELECT local FROM account WHERE account.id = ";
    match column {
        "account INTEGER" => format!("quote({account} t.account))"),
        "node INTEGER" => {
            let node = "FROM pep_node WHERE pep_node.id = t.node";
            format!("(SELECT {account} pep_node.account) || '/' || pep_node.name {node})")
        }
        "archive INTEGER" => {
            format!("(SELECT {account} archive.account) FROM archive WHERE archive.id = t.archive)")
        }
        _ => format!("quote(t.{})", column.split(' ').next().unwrap_or_default()),
    }
}

fn texts<C: FromIterator<String>>(database: &Connection, sql: &str) -> C {
    let mut statement = database.prepare(sql).unwrap_or_else(|why| panic!("{sql}: {why}"));
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    rows.map(|row| row.unwrap_or_else(|why| panic!("{sql}: {why}"))).collect()
}
