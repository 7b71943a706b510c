use serde_json::json;

use crate::support::Served;

#[test]
fn a_deleted_policy_opens_what_it_closed() {
    let served = Served::new();
    let answer = served.post("/what-if", &json!({"deleted": ["NetworkPolicy/shop/db"]}));
    assert_eq!(answer["problems"], json!([]));
    let opened = &answer["diff"]["connections"];
    assert!(opened.as_array().unwrap().iter().any(|change| change["kind"] == "opened"), "{opened}");
    let cells = answer["cells"].as_array().unwrap();
    let stranger = cells.iter().find(|cell| cell["from"] == "ops/stranger[StatefulSet]").unwrap();
    assert_eq!((&stranger["before"], &stranger["after"]), (&json!("none"), &json!("all but TCP 23")));
    // The six denied connections would be let through.
    let replayed: u64 = answer["replay"]["opened"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["connections"].as_u64().unwrap())
        .sum();
    assert_eq!(replayed, 6);
    applies(&served, answer["patch"].as_str().unwrap(), |text| !text.contains("name: db\n  namespace"));
}

#[test]
fn an_edit_cuts_flows_that_were_seen() {
    let served = Served::new();
    let details = served.get("/policies/NetworkPolicy%2Fshop%2Fdb");
    let yaml = details["yaml"].as_str().unwrap().replace("5432", "5433");
    let candidate = json!({"edits": [{"replaces": "NetworkPolicy/shop/db", "yaml": yaml}], "since": "1h"});
    let answer = served.post("/what-if", &candidate);
    assert_eq!(answer["replay"]["cut"][0]["connections"], 7);
    assert!(
        answer["newFindings"].as_array().unwrap().iter().any(|one| one["check"] == "port-not-open"),
        "{}",
        answer["newFindings"]
    );
    applies(&served, answer["patch"].as_str().unwrap(), |text| text.contains("- port: 5433\n"));
}

#[test]
fn a_new_policy_is_a_new_file_and_mistakes_have_lines() {
    let served = Served::new();
    let yaml = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: quiet, namespace: ops}\nspec: {podSelector: {}, policyTypes: [Egress]}\n";
    let answer = served.post("/what-if", &json!({"edits": [{"yaml": yaml}]}));
    let patch = answer["patch"].as_str().unwrap();
    assert!(
        patch.contains("--- /dev/null\n+++ b/") && patch.contains("/ops-quiet.yaml\n@@ -0,0 +1,4 @@\n"),
        "{patch}"
    );
    let answer = served.post("/what-if", &json!({"edits": [{"yaml": yaml.replace("Egress", "Outward")}]}));
    let problem = &answer["problems"][0];
    assert_eq!((&problem["file"], &problem["line"]), (&json!("edit 1"), &json!(4)), "{problem}");
    let unchanged = served.post("/what-if", &json!({}));
    assert_eq!((&unchanged["patch"], &unchanged["cells"]), (&json!(""), &json!([])));
}

#[test]
fn only_candidates_are_tried() {
    let served = Served::new();
    let ask = |body: &str, kind: &str| served.ask("POST", "/api/v1/what-if", &[("Content-Type", kind)], body);
    for (body, kind, status, says) in [
        ("{}", "text/plain", 415, "application/json"),
        ("{", "application/json", 400, "openapi.json"),
        ("{\"edit\": []}", "application/json", 400, "edit"),
        ("{\"deleted\": [\"NetworkPolicy/a/b\"]}", "application/json", 404, "/policies"),
        ("{\"since\": \"soon\"}", "application/json", 400, "10m"),
    ] {
        let answer = ask(body, kind);
        assert!(
            answer.status == status && answer.text.contains(says),
            "{body}: {} {}",
            answer.status,
            answer.text
        );
    }
    let large = format!("{{\"edits\": [{{\"yaml\": \"{}\"}}]}}", "#".repeat(2 << 20));
    assert_eq!(ask(&large, "application/json").status, 413);
}

#[test]
fn completions_come_from_the_cluster() {
    let served = Served::new();
    let yaml = "kind: NetworkPolicy\nmetadata:\n  namespace: shop\nspec:\n  podSelector:\n    matchLabels:\n      app: d\n";
    let answer = served.post("/complete", &json!({"yaml": yaml, "line": 6, "column": 12}));
    assert_eq!(answer, json!({"from": 11, "items": [{"text": "db", "kind": "value", "help": "on 1 pod"}]}));
}

#[test]
fn recommendations_fit_what_was_seen() {
    let served = Served::new();
    let answer = served.get("/recommendations?namespace=shop");
    let policies = answer["policies"].as_array().unwrap();
    let db = policies.iter().find(|policy| policy["workload"] == "shop/db[StatefulSet]").unwrap();
    assert!(db["yaml"].as_str().unwrap().contains("port: 5432"), "{db}");
    assert_eq!(db["connections"], 7);
    assert!(!answer["statement"].as_array().unwrap().is_empty());
    assert_eq!(Served::with(Default::default(), false).fault("/recommendations").0, 404);
}

/// Applies a patch to a copy of the shop's file with `patch`.
#[track_caller]
fn applies(served: &Served, patch: &str, is_right: impl Fn(&str) -> bool) {
    let dir = tempfile::tempdir().unwrap();
    let file = served.dir.path().join("shop.yaml");
    let copy = dir.path().join(file.strip_prefix("/").unwrap());
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    std::fs::copy(&file, &copy).unwrap();
    std::fs::write(dir.path().join("change.patch"), patch).unwrap();
    let applied = std::process::Command::new("git")
        .args(["apply", "--verbose", "change.patch"])
        .current_dir(dir.path())
        .env("GIT_CEILING_DIRECTORIES", dir.path())
        .output()
        .unwrap();
    assert!(applied.status.success(), "{}\n{patch}", String::from_utf8_lossy(&applied.stderr));
    let text = std::fs::read_to_string(copy).unwrap();
    assert!(text != crate::support::CLUSTER && is_right(&text), "{text}");
}
