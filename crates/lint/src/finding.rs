//! What checks find, as data.

use std::fmt;

use podgate_api::Source;
use serde::{Deserialize, Serialize};

/// How bad a finding is. Ordered: what is worse is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; often meant so.
    Info,
    /// Most likely a mistake.
    Warning,
    /// Cannot work as written.
    Error,
}

impl Severity {
    /// `error`, `warning` or `info`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The object that a finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ObjectRef {
    /// Kind; empty when no object could be read.
    pub kind: String,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

/// Something that deserves a change, or at least a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's id.
    pub check: &'static str,
    /// How bad it is here.
    pub severity: Severity,
    /// What to blame.
    #[serde(serialize_with = "place")]
    pub source: Source,
    /// The object that it is about.
    pub object: ObjectRef,
    /// What is wrong, in one line, with names.
    pub message: String,
    /// Why it matters.
    pub why: String,
    /// The smallest change that mends it, where there is one to name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
    /// Other places that play a part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
    /// The page that explains the check.
    pub url: String,
    /// Stays the same when the lines around it move. See [`crate::baseline`].
    pub fingerprint: String,
}

/// A place that plays a part in a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Related {
    /// Where.
    #[serde(serialize_with = "place")]
    pub source: Source,
    /// What is there.
    pub text: String,
}

/// A change that mends what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What to do.
    pub description: String,
    /// What to write; empty when the description says it all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub yaml: String,
    /// The same as an edit of the file, where it is safe to make without asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
}

/// Lines of a file and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edit {
    /// The file.
    pub file: String,
    /// First line, from 1.
    pub first: u32,
    /// Last line.
    pub last: u32,
    /// The new text of these lines, without the last line's end.
    pub replacement: String,
}

impl Finding {
    /// Sets the severity where it differs from the check's own.
    pub(crate) fn severity(&mut self, severity: Severity) -> &mut Self {
        self.severity = severity;
        self
    }

    /// Says what to do, without YAML.
    pub(crate) fn advice(&mut self, description: impl Into<String>) -> &mut Self {
        self.fix = Some(Fix { description: description.into(), ..Fix::default() });
        self
    }

    /// Says what to do and what to write.
    pub(crate) fn fix(&mut self, description: impl Into<String>, yaml: impl Into<String>) -> &mut Self {
        self.fix = Some(Fix { description: description.into(), yaml: yaml.into(), edit: None });
        self
    }

    /// Adds the edit that makes the fix, where the text allows it.
    pub(crate) fn edit(&mut self, edit: Option<Edit>) -> &mut Self {
        if let Some(fix) = &mut self.fix {
            fix.edit = edit;
        }
        self
    }

    /// Names another place.
    pub(crate) fn related(&mut self, source: &Source, text: impl Into<String>) -> &mut Self {
        if !source.file.is_empty() {
            self.related.push(Related { source: source.clone(), text: text.into() });
        }
        self
    }
}

/// A place as an object with `file`, `line` and `column`.
fn place<S: serde::Serializer>(source: &Source, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Place<'a> {
        file: &'a str,
        line: u32,
        column: u32,
    }
    Place { file: &source.file, line: source.line, column: source.column }.serialize(serializer)
}
