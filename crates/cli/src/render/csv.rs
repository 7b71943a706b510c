//! Comma-separated values and Markdown tables.

/// A line of comma-separated values, quoted where they need it.
pub fn row<T: AsRef<str>>(cells: &[T]) -> String {
    let quoted = |cell: &T| {
        let cell = cell.as_ref();
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.to_owned()
        }
    };
    cells.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

/// A Markdown table.
pub fn markdown<T: AsRef<str>>(head: &[&str], rows: &[Vec<T>]) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(head.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell.as_ref())).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

/// Text that Markdown shows as it is: names such as `shop/*` would begin emphasis.
pub fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('*', "\\*").replace('_', "\\_").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_need_it_are_quoted() {
        assert_eq!(row(&["a", "b,c", "say \"hi\""]), "a,\"b,c\",\"say \"\"hi\"\"\"\n");
    }

    #[test]
    fn markdown_shows_names_as_they_are() {
        assert_eq!(
            markdown(&["a", "b"], &[vec!["x|y", "shop/*"]]),
            "| a | b |\n| --- | --- |\n| x\\|y | shop/\\* |\n"
        );
    }
}
