//! Findings with the lines that they blame.

use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use podgate_lint::{Finding, Severity};

use super::Report;
use crate::style::BOLD;

/// Other places that are named for a finding.
const MOST_RELATED: usize = 3;

/// For people; `texts` finds a file's text by its name.
pub fn text(report: &Report, texts: &dyn Fn(&str) -> Option<Arc<str>>) -> String {
    let mut out = String::new();
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii).term_width(200);
    // Findings of one file come together; finding each line from the file's start would take the square of it.
    let mut current: Option<(Arc<str>, Option<Lines>)> = None;
    for finding in &report.findings {
        let file = &finding.source.file;
        if current.as_ref().is_none_or(|(name, _)| name != file) {
            current = Some((file.clone(), texts(file).map(Lines::new)));
        }
        let lines = current.as_ref().and_then(|(_, lines)| lines.as_ref());
        out.push_str(&one(&renderer, finding, lines.and_then(|lines| lines.line(finding.source.line))));
        out.push_str("\n\n");
    }
    out + &format!("{BOLD}{}{BOLD:#}\n", report.summary())
}

/// A text whose lines are found by number.
struct Lines {
    text: Arc<str>,
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: Arc<str>) -> Lines {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { text, starts }
    }

    /// A line by its 1-based number.
    fn line(&self, number: u32) -> Option<&str> {
        let start = *self.starts.get((number as usize).checked_sub(1)?)?;
        self.text[start..].lines().next()
    }
}

fn one(renderer: &Renderer, finding: &Finding, line: Option<&str>) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(finding.message.as_str()).id(finding.check);
    let source = &finding.source;
    let mut first = match line {
        Some(line) => title.element(
            Snippet::source(line)
                .line_start(source.line as usize)
                .path(&*source.file)
                .annotation(AnnotationKind::Primary.span(blamed(line, source.column))),
        ),
        None => title.element(origin(source)),
    };
    first = first.element(Level::NOTE.with_name(Some("why")).message(finding.why.as_str()));
    let mut groups = vec![first];
    for related in finding.related.iter().take(MOST_RELATED) {
        groups.push(
            Group::with_title(Level::NOTE.secondary_title(related.text.as_str()))
                .element(origin(&related.source)),
        );
    }
    let mut rendered;
    match &finding.fix {
        Some(fix) if fix.yaml.is_empty() => {
            groups.push(Group::with_title(Level::HELP.secondary_title(fix.description.as_str())));
            rendered = renderer.render(&groups);
        }
        Some(fix) => {
            let description = format!("{}:", fix.description);
            groups.push(Group::with_title(Level::HELP.secondary_title(description)));
            rendered = renderer.render(&groups);
            for line in fix.yaml.trim_end().lines() {
                rendered.push_str(&format!("\n    {line}"));
            }
        }
        None => rendered = renderer.render(&groups),
    }
    rendered
}

fn origin(source: &podgate_api::Source) -> Origin<'_> {
    let origin = Origin::path(&*source.file);
    if source.line == 0 { origin } else { origin.line(source.line as usize) }
}

/// What to underline: from the column, or the first word, to the end of the line's code.
fn blamed(line: &str, column: u32) -> Range<usize> {
    let end = line.find(" #").map_or(line, |at| &line[..at]).trim_end().len();
    let start = match column.checked_sub(1) {
        Some(at) => line.char_indices().nth(at as usize).map_or(0, |(at, _)| at),
        None => line.len() - line.trim_start().len(),
    };
    start..end.max(start)
}
