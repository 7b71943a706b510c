//! Results of connectivity tests: text, TAP, JUnit XML, SARIF.

use std::fmt::Write;

use podgate_analysis::expectations::{CaseReport, CaseResult, TestReport};
use podgate_analysis::why::Group;
use podgate_api::Expect;

use super::sarif::{self, SarifResult, SarifRule};
use super::why::{explanation, names};
use crate::style::{BAD, BOLD, FAINT, GOOD, WARN};

/// Groups of connections that are named for a failure.
const MOST_GROUPS: usize = 5;

/// For people: a line for each case, failures with their reason.
pub fn text(report: &TestReport) -> String {
    let mut out = String::new();
    let width = report.cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0).min(70);
    for case in &report.cases {
        let (style, word) = match case.result {
            CaseResult::Passed => (GOOD, "pass"),
            CaseResult::Failed => (BAD, "FAIL"),
            CaseResult::Error => (BAD, "ERROR"),
        };
        let _ = writeln!(out, "{style}{word:5}{style:#} {:width$}  {FAINT}{}{FAINT:#}", case.name, case.at);
        match case.result {
            CaseResult::Passed => {}
            CaseResult::Error => {
                let _ = writeln!(out, "      {}", case.error.as_deref().unwrap_or_default());
            }
            CaseResult::Failed => failure(&mut out, case),
        }
        for note in &case.notes {
            let _ = writeln!(out, "      {FAINT}note: {note}{FAINT:#}");
        }
    }
    let _ = writeln!(out, "{BOLD}{}{BOLD:#}", summary(report));
    out
}

fn failure(out: &mut String, case: &CaseReport) {
    let _ = writeln!(out, "      {}", message(case));
    for group in case.connections.iter().take(MOST_GROUPS) {
        let _ = writeln!(out, "        {}", connections(case.expect, group));
    }
    let more = case.more_connections + case.connections.len().saturating_sub(MOST_GROUPS);
    if more > 0 {
        let _ = writeln!(out, "        {WARN}and {more} more groups{WARN:#}");
    }
    for explained in &case.explanations {
        let mut chain = String::new();
        explanation(&mut chain, explained);
        for line in chain.lines() {
            let _ = writeln!(out, "      {line}");
        }
    }
}

/// `3 tests: 1 passed, 1 failed, 1 means nothing here`.
pub fn summary(report: &TestReport) -> String {
    let total = report.cases.len();
    let mut parts = vec![format!("{} passed", report.passed)];
    if report.failed > 0 {
        parts.push(format!("{} failed", report.failed));
    }
    if report.errors > 0 {
        parts.push(format!("{} could not be judged", report.errors));
    }
    format!("{total} {}: {}", if total == 1 { "expectation" } else { "expectations" }, parts.join(", "))
}

/// What went wrong, in a sentence.
fn message(case: &CaseReport) -> String {
    if let Some(error) = &case.error {
        return error.clone();
    }
    let (expected, is) = match case.expect {
        Expect::Allowed => ("allowed", "denied"),
        Expect::Denied => ("denied", "allowed"),
    };
    match (case.wrong, case.pairs) {
        (1, 1) => format!("expected {expected}, and it is {is}"),
        (wrong, pairs) => format!("expected {expected}, and {wrong} of {pairs} pairs are {is}"),
    }
}

fn connections(expect: Expect, group: &Group) -> String {
    let ports = match expect {
        Expect::Allowed => &group.denied,
        Expect::Denied => &group.allowed,
    };
    let family = group.family.map(|family| format!(" ({family})")).unwrap_or_default();
    format!("{} -> {}: {ports}{family}", names(&group.from, group.more_from), names(&group.to, group.more_to))
}

/// Everything about a failure, without colours.
fn details(case: &CaseReport) -> String {
    let mut out = String::new();
    for group in case.connections.iter().take(MOST_GROUPS) {
        let _ = writeln!(out, "{}", connections(case.expect, group));
    }
    for explained in &case.explanations {
        explanation(&mut out, explained);
    }
    anstream::adapter::strip_str(&out).to_string()
}

/// TAP version 14.
pub fn tap(report: &TestReport) -> String {
    let mut out = format!("TAP version 14\n1..{}\n", report.cases.len());
    for (at, case) in report.cases.iter().enumerate() {
        let ok = if case.result == CaseResult::Passed { "ok" } else { "not ok" };
        // A `#` would start a directive.
        let name = case.name.replace('\\', "\\\\").replace('#', "\\#");
        let _ = writeln!(out, "{ok} {} - {}", at + 1, name.replace(char::is_control, " "));
        if case.result == CaseResult::Passed {
            continue;
        }
        let _ = writeln!(out, "  ---\n  message: {}\n  at: {}", quoted(&message(case)), quoted(&case.at));
        let details = details(case);
        if !details.is_empty() {
            out.push_str("  details: |\n");
            details.lines().for_each(|line| {
                let _ = writeln!(out, "    {line}");
            });
        }
        out.push_str("  ...\n");
    }
    out
}

/// A YAML scalar in quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace(char::is_control, " "))
}

/// JUnit XML: a suite for each test, a test case for each expectation.
pub fn junit(report: &TestReport) -> String {
    let totals = |cases: &[&CaseReport]| {
        let count = |wanted: CaseResult| cases.iter().filter(|case| case.result == wanted).count();
        format!(
            r#"tests="{}" failures="{}" errors="{}""#,
            cases.len(),
            count(CaseResult::Failed),
            count(CaseResult::Error)
        )
    };
    let all: Vec<&CaseReport> = report.cases.iter().collect();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites {}>", totals(&all));
    for suite in all.chunk_by(|a, b| a.test == b.test && a.file == b.file) {
        let name = escaped(&suite[0].test);
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}\" file=\"{}\" {}>",
            escaped(&suite[0].file),
            totals(suite)
        );
        for case in suite {
            let _ = write!(
                xml,
                "    <testcase classname=\"{name}\" name=\"{}\" file=\"{}\" line=\"{}\"",
                escaped(&case.name),
                escaped(&case.file),
                case.line
            );
            let element = match case.result {
                CaseResult::Passed => {
                    xml.push_str("/>\n");
                    continue;
                }
                CaseResult::Failed => "failure",
                CaseResult::Error => "error",
            };
            let (message, details) = (escaped(&message(case)), escaped(&details(case)));
            let _ = writeln!(
                xml,
                ">\n      <{element} message=\"{message}\">{details}</{element}>\n    </testcase>"
            );
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
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
            '\n' => out.push('\n'),
            // XML 1.0 has no way to write other control characters.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// SARIF: a result for each expectation that does not hold, at its place in the test file.
pub fn sarif(report: &TestReport) -> serde_json::Value {
    let rules = [
        SarifRule {
            id: "expectation-failed".to_owned(),
            description: "A connection is not as the test expects".to_owned(),
            help: "Change the policy that the message names, or the expectation.".to_owned(),
            help_uri: String::new(),
        },
        SarifRule {
            id: "expectation-about-nothing".to_owned(),
            description: "An expectation names something that does not exist".to_owned(),
            help: "An expectation about nothing can't hold: mend the name or remove the expectation."
                .to_owned(),
            help_uri: String::new(),
        },
    ];
    let failed = report.cases.iter().filter(|case| case.result != CaseResult::Passed);
    let results: Vec<SarifResult> = failed
        .map(|case| {
            let mut message = format!("{}: {}", case.name, self::message(case));
            let details = details(case);
            if !details.is_empty() {
                let _ = write!(message, "\n{}", details.trim_end());
            }
            let rule = if case.result == CaseResult::Failed { &rules[0] } else { &rules[1] };
            SarifResult {
                rule: rule.id.clone(),
                level: "error",
                message,
                file: case.file.clone(),
                line: case.line,
                column: 0,
                fingerprint: format!("{}/{}", case.test, case.name),
            }
        })
        .collect();
    sarif::log(&rules, &results)
}
