//! `podgate reach`, `matrix`, `diff`, `exposure` and `graph`, as a user runs them: every form, on the example shop
//! and on small manifests.
//!
//! The expected outputs are in `expected/`; `PODGATE_UPDATE_EXPECTED=1 cargo test` writes them anew.

#[path = "../can/schema.rs"]
mod schema;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const OLD: &str = "crates/cli/tests/answers/policies-old.yaml";
const NEW: &str = "crates/cli/tests/answers/policies-new.yaml";
const SHOP: &str = "examples/shop";

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
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers/expected").join(name);
    if std::env::var_os("PODGATE_UPDATE_EXPECTED").is_some() {
        std::fs::write(&file, &actual).expect("the expected output can be written");
        return;
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(actual, expected, "podgate {arguments:?} differs from {}", file.display());
}

fn forms(command: &str, input: &[&str], forms: &[(&str, &str)]) {
    for (form, ending) in forms {
        let mut arguments = vec![command];
        arguments.extend(input);
        arguments.extend(["-o", form]);
        check(&format!("{command}-{form}.{ending}"), &arguments);
    }
}

#[test]
fn reach_in_every_form() {
    let all = [
        ("text", "txt"),
        ("json", "json"),
        ("yaml", "yaml"),
        ("csv", "csv"),
        ("md", "md"),
        ("npguard", "txt"),
        ("npguard-json", "json"),
        ("npguard-csv", "csv"),
        ("npguard-md", "md"),
        ("npguard-dot", "dot"),
    ];
    forms("reach", &[NEW], &all);
    check("reach-shop.txt", &["reach", SHOP]);
}

#[test]
fn reach_answers_what_is_asked() {
    check("reach-by-from.txt", &["reach", SHOP, "--by", "from"]);
    check("reach-to.txt", &["reach", SHOP, "--to", "data/svc/database"]);
    check("reach-port.txt", &["reach", SHOP, "--from", "internet", "--port", "TCP/8080"]);
    check("reach-nothing.txt", &["reach", SHOP, "--from", "web/frontend", "--to", "data/database"]);
    check("reach-bad-end.txt", &["reach", SHOP, "--to", "data/databse"]);
}

#[test]
fn matrix_in_every_form() {
    let all =
        [("text", "txt"), ("json", "json"), ("yaml", "yaml"), ("csv", "csv"), ("md", "md"), ("html", "html")];
    forms("matrix", &[NEW], &all);
    check("matrix-shop.txt", &["matrix", SHOP]);
    check("matrix-grouped.txt", &["matrix", SHOP, "--grouped", "--port", "TCP/9000"]);
}

#[test]
fn diff_in_every_form() {
    let all = [
        ("text", "txt"),
        ("json", "json"),
        ("yaml", "yaml"),
        ("md", "md"),
        ("csv", "csv"),
        ("npguard", "txt"),
        ("npguard-csv", "csv"),
        ("npguard-md", "md"),
        ("npguard-dot", "dot"),
    ];
    forms("diff", &[OLD, NEW], &all);
    check("diff-nothing.txt", &["diff", OLD, OLD, "--fail-on", "any"]);
    check("diff-one-path.txt", &["diff", OLD]);
}

#[test]
fn diff_ends_with_1_when_there_is_such_a_change() {
    let code = |on: &str, old: &str, new: &str| podgate(&["diff", old, new, "--fail-on", on]).status.code();
    for on in ["opened", "closed", "any", "exposed"] {
        assert_eq!(code(on, OLD, NEW), Some(1), "{on}");
        assert_eq!(code(on, OLD, OLD), Some(0), "{on}");
    }
    assert_eq!(code("exposed", NEW, OLD), Some(0), "what is closed is no exposure");
}

#[test]
fn exposure_in_every_form() {
    let all = [
        ("text", "txt"),
        ("json", "json"),
        ("yaml", "yaml"),
        ("md", "md"),
        ("csv", "csv"),
        ("npguard", "txt"),
        ("npguard-json", "json"),
        ("npguard-csv", "csv"),
        ("npguard-md", "md"),
    ];
    forms("exposure", &[NEW], &all);
    check("exposure-shop.txt", &["exposure", SHOP]);
}

#[test]
fn graph_in_every_form() {
    let all = [("svg", "svg"), ("html", "html"), ("dot", "dot"), ("mermaid", "mmd"), ("json", "json")];
    forms("graph", &[SHOP], &all);
}

#[test]
fn data_is_as_the_published_schemas_say() {
    let names = [
        "reach.schema.json",
        "matrix.schema.json",
        "exposure.schema.json",
        "diff.schema.json",
        "graph.schema.json",
    ];
    let read = |name: &str| {
        let text =
            std::fs::read_to_string(root().join("docs/schema").join(name)).expect("the schema is published");
        serde_json::from_str(&text).expect("a schema is JSON")
    };
    let schemas = schema::Schemas(names.into_iter().map(|name| (name, read(name))).collect());
    let inputs: [&[&str]; 6] = [
        &["reach", NEW],
        &["reach", SHOP, "--by", "from"],
        &["matrix", NEW],
        &["exposure", NEW],
        &["diff", OLD, NEW],
        &["graph", NEW],
    ];
    for input in inputs {
        let output = podgate(&[input, &["-o", "json"]].concat());
        let value = serde_json::from_slice(&output.stdout).expect("JSON");
        let schema = format!("{}.schema.json", input[0]);
        assert_eq!(schemas.faults(&schema, &value), Vec::<String>::new(), "podgate {input:?}");
    }
}

/// As in np-guard's documentation: its minimal example.
#[test]
fn npguard_lines_are_as_its_users_know_them() {
    let output = podgate(&["reach", "crates/cli/tests/answers/minimal.yaml", "-o", "npguard"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "0.0.0.0-255.255.255.255[External] => default/frontend[Deployment] : TCP 8080\n\
         default/frontend[Deployment] => 0.0.0.0-255.255.255.255[External] : UDP 53\n\
         default/frontend[Deployment] => default/backend[Deployment] : TCP 9090\n"
    );
}

const STAGED: &str = "crates/cli/tests/answers/staged.yaml";

/// A policy that isolates the back end is staged by its namespace, another one by itself.
#[test]
fn staged_policies_decide_nothing_unless_they_are_taken_for_enforced() {
    let yes = ["can", "shop/front", "shop/back", "8080", "-f", STAGED];
    check("staged-can.txt", &yes);
    check("staged-can-enforced.txt", &[&yes[..], &["--enforce-staged"]].concat());
    for command in ["reach", "matrix", "exposure"] {
        let text = |more: &[&str]| {
            let output = podgate(&[&[command, STAGED], more].concat());
            assert_eq!(output.status.code(), Some(0), "{command}");
            let told =
                String::from_utf8_lossy(&output.stderr).contains("2 staged policies decide nothing here");
            (String::from_utf8_lossy(&output.stdout).into_owned(), told)
        };
        let ((today, is_told), (promoted, is_told_too)) = (text(&[]), text(&["--enforce-staged"]));
        assert_ne!(today, promoted, "{command}");
        assert!(is_told && !is_told_too, "{command}");
    }
    let test = "crates/cli/tests/answers/staged-test.yaml";
    let code = |more: &[&str]| podgate(&[&["test", test, STAGED], more].concat()).status.code();
    assert_eq!((code(&[]), code(&["--enforce-staged"])), (Some(0), Some(1)));
}

#[test]
fn diff_shows_what_promoting_staged_policies_changes() {
    check("staged-diff.txt", &["diff", STAGED, "--enforce-staged"]);
    // Neither side has them otherwise.
    let changes = podgate(&["diff", STAGED, STAGED, "--fail-on", "any"]);
    assert_eq!(changes.status.code(), Some(0));
}
