//! Label selectors.

use crate::cursor::{Cursor, quoted_list};
use crate::syntax::{label_key_fault, nearest};
use crate::tree::shorten;
use crate::{LabelSelector, Operator, Requirement, Severity};

use super::meta::label_value;

const OPERATORS: [(&str, Operator); 4] = [
    ("In", Operator::In),
    ("NotIn", Operator::NotIn),
    ("Exists", Operator::Exists),
    ("DoesNotExist", Operator::DoesNotExist),
];

/// A `metav1.LabelSelector`; [`LabelSelector::invalid`] after any error, so that it fails closed.
/// Unknown fields are errors when `strict`.
pub(super) fn selector(cursor: &Cursor<'_>, strict: bool) -> LabelSelector {
    read(cursor, strict).map_or_else(LabelSelector::invalid, LabelSelector::new)
}

fn read(cursor: &Cursor<'_>, strict: bool) -> Option<Vec<Requirement>> {
    if !cursor.expect_mapping() {
        return None;
    }
    let mut valid = true;
    if strict {
        valid &= cursor.unknown_fields(&["matchLabels", "matchExpressions"], Severity::Error).is_empty();
    }
    let mut requirements = Vec::new();
    if let Some(labels) = cursor.field("matchLabels") {
        valid &= labels.expect_mapping();
        for (key, value) in labels.fields() {
            valid &= key_is_valid(&value, key);
            match label_value(&value, true) {
                Some(text) => requirements.push(Requirement {
                    key: key.to_owned(),
                    operator: Operator::In,
                    values: vec![text],
                }),
                None => valid = false,
            }
        }
    }
    if let Some(expressions) = cursor.field("matchExpressions") {
        valid &= expressions.expect_list();
        for expression in expressions.items() {
            match requirement(&expression, strict) {
                Some(requirement) => requirements.push(requirement),
                None => valid = false,
            }
        }
    }
    valid.then_some(requirements)
}

fn key_is_valid(at: &Cursor<'_>, key: &str) -> bool {
    let fault = label_key_fault(key);
    if let Some(fault) = fault {
        at.error(format!("`{}` is no valid label key", shorten(key)), fault);
    }
    fault.is_none()
}

fn requirement(expression: &Cursor<'_>, strict: bool) -> Option<Requirement> {
    if !expression.expect_mapping() {
        return None;
    }
    let mut valid = true;
    if strict {
        valid &= expression.unknown_fields(&["key", "operator", "values"], Severity::Error).is_empty();
    }
    let required = |name: &str, help: &str| {
        let field = expression.field(name);
        if field.is_none() {
            expression.missing(Severity::Error, name, &format!("`{name}` is missing"), help);
        }
        field
    };
    let key = required("key", "name the label, as in `key: app`").and_then(|field| {
        let key = field.text()?;
        key_is_valid(&field, key).then(|| key.to_owned())
    });
    let operator =
        required("operator", "write `In`, `NotIn`, `Exists` or `DoesNotExist`").and_then(|field| {
            let text = field.text()?;
            let known = OPERATORS.iter().find(|(name, _)| *name == text).map(|(_, operator)| *operator);
            if known.is_none() {
                let names = OPERATORS.map(|(name, _)| name);
                let help = match nearest(text, &names) {
                    Some(guess) => format!("did you mean `{guess}`?"),
                    None => format!("operators are {}", quoted_list(&names)),
                };
                field.error(format!("unknown operator `{}`", shorten(text)), help);
            }
            known
        });
    let mut values = Vec::new();
    let list = expression.field("values");
    if let Some(list) = &list {
        valid &= list.expect_list();
        for value in list.items() {
            match label_value(&value, true) {
                Some(text) => values.push(text),
                None => valid = false,
            }
        }
    }
    match (operator, &list) {
        (Some(Operator::In | Operator::NotIn), _) if list.as_ref().is_none_or(Cursor::is_empty) => {
            let help = "give at least one value, or use `Exists` or `DoesNotExist`";
            match &list {
                Some(list) => list.error("`In` and `NotIn` need values", help),
                None => expression.missing(Severity::Error, "values", "`In` and `NotIn` need values", help),
            }
            return None;
        }
        (Some(Operator::Exists | Operator::DoesNotExist), Some(list)) if !list.is_empty() => {
            list.error(
                "`Exists` and `DoesNotExist` take no values",
                "remove the values, or use `In` or `NotIn`",
            );
            return None;
        }
        _ => {}
    }
    let requirement = Requirement { key: key?, operator: operator?, values };
    valid.then_some(requirement)
}
