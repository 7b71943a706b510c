//! JSON text as the same tree as YAML: faster, and strict about what JSON is.
//!
//! A dump of a whole cluster is one `List` that can't be split into documents, so this path decides how
//! long such a file takes.

use std::borrow::Cow;

use crate::keep::{Keep, end_of_value};
use crate::tree::{
    Entry, Fault, MAX_DEPTH, Node, NodeKind, Parsed, duplicates, push_field, push_index, too_deep,
};

/// Reads all values of `text`, one after the other; `text` starts at line `first_line` of its file.
pub(crate) fn parse_json(text: &str, first_line: u32) -> Parsed<'_> {
    let mut reader = Reader { line: first_line, ..Reader::new(text) };
    let mut parsed = Parsed::default();
    loop {
        reader.space();
        if reader.at == text.len() {
            break;
        }
        match reader.value(Keep::All) {
            Ok(node) => parsed.documents.push(node),
            Err(fault) => {
                reader.faults.push(fault);
                parsed.broken = true;
                break;
            }
        }
    }
    parsed.faults = reader.faults;
    parsed
}

/// Reads the one value that `text` is, as far as it is to be kept. Nodes have no places.
pub(crate) fn parse_kept(text: &str, keep: Keep) -> Result<(Node<'_>, Vec<Fault>), Fault> {
    let mut reader = Reader { has_places: false, ..Reader::new(text) };
    reader.space();
    let node = reader.value(keep)?;
    reader.space();
    match reader.peek() {
        None => Ok((node, reader.faults)),
        Some(_) => Err(reader.fault("expected the end of the text", "send one value")),
    }
}

/// Reads values of an array of the outermost object, with commas between them and perhaps behind the last.
/// Nothing if there is anything to say about the text.
pub(crate) fn parse_items(text: &str, line: u32, column: u32) -> Option<Vec<Node<'_>>> {
    let steps = vec![Step::Field(Cow::Borrowed("items")), Step::Index(0)];
    let mut reader = Reader { line, column, steps, ..Reader::new(text) };
    let mut items = Vec::new();
    reader.space();
    while reader.at < text.len() {
        items.push(reader.value(Keep::All).ok()?);
        reader.space();
        match reader.peek() {
            Some(b',') => reader.at += 1,
            None => break,
            Some(_) => return None,
        }
        reader.space();
    }
    reader.faults.is_empty().then_some(items)
}

enum Step<'t> {
    Field(Cow<'t, str>),
    Index(usize),
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// Byte whose line and column are known; they are counted forward from here, once.
    mark: usize,
    line: u32,
    column: u32,
    /// Somebody wants to know lines and columns.
    has_places: bool,
    steps: Vec<Step<'t>>,
    faults: Vec<Fault>,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        let (steps, faults) = (Vec::new(), Vec::new());
        Reader { text, at: 0, mark: 0, line: 1, column: 1, has_places: true, steps, faults }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Line and column of the next byte.
    fn place(&mut self) -> (u32, u32) {
        if !self.has_places {
            return (0, 0);
        }
        let bytes = self.text.as_bytes();
        while self.mark < self.at {
            match bytes[self.mark] {
                b'\n' => (self.line, self.column) = (self.line.saturating_add(1), 1),
                b'\r' if bytes.get(self.mark + 1) != Some(&b'\n') => {
                    (self.line, self.column) = (self.line.saturating_add(1), 1);
                }
                byte if byte & 0xC0 != 0x80 => self.column = self.column.saturating_add(1),
                _ => {}
            }
            self.mark += 1;
        }
        (self.line, self.column)
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::Field(name) => push_field(&mut path, name),
                Step::Index(index) => push_index(&mut path, *index),
            }
        }
        path
    }

    fn fault(&mut self, message: &str, help: &str) -> Fault {
        let (line, column) = self.place();
        Fault {
            line,
            column,
            field: self.path(),
            message: format!("cannot be read as JSON: {message}"),
            help: help.to_owned(),
        }
    }

    fn value(&mut self, keep: Keep) -> Result<Node<'t>, Fault> {
        let (line, column) = self.place();
        let kind = match self.peek() {
            Some(b'{') => self.object(keep)?,
            Some(b'[') => self.array(keep)?,
            Some(b'"') => NodeKind::Scalar { text: self.string()?, quoted: true },
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node { kind, line, column })
    }

    fn enter(&mut self, step: Step<'t>) -> Result<(), Fault> {
        if self.steps.len() >= MAX_DEPTH {
            let at = self.place();
            return Err(too_deep(at));
        }
        self.at += 1;
        self.steps.push(step);
        self.space();
        Ok(())
    }

    fn array(&mut self, keep: Keep) -> Result<NodeKind<'t>, Fault> {
        self.enter(Step::Index(0))?;
        let mut items = Vec::new();
        if self.peek() != Some(b']') {
            loop {
                items.push(self.value(keep)?);
                if let Some(step) = self.steps.last_mut() {
                    *step = Step::Index(items.len());
                }
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break,
                    _ => return Err(self.fault("expected `,` or `]`", "separate list entries with commas")),
                }
                self.space();
            }
        }
        self.at += 1;
        self.steps.pop();
        Ok(NodeKind::Sequence(items))
    }

    fn object(&mut self, keep: Keep) -> Result<NodeKind<'t>, Fault> {
        self.enter(Step::Field(Cow::Borrowed("")))?;
        let mut entries: Vec<Entry<'t>> = Vec::new();
        if self.peek() != Some(b'}') {
            loop {
                if self.peek() != Some(b'"') {
                    return Err(self.fault("expected a key in double quotes", "write it as `\"key\": value`"));
                }
                let (line, column) = self.place();
                let key = self.string()?;
                self.space();
                if self.peek() != Some(b':') {
                    return Err(self.fault("expected `:` after a key", "write it as `\"key\": value`"));
                }
                self.at += 1;
                self.space();
                if let Some(keep) = keep.field(&key) {
                    if let Some(step) = self.steps.last_mut() {
                        *step = Step::Field(key.clone());
                    }
                    let value = self.value(keep)?;
                    entries.push(Entry { key, line, column, value, merged: false });
                } else {
                    let Some(end) = end_of_value(self.text.as_bytes(), self.at) else {
                        return Err(self.fault("expected a value", "close each bracket and quote"));
                    };
                    self.at = end;
                }
                self.space();
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break,
                    _ => return Err(self.fault("expected `,` or `}`", "separate fields with commas")),
                }
                self.space();
            }
        }
        self.at += 1;
        self.steps.pop();
        let mut faults = std::mem::take(&mut self.faults);
        duplicates(&entries, || self.path(), &mut faults);
        self.faults = faults;
        Ok(NodeKind::Mapping(entries))
    }

    fn number(&mut self) -> Result<NodeKind<'t>, Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')) {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        if is_number(text) {
            return Ok(NodeKind::Scalar { text: Cow::Borrowed(text), quoted: false });
        }
        self.at = start;
        Err(self.fault("this is no number", "quote it if it is text"))
    }

    fn word(&mut self) -> Result<NodeKind<'t>, Fault> {
        for word in ["true", "false", "null"] {
            if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(NodeKind::Scalar { text: Cow::Borrowed(word), quoted: false });
            }
        }
        Err(self.fault("expected a value", "quote text, and leave no comma after the last entry"))
    }

    fn string(&mut self) -> Result<Cow<'t, str>, Fault> {
        self.at += 1;
        let text = self.text;
        let mut start = self.at;
        let mut owned: Option<String> = None;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let tail = &text[start..self.at];
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(tail),
                        Some(mut owned) => {
                            owned.push_str(tail);
                            Cow::Owned(owned)
                        }
                    });
                }
                Some(b'\\') => {
                    let owned = owned.get_or_insert_default();
                    owned.push_str(&text[start..self.at]);
                    let Some(c) = self.escape() else {
                        return Err(self.fault("unknown escape in a string", "write a backslash as `\\\\`"));
                    };
                    owned.push(c);
                    start = self.at;
                }
                None | Some(0..=0x1F) => {
                    return Err(self.fault("a string is not closed", "end it with `\"` on the same line"));
                }
                Some(_) => {
                    let rest = &text.as_bytes()[self.at..];
                    let plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..=0x1F);
                    self.at += rest.iter().take_while(plain).count();
                }
            }
        }
    }

    /// Reads the escape at the backslash; stays there when it is none.
    fn escape(&mut self) -> Option<char> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        let simple = match rest.first()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = hex4(rest.get(1..5)?)?;
                if let Some(c) = char::from_u32(high) {
                    self.at += 6;
                    return Some(c);
                }
                let low = match (rest.get(5..7)?, hex4(rest.get(7..11)?)?) {
                    (b"\\u", low @ 0xDC00..=0xDFFF) if high < 0xDC00 => low,
                    _ => return None,
                };
                self.at += 12;
                return char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
            }
            _ => return None,
        };
        self.at += 2;
        Some(simple)
    }
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

/// RFC 8259, section 6.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(node: &Node<'_>) -> serde_json::Value {
        match &node.kind {
            NodeKind::Scalar { text, quoted: true } => text.as_ref().into(),
            NodeKind::Scalar { text, quoted: false } => serde_json::from_str(text).expect("a JSON word"),
            NodeKind::Sequence(items) => items.iter().map(value).collect(),
            NodeKind::Mapping(entries) => serde_json::Value::Object(
                entries.iter().map(|e| (e.key.to_string(), value(&e.value))).collect(),
            ),
        }
    }

    fn agrees_with_serde_json(text: &str) {
        let ours = parse_json(text, 1);
        match serde_json::from_str::<serde_json::Value>(text) {
            Ok(theirs) => {
                assert!(!ours.broken, "{text:?} {:?}", ours.faults);
                assert_eq!(value(&ours.documents[0]), theirs, "{text:?}");
            }
            Err(_) => assert!(ours.broken || ours.documents.len() != 1, "{text:?}"),
        }
    }

    #[test]
    fn texts_of_every_form_are_read_as_serde_json_reads_them() {
        for text in [
            "{}",
            "[]",
            " {\t\"a\" :\r\n 1 , \"b\":[true,false,null] } ",
            "\"\\u00e9\\ud83d\\ude00\\n\\/\\\\\\\"\"",
            "\"\\ud83d\"",
            "\"\\ud83dx\"",
            "\"\\ude00\\ud83d\"",
            "\"\\x\"",
            "\"a\nb\"",
            "-0.5e+10",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "[1,]",
            "[1 2]",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\" 1}",
            "tru",
            "",
            "[",
            "\"",
            "\"\\u12",
        ] {
            agrees_with_serde_json(text);
        }
    }

    #[test]
    fn nodes_know_line_and_column_in_characters() {
        let parsed = parse_json("{\"é\": \"ß\",\n\t\"b\": [10,\r\n  20]}", 7);
        let NodeKind::Mapping(entries) = &parsed.documents[0].kind else { panic!("a mapping") };
        assert_eq!((entries[0].line, entries[0].column), (7, 2));
        assert_eq!((entries[0].value.line, entries[0].value.column), (7, 7));
        assert_eq!((entries[1].line, entries[1].column), (8, 2));
        let NodeKind::Sequence(items) = &entries[1].value.kind else { panic!("a list") };
        assert_eq!((items[1].line, items[1].column), (9, 3));
    }

    #[test]
    fn a_broken_text_names_the_field_and_the_place() {
        let fault = parse_json("{\"spec\": {\"a\": [1, x]}}", 1).faults.remove(0);
        assert_eq!((fault.field.as_str(), fault.line, fault.column), ("spec.a[1]", 1, 20));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_as_serde_json_reads_it(text in "[\\[\\]{}\",:\\\\u0-9a-f .eE+\\-tn]{0,24}") {
            agrees_with_serde_json(&text);
        }
    }
}
