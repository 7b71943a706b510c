//! A probe's result as JSON, for other programs. The fields are part of the interface.

use podgate_flow::Protocol;
use podgate_lab::probe::ProbeReport;
use serde_json::{Value, json};

use super::expectation_word;

/// The whole report: a summary and every attempt with names rather than positions.
pub fn text(report: &ProbeReport) -> String {
    let cells: Vec<Value> = report
        .cells
        .iter()
        .map(|cell| {
            let (source, target) = (&report.sources[cell.from], &report.targets[cell.to]);
            json!({
                "from": source.name,
                "fromGroup": source.group,
                "fromKind": source.kind,
                "fromIP": cell.source_ip,
                "to": target.name,
                "toGroup": target.group,
                "toKind": target.kind,
                "toIP": cell.target_ip,
                "protocol": Protocol(target.wire.number(cell.target_ip.is_ipv4())),
                "port": (target.port > 0).then_some(target.port),
                "declared": target.declared,
                "expected": expectation_word(cell.expected.verdict),
                "why": cell.expected.possible,
                "measured": cell.measured,
                "agrees": cell.agrees(),
            })
        })
        .collect();
    let (allowed, denied, depends) = report.expected_counts();
    let whole = json!({
        "lab": report.lab,
        "attempts": report.cells.len(),
        "expected": {"allowed": allowed, "denied": denied, "depends": depends},
        "differences": report.differences().count(),
        "retried": report.retried,
        "seconds": report.seconds,
        "notes": report.notes,
        "cells": cells,
    });
    format!("{whole:#}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::report;

    #[test]
    fn every_attempt_is_there_with_names_and_reasons() {
        let value: Value = serde_json::from_str(&text(&report())).unwrap();
        assert_eq!(value["attempts"], 11);
        assert_eq!(value["differences"], 1);
        assert_eq!(value["expected"], json!({"allowed": 5, "denied": 5, "depends": 1}));
        let ping = &value["cells"][2];
        assert_eq!(ping["from"], "shop/web-0");
        assert_eq!(ping["protocol"], "ICMP");
        assert_eq!(ping["port"], Value::Null);
        assert_eq!(ping["expected"], "denied");
        assert_eq!(ping["measured"], json!({"outcome": "reached"}));
        assert_eq!(ping["agrees"], false);
        assert_eq!(ping["why"][0]["ingress"]["reason"], "isolated");
        let first = &value["cells"][0]["why"][0]["ingress"];
        assert_eq!((&first["reason"], &first["rule"]), (&json!("rule"), &json!(0)));
    }
}
