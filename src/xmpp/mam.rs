//! Archives of messages as values (XEP-0313): the form of a query (§4.1), the query taken apart,
//! what is said of a result, of a page and of a whole archive.
//!
//! A query that makes no sense is `bad-request`, a field that is not known
//! `feature-not-implemented` (§4.1.5); one that is empty is as if it were not there. Whether its
//! ids exist is found out in `archives`; who may ask for what, by whose archive it is.

use crate::xml::Element;
use crate::xmpp::dataform::{Form, Submission, Submitted};
use crate::xmpp::datetime::{format_utc, parse_utc};
use crate::xmpp::rsm::{Page, Set};
use crate::xmpp::{Condition, Jid, StanzaError, ns};

/// Ids that one query may name.
const IDS_COUNT_MAX: usize = 500;
/// Bytes of a `queryid`: it is repeated with each result.
const QUERY_ID_BYTES_MAX: usize = 1_024;

/// The fields of the form.
const FIELDS: &[&str] = &["with", "start", "end", "before-id", "after-id", "ids"];

/// A query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Given back with each result.
    pub query_id: Option<String>,
    /// From when on, in milliseconds since 1970.
    pub start_ms: Option<i64>,
    /// Until when.
    pub end_ms: Option<i64>,
    /// Of whom.
    pub with: Option<Jid>,
    /// What precedes this message.
    pub before_id: Option<String>,
    /// What follows this message.
    pub after_id: Option<String>,
    /// These messages alone.
    pub ids: Option<Vec<String>>,
    /// Which page of it.
    pub page: Page,
    /// The page is sent latest first (§4.3.4).
    pub is_flipped: bool,
}

/// The answer to a get: the form of a query (§4.1.5).
pub fn form() -> Element {
    let form = Form::to_fill_in(ns::MAM, "Archive", "Fill in what the messages must match.")
        .jid("with", "Of this sender", "")
        .text("start", "From this time on", "")
        .text("end", "Until this time", "")
        .text("before-id", "Before this message", "")
        .text("after-id", "After this message", "")
        .open_list("ids", "These messages")
        .into_element();
    Element::new("query", ns::MAM).with_child(form)
}

/// One result (§4.2), with its message unless that cannot be read: then it is left out, its place
/// is not (§3.2).
pub fn result(query: &Query, uid: &str, unix_ms: i64, message: Option<Element>) -> Element {
    let delay = Element::new("delay", ns::DELAY).with_attr("stamp", format_utc(unix_ms));
    let forwarded =
        Element::new("forwarded", ns::FORWARD).with_child(delay).with_child_opt(message);
    Element::new("result", ns::MAM)
        .with_attr_opt("queryid", query.query_id.as_deref())
        .with_attr("id", uid)
        .with_child(forwarded)
}

/// What is said of a page when it has been sent (§4.3.2).
pub fn fin(set: &Set, is_complete: bool) -> Element {
    Element::new("fin", ns::MAM)
        .with_attr_opt("complete", is_complete.then_some("true"))
        .with_child(set.to_element())
}

/// The id and time of the first and the last message (§5); nothing of an empty archive.
pub fn metadata(ends: &[(&'static str, String, i64)]) -> Element {
    let end = |(name, uid, unix_ms): &(&'static str, String, i64)| {
        Element::new(*name, ns::MAM)
            .with_attr("id", uid.as_str())
            .with_attr("timestamp", format_utc(*unix_ms))
    };
    ends.iter().map(end).fold(Element::new("metadata", ns::MAM), Element::with_child)
}

/// Reads `<query/>` of a set.
pub fn read(query: &Element) -> Result<Query, StanzaError> {
    let query_id = query.attr("queryid");
    if query_id.is_some_and(|id| id.len() > QUERY_ID_BYTES_MAX) {
        return Err(Condition::BadRequest.into());
    }
    let mut forms = query.elements().filter(|element| element.is("x", ns::DATA));
    let mut read = match forms.next() {
        Some(form) => read_form(form)?,
        None => Query::default(),
    };
    if forms.next().is_some() {
        return Err(Condition::BadRequest.into());
    }
    read.query_id = query_id.map(str::to_owned);
    read.page = Page::read(query)?.unwrap_or_default();
    read.is_flipped = query.child("flip-page", ns::MAM).is_some();
    Ok(read)
}

fn read_form(x: &Element) -> Result<Query, StanzaError> {
    // §4.1: it must be there.
    if !x.elements().any(|field| field.attr("var") == Some("FORM_TYPE")) {
        return Err(Condition::BadRequest.into());
    }
    let Submission::Submit(form) = Submission::read(x, ns::MAM)? else {
        return Err(Condition::BadRequest.into());
    };
    if form.names().any(|name| !FIELDS.contains(&name)) {
        return Err(Condition::FeatureNotImplemented.into());
    }
    let parse = |field| match text(&form, field)? {
        None => Ok(None),
        Some(text) => parse_utc(text.trim()).map(Some).ok_or(Condition::BadRequest),
    };
    let with = match text(&form, "with")? {
        None => None,
        Some(jid) => Some(Jid::parse(jid.trim()).map_err(|_| Condition::BadRequest)?),
    };
    let ids = form.values("ids").filter(|ids| !ids.is_empty());
    if ids.is_some_and(|ids| ids.len() > IDS_COUNT_MAX) {
        let error = StanzaError::new(Condition::NotAcceptable);
        return Err(error.with_text("these are too many ids for one query"));
    }
    Ok(Query {
        start_ms: parse("start")?,
        end_ms: parse("end")?,
        with,
        before_id: text(&form, "before-id")?.map(str::to_owned),
        after_id: text(&form, "after-id")?.map(str::to_owned),
        ids: ids.map(<[_]>::to_vec),
        ..Query::default()
    })
}

/// The one value of a field; `None` when it is left out or empty.
fn text<'a>(form: &'a Submitted, field: &str) -> Result<Option<&'a str>, Condition> {
    let text = form.text(field).map_err(|_| Condition::BadRequest)?;
    Ok(text.filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::rsm::From;

    fn field(var: &str, values: &[&str]) -> Element {
        let value = |text: &&str| Element::new("value", ns::DATA).with_text(*text);
        let field = Element::new("field", ns::DATA).with_attr("var", var);
        values.iter().map(value).fold(field, Element::with_child)
    }

    fn query(fields: &[(&str, &[&str])]) -> Element {
        let x = Element::new("x", ns::DATA).with_attr("type", "submit");
        let fields = fields.iter().map(|(var, values)| field(var, values));
        Element::new("query", ns::MAM).with_child(fields.fold(x, Element::with_child))
    }

    fn with_type(fields: &[(&str, &[&str])]) -> Result<Query, Condition> {
        let mut all: Vec<(&str, &[&str])> = vec![("FORM_TYPE", &[ns::MAM])];
        all.extend(fields);
        read(&query(&all)).map_err(|error| error.condition)
    }

    #[test]
    fn a_whole_query() {
        let set = Element::new("set", ns::RSM)
            .with_child(Element::new("max", ns::RSM).with_text("7"))
            .with_child(Element::new("before", ns::RSM));
        let mut asked = query(&[
            ("FORM_TYPE", &[ns::MAM]),
            ("start", &["1970-01-01T00:00:01Z"]),
            ("end", &["1970-01-01T01:00:02+01:00"]),
            ("with", &["room@c/nick"]),
            ("before-id", &["b"]),
            ("after-id", &["a"]),
            ("ids", &["x", "y"]),
        ]);
        asked.set_attr("queryid", "q");
        asked.push(set);
        asked.push(Element::new("flip-page", ns::MAM));
        let want = Query {
            query_id: Some("q".into()),
            start_ms: Some(1000),
            end_ms: Some(2000),
            with: Some(Jid::parse("room@c/nick").expect("an address")),
            before_id: Some("b".into()),
            after_id: Some("a".into()),
            ids: Some(vec!["x".into(), "y".into()]),
            page: Page { max: Some(7), from: From::End },
            is_flipped: true,
        };
        assert_eq!(read(&asked), Ok(want));
    }

    #[test]
    fn what_makes_no_sense() {
        assert_eq!(with_type(&[]), Ok(Query::default()));
        assert_eq!(
            with_type(&[("start", &[]), ("with", &[""]), ("ids", &[])]),
            Ok(Query::default())
        );
        for (fields, want) in [
            (&[("start", &["yesterday"][..])][..], Condition::BadRequest),
            (&[("end", &["2000-02-30"])], Condition::BadRequest),
            (
                &[("start", &["1970-01-01T00:00:01Z", "1970-01-01T00:00:01Z"])],
                Condition::BadRequest,
            ),
            (&[("with", &["@"])], Condition::BadRequest),
            (&[("with", &["a@b"]), ("with", &["a@b"])], Condition::BadRequest),
            (&[("before-id", &["a", "b"])], Condition::BadRequest),
            (&[("include-groupchat", &["true"])], Condition::FeatureNotImplemented),
            (&[("{http://example.com/}text", &["x"])], Condition::FeatureNotImplemented),
            (&[("ids", &["x"; IDS_COUNT_MAX + 1])], Condition::NotAcceptable),
        ] {
            assert_eq!(with_type(fields), Err(want), "{fields:?}");
        }
        let bad = |query: Element| {
            assert_eq!(read(&query).map_err(|error| error.condition), Err(Condition::BadRequest));
        };
        bad(query(&[]));
        bad(query(&[("with", &["a@b"])]));
        bad(query(&[("FORM_TYPE", &["urn:xmpp:mam:1"])]));
        bad(query(&[("FORM_TYPE", &[ns::MAM])]).with_child(Element::new("x", ns::DATA)));
        bad(Element::new("query", ns::MAM).with_attr("queryid", "q".repeat(2_000)));
        let form = |kind: &str| Element::new("x", ns::DATA).with_attr("type", kind);
        bad(Element::new("query", ns::MAM).with_child(form("cancel")));
    }

    #[test]
    fn the_form_shows_all_fields() {
        let query = form();
        let form = query.child("x", ns::DATA).expect("a form");
        let fields = form.elements().filter(|element| element.is("field", ns::DATA));
        let names: Vec<_> = fields.filter_map(|field| field.attr("var")).collect();
        assert_eq!(names[0], "FORM_TYPE");
        assert_eq!(names[1..], *FIELDS);
    }
}
