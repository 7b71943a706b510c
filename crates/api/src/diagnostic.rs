//! Findings about input: data, not errors, so that one broken document doesn't hide the others.

use std::fmt;

use crate::Source;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; the object is used as written.
    Warning,
    /// The API server would refuse the object.
    Error,
}

/// A finding about one place of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub source: Source,
    /// Path of the field, as `spec.ingress[0].from[1].ipBlock.cidr`; empty when the document as a whole is meant.
    pub field: String,
    /// What is wrong: a lower-case fragment without a final dot.
    pub message: String,
    /// What to write instead; empty when there is nothing to say.
    pub help: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{}: {severity}: ", self.source)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}", self.message)?;
        if !self.help.is_empty() {
            write!(f, "\n  help: {}", self.help)?;
        }
        Ok(())
    }
}
