//! Columns in memory: what a segment's row group holds.

use parquet::data_type::ByteArray;
use rustc_hash::FxHashMap;

/// What a column holds, and so which type it has in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text, few different ones.
    Text,
    /// JSON text.
    Json,
    /// An unsigned number of so many bits: 8, 16, 32 or 64.
    Number(u8),
    /// Microseconds since the epoch, UTC.
    Time,
    /// True or false.
    Flag,
    /// 16 bytes, shown as a UUID.
    Id,
}

/// A column's name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: String,
    pub kind: Kind,
    /// Every row has a value.
    pub required: bool,
}

impl Column {
    pub fn required(name: impl Into<String>, kind: Kind) -> Column {
        Column { name: name.into(), kind, required: true }
    }

    pub fn optional(name: impl Into<String>, kind: Kind) -> Column {
        Column { name: name.into(), kind, required: false }
    }
}

/// No value. Texts are numbered from 0 on, and numbers that may be absent have at most 32 bits.
pub(crate) const NO_TEXT: u32 = u32::MAX;
/// No value in a column of numbers.
pub(crate) const NO_NUMBER: i64 = i64::MIN;

/// Texts, each once, and the rows that hold them by number.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pub rows: Vec<u32>,
    texts: Vec<ByteArray>,
    numbers: FxHashMap<Box<[u8]>, u32>,
}

impl Texts {
    /// The number of a text.
    pub fn number(&mut self, text: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        self.add(ByteArray::from(text.to_vec()))
    }

    /// The number of a text of another table.
    fn number_of(&mut self, text: &ByteArray) -> u32 {
        match self.numbers.get(text.data()) {
            Some(number) => *number,
            None => self.add(text.clone()),
        }
    }

    fn add(&mut self, text: ByteArray) -> u32 {
        let number = self.texts.len() as u32;
        self.numbers.insert(text.data().into(), number);
        self.texts.push(text);
        number
    }

    /// The text with a number.
    pub fn bytes(&self, number: u32) -> Option<&ByteArray> {
        self.texts.get(number as usize)
    }
}

/// The values of a column.
#[derive(Debug)]
pub(crate) enum Values {
    Texts(Texts),
    Numbers(Vec<i64>),
    Ids(Vec<u128>),
}

/// Rows, column by column.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub columns: Vec<Values>,
}

impl Table {
    pub fn new(schema: &[Column]) -> Table {
        let values = |column: &Column| match column.kind {
            Kind::Text | Kind::Json => Values::Texts(Texts::default()),
            Kind::Number(_) | Kind::Time | Kind::Flag => Values::Numbers(Vec::new()),
            Kind::Id => Values::Ids(Vec::new()),
        };
        Table { columns: schema.iter().map(values).collect() }
    }

    /// How many rows there are; columns have equally many.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| match column {
            Values::Texts(texts) => texts.rows.len(),
            Values::Numbers(numbers) => numbers.len(),
            Values::Ids(ids) => ids.len(),
        })
    }

    pub fn texts(&mut self, column: usize) -> &mut Texts {
        match &mut self.columns[column] {
            Values::Texts(texts) => texts,
            other => unreachable!("column {column} holds {other:?}, no texts"),
        }
    }

    /// The number of a text in a column, or of none.
    pub fn number(&mut self, column: usize, text: Option<&str>) -> u32 {
        text.map_or(NO_TEXT, |text| self.texts(column).number(text.as_bytes()))
    }

    pub fn push_number_of_text(&mut self, column: usize, number: u32) {
        self.texts(column).rows.push(number);
    }

    pub fn push_text(&mut self, column: usize, text: Option<&str>) {
        let number = self.number(column, text);
        self.push_number_of_text(column, number);
    }

    pub fn push_number(&mut self, column: usize, number: impl Into<Option<i64>>) {
        match &mut self.columns[column] {
            Values::Numbers(numbers) => numbers.push(number.into().unwrap_or(NO_NUMBER)),
            other => unreachable!("column {column} holds {other:?}, no numbers"),
        }
    }

    pub fn push_id(&mut self, column: usize, id: u128) {
        match &mut self.columns[column] {
            Values::Ids(ids) => ids.push(id),
            other => unreachable!("column {column} holds {other:?}, no ids"),
        }
    }

    /// The text in a row.
    pub fn text(&self, column: usize, row: usize) -> Option<&str> {
        match &self.columns[column] {
            Values::Texts(texts) => texts.bytes(texts.rows[row]).and_then(|text| text.as_utf8().ok()),
            _ => None,
        }
    }

    /// The text in a row by number, for telling texts apart.
    pub fn text_number(&self, column: usize, row: usize) -> u32 {
        match &self.columns[column] {
            Values::Texts(texts) => texts.rows[row],
            _ => NO_TEXT,
        }
    }

    /// The number in a row.
    pub fn value(&self, column: usize, row: usize) -> Option<i64> {
        match &self.columns[column] {
            Values::Numbers(numbers) => Some(numbers[row]).filter(|number| *number != NO_NUMBER),
            _ => None,
        }
    }

    /// The id in a row.
    pub fn id(&self, column: usize, row: usize) -> u128 {
        match &self.columns[column] {
            Values::Ids(ids) => ids[row],
            _ => 0,
        }
    }

    /// Adds the rows of another table of the same columns.
    pub fn append(&mut self, other: Table) {
        for (column, other) in self.columns.iter_mut().zip(other.columns) {
            match (column, other) {
                (Values::Texts(texts), Values::Texts(other)) => {
                    let numbers: Vec<u32> = other.texts.iter().map(|text| texts.number_of(text)).collect();
                    let renumber = |number: u32| numbers.get(number as usize).copied().unwrap_or(NO_TEXT);
                    texts.rows.extend(other.rows.into_iter().map(renumber));
                }
                (Values::Numbers(numbers), Values::Numbers(other)) => numbers.extend(other),
                (Values::Ids(ids), Values::Ids(other)) => ids.extend(other),
                (column, _) => unreachable!("tables of different columns: {column:?}"),
            }
        }
    }

    /// The texts in a column, each once.
    pub fn distinct(&self, column: usize) -> impl Iterator<Item = &str> {
        let texts = match &self.columns[column] {
            Values::Texts(texts) => texts.texts.as_slice(),
            _ => &[],
        };
        texts.iter().filter_map(|text| text.as_utf8().ok())
    }

    /// Puts the rows in the order of these columns, the first one first. Texts are ordered as they came first.
    pub fn sort_by(&mut self, columns: &[usize]) {
        let key = |column: usize, row: u32| match &self.columns[column] {
            Values::Texts(texts) => i64::from(texts.rows[row as usize]),
            Values::Numbers(numbers) => numbers[row as usize],
            Values::Ids(_) => 0,
        };
        let mut order: Vec<u32> = (0..self.rows() as u32).collect();
        let compare = |a: &u32, b: &u32| {
            let differ = columns.iter().map(|column| key(*column, *a).cmp(&key(*column, *b)));
            differ.into_iter().find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        };
        if order.is_sorted_by(|a, b| compare(a, b).is_le()) {
            return;
        }
        order.sort_by(compare);
        for column in &mut self.columns {
            match column {
                Values::Texts(texts) => texts.rows = picked(&texts.rows, &order),
                Values::Numbers(numbers) => *numbers = picked(numbers, &order),
                Values::Ids(ids) => *ids = picked(ids, &order),
            }
        }
    }
}

fn picked<T: Copy>(values: &[T], order: &[u32]) -> Vec<T> {
    order.iter().map(|row| values[*row as usize]).collect()
}
