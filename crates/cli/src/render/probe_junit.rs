//! A probe's result as JUnit XML, for systems that show test results.

use std::fmt::Write;

use podgate_lab::probe::ProbeReport;

use super::{attempt, expectation, measurement};

/// One test case for each attempt; those that differ from policy fail.
pub fn text(report: &ProbeReport) -> String {
    let (count, failures) = (report.cells.len(), report.differences().count());
    let totals = format!(r#"tests="{count}" failures="{failures}" time="{:.3}""#, report.seconds);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string can't fail.
    let _ = writeln!(xml, "<testsuites {totals}>\n  <testsuite name=\"{}\" {totals}>", escaped(&report.lab));
    for cell in &report.cells {
        let name = escaped(&attempt(report, cell));
        let class = escaped(&report.sources[cell.from].group);
        let _ = write!(xml, "    <testcase classname=\"{class}\" name=\"{name}\"");
        if cell.agrees() {
            xml.push_str("/>\n");
            continue;
        }
        let expected = escaped(&expectation(cell));
        let measured = escaped(&measurement(&cell.measured));
        let _ = writeln!(
            xml,
            ">\n      <failure message=\"expected {expected}, measured {measured}\"/>\n    </testcase>"
        );
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no way to write control characters.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::report;

    #[test]
    fn attempts_are_cases_and_differences_fail() {
        let xml = text(&report());
        let head: Vec<&str> = xml.lines().take(4).collect();
        assert_eq!(
            head,
            [
                r#"<?xml version="1.0" encoding="UTF-8"?>"#,
                r#"<testsuites tests="11" failures="1" time="1.250">"#,
                r#"  <testsuite name="lab" tests="11" failures="1" time="1.250">"#,
                r#"    <testcase classname="shop/web" name="shop/web-0 -&gt; shop/db-0 TCP 5432 (IPv4)"/>"#,
            ]
        );
        assert_eq!(xml.matches("<testcase").count(), 11);
        assert_eq!(xml.matches("<failure").count(), 1);
        assert!(xml.contains(
            "message=\"expected denied (egress not isolated; ingress isolated by shop/allow-web, \
             shop/default-deny), measured reached\""
        ));
    }

    #[test]
    fn names_can_not_break_out_of_their_quotes() {
        assert_eq!(escaped("a\"<b>&\u{1}c"), "a&quot;&lt;b&gt;&amp; c");
    }
}
