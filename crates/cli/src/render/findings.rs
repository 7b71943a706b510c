//! What `podgate check` found: text, JSON, SARIF, JUnit, Markdown, workflow commands.

mod snippets;

use std::fmt::Write;

use podgate_lint::baseline::Known;
use podgate_lint::{CHECKS, Finding, Severity};
use serde::Serialize;
use serde_json::{Value, json};

use super::sarif::{self, SarifResult, SarifRule};
use crate::input::count;

pub use snippets::text;

/// All that a run found.
#[derive(Debug, Default)]
pub struct Report {
    /// Findings that count.
    pub findings: Vec<Finding>,
    /// Findings that somebody decided to live with.
    pub ignored: Vec<Ignored>,
    /// What the baseline knows and is gone.
    pub stale: Vec<Known>,
    /// Policies that were looked at.
    pub policies: usize,
}

/// A finding that does not count.
#[derive(Debug, Serialize)]
pub struct Ignored {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// Where it was said.
    #[serde(rename = "ignoredBy")]
    pub by: String,
    /// Why.
    #[serde(rename = "ignoreReason")]
    pub reason: String,
}

impl Report {
    fn of(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// `2 errors, 1 warning in 12 policies (3 ignored)`.
    fn summary(&self) -> String {
        let parts: Vec<String> =
            [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Info, "info")]
                .into_iter()
                .filter(|(severity, _)| self.of(*severity) > 0)
                .map(|(severity, word)| match severity {
                    Severity::Info => format!("{} {word}", self.of(severity)),
                    _ => count(self.of(severity), word),
                })
                .collect();
        let found = if parts.is_empty() { "nothing found".to_owned() } else { parts.join(", ") };
        let policies =
            if self.policies == 1 { "1 policy".to_owned() } else { format!("{} policies", self.policies) };
        let ignored = match self.ignored.len() {
            0 => String::new(),
            ignored => format!(" ({ignored} ignored)"),
        };
        format!("{found} in {policies}{ignored}")
    }
}

/// The answer as data.
#[derive(Debug, Serialize)]
pub struct Data<'r> {
    version: u32,
    summary: Summary,
    findings: &'r [Finding],
    ignored: &'r [Ignored],
}

#[derive(Debug, Serialize)]
struct Summary {
    policies: usize,
    error: usize,
    warning: usize,
    info: usize,
    ignored: usize,
}

/// For programs. See docs/schema/check.schema.json.
pub fn data(report: &Report) -> Data<'_> {
    Data {
        version: 1,
        summary: Summary {
            policies: report.policies,
            error: report.of(Severity::Error),
            warning: report.of(Severity::Warning),
            info: report.of(Severity::Info),
            ignored: report.ignored.len(),
        },
        findings: &report.findings,
        ignored: &report.ignored,
    }
}

/// A line for each finding.
pub fn concise(report: &Report) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        let _ =
            writeln!(out, "{}: {}[{}] {}", finding.source, finding.severity, finding.check, finding.message);
    }
    let _ = writeln!(out, "{}", report.summary());
    out
}

/// For comments on pull requests.
pub fn markdown(report: &Report) -> String {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let mut out = format!("### podgate check: {}\n", report.summary());
    if report.findings.is_empty() {
        return out;
    }
    out.push_str("\n| severity | check | where | what |\n|---|---|---|---|\n");
    for finding in &report.findings {
        let _ = writeln!(
            out,
            "| {} | [{}]({}) | `{}` | {} |",
            finding.severity,
            finding.check,
            finding.url,
            finding.source,
            cell(&finding.message)
        );
    }
    for finding in
        report.findings.iter().filter(|finding| finding.fix.as_ref().is_some_and(|f| !f.yaml.is_empty()))
    {
        let Some(fix) = &finding.fix else { continue };
        let _ = write!(
            out,
            "\n<details><summary><code>{}</code> {}: {}</summary>\n\n```yaml\n{}\n```\n\n</details>\n",
            finding.source,
            finding.check,
            cell(&fix.description),
            fix.yaml.trim_end()
        );
    }
    out
}

/// Workflow commands, which GitHub shows beside the lines.
pub fn github(report: &Report) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut out = String::new();
    for finding in &report.findings {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let mut place = format!("file={}", property(finding.source.file.trim_start_matches("./")));
        if finding.source.line > 0 {
            let _ = write!(place, ",line={}", finding.source.line);
        }
        if finding.source.column > 0 {
            let _ = write!(place, ",col={}", finding.source.column);
        }
        let title = property(finding.check);
        let fix = finding.fix.as_ref().map(|fix| format!("\n{}", fix.description)).unwrap_or_default();
        let _ = writeln!(
            out,
            "::{command} {place},title={title}::{}",
            data(&format!("{}{fix}", finding.message))
        );
    }
    let _ = writeln!(out, "{}", report.summary());
    out
}

/// A suite for the checks: one case for each that ran clean, one for each finding.
pub fn junit(report: &Report) -> String {
    let text = |text: &str| {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
    };
    let clean: Vec<&str> = CHECKS
        .iter()
        .map(|info| info.id)
        .filter(|id| !report.findings.iter().any(|finding| finding.check == *id))
        .collect();
    let failures = report.findings.iter().filter(|finding| finding.severity > Severity::Info).count();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"podgate check\" tests=\"{}\" failures=\"{failures}\" skipped=\"{}\">\n",
        clean.len() + report.findings.len(),
        report.findings.len() - failures,
    );
    for finding in &report.findings {
        let fix = finding
            .fix
            .as_ref()
            .map(|fix| format!("\n{}\n{}", fix.description, fix.yaml))
            .unwrap_or_default();
        let body = format!("{}\n{}{}", finding.source, finding.why, fix.trim_end());
        let element = if finding.severity > Severity::Info { "failure" } else { "skipped" };
        let _ = writeln!(
            out,
            "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\">\n      <{element} message=\"{}\">{}</{element}>\n    </testcase>",
            finding.check,
            text(&finding.object.to_string()),
            text(&finding.source.file),
            finding.source.line,
            text(&finding.message),
            text(&body),
        );
    }
    for id in clean {
        let _ = writeln!(out, "    <testcase classname=\"{id}\" name=\"nothing found\"/>");
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// A SARIF log, with what is ignored as suppressed results.
pub fn sarif(report: &Report) -> Value {
    let rules: Vec<SarifRule> = CHECKS
        .iter()
        .map(|info| SarifRule {
            id: info.id.to_owned(),
            description: info.title.to_owned(),
            help: info.page.to_owned(),
            help_uri: info.url(),
        })
        .collect();
    let all: Vec<(&Finding, Option<&Ignored>)> = report
        .findings
        .iter()
        .map(|finding| (finding, None))
        .chain(report.ignored.iter().map(|ignored| (&ignored.finding, Some(ignored))))
        .collect();
    let results: Vec<SarifResult> = all
        .iter()
        .map(|(finding, _)| SarifResult {
            rule: finding.check.to_owned(),
            level: match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "note",
            },
            message: finding.message.clone(),
            file: finding.source.file.to_string(),
            line: finding.source.line,
            column: finding.source.column,
            fingerprint: finding.fingerprint.clone(),
        })
        .collect();
    let mut log = sarif::log(&rules, &results);
    for (at, (finding, ignored)) in all.into_iter().enumerate() {
        let result = &mut log["runs"][0]["results"][at];
        result["ruleIndex"] = json!(rules.iter().position(|rule| rule.id == finding.check));
        let related: Vec<Value> = finding
            .related
            .iter()
            .enumerate()
            .map(|(id, place)| {
                let mut location = sarif::location(&place.source);
                location["id"] = json!(id);
                location["message"] = json!({ "text": place.text });
                location
            })
            .collect();
        if !related.is_empty() {
            result["relatedLocations"] = json!(related);
        }
        if let Some(fix) = &finding.fix
            && let Some(edit) = &fix.edit
        {
            result["fixes"] = json!([{
                "description": { "text": fix.description },
                "artifactChanges": [{
                    "artifactLocation": { "uri": sarif::uri(&edit.file) },
                    "replacements": [{
                        "deletedRegion": { "startLine": edit.first, "startColumn": 1, "endLine": edit.last + 1, "endColumn": 1 },
                        "insertedContent": { "text": format!("{}\n", edit.replacement) },
                    }],
                }],
            }]);
        }
        if let Some(ignored) = ignored {
            let reason = if ignored.reason.is_empty() { &ignored.by } else { &ignored.reason };
            let kind = if ignored.by.contains(':') { "inSource" } else { "external" };
            result["suppressions"] = json!([{ "kind": kind, "justification": reason }]);
        }
    }
    log
}
