//! ConnectivityTest. A case that lost a part would test something else than what was written, so that a
//! case with any mistake is left out, with an error.

use crate::cursor::{Cursor, Value};
use crate::syntax::nearest;
use crate::tree::shorten;
use crate::{ConnectivityCase, ConnectivityTest, Expect, Meta, Severity, Written};

pub(super) fn connectivity_test(root: &Cursor<'_>, meta: Meta) -> ConnectivityTest {
    root.unknown_fields(&["apiVersion", "kind", "metadata", "spec"], Severity::Error);
    let mut test = ConnectivityTest { meta, cases: Vec::new() };
    const HELP: &str =
        "list the expectations, as in `tests: [{from: a/b, to: c/d, port: 80, expect: denied}]`";
    let Some(spec) = root.field("spec") else {
        root.missing(Severity::Error, "spec.tests", "`tests` is missing", HELP);
        return test;
    };
    if !spec.expect_mapping() {
        return test;
    }
    spec.unknown_fields(&["tests"], Severity::Error);
    match spec.field("tests") {
        None => spec.missing(Severity::Error, "tests", "`tests` is missing", HELP),
        Some(list) if list.expect_list() => test.cases.extend(list.items().filter_map(|item| case(&item))),
        Some(_) => {}
    }
    test
}

fn case(item: &Cursor<'_>) -> Option<ConnectivityCase> {
    const FIELDS: [&str; 8] = ["name", "from", "notFrom", "to", "notTo", "port", "ports", "expect"];
    if !item.expect_mapping() {
        return None;
    }
    // Every mistake of the case is reported before it is left out.
    let meant = item.unknown_fields(&FIELDS, Severity::Error);
    let missing = |name: &str, help: &str| {
        if !meant.contains(&name) {
            item.missing(Severity::Error, name, &format!("`{name}` is missing"), help);
        }
    };
    let name = match item.field("name") {
        Some(field) => field.text().map(str::to_owned),
        None => Some(String::new()),
    };
    let ends = |name: &str| match item.field(name) {
        Some(field) => texts(&field, false),
        None => {
            missing(name, "name pods, as in `shop/deploy/api`, an address, or write `all`");
            None
        }
    };
    let without = |name: &str| item.field(name).map_or(Some(Vec::new()), |field| texts(&field, false));
    let (from, to) = (ends("from"), ends("to"));
    let (not_from, not_to) = (without("notFrom"), without("notTo"));
    let ports = match (item.field("port"), item.field("ports")) {
        (Some(_), Some(second)) => {
            second.error("`port` and `ports` in one case", "write all ports as a list below `ports`");
            None
        }
        (Some(field), None) | (None, Some(field)) => texts(&field, true),
        (None, None) => Some(Vec::new()),
    };
    let expect = match item.field("expect") {
        Some(field) => expectation(&field),
        None => {
            missing("expect", "write `expect: allowed` or `expect: denied`");
            None
        }
    };
    let case = ConnectivityCase {
        name: name?,
        from: from?,
        not_from: not_from?,
        to: to?,
        not_to: not_to?,
        ports: ports?,
        expect: expect?,
        source: item.source(),
    };
    meant.is_empty().then_some(case)
}

/// A text, or a list of texts that is not empty; ports may be numbers as well.
fn texts(field: &Cursor<'_>, ports: bool) -> Option<Vec<Written>> {
    let one = |field: &Cursor<'_>| {
        let text = if ports {
            match field.int_or_text()? {
                Value::Int(_) => field.port()?.to_string(),
                Value::Text(text) => text.to_owned(),
            }
        } else {
            field.text()?.to_owned()
        };
        if text.trim().is_empty() {
            field.error(
                "an empty text",
                if ports { "name a port, as in `TCP/80`" } else { "name pods, or write `all`" },
            );
            return None;
        }
        Some(Written { text, source: field.source() })
    };
    if !field.is_list() {
        return one(field).map(|written| vec![written]);
    }
    if field.is_empty() {
        let help =
            if ports { "remove the field to mean every port" } else { "name pods, or remove the field" };
        field.error("an empty list", help);
        return None;
    }
    let found: Vec<Option<Written>> = field.items().map(|item| one(&item)).collect();
    found.into_iter().collect()
}

fn expectation(field: &Cursor<'_>) -> Option<Expect> {
    match field.text()? {
        "allowed" => Some(Expect::Allowed),
        "denied" => Some(Expect::Denied),
        other => {
            let help = match nearest(other, &["allowed", "allow", "accept", "denied", "deny", "drop"]) {
                Some("allowed" | "allow" | "accept") => "did you mean `allowed`?",
                Some(_) => "did you mean `denied`?",
                None => "write `allowed` or `denied`",
            };
            field.error(format!("unknown expectation `{}`", shorten(other)), help);
            None
        }
    }
}
