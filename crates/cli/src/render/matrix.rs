//! Truth tables as text, CSV, Markdown and HTML.

use std::fmt::Write;

use podgate_analysis::matrix::Matrix;
use podgate_analysis::reach::names::Ends;

use super::csv;
use super::reach::MOST_NAMES;
use crate::style::{BOLD, FAINT, GOOD};

/// `all`, a letter for other port sets, `.` for none, `-` for a pod and itself.
fn symbol(matrix: &Matrix, cell: Option<usize>) -> String {
    match cell {
        None => "-".to_owned(),
        Some(0) => ".".to_owned(),
        Some(at) if is_all(matrix, at) => "*".to_owned(),
        Some(at) => letter((1..at).filter(|at| !is_all(matrix, *at)).count()),
    }
}

fn is_all(matrix: &Matrix, at: usize) -> bool {
    let verdict = &matrix.verdicts[at];
    verdict.ports.0.is_all() && verdict.ipv6.is_none()
}

/// `A` to `Z`, then `AA`.
fn letter(number: usize) -> String {
    let last = char::from(b'A' + (number % 26) as u8);
    if number < 26 { last.to_string() } else { format!("{}{last}", letter(number / 26 - 1)) }
}

fn ports(matrix: &Matrix, at: usize) -> String {
    let verdict = &matrix.verdicts[at];
    match &verdict.ipv6 {
        None => verdict.ports.to_string(),
        Some(v6) => format!("IPv4 {}; IPv6 {v6}", verdict.ports),
    }
}

/// What each symbol stands for.
fn legend(matrix: &Matrix) -> Vec<(String, String)> {
    let used =
        (0..matrix.verdicts.len()).filter(|at| matrix.cells.iter().flatten().any(|cell| *cell == Some(*at)));
    used.map(|at| {
        let meaning = match at {
            0 => "nothing".to_owned(),
            at if is_all(matrix, at) => "all ports".to_owned(),
            at => ports(matrix, at),
        };
        (symbol(matrix, Some(at)), meaning)
    })
    .collect()
}

/// A table with numbered columns; lines have the same numbers.
pub fn text(matrix: &Matrix) -> String {
    let mut ends: Vec<&Ends> = matrix.sources.iter().collect();
    ends.extend(matrix.destinations.iter().filter(|end| !matrix.sources.contains(end)));
    let number = |end: &Ends| ends.iter().position(|known| *known == end).map_or(0, |at| at + 1);
    let names: Vec<String> = matrix.sources.iter().map(|end| end.text(MOST_NAMES)).collect();
    let label = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let digits = ends.len().to_string().len();
    let symbols = matrix.cells.iter().flatten().map(|cell| symbol(matrix, *cell).len());
    let width = symbols.max().unwrap_or(1).max(digits);
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = write!(out, "{:1$}", "", digits + 1 + label);
    for end in &matrix.destinations {
        let _ = write!(out, "  {BOLD}{:>width$}{BOLD:#}", number(end));
    }
    out.push('\n');
    for ((end, name), cells) in matrix.sources.iter().zip(&names).zip(&matrix.cells) {
        let _ = write!(out, "{BOLD}{:>digits$}{BOLD:#} {name:label$}", number(end));
        for cell in cells {
            let text = format!("{:>width$}", symbol(matrix, *cell));
            let _ = match cell {
                Some(0) | None => write!(out, "  {FAINT}{text}{FAINT:#}"),
                Some(_) => write!(out, "  {GOOD}{text}{GOOD:#}"),
            };
        }
        out.push('\n');
    }
    for end in matrix.destinations.iter().filter(|end| !matrix.sources.contains(end)) {
        let _ = writeln!(out, "{BOLD}{:>digits$}{BOLD:#} {}", number(end), end.text(MOST_NAMES));
    }
    out.push('\n');
    out.push_str("From each line to each column:\n");
    for (symbol, meaning) in legend(matrix) {
        let _ = writeln!(out, "  {symbol:width$}  {meaning}");
    }
    out
}

fn cell_text(matrix: &Matrix, cell: Option<usize>) -> String {
    cell.map_or_else(|| "-".to_owned(), |at| ports(matrix, at))
}

/// A line for each source, a column for each destination.
pub fn csv(matrix: &Matrix) -> String {
    let head =
        std::iter::once("from".to_owned()).chain(matrix.destinations.iter().map(|end| end.text(usize::MAX)));
    let mut out = csv::row(&head.collect::<Vec<_>>());
    for (source, cells) in matrix.sources.iter().zip(&matrix.cells) {
        let cells = cells.iter().map(|cell| cell_text(matrix, *cell));
        let row: Vec<String> = std::iter::once(source.text(usize::MAX)).chain(cells).collect();
        out.push_str(&csv::row(&row));
    }
    out
}

/// A Markdown table with the legend below.
pub fn markdown(matrix: &Matrix) -> String {
    let names: Vec<String> =
        matrix.destinations.iter().map(|end| csv::escaped(&end.text(MOST_NAMES))).collect();
    let head: Vec<&str> = std::iter::once("from \\ to").chain(names.iter().map(String::as_str)).collect();
    let row = |(source, cells): (&Ends, &Vec<Option<usize>>)| {
        let cells = cells.iter().map(|cell| symbol(matrix, *cell));
        std::iter::once(source.text(MOST_NAMES)).chain(cells).collect::<Vec<String>>()
    };
    let rows: Vec<Vec<String>> = matrix.sources.iter().zip(&matrix.cells).map(row).collect();
    let mut out = csv::markdown(&head, &rows);
    out.push('\n');
    for (symbol, meaning) in legend(matrix) {
        let _ = writeln!(out, "- `{symbol}` {meaning}");
    }
    out
}

const PAGE_STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2733; --faint: #8a97a5; --line: #d9e0e7; --ground: #fff; --yes: #d7f0dd; --all: #fbe3c0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #dbe4ec; --faint: #7b8894; --line: #2c3742; --ground: #12181f; --yes: #1d4530; --all: #57401c; }
}
body { font: 14px/1.4 system-ui, sans-serif; color: var(--ink); background: var(--ground); margin: 2rem; }
table { border-collapse: collapse; }
th, td { border: 1px solid var(--line); padding: .25rem .5rem; }
thead th { vertical-align: bottom; } thead th span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; }
tbody th { text-align: left; font-weight: 500; white-space: nowrap; }
td { text-align: center; color: var(--faint); }
td.some { background: var(--yes); color: var(--ink); } td.all { background: var(--all); color: var(--ink); }
tbody tr:hover th, tbody tr:hover td { outline: 1px solid var(--faint); }
";

/// A page that needs nothing else.
pub fn html(matrix: &Matrix) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Who reaches whom</title>\n\
         <style>{PAGE_STYLE}</style>\n<table>\n<thead><tr><th>from \\ to</th>"
    );
    for end in &matrix.destinations {
        let _ = write!(out, "<th><span>{}</span></th>", markup(&end.text(MOST_NAMES)));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (source, cells) in matrix.sources.iter().zip(&matrix.cells) {
        let _ = write!(out, "<tr><th>{}</th>", markup(&source.text(MOST_NAMES)));
        for (cell, destination) in cells.iter().zip(&matrix.destinations) {
            let class = match cell {
                None | Some(0) => "",
                Some(at) if is_all(matrix, *at) => " class=\"all\"",
                Some(_) => " class=\"some\"",
            };
            let title = format!(
                "{} → {}: {}",
                source.text(MOST_NAMES),
                destination.text(MOST_NAMES),
                cell_text(matrix, *cell)
            );
            let _ = write!(out, "<td{class} title=\"{}\">{}</td>", markup(&title), symbol(matrix, *cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n<ul>\n");
    for (symbol, meaning) in legend(matrix) {
        let _ = writeln!(out, "<li><b>{symbol}</b> {}</li>", markup(&meaning));
    }
    out.push_str("</ul>\n</html>\n");
    out
}

/// Text as HTML and SVG have it.
pub fn markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
