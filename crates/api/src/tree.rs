//! YAML text as a small tree in which every node knows its line and column.
//!
//! Safe on hostile text: nesting is limited, and the nodes that aliases copy are paid from a budget
//! proportional to the size of the document, so that no alias bomb can go off.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use granit_parser::{ErrorKind, Event, Marker, Options, Parser, ScalarStyle, Tag};

use crate::scalar::{Plain, resolve};

/// Collections inside collections; real objects stay below 30.
pub(crate) const MAX_DEPTH: usize = 128;

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Node<'t> {
    pub kind: NodeKind<'t>,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
}

#[derive(Clone, Debug)]
pub(crate) enum NodeKind<'t> {
    Scalar {
        text: Cow<'t, str>,
        /// Quoted, a block scalar or tagged `!!str`: text, whatever it looks like.
        quoted: bool,
    },
    Sequence(Vec<Node<'t>>),
    Mapping(Vec<Entry<'t>>),
}

/// One entry of a mapping, placed at its key.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'t> {
    pub key: Cow<'t, str>,
    pub line: u32,
    pub column: u32,
    pub value: Node<'t>,
    /// Came from another mapping by `<<`.
    pub merged: bool,
}

/// What is wrong with the text itself, before any object is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub line: u32,
    pub column: u32,
    pub field: String,
    pub message: String,
    pub help: String,
}

/// The documents that could be read, and what is wrong with the others.
#[derive(Debug, Default)]
pub(crate) struct Parsed<'t> {
    pub documents: Vec<Node<'t>>,
    pub faults: Vec<Fault>,
    /// Reading stopped at the last fault.
    pub broken: bool,
}

impl<'t> Node<'t> {
    /// The type that JSON would give this node.
    pub fn plain(&self) -> Plain {
        match &self.kind {
            NodeKind::Scalar { text, quoted: false } => resolve(text),
            _ => Plain::Text,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.kind, NodeKind::Scalar { .. }) && self.plain() == Plain::Null
    }

    /// Nodes plus bytes of text, and levels, of this subtree.
    fn weight(&self) -> (usize, usize) {
        let over = |children: &mut dyn Iterator<Item = (usize, usize)>| {
            children.fold((1, 1), |(cost, depth), (c, d)| (cost + c, depth.max(d + 1)))
        };
        match &self.kind {
            NodeKind::Scalar { text, .. } => (1 + text.len(), 0),
            NodeKind::Sequence(items) => over(&mut items.iter().map(Node::weight)),
            NodeKind::Mapping(entries) => over(&mut entries.iter().map(|e| {
                let (cost, depth) = e.value.weight();
                (cost + 1 + e.key.len(), depth)
            })),
        }
    }
}

/// Reads all documents of `text`, which starts at line `first_line` (1-based) of its file.
pub(crate) fn parse_yaml(text: &str, first_line: u32) -> Parsed<'_> {
    let mut builder = Builder {
        parsed: Parsed::default(),
        frames: Vec::new(),
        anchors: HashMap::new(),
        first_line,
        budget: text.len().saturating_mul(16).saturating_add(256),
    };
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    for event in Parser::new_from_str_with_options(text, options) {
        let done = match event {
            Ok((event, span)) => builder.event(event, &span.start),
            Err(error) => Err(scan_fault(error.kind(), builder.place(error.marker()))),
        };
        if let Err(mut fault) = done {
            if fault.field.is_empty() {
                fault.field = builder.path();
            }
            builder.parsed.faults.push(fault);
            builder.parsed.broken = true;
            break;
        }
    }
    builder.parsed
}

pub(crate) fn too_deep((line, column): (u32, u32)) -> Fault {
    Fault {
        line,
        column,
        field: String::new(),
        message: format!("more than {MAX_DEPTH} collections inside each other"),
        help: "no Kubernetes object nests this deep: look for brackets that are never closed".to_owned(),
    }
}

fn scan_fault(kind: &ErrorKind, (line, column): (u32, u32)) -> Fault {
    let help = match kind {
        ErrorKind::RecursionLimitExceeded => return too_deep((line, column)),
        ErrorKind::UnknownAnchor => "define the anchor with `&name` earlier in the same document",
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => "indent with spaces, YAML forbids tabs",
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            "close the quote, or double it where it belongs to the text"
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::MismatchedFlowCollectionEnd { .. } => "close each `[` with `]` and each `{` with `}`",
        ErrorKind::MappingValueNotAllowed => {
            "quote text that holds `: `, and give keys of one mapping the same indentation"
        }
        ErrorKind::UnexpectedCharacter { .. } => "quote text that starts with a special character",
        _ => "give keys of one mapping the same indentation, and quote text with special characters",
    };
    Fault {
        line,
        column,
        field: String::new(),
        message: format!("cannot be read as YAML: {kind}"),
        help: help.to_owned(),
    }
}

struct Frame<'t> {
    line: u32,
    column: u32,
    anchor: usize,
    body: Body<'t>,
}

enum Body<'t> {
    Sequence(Vec<Node<'t>>),
    Mapping { entries: Vec<Entry<'t>>, key: Option<Key<'t>> },
}

struct Key<'t> {
    text: Cow<'t, str>,
    quoted: bool,
    line: u32,
    column: u32,
}

struct Builder<'t> {
    parsed: Parsed<'t>,
    frames: Vec<Frame<'t>>,
    anchors: HashMap<usize, Node<'t>>,
    first_line: u32,
    budget: usize,
}

impl<'t> Builder<'t> {
    fn place(&self, marker: &Marker) -> (u32, u32) {
        let line = u32::try_from(marker.line()).unwrap_or(u32::MAX).max(1);
        let column = u32::try_from(marker.col()).unwrap_or(u32::MAX - 1);
        (line.saturating_add(self.first_line - 1), column.saturating_add(1))
    }

    fn event(&mut self, event: Event<'t>, at: &Marker) -> Result<(), Fault> {
        let (line, column) = self.place(at);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = match core_tag(tag.as_deref()) {
                    Some("str") => true,
                    Some("null" | "bool" | "int" | "float") => false,
                    _ => style != ScalarStyle::Plain,
                };
                self.add(Node { kind: NodeKind::Scalar { text, quoted }, line, column }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(Frame { line, column, anchor, body: Body::Sequence(Vec::new()) })
            }
            Event::MappingStart(_, anchor, _) => self.open(Frame {
                line,
                column,
                anchor,
                body: Body::Mapping { entries: Vec::new(), key: None },
            }),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => self.alias(id, line, column),
            Event::DocumentStart(..) => {
                self.anchors.clear();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, frame: Frame<'t>) -> Result<(), Fault> {
        self.refuse_as_key(frame.line, frame.column)?;
        if self.frames.len() >= MAX_DEPTH {
            return Err(too_deep((frame.line, frame.column)));
        }
        self.frames.push(frame);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(Frame { line, column, anchor, body }) = self.frames.pop() else { return Ok(()) };
        let kind = match body {
            Body::Sequence(items) => NodeKind::Sequence(items),
            Body::Mapping { mut entries, .. } => {
                own_keys_win(&mut entries);
                let mut faults = std::mem::take(&mut self.parsed.faults);
                duplicates(&entries, || self.path(), &mut faults);
                self.parsed.faults = faults;
                NodeKind::Mapping(entries)
            }
        };
        self.add(Node { kind, line, column }, anchor)
    }

    fn alias(&mut self, id: usize, line: u32, column: u32) -> Result<(), Fault> {
        let fault = |message: &str, help: &str| Fault {
            line,
            column,
            field: String::new(),
            message: message.to_owned(),
            help: help.to_owned(),
        };
        let Some(target) = self.anchors.get(&id) else {
            return Err(fault("an alias refers to the node that holds it", "write the value out"));
        };
        let (cost, depth) = target.weight();
        if self.frames.len() + depth > MAX_DEPTH {
            return Err(too_deep((line, column)));
        }
        if cost > self.budget {
            return Err(fault(
                "aliases expand to far more than the document itself",
                "write the repeated values out, or split the document",
            ));
        }
        self.budget -= cost;
        let node = Node { kind: target.kind.clone(), line, column };
        self.add(node, 0)
    }

    /// Puts a finished node where it belongs: the open collection, or the list of documents.
    fn add(&mut self, node: Node<'t>, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 {
            let (cost, _) = node.weight();
            if cost > self.budget {
                return Err(Fault {
                    line: node.line,
                    column: node.column,
                    field: String::new(),
                    message: "anchors inside anchors hold far more than the document itself".to_owned(),
                    help: "write the repeated values out, or split the document".to_owned(),
                });
            }
            self.budget -= cost;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.frames.last_mut() else {
            self.parsed.documents.push(node);
            return Ok(());
        };
        match &mut frame.body {
            Body::Sequence(items) => items.push(node),
            Body::Mapping { entries, key } => match key.take() {
                None => {
                    let NodeKind::Scalar { text, quoted } = node.kind else {
                        return Err(complex_key(node.line, node.column));
                    };
                    *key = Some(Key { text, quoted, line: node.line, column: node.column });
                }
                Some(found) if found.text == "<<" && !found.quoted => merge(entries, node)?,
                Some(Key { text, line, column, .. }) => {
                    entries.push(Entry { key: text, line, column, value: node, merged: false });
                }
            },
        }
        Ok(())
    }

    fn refuse_as_key(&self, line: u32, column: u32) -> Result<(), Fault> {
        match self.frames.last() {
            Some(Frame { body: Body::Mapping { key: None, .. }, .. }) => Err(complex_key(line, column)),
            _ => Ok(()),
        }
    }

    /// The path of the node that is being read.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.frames {
            match &frame.body {
                Body::Sequence(items) => push_index(&mut path, items.len()),
                Body::Mapping { key: Some(key), .. } => push_field(&mut path, &key.text),
                Body::Mapping { key: None, .. } => {}
            }
        }
        path
    }
}

fn core_tag(tag: Option<&Tag>) -> Option<&str> {
    tag.and_then(Tag::core_suffix)
}

fn complex_key(line: u32, column: u32) -> Fault {
    Fault {
        line,
        column,
        field: String::new(),
        message: "a mapping key must be text, not a list or a mapping".to_owned(),
        help: "quote the key, or the value if it starts with `{` or `[`".to_owned(),
    }
}

/// YAML's `<<`: takes over the entries of other mappings.
fn merge<'t>(entries: &mut Vec<Entry<'t>>, value: Node<'t>) -> Result<(), Fault> {
    let (line, column) = (value.line, value.column);
    let sources = match value.kind {
        NodeKind::Mapping(found) => vec![found],
        NodeKind::Sequence(items) => items
            .into_iter()
            .map(|item| match item.kind {
                NodeKind::Mapping(found) => Ok(found),
                _ => Err(item.line),
            })
            .collect::<Result<_, _>>()
            .unwrap_or_default(),
        NodeKind::Scalar { .. } => Vec::new(),
    };
    if sources.is_empty() {
        return Err(Fault {
            line,
            column,
            field: String::new(),
            message: "`<<` merges mappings only".to_owned(),
            help: "give it an alias of a mapping, as in `<<: *defaults`".to_owned(),
        });
    }
    entries.extend(sources.into_iter().flatten().map(|entry| Entry { merged: true, ..entry }));
    Ok(())
}

/// Own keys win over merged ones wherever the `<<` stands; of merged ones the first wins.
fn own_keys_win(entries: &mut Vec<Entry<'_>>) {
    if entries.iter().any(|entry| entry.merged) {
        let mut known: HashSet<String> =
            entries.iter().filter(|e| !e.merged).map(|e| e.key.to_string()).collect();
        entries.retain(|entry| !entry.merged || known.insert(entry.key.to_string()));
    }
}

/// Reports keys written twice. The last one counts, as for an API server asked to go on.
pub(crate) fn duplicates(entries: &[Entry<'_>], path: impl Fn() -> String, faults: &mut Vec<Fault>) {
    let mut report = |earlier: &Entry<'_>, later: &Entry<'_>| {
        let mut field = path();
        push_field(&mut field, &later.key);
        faults.push(Fault {
            line: later.line,
            column: later.column,
            field,
            message: format!("key `{}` is already set at line {}", shorten(&later.key), earlier.line),
            help: "keep one of the two: the API server refuses both".to_owned(),
        });
    };
    if entries.len() <= 16 {
        for (i, later) in entries.iter().enumerate().skip(1) {
            if let Some(earlier) = entries[..i].iter().find(|e| e.key == later.key) {
                report(earlier, later);
            }
        }
    } else {
        let mut seen: HashMap<&str, &Entry<'_>> = HashMap::with_capacity(entries.len());
        for entry in entries {
            if let Some(earlier) = seen.insert(&entry.key, entry) {
                report(earlier, entry);
            }
        }
    }
}

/// Text from the input as a message may quote it: one line, not longer than a name can be.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}

pub(crate) fn push_index(path: &mut String, index: usize) {
    use std::fmt::Write as _;
    let _ = write!(path, "[{index}]");
}

pub(crate) fn push_field(path: &mut String, name: &str) {
    let name = &shorten(name);
    if name.contains(['.', '/', '[', ' ']) {
        path.push('[');
        path.push_str(name);
        path.push(']');
    } else {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
    }
}
