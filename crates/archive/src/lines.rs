//! Rows as lines of JSON, for databases that take and give them so. Columns are those of the files.

use std::io::Write as _;

use podgate_flow::{FlowId, Timestamp};
use serde_json::{Map, Value};

use crate::table::{Column, Kind, Table};

/// All rows, a line each. What a row doesn't have is left out.
pub(crate) fn write(schema: &[Column], table: &Table) -> Vec<u8> {
    let mut out = Vec::new();
    for row in 0..table.rows() {
        let mut before = b'{';
        for (at, column) in schema.iter().enumerate() {
            let mark = out.len();
            out.push(before);
            // Names are our own and need no quoting; writing to memory can't fail.
            let _ = write!(out, "\"{}\":", column.name);
            match cell(table, at, row, column.kind, &mut out) {
                true => before = b',',
                false => out.truncate(mark),
            }
        }
        out.extend(b"}\n");
    }
    out
}

/// Writes a value; returns whether there was one.
fn cell(table: &Table, at: usize, row: usize, kind: Kind, out: &mut Vec<u8>) -> bool {
    match kind {
        Kind::Text | Kind::Json => match table.text(at, row) {
            Some(text) => serde_json::to_writer(out, text).is_ok(),
            None => false,
        },
        Kind::Id => write!(out, "\"{}\"", FlowId(table.id(at, row))).is_ok(),
        Kind::Time => match table.value(at, row) {
            Some(micros) => write!(out, "\"{}\"", Timestamp(micros as u64 * 1000)).is_ok(),
            None => false,
        },
        Kind::Flag => match table.value(at, row) {
            Some(flag) => write!(out, "{}", flag != 0).is_ok(),
            None => false,
        },
        Kind::Number(_) => match table.value(at, row) {
            Some(number) => write!(out, "{}", number as u64).is_ok(),
            None => false,
        },
    }
}

/// The rows of lines; a value that a database has instead of none is none.
pub(crate) fn read(schema: &[Column], lines: &str) -> Result<Table, String> {
    let mut table = Table::new(schema);
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let row: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| format!("{line:.200} is no row: {error}"))?;
        for (at, column) in schema.iter().enumerate() {
            let value = row.get(&column.name).filter(|value| !value.is_null());
            let wrong = || format!("column {} holds {}", column.name, value.unwrap_or(&Value::Null));
            match column.kind {
                Kind::Text | Kind::Json => {
                    let text = value.map(|value| value.as_str().ok_or_else(wrong)).transpose()?;
                    table.push_text(at, text.filter(|text| column.required || !text.is_empty()));
                }
                Kind::Id => {
                    let id = value.and_then(Value::as_str).and_then(|text| text.parse::<FlowId>().ok());
                    table.push_id(at, id.ok_or_else(wrong)?.0);
                }
                Kind::Time => {
                    let time =
                        value.and_then(|value| serde_json::from_value::<Timestamp>(value.clone()).ok());
                    table.push_number(at, (time.ok_or_else(wrong)?.0 / 1000) as i64);
                }
                Kind::Flag => {
                    let flag = value.and_then(Value::as_bool).ok_or_else(wrong)?;
                    table.push_number(at, i64::from(flag));
                }
                Kind::Number(_) => {
                    let number =
                        value.map(|value| value.as_u64().ok_or_else(wrong)).transpose()?.map(|n| n as i64);
                    if number.is_none() && column.required {
                        return Err(wrong());
                    }
                    table.push_number(at, number);
                }
            }
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{minutes, records};
    use crate::{edges, flows};

    #[test]
    fn rows_come_back_from_their_lines() {
        let records = records(500);
        let lines = write(&flows::SCHEMA, &flows::rows(&records));
        let table = read(&flows::SCHEMA, std::str::from_utf8(&lines).unwrap()).unwrap();
        let mut back = flows::Records::default();
        for (row, record) in records.iter().enumerate() {
            assert_eq!(back.read(&table, row).unwrap(), **record);
        }
        let minutes = minutes(50, 2);
        let lines = write(&edges::SCHEMA, &edges::rows(&minutes));
        let table = read(&edges::SCHEMA, std::str::from_utf8(&lines).unwrap()).unwrap();
        let mut back = edges::Minutes::default();
        for (row, minute) in minutes.iter().enumerate() {
            assert_eq!(back.read(&table, row).unwrap(), **minute);
        }
    }

    #[test]
    fn a_row_with_a_wrong_value_is_refused_by_its_column() {
        let lines = write(&edges::SCHEMA, &edges::rows(&minutes(1, 1)));
        let line = String::from_utf8(lines).unwrap();
        for (from, to, told) in [
            ("\"port\":443", "\"port\":\"443\"", "column port holds \"443\""),
            ("\"port\":443,", "", "column port holds null"),
            ("\"minute\":\"2026", "\"minute\":\"soon", "column minute holds \"soon"),
            ("}", "", "is no row"),
        ] {
            let wrong = line.replacen(from, to, 1);
            assert_ne!(wrong, line);
            let refused = read(&edges::SCHEMA, &wrong).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
    }
}
