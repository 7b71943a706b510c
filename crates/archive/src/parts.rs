//! Columns that flows and totals share: a reason's.
//!
//! Values go through their JSON form, whose names are the project's own, once for each value that differs.

use std::sync::Arc;

use podgate_flow::Reason;
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::table::{Column, Kind, NO_TEXT, Table};

/// How many columns a reason takes.
pub(crate) const REASON_WIDTH: usize = 9;
/// Where the rule's number is among them.
const RULE: usize = 6;
const REASON_COLUMNS: [&str; REASON_WIDTH] =
    ["reason", "policy_kind", "policy_namespace", "policy", "tier", "list", "rule", "written", "isolated_by"];

/// The columns of what decided in a direction.
pub(crate) fn reason_columns(direction: &str) -> impl Iterator<Item = Column> {
    REASON_COLUMNS.into_iter().map(move |name| {
        let kind = match name {
            "rule" => Kind::Number(32),
            "isolated_by" => Kind::Json,
            _ => Kind::Text,
        };
        Column::optional(format!("{direction}_{name}"), kind)
    })
}

/// A value's columns: texts by number, and at most one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cells<const WIDTH: usize> {
    texts: [u32; WIDTH],
    number: Option<i64>,
}

impl<const WIDTH: usize> Cells<WIDTH> {
    pub const NONE: Self = Cells { texts: [NO_TEXT; WIDTH], number: None };

    /// The cells of a row.
    pub fn read(table: &Table, at: usize, row: usize, number: Option<usize>) -> Self {
        let texts = std::array::from_fn(|i| table.text_number(at + i, row));
        Cells { texts, number: number.and_then(|number| table.value(at + number, row)) }
    }

    /// The cells of texts.
    pub fn of_texts(table: &mut Table, at: usize, texts: [Option<&str>; WIDTH]) -> Self {
        let mut cells = Self::NONE;
        for (i, text) in texts.into_iter().enumerate() {
            cells.texts[i] = table.number(at + i, text);
        }
        cells
    }

    /// Adds them to a row.
    pub fn push(&self, table: &mut Table, at: usize, number: Option<usize>) {
        for (i, text) in self.texts.iter().enumerate() {
            match number == Some(i) {
                true => table.push_number(at + i, self.number),
                false => table.push_number_of_text(at + i, *text),
            }
        }
    }
}

/// Reasons on their way into a table, each turned into cells once. Valid as long as the reasons live.
#[derive(Debug, Default)]
pub(crate) struct ReasonsIn(FxHashMap<(usize, usize), Cells<REASON_WIDTH>>);

impl ReasonsIn {
    pub fn push(&mut self, table: &mut Table, at: usize, reason: Option<&Arc<Reason>>) {
        let cells = match reason {
            None => Cells::NONE,
            Some(reason) => *self
                .0
                .entry((Arc::as_ptr(reason) as usize, at))
                .or_insert_with(|| cells_of_reason(table, at, reason)),
        };
        cells.push(table, at, Some(RULE));
    }
}

fn cells_of_reason(table: &mut Table, at: usize, reason: &Reason) -> Cells<REASON_WIDTH> {
    let value = serde_json::to_value(reason).unwrap_or_default();
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let isolated_by = value.get("policies").map(Value::to_string);
    let texts = [
        text(&value["reason"]),
        text(&value["policy"]["kind"]),
        text(&value["policy"]["namespace"]),
        text(&value["policy"]["name"]),
        // Left out of the JSON where it is a NetworkPolicy's, and a column should have no riddles.
        text(&value["tier"]).or_else(|| value.get("rule").map(|_| "NetworkPolicy".to_owned())),
        text(&value["list"]),
        None,
        text(&value["written"]),
        isolated_by,
    ];
    let mut cells = Cells::of_texts(table, at, texts.each_ref().map(Option::as_deref));
    cells.number = value["rule"].as_i64();
    cells
}

/// Reasons on their way out of a table.
#[derive(Debug, Default)]
pub(crate) struct ReasonsOut(FxHashMap<(usize, Cells<REASON_WIDTH>), Arc<Reason>>);

impl ReasonsOut {
    /// The reason in a row; none where there was nothing to decide.
    pub fn read(&mut self, table: &Table, at: usize, row: usize) -> Result<Option<Arc<Reason>>, String> {
        let Some(word) = table.text(at, row) else { return Ok(None) };
        let cells = Cells::read(table, at, row, Some(RULE));
        if let Some(reason) = self.0.get(&(at, cells)) {
            return Ok(Some(reason.clone()));
        }
        let mut value = object([("reason", Some(word))]);
        if table.text(at + 3, row).is_some() {
            let part = |i: usize| Some(table.text(at + i, row).unwrap_or_default());
            let policy = object([("kind", part(1)), ("namespace", part(2)), ("name", part(3))]);
            value.insert("policy".to_owned(), policy.into());
        }
        for (i, name) in [(4, "tier"), (5, "list"), (7, "written")] {
            value.extend(object([(name, table.text(at + i, row))]));
        }
        if let Some(rule) = table.value(at + RULE, row) {
            value.insert("rule".to_owned(), rule.into());
        }
        if let Some(policies) = table.text(at + 8, row) {
            value.insert("policies".to_owned(), json(policies)?);
        }
        let reason: Arc<Reason> = Arc::new(typed("reason", value.into())?);
        self.0.insert((at, cells), reason.clone());
        Ok(Some(reason))
    }
}

/// The fields that have a value.
pub(crate) fn object<const N: usize>(fields: [(&str, Option<&str>); N]) -> Map<String, Value> {
    let present = fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
    present.collect()
}

/// A value from its JSON form.
pub(crate) fn typed<T: DeserializeOwned>(what: &str, value: Value) -> Result<T, String> {
    let shown = value.to_string();
    serde_json::from_value(value).map_err(|error| format!("{shown} is no {what}: {error}"))
}

/// A value from its JSON text.
pub(crate) fn json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{text} can't be read: {error}"))
}

/// A value that is written as one word, from that word.
pub(crate) fn word<T: DeserializeOwned>(what: &str, word: Option<&str>) -> Result<T, String> {
    typed(what, Value::from(word.unwrap_or_default()))
}
