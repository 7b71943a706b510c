//! Text for people: colours where the terminal shows them, `NO_COLOR` respected.

use std::io::Write;

use anstyle::{AnsiColor, Style};

/// Titles.
pub const BOLD: Style = Style::new().bold();
/// What is good.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What is bad.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// What deserves a look.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// What matters less.
pub const FAINT: Style = Style::new().dimmed();

/// Prints a line on standard output. A reader that went away (`| head`) is no error.
pub fn line(text: &str) {
    let _ = writeln!(anstream::stdout(), "{text}");
}

/// Prints an error on standard error.
pub fn error(message: &str) {
    let _ = writeln!(anstream::stderr(), "{BAD}error:{BAD:#} {message}");
}

/// Prints a warning on standard error.
pub fn warning(message: &str) {
    let _ = writeln!(anstream::stderr(), "{WARN}warning:{WARN:#} {message}");
}

/// Prints a remark on standard error.
pub fn note(message: &str) {
    let _ = writeln!(anstream::stderr(), "{FAINT}{message}{FAINT:#}");
}

/// Prints a finding about the input on standard error, as it describes itself.
pub fn diagnostic(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Prints rows in columns as wide as their widest cell, after a bold head.
pub fn table(head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let aligned = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    line(&format!("{BOLD}{}{BOLD:#}", aligned(&mut head.iter().copied())));
    for row in rows {
        line(&aligned(&mut row.iter().map(String::as_str)));
    }
}
