//! `podgate replay`, `recommend` and `why`, as a user runs them, on flows of the example shop.
//!
//! The expected outputs are in `expected/`; `PODGATE_UPDATE_EXPECTED=1 cargo test` writes them anew.

#[path = "../can/schema.rs"]
mod schema;
mod sources;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FLOWS: &str = "examples/replay/flows.jsonl";
const CANDIDATE: &str = "examples/replay/candidate";
const SHOP: &str = "examples/shop";
const APP: &str = "examples/shop/app";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn podgate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podgate"));
    command.args(arguments).current_dir(root()).env("NO_COLOR", "1").output().expect("podgate runs")
}

#[track_caller]
fn check(name: &str, arguments: &[&str]) {
    let output = podgate(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().expect("podgate ends by itself");
    let mut actual = String::from_utf8_lossy(&output.stdout).into_owned();
    if code != 0 || !errors.is_empty() {
        actual.push_str(&format!("{errors}exit code {code}\n"));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/advise/expected").join(name);
    if std::env::var_os("PODGATE_UPDATE_EXPECTED").is_some() {
        std::fs::write(&file, &actual).expect("the expected output can be written");
        return;
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(actual, expected, "podgate {arguments:?} differs from {}", file.display());
}

#[test]
fn replay_in_every_form() {
    for (form, ending) in [("text", "txt"), ("json", "json"), ("yaml", "yaml"), ("md", "md")] {
        let arguments = ["replay", CANDIDATE, "-f", SHOP, "--input-file", FLOWS, "-o", form];
        check(&format!("replay-{form}.{ending}"), &arguments);
    }
    check("replay-nothing.txt", &["replay", SHOP, "--input-file", FLOWS]);
}

#[test]
fn replay_ends_with_1_when_there_is_such_a_change_and_2_on_bad_input() {
    let code = |more: &[&str]| {
        let mut arguments = vec!["replay", CANDIDATE, "-f", SHOP, "--input-file", FLOWS];
        arguments.extend(more);
        podgate(&arguments).status.code()
    };
    assert_eq!(code(&[]), Some(1), "something is cut");
    assert_eq!(code(&["--fail-on", "opened"]), Some(0));
    assert_eq!(code(&["--fail-on", "never"]), Some(0));
    assert_eq!(code(&["--fail-on", "cut,opened"]), Some(1));
    for (arguments, says) in [
        (vec!["replay", CANDIDATE, "--input-file", "examples/shop/README.md"], "README.md:1: no flow: "),
        (vec!["replay", CANDIDATE, "--input-file", "absent.json"], "read flows from absent.json"),
        (vec!["replay", "absent", "--input-file", FLOWS], "absent: no such file or directory"),
        (vec!["replay", CANDIDATE, "--input-file", "/dev/null"], "no flow in /dev/null: record some first"),
    ] {
        let output = podgate(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(says), "{arguments:?}: {errors}");
    }
}

/// The flows after the candidate was enforced: what it cuts is denied, and so is something else.
fn flows_since() -> String {
    let text = std::fs::read_to_string(root().join(FLOWS)).expect("the example has flows");
    let is_about = |line: &str, port: &str| line.contains(&format!("\"port\": {port}, \"kind\": \"pod\""));
    let line = |line: &str| match is_about(line, "7000") || is_about(line, "9000") {
        true => line.replace("\"verdict\": \"allowed\"", "\"verdict\": \"denied\""),
        false => line.to_owned(),
    };
    let lines: Vec<String> = text.lines().map(line).collect();
    lines.join("\n").replace("2026-11-23T10:", "2026-11-24T11:") + "\n"
}

#[test]
fn a_replay_is_scored_by_what_happened() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the file can be written");
        path.to_str().expect("a path of letters").to_owned()
    };
    let replay = podgate(&["replay", CANDIDATE, "-f", SHOP, "--input-file", FLOWS, "-o", "json"]);
    let prediction = file("prediction.json", &replay.stdout);
    let since = file("since.jsonl", flows_since().as_bytes());
    for (form, ending) in [("text", "txt"), ("json", "json"), ("md", "md")] {
        let arguments = ["replay", "--score", &prediction, "--input-file", &since, "-o", form];
        check(&format!("score-{form}.{ending}"), &arguments);
    }
    let code = |more: &[&str]| {
        podgate(&[&["replay", "--score", &prediction, "--input-file", &since], more].concat()).status.code()
    };
    assert_eq!(code(&["--fail-on", "missed"]), Some(0), "what was predicted happened");
    assert_eq!(code(&["--fail-on", "surprise"]), Some(1));
    assert_eq!(code(&["--fail-on", "never"]), Some(0));
    assert_eq!(code(&["--fail-on", "cut"]), Some(2), "a score finds no such thing");
    // The same flows again: nothing was enforced in between.
    let again = podgate(&["replay", "--score", &prediction, "--input-file", FLOWS]);
    assert_eq!(again.status.code(), Some(1));
    let text = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(text.contains("0 happened, 1 did not"), "{text}");
    let errors = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(errors.contains("say with --since from when on"), "{errors}");
    let bad = podgate(&["replay", "--score", &since, "--input-file", &since]);
    let errors = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert_eq!(bad.status.code(), Some(2));
    assert!(
        errors.contains("no replay: ") && errors.contains("podgate replay CANDIDATE -o json"),
        "{errors}"
    );

    let schema = std::fs::read_to_string(root().join("docs/schema/replay-score.schema.json"));
    let schema = serde_json::from_str(&schema.expect("the schema is published")).expect("a schema is JSON");
    let schemas = schema::Schemas([("replay-score.schema.json", schema)].into_iter().collect());
    let scored = podgate(&["replay", "--score", &prediction, "--input-file", &since, "-o", "json"]);
    let value = serde_json::from_slice(&scored.stdout).expect("JSON");
    assert_eq!(schemas.faults("replay-score.schema.json", &value), Vec::<String>::new());
}

#[test]
fn recommend_in_every_form() {
    for (form, ending) in [("yaml", "yaml"), ("json", "json"), ("report", "json")] {
        let arguments = ["recommend", APP, "--input-file", FLOWS, "-o", form];
        check(&format!("recommend-{form}.{ending}"), &arguments);
    }
    check("recommend-unused.txt", &["recommend", "unused", SHOP, "--input-file", FLOWS]);
}

#[test]
fn what_is_recommended_closes_in_replay() {
    let folder = std::env::temp_dir().join(format!("podgate-recommend-{}", std::process::id()));
    let name = folder.to_str().expect("a path of letters");
    let written = podgate(&["recommend", APP, "--input-file", FLOWS, "--output-dir", name]);
    assert_eq!(written.status.code(), Some(0), "{}", String::from_utf8_lossy(&written.stderr));
    let files = std::fs::read_dir(&folder).expect("the files are there").count();
    assert_eq!(files, 4, "one for each workload of the three namespaces");
    let arguments =
        ["replay", name, "-f", APP, "--input-file", FLOWS, "--replace", "--fail-on", "cut,opened,unjudged"];
    let replayed = podgate(&arguments);
    let text = String::from_utf8_lossy(&replayed.stdout).into_owned();
    std::fs::remove_dir_all(&folder).expect("the files go");
    assert_eq!(replayed.status.code(), Some(0), "{text}");
    assert!(text.contains("Nothing changes; 48 stay allowed, 4 stay denied"), "{text}");
}

#[test]
fn why_tells_the_record_and_every_rule() {
    check("why-ends.txt", &["why", "attacker", "data/database", "5432", "--input-file", FLOWS, "-f", SHOP]);
    check("why-alone.txt", &["why", "00000002-0000-0000-0000-000000000002", "--input-file", FLOWS]);
    check("why-unseen.txt", &["why", "web/frontend", "data/database", "--input-file", FLOWS]);
}

#[test]
fn data_is_as_the_published_schemas_say() {
    let names = ["replay.schema.json", "recommend.schema.json"];
    let read = |name: &str| -> serde_json::Value {
        let text =
            std::fs::read_to_string(root().join("docs/schema").join(name)).expect("the schema is published");
        serde_json::from_str(&text).expect("a schema is JSON")
    };
    let schemas = schema::Schemas(names.into_iter().map(|name| (name, read(name))).collect());
    for (schema, arguments) in [
        (names[0], vec!["replay", CANDIDATE, "-f", SHOP, "--input-file", FLOWS, "-o", "json"]),
        (names[1], vec!["recommend", APP, "--input-file", FLOWS, "-o", "report"]),
    ] {
        let output = podgate(&arguments);
        let value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(schemas.faults(schema, &value), Vec::<String>::new(), "podgate {arguments:?}");
    }
}
