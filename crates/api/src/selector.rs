//! Label selectors (`metav1.LabelSelector`), normalised.

use std::fmt;

use crate::Labels;

/// A label selector: all requirements must hold; without requirements it selects everything.
///
/// `matchLabels` entries are `In` requirements with one value. Requirements are sorted and without
/// duplicates, so that equal selectors compare equal however they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    invalid: bool,
}

/// One requirement on one label key (`metav1.LabelSelectorRequirement`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// How the label's value is compared.
    pub operator: Operator,
    /// Sorted values; empty for `Exists` and `DoesNotExist`.
    pub values: Vec<String>,
}

/// `In`, `NotIn`, `Exists` or `DoesNotExist`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// The label is present with one of the values.
    In,
    /// The label is absent, or its value is none of the values.
    NotIn,
    /// The label is present.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl LabelSelector {
    /// The selector with these requirements.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        for requirement in &mut requirements {
            requirement.values.sort();
            requirement.values.dedup();
        }
        requirements.sort();
        requirements.dedup();
        LabelSelector { requirements, invalid: false }
    }

    /// A selector that could not be read. It must fail closed: as a subject it selects every pod, as
    /// the peer of an allow rule it matches nothing.
    pub fn invalid() -> Self {
        LabelSelector { requirements: Vec::new(), invalid: true }
    }

    /// Whether the selector could not be read, see [`LabelSelector::invalid`].
    pub fn is_invalid(&self) -> bool {
        self.invalid
    }

    /// Whether the selector is valid and selects everything.
    pub fn is_everything(&self) -> bool {
        !self.invalid && self.requirements.is_empty()
    }

    /// The requirements, sorted.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether a valid selector selects these labels; `false` for an invalid one.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matches_by(|key| labels.get(key).map(String::as_str))
    }

    /// As [`LabelSelector::matches`], for labels that are kept otherwise: `value_of` tells a label's value.
    pub fn matches_by<'l>(&self, value_of: impl Fn(&str) -> Option<&'l str>) -> bool {
        !self.invalid && self.requirements.iter().all(|r| r.matches(value_of(&r.key)))
    }
}

impl Requirement {
    /// Whether the requirement holds for a label with this value, or for its absence.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|v| v == value);
        match self.operator {
            Operator::In => value.is_some_and(listed),
            Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

/// As kubectl writes selectors: `app=web, tier notin (a, b)`; nothing for one that selects everything.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(", "));
        match (self.operator, self.values.len()) {
            (Operator::In, 1) => write!(f, "{key}={values}"),
            (Operator::NotIn, 1) => write!(f, "{key}!={values}"),
            (Operator::In, _) => write!(f, "{key} in ({values})"),
            (Operator::NotIn, _) => write!(f, "{key} notin ({values})"),
            (Operator::Exists, _) => f.write_str(key),
            (Operator::DoesNotExist, _) => write!(f, "!{key}"),
        }
    }
}
