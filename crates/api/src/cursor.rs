//! A walk over a tree that knows where it is, so that a decoder can report the place and the field path
//! of whatever it does not like. Paths cost nothing until something is reported.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use crate::scalar::Plain;
use crate::syntax::nearest;
use crate::tree::{Entry, Fault, Node, NodeKind, push_field, push_index, shorten};
use crate::{Diagnostic, Severity, Source};

/// What a template that was never rendered needs.
pub(crate) const RENDER: &str = "render the chart first, as with `helm template`, and read its output";

/// The field of a list that holds its items.
pub(crate) const ITEMS: &str = "items";

/// Collects what is found in one document.
pub(crate) struct Sink {
    file: Arc<str>,
    has_lines: bool,
    found: RefCell<Vec<Diagnostic>>,
}

impl Sink {
    pub fn new(file: Arc<str>, has_lines: bool) -> Self {
        Sink { file, has_lines, found: RefCell::default() }
    }

    pub fn fault(&self, fault: Fault) {
        let Fault { line, column, field, message, help } = fault;
        let source = self.source(line, column);
        self.found.borrow_mut().push(Diagnostic { severity: Severity::Error, source, field, message, help });
    }

    pub fn source(&self, line: u32, column: u32) -> Source {
        let (line, column) = if self.has_lines { (line, column) } else { (0, 0) };
        Source { file: self.file.clone(), line, column }
    }

    pub fn into_found(self) -> Vec<Diagnostic> {
        self.found.into_inner()
    }
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Root,
    /// An item of a list that is read without its list.
    Item(usize),
    Field(&'a str),
    Index(usize),
}

/// One node on the way from the document's root.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    pub node: &'a Node<'a>,
    parent: Option<&'a Cursor<'a>>,
    step: Step<'a>,
    sink: &'a Sink,
}

/// A scalar with its JSON type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Int(i64),
}

impl<'a> Cursor<'a> {
    pub fn root(node: &'a Node<'a>, sink: &'a Sink) -> Self {
        Cursor { node, parent: None, step: Step::Root, sink }
    }

    /// An item of the outermost list.
    pub fn item(node: &'a Node<'a>, sink: &'a Sink, index: usize) -> Self {
        Cursor { node, parent: None, step: Step::Item(index), sink }
    }

    pub fn source(&self) -> Source {
        self.sink.source(self.node.line, self.node.column)
    }

    fn path(&self) -> String {
        let mut path = self.parent.map(Cursor::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Item(index) => {
                push_field(&mut path, ITEMS);
                push_index(&mut path, index);
            }
            Step::Field(name) => push_field(&mut path, name),
            Step::Index(index) => push_index(&mut path, index),
        }
        path
    }

    pub fn report(&self, severity: Severity, message: impl Into<String>, help: impl Into<String>) {
        self.report_at(severity, self.source(), self.path(), message.into(), help.into());
    }

    pub fn error(&self, message: impl Into<String>, help: impl Into<String>) {
        self.report(Severity::Error, message, help);
    }

    pub fn warning(&self, message: impl Into<String>, help: impl Into<String>) {
        self.report(Severity::Warning, message, help);
    }

    /// A finding about a field that is not there; `name` may be a path.
    pub fn missing(&self, severity: Severity, name: &str, message: &str, help: &str) {
        let mut field = self.path();
        for step in name.split('.') {
            push_field(&mut field, step);
        }
        self.report_at(severity, self.source(), field, message.to_owned(), help.to_owned());
    }

    /// A finding about a key of this mapping.
    fn error_at_key(&self, severity: Severity, entry: &Entry<'_>, message: String, help: String) {
        let mut field = self.path();
        push_field(&mut field, &entry.key);
        self.report_at(severity, self.sink.source(entry.line, entry.column), field, message, help);
    }

    fn report_at(&self, severity: Severity, source: Source, field: String, message: String, help: String) {
        let template = matches!(&self.node.kind, NodeKind::Scalar { text, .. } if text.contains("{{") && text.contains("}}"));
        let help = if template && severity == Severity::Error { RENDER.to_owned() } else { help };
        self.sink.found.borrow_mut().push(Diagnostic { severity, source, field, message, help });
    }

    // === walking ===

    fn entries(&self) -> &'a [Entry<'a>] {
        match &self.node.kind {
            NodeKind::Mapping(entries) => entries,
            _ => &[],
        }
    }

    fn child(&'a self, step: Step<'a>, node: &'a Node<'a>) -> Cursor<'a> {
        Cursor { node, parent: Some(self), step, sink: self.sink }
    }

    /// A field that is set to something; `null` is the same as absent. Of duplicate keys the last counts.
    pub fn field(&'a self, name: &str) -> Option<Cursor<'a>> {
        let entry = self.entries().iter().rfind(|e| e.key == name)?;
        (!entry.value.is_null()).then(|| self.child(Step::Field(&entry.key), &entry.value))
    }

    /// A mapping below a field; reports any other type.
    pub fn mapping(&'a self, name: &str) -> Option<Cursor<'a>> {
        self.field(name).filter(Cursor::expect_mapping)
    }

    /// A list below a field; reports any other type.
    pub fn list(&'a self, name: &str) -> Option<Cursor<'a>> {
        self.field(name).filter(Cursor::expect_list)
    }

    /// All fields of a mapping, with their keys.
    pub fn fields(&'a self) -> impl Iterator<Item = (&'a str, Cursor<'a>)> {
        self.entries().iter().map(|e| (e.key.as_ref(), self.child(Step::Field(&e.key), &e.value)))
    }

    /// All entries of a list.
    pub fn items(&'a self) -> impl ExactSizeIterator<Item = Cursor<'a>> {
        let items: &'a [Node<'a>] = match &self.node.kind {
            NodeKind::Sequence(items) => items,
            _ => &[],
        };
        items.iter().enumerate().map(|(i, node)| self.child(Step::Index(i), node))
    }

    pub fn is_mapping(&self) -> bool {
        matches!(self.node.kind, NodeKind::Mapping(_))
    }

    pub fn is_list(&self) -> bool {
        matches!(self.node.kind, NodeKind::Sequence(_))
    }

    pub fn is_empty(&self) -> bool {
        match &self.node.kind {
            NodeKind::Mapping(entries) => entries.is_empty(),
            NodeKind::Sequence(items) => items.is_empty(),
            NodeKind::Scalar { .. } => self.node.is_null(),
        }
    }

    /// Reports fields that the API does not know. Returns the fields that were probably meant; unknown
    /// ones without a likely meaning are `""`.
    pub fn unknown_fields<'n>(&self, known: &[&'n str], severity: Severity) -> Vec<&'n str> {
        let mut meant = Vec::new();
        for entry in self.entries().iter().filter(|e| !known.contains(&e.key.as_ref())) {
            let guess = nearest(&entry.key, known);
            let help = match guess {
                Some(guess) => format!("did you mean `{guess}`?"),
                None => {
                    format!("fields here are {}; remove it or move it where it belongs", quoted_list(known))
                }
            };
            self.error_at_key(severity, entry, format!("unknown field `{}`", shorten(&entry.key)), help);
            meant.push(guess.unwrap_or(""));
        }
        meant
    }

    // === types ===

    /// What the node is, in a sentence: "the number `80`".
    fn found(&self) -> Cow<'static, str> {
        match &self.node.kind {
            NodeKind::Sequence(_) => "a list".into(),
            NodeKind::Mapping(_) => "a mapping".into(),
            NodeKind::Scalar { text, .. } => {
                let text = shorten(text);
                match self.node.plain() {
                    Plain::Null => "nothing".into(),
                    Plain::Bool(_) => format!("the boolean `{text}`").into(),
                    Plain::Int(_) | Plain::Float => format!("the number `{text}`").into(),
                    Plain::Text => format!("the text `{text}`").into(),
                }
            }
        }
    }

    pub fn expect_mapping(&self) -> bool {
        self.expect(self.is_mapping(), "a mapping", "write `key: value` lines below it, indented")
    }

    pub fn expect_list(&self) -> bool {
        self.expect(self.is_list(), "a list", "start each entry with `- `")
    }

    fn expect(&self, right: bool, what: &str, help: &str) -> bool {
        if !right {
            self.error(format!("expected {what}, found {}", self.found()), help);
        }
        right
    }

    /// Text. Anything else is reported: the API server does not turn numbers into text.
    pub fn text(&self) -> Option<&'a str> {
        match &self.node.kind {
            NodeKind::Scalar { text, .. } if self.node.plain() == Plain::Text => Some(text),
            NodeKind::Scalar { text, .. } => {
                let help = if self.node.is_null() {
                    "write the text".to_owned()
                } else {
                    format!("quote it: \"{}\"", shorten(text))
                };
                self.error(format!("expected text, found {}", self.found()), help);
                None
            }
            _ => {
                self.expect(false, "text", "write one value on the same line");
                None
            }
        }
    }

    /// The characters of a scalar, whatever its type; empty for a collection.
    pub fn raw(&self) -> &'a str {
        match &self.node.kind {
            NodeKind::Scalar { text, .. } => text,
            _ => "",
        }
    }

    /// A whole number.
    pub fn int(&self) -> Option<i64> {
        if let Plain::Int(Some(value)) = self.node.plain() {
            return Some(value);
        }
        let help = match self.raw().parse::<i64>() {
            Ok(value) => format!("remove the quotes: {value}"),
            Err(_) => "write a number without quotes".to_owned(),
        };
        self.expect(false, "a whole number", &help);
        None
    }

    /// A whole number within bounds.
    pub fn int_within(&self, least: i64, most: i64) -> Option<i64> {
        let value = self.int()?;
        if (least..=most).contains(&value) {
            return Some(value);
        }
        self.error(format!("{value} is out of range"), format!("write a number from {least} to {most}"));
        None
    }

    /// A port number, 1 to 65535.
    pub fn port(&self) -> Option<u16> {
        self.int_within(1, 65535).and_then(|value| u16::try_from(value).ok())
    }

    /// `IntOrString`.
    pub fn int_or_text(&self) -> Option<Value<'a>> {
        match (&self.node.kind, self.node.plain()) {
            (_, Plain::Int(Some(value))) => Some(Value::Int(value)),
            (NodeKind::Scalar { text, .. }, Plain::Text) => Some(Value::Text(text)),
            _ => {
                self.expect(false, "a number or a name", "write a port number, or a port's name");
                None
            }
        }
    }

    pub fn bool(&self) -> Option<bool> {
        if let Plain::Bool(value) = self.node.plain() {
            return Some(value);
        }
        self.expect(false, "true or false", "write `true` or `false` without quotes");
        None
    }
}

/// `` `a`, `b` and `c` ``.
pub(crate) fn quoted_list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
