//! The team's choices for checks.

use std::sync::Arc;

use podgate_lint::config::Config;
use podgate_serve::Inventory;

use crate::support::Served;

#[test]
fn findings_are_those_of_check_with_the_choices_of_the_team() {
    let served = Served::new();
    let findings = |served: &Served| -> Vec<(String, String)> {
        let list = served.get("/findings")["findings"].as_array().unwrap().clone();
        let text = |finding: &serde_json::Value, field: &str| finding[field].as_str().unwrap().to_owned();
        list.iter().map(|finding| (text(finding, "check"), text(finding, "severity"))).collect()
    };
    let before = findings(&served);
    let (off, _) = before[0].clone();
    let (lowered, _) =
        before.iter().find(|(check, _)| *check != off).expect("two checks find something").clone();
    let text = format!("checks:\n  severity: {{{off}: off, {lowered}: error}}\n");
    let checks = Config::parse(".podgate.yaml", &text).unwrap();
    let last = served.inventory.borrow().clone();
    served.inventory.send_replace(Arc::new(Inventory { revision: 2, checks, ..(*last).clone() }));
    let after = findings(&served);
    assert!(after.iter().all(|(check, _)| *check != off), "{off}: {after:?}");
    let rated: Vec<_> = after.iter().filter(|(check, _)| *check == lowered).collect();
    assert!(!rated.is_empty() && rated.iter().all(|(_, severity)| severity == "error"), "{after:?}");
}
