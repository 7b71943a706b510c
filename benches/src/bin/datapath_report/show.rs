//! Numbers and Markdown tables.

use std::io::{self, Write};
use std::time::Duration;

/// A Markdown table, printed as it grows.
pub struct Table<'a, W: Write>(&'a mut W);

impl<'a, W: Write> Table<'a, W> {
    pub fn new(out: &'a mut W, first: &str, titles: &[&str]) -> io::Result<Self> {
        writeln!(out, "| {first} | {} |", titles.join(" | "))?;
        writeln!(out, "|---|{}", "---:|".repeat(titles.len()))?;
        Ok(Table(out))
    }

    pub fn row(&mut self, first: &str, cells: impl IntoIterator<Item = String>) -> io::Result<()> {
        let cells: Vec<String> = cells.into_iter().collect();
        writeln!(self.0, "| {first} | {} |", cells.join(" | "))
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which a share of the values lies; NaN when there are none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let values = sorted(values);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

pub fn median(values: &[f64]) -> f64 {
    let values = sorted(values);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}

/// Between which the middle half lies.
pub fn quartiles(values: &[f64]) -> (f64, f64) {
    (quantile(values, 0.25), quantile(values, 0.75))
}

/// A whole number with commas.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_ordered() {
        assert_eq!(grouped(1_234_567.4), "1,234,567");
        assert_eq!(grouped(12.0), "12");
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
        assert_eq!(quartiles(&[1.0, 2.0, 3.0, 4.0]), (2.0, 4.0));
    }
}
