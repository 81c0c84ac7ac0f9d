//! Data forms (XEP-0004): reading a submitted one, building one.
//!
//! Reading is strict about shape (`bad-request`) and about values (`not-acceptable`, §4), and
//! knows the difference between a field that is left out, which keeps its value (§3.5), and one
//! that is there without a value, which unsets it (§3.6). Fields nobody asks for are ignored, as
//! §3.1 demands. What the fields mean belongs to those who own the form.

use std::collections::BTreeSet;
use std::ops::RangeToInclusive;

use super::error::{Condition, StanzaError};
use super::jid::BareJid;
use super::ns;
use crate::xml::{Element, Node};

/// What came back for a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// The user does not want to.
    Cancel,
    /// The fields that were filled in.
    Submit(Submitted),
}

/// The fields of a submitted form, in document order, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Submitted {
    fields: Vec<(String, Vec<String>)>,
}

fn not_acceptable(var: &str) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text(format!("bad value of {var}"))
}

/// The FORM_TYPE of a form, whatever its type (XEP-0068 §3).
pub fn form_type(x: &Element) -> Option<String> {
    let mut fields = x.elements().filter(|element| element.is("field", ns::DATA));
    let field = fields.find(|field| field.attr("var") == Some("FORM_TYPE"))?;
    field.child("value", ns::DATA).map(Element::text)
}

impl Submission {
    /// Reads `<x xmlns='jabber:x:data'/>` of type `submit` or `cancel`. A FORM_TYPE must be the
    /// expected one; without it the element around the form says what it is (XEP-0068 §4.1).
    pub fn read(x: &Element, form_type: &str) -> Result<Self, StanzaError> {
        match x.attr("type") {
            Some("cancel") => return Ok(Self::Cancel),
            Some("submit") => {}
            _ => return Err(Condition::BadRequest.into()),
        }
        let mut fields: Vec<(String, Vec<String>)> = Vec::new();
        let mut known = BTreeSet::new();
        for field in x.elements().filter(|element| element.is("field", ns::DATA)) {
            // Only fields of type "fixed" may lack the name (§3.2); they carry no data.
            let Some(var) = field.attr("var") else { continue };
            if !known.insert(var) {
                return Err(Condition::BadRequest.into());
            }
            let values = field.elements().filter(|element| element.is("value", ns::DATA));
            fields.push((var.to_owned(), values.map(Element::text).collect()));
        }
        let mut submitted = Submitted { fields };
        match submitted.take("FORM_TYPE").as_deref() {
            Some([value]) if value == form_type => {}
            None => {}
            _ => return Err(Condition::BadRequest.into()),
        }
        Ok(Self::Submit(submitted))
    }
}

impl Submitted {
    /// True when no field was filled in: the defaults are accepted.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn take(&mut self, var: &str) -> Option<Vec<String>> {
        let index = self.fields.iter().position(|(name, _)| name == var)?;
        Some(self.fields.remove(index).1)
    }

    /// The names of the fields, in document order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// A submission of this field alone.
    pub fn only(&self, var: &str) -> Self {
        let is_it = |(name, _): &&(String, Vec<String>)| name == var;
        Self { fields: self.fields.iter().filter(is_it).cloned().collect() }
    }

    /// All values of a field; `None` when it is left out.
    pub fn values(&self, var: &str) -> Option<&[String]> {
        self.fields.iter().find(|(name, _)| name == var).map(|(_, values)| values.as_slice())
    }

    /// A field that takes one value: `None` when it is left out, empty when it is unset.
    pub fn text(&self, var: &str) -> Result<Option<&str>, StanzaError> {
        match self.values(var) {
            None => Ok(None),
            Some([]) => Ok(Some("")),
            Some([value]) => Ok(Some(value)),
            Some(_) => Err(not_acceptable(var)),
        }
    }

    /// A field that takes several lines; none when it is left out.
    pub fn lines(&self, var: &str) -> &[String] {
        self.values(var).unwrap_or_default()
    }

    /// A boolean (§3.3): `1`, `true`, `0`, `false`; unset is false, the type's default.
    pub fn boolean(&self, var: &str) -> Result<Option<bool>, StanzaError> {
        match self.text(var)? {
            None => Ok(None),
            Some("1" | "true") => Ok(Some(true)),
            Some("0" | "false" | "") => Ok(Some(false)),
            Some(_) => Err(not_acceptable(var)),
        }
    }

    /// A list-single: one of `choices`.
    pub fn choice<T: Copy>(
        &self,
        var: &str,
        choices: &[(&str, &str, T)],
    ) -> Result<Option<T>, StanzaError> {
        let Some(value) = self.text(var)? else { return Ok(None) };
        let choice = choices.iter().find(|(name, ..)| *name == value);
        choice.map(|(.., choice)| Some(*choice)).ok_or_else(|| not_acceptable(var))
    }

    /// A list-multi: any of `choices`, each once, in the order of `choices`.
    pub fn choices<T: Copy>(
        &self,
        var: &str,
        choices: &[(&str, &str, T)],
    ) -> Result<Option<Vec<T>>, StanzaError> {
        let Some(values) = self.values(var) else { return Ok(None) };
        if values.iter().any(|value| choices.iter().all(|(name, ..)| name != value)) {
            return Err(not_acceptable(var));
        }
        let chosen = choices.iter().filter(|(name, ..)| values.iter().any(|value| value == name));
        Ok(Some(chosen.map(|(.., choice)| *choice).collect()))
    }

    /// A jid-multi, reduced to bare addresses; duplicates are ignored (§3.3).
    pub fn jids(&self, var: &str) -> Result<Option<Vec<BareJid>>, StanzaError> {
        let Some(values) = self.values(var) else { return Ok(None) };
        let mut jids = Vec::new();
        for value in values.iter().map(|value| value.trim()).filter(|value| !value.is_empty()) {
            let jid = super::Jid::parse(value).map_err(|_| not_acceptable(var))?.to_bare();
            if !jids.contains(&jid) {
                jids.push(jid);
            }
        }
        Ok(Some(jids))
    }

    /// A whole number from 0 on (`xs:integer`): decimal digits, perhaps with a plus before them
    /// and white space around.
    pub fn number(&self, var: &str) -> Result<Option<u32>, StanzaError> {
        let Some(value) = self.text(var)?.map(str::trim) else { return Ok(None) };
        let value = value.strip_prefix('+').unwrap_or(value);
        let is_decimal = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_decimal.then(|| value.parse().ok()).flatten();
        number.map(Some).ok_or_else(|| not_acceptable(var))
    }
}

/// A form to be filled in, or a result (builder).
#[derive(Clone, Debug)]
pub struct Form {
    x: Element,
    /// Fields carry their type and label.
    is_typed: bool,
}

impl Form {
    /// A form to be filled in.
    pub fn to_fill_in(form_type: &str, title: &str, instructions: &str) -> Self {
        let x = Element::new("x", ns::DATA)
            .with_attr("type", "form")
            .with_child(Element::new("title", ns::DATA).with_text(title))
            .with_child(Element::new("instructions", ns::DATA).with_text(instructions));
        Self { x, is_typed: true }.field("hidden", "FORM_TYPE", None, &[form_type], &[])
    }

    /// A form of data.
    pub fn result(form_type: &str) -> Self {
        let x = Element::new("x", ns::DATA).with_attr("type", "result");
        let form = Self { x, is_typed: true };
        let mut form = form.field("hidden", "FORM_TYPE", None, &[form_type], &[]);
        form.is_typed = false;
        form
    }

    /// A table of data (§3.4): (name, label) of each column; rows follow.
    pub fn table(title: &str, columns: &[(&str, &str)]) -> Self {
        let column = |(var, label): &(&str, &str)| {
            Element::new("field", ns::DATA).with_attr("var", *var).with_attr("label", *label)
        };
        let reported = Element::new("reported", ns::DATA);
        let x = Element::new("x", ns::DATA)
            .with_attr("type", "result")
            .with_child(Element::new("title", ns::DATA).with_text(title))
            .with_child(columns.iter().map(column).fold(reported, Element::with_child));
        Self { x, is_typed: false }
    }

    /// A row of a table: (name of the column, value); an empty value is left out.
    #[must_use]
    pub fn row(mut self, cells: &[(&str, &str)]) -> Self {
        let cell = |(var, text): &(&str, &str)| {
            let value = Element::new("value", ns::DATA).with_text(*text);
            let value = Some(value).filter(|_| !text.is_empty());
            Element::new("field", ns::DATA).with_attr("var", *var).with_child_opt(value)
        };
        let item = Element::new("item", ns::DATA);
        self.x.push(cells.iter().map(cell).fold(item, Element::with_child));
        self
    }

    /// The element.
    pub fn into_element(self) -> Element {
        self.x
    }

    fn field(
        mut self,
        kind: &'static str,
        var: &str,
        label: Option<&str>,
        values: &[&str],
        options: &[(&str, &str)],
    ) -> Self {
        let mut field = Element::new("field", ns::DATA).with_attr("var", var);
        if self.is_typed {
            field.set_attr("type", kind);
        }
        if let Some(label) = label {
            field.set_attr("label", label);
        }
        let value = |text: &str| Element::new("value", ns::DATA).with_text(text);
        for text in values {
            field.push(value(text));
        }
        for (text, label) in options {
            let option = Element::new("option", ns::DATA).with_attr("label", *label);
            field.push(option.with_child(value(text)));
        }
        self.x.push(field);
        self
    }

    /// A line of text; an empty one is left without a value.
    #[must_use]
    pub fn text(self, var: &str, label: &str, value: &str) -> Self {
        let value = Some(value).filter(|value| !value.is_empty());
        self.field("text-single", var, Some(label), value.as_slice(), &[])
    }

    /// A line of text that is not shown.
    #[must_use]
    pub fn private(self, var: &str, label: &str, value: &str) -> Self {
        let value = Some(value).filter(|value| !value.is_empty());
        self.field("text-private", var, Some(label), value.as_slice(), &[])
    }

    /// A whole number up to a bound. What is to be filled in says so (XEP-0122 §3). It
    /// says its type in a result, too, as XEP-0500 §5.2 wants it.
    #[must_use]
    pub fn number(
        mut self,
        var: &str,
        label: &str,
        value: u32,
        range: RangeToInclusive<u32>,
    ) -> Self {
        let is_typed = std::mem::replace(&mut self.is_typed, true);
        let mut form = self.field("text-single", var, Some(label), &[&value.to_string()], &[]);
        form.is_typed = is_typed;
        // A result is not typed.
        if is_typed && let Some(Node::Element(field)) = form.x.children.last_mut() {
            let bounds = Element::new("range", ns::DATA_VALIDATE)
                .with_attr("min", "0")
                .with_attr("max", range.end.to_string());
            let validate = Element::new("validate", ns::DATA_VALIDATE)
                .with_attr("datatype", "xs:integer")
                .with_child(bounds);
            field.children.insert(0, Node::Element(validate));
        }
        form
    }

    /// Yes or no.
    #[must_use]
    pub fn boolean(self, var: &str, label: &str, value: bool) -> Self {
        self.field("boolean", var, Some(label), &[if value { "1" } else { "0" }], &[])
    }

    /// One of several; `options` are (value, label). An empty value is left out.
    #[must_use]
    pub fn list(self, var: &str, label: &str, value: &str, options: &[(&str, &str)]) -> Self {
        let value = Some(value).filter(|value| !value.is_empty());
        self.field("list-single", var, Some(label), value.as_slice(), options)
    }

    /// Some of several; `options` are (value, label).
    #[must_use]
    pub fn lists(self, var: &str, label: &str, values: &[&str], options: &[(&str, &str)]) -> Self {
        self.field("list-multi", var, Some(label), values, options)
    }

    /// Lines of text. The type is said in results too: others have one value (§3.3).
    #[must_use]
    pub fn lines(self, var: &str, label: &str, values: &[&str]) -> Self {
        let is_typed = self.is_typed;
        let mut form = Self { is_typed: true, ..self };
        form = form.field("text-multi", var, Some(label), values, &[]);
        Self { is_typed, ..form }
    }

    /// An address; an empty one is left without a value.
    #[must_use]
    pub fn jid(self, var: &str, label: &str, value: &str) -> Self {
        let value = Some(value).filter(|value| !value.is_empty());
        self.field("jid-single", var, Some(label), value.as_slice(), &[])
    }

    /// Any number of values that are not offered as options (XEP-0122 §3.2).
    #[must_use]
    pub fn open_list(mut self, var: &str, label: &str) -> Self {
        let validate = Element::new("validate", ns::DATA_VALIDATE)
            .with_attr("datatype", "xs:string")
            .with_child(Element::new("open", ns::DATA_VALIDATE));
        let field = Element::new("field", ns::DATA)
            .with_attr("var", var)
            .with_attr("type", "list-multi")
            .with_attr("label", label);
        self.x.push(field.with_child(validate));
        self
    }

    /// The field added last must be filled in (§3.2).
    #[must_use]
    pub fn required(mut self) -> Self {
        if let Some(Node::Element(field)) = self.x.children.last_mut() {
            field.children.insert(0, Node::Element(Element::new("required", ns::DATA)));
        }
        self
    }

    /// Addresses.
    #[must_use]
    pub fn jids(self, var: &str, label: &str, values: &[&str]) -> Self {
        self.field("jid-multi", var, Some(label), values, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICES: &[(&str, &str, u8)] = &[("a", "A", 1), ("b", "B", 2)];

    fn field(var: &str, values: &[&str]) -> Element {
        values.iter().fold(Element::new("field", ns::DATA).with_attr("var", var), |field, value| {
            field.with_child(Element::new("value", ns::DATA).with_text(*value))
        })
    }

    fn submit(fields: Vec<Element>) -> Result<Submission, StanzaError> {
        let x = Element::new("x", ns::DATA).with_attr("type", "submit");
        Submission::read(&fields.into_iter().fold(x, Element::with_child), "t")
    }

    #[test]
    fn shape() {
        let bad = |result: Result<Submission, StanzaError>| {
            assert_eq!(result.expect_err("refused").condition, Condition::BadRequest);
        };
        assert_eq!(submit(vec![]), Ok(Submission::Submit(Submitted::default())));
        assert!(submit(vec![field("x", &["1"])]).is_ok(), "an untyped form");
        bad(submit(vec![field("FORM_TYPE", &["other"]), field("x", &["1"])]));
        bad(submit(vec![field("FORM_TYPE", &["t"]), field("x", &["1"]), field("x", &["1"])]));
        bad(Submission::read(&Element::new("x", ns::DATA).with_attr("type", "form"), "t"));
        bad(Submission::read(&Element::new("x", ns::DATA), "t"));
        let cancel = Element::new("x", ns::DATA).with_attr("type", "cancel");
        assert_eq!(Submission::read(&cancel, "t"), Ok(Submission::Cancel));
    }

    #[test]
    fn values() {
        let form = submit(vec![
            field("FORM_TYPE", &["t"]),
            field("unset", &[]),
            field("yes", &["true"]),
            field("maybe", &["maybe"]),
            field("two", &["b", "a"]),
            field("n", &["12"]),
            field("plus", &[" +012\n"]),
            field("minus", &["-1"]),
            field("signs", &["++1"]),
            field("large", &["4294967296"]),
            field("jids", &["a@b/c", "A@b", ""]),
        ]);
        let Ok(Submission::Submit(form)) = form else { panic!("{form:?}") };
        let refused = Condition::NotAcceptable;
        assert_eq!(form.text("absent"), Ok(None));
        assert_eq!(form.text("unset"), Ok(Some("")));
        assert_eq!(form.text("two").expect_err("two values").condition, refused);
        assert_eq!(form.boolean("yes"), Ok(Some(true)));
        assert_eq!(form.boolean("unset"), Ok(Some(false)));
        assert_eq!(form.boolean("maybe").expect_err("no boolean").condition, refused);
        assert_eq!(form.choices("two", CHOICES), Ok(Some(vec![1, 2])));
        assert_eq!(form.choices("unset", CHOICES), Ok(Some(vec![])));
        assert_eq!(form.choices("n", CHOICES).expect_err("no option").condition, refused);
        assert_eq!(form.choice("maybe", CHOICES).expect_err("no option").condition, refused);
        assert_eq!(form.number("n"), Ok(Some(12)));
        assert_eq!(form.number("plus"), Ok(Some(12)));
        for var in ["unset", "minus", "signs", "large", "maybe", "two"] {
            assert_eq!(form.number(var).expect_err("no number").condition, refused, "{var}");
        }
        assert_eq!(form.jids("jids").map(|jids| jids.map(|jids| jids.len())), Ok(Some(1)));
    }

    #[test]
    fn building() {
        let form = Form::to_fill_in("t", "Title", "Do").text("a", "A", "").boolean("b", "B", true);
        let form = form.number("n", "N", 7, ..=9);
        let x = form.list("c", "C", "v", &[("v", "V")]).into_element();
        let fields: Vec<_> = x.elements().filter(|e| e.is("field", ns::DATA)).collect();
        assert_eq!(fields.len(), 5);
        assert_eq!(fields[0].attr("type"), Some("hidden"));
        assert_eq!(fields[1].elements().count(), 0);
        assert_eq!(fields[2].elements().next().map(Element::text), Some("1".to_owned()));
        let validate = fields[3].child("validate", ns::DATA_VALIDATE).expect("it is validated");
        assert_eq!(validate.attr("datatype"), Some("xs:integer"));
        let range = validate.child("range", ns::DATA_VALIDATE).expect("it has bounds");
        assert_eq!((range.attr("min"), range.attr("max")), (Some("0"), Some("9")));
        assert_eq!(fields[3].child("value", ns::DATA).map(Element::text), Some("7".to_owned()));
        let result = Form::result("t").number("n", "N", 7, ..=9).text("a", "A", "b").into_element();
        let fields: Vec<_> = result.elements().collect();
        assert_eq!(fields[1].attr("type"), Some("text-single"));
        assert!(fields[1].child("validate", ns::DATA_VALIDATE).is_none());
        assert_eq!(fields[2].attr("type"), None);
        let fields: Vec<_> = x.elements().filter(|e| e.is("field", ns::DATA)).collect();
        assert_eq!(fields[4].child("option", ns::DATA).and_then(|o| o.attr("label")), Some("V"));
        let form = Form::to_fill_in("t", "Title", "Do").list("c", "C", "", &[("v", "V")]);
        let x = form.required().into_element();
        let names: Vec<_> = x.elements().flat_map(|field| field.elements()).collect();
        let names: Vec<_> = names.iter().map(|element| element.name.as_ref()).collect();
        assert_eq!(names, ["value", "required", "option"]);
    }

    #[test]
    fn tables() {
        let columns = [("a", "A"), ("b", "B")];
        let table = Form::table("T", &columns).row(&[("a", "1"), ("b", "")]).into_element();
        let names: Vec<_> = table.elements().map(|element| element.name.as_ref()).collect();
        assert_eq!(names, ["title", "reported", "item"]);
        let item = table.child("item", ns::DATA).expect("a row");
        let values: Vec<_> = item.elements().map(|field| field.elements().count()).collect();
        assert_eq!(values, [1, 0]);
    }

    #[test]
    fn kinds() {
        let x = Form::to_fill_in("t", "", "").text("n", "N", "").required().lines(
            "l",
            "L",
            &["1", "2"],
        );
        let x = x.jid("j", "J", "a@b").into_element();
        let fields: Vec<_> = x.elements().filter(|e| e.is("field", ns::DATA)).collect();
        assert!(fields[1].child("required", ns::DATA).is_some());
        assert_eq!(fields[2].elements().count(), 2);
        assert_eq!(fields[3].attr("type"), Some("jid-single"));
        assert_eq!(form_type(&x).as_deref(), Some("t"));
        assert_eq!(form_type(&Element::new("x", ns::DATA)), None);
    }
}
