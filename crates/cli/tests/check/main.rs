//! `podgate check`, as a user runs it: every form, exit codes, ignores, configuration, baselines, fixes.
//!
//! The expected outputs are in `expected/`; `PODGATE_UPDATE_EXPECTED=1 cargo test` writes them anew.

#[path = "../can/schema.rs"]
mod schema;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const MISTAKES: &str = "examples/mistakes";
const FIXABLE: &str = "crates/cli/tests/check/fixable.yaml";
const IGNORED: &str = "crates/cli/tests/check/ignored.yaml";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn podgate_in(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podgate"));
    command.arg("check").args(arguments).current_dir(directory).env("NO_COLOR", "1");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("podgate runs");
    // Who is not asked to read does not wait for us to write.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    child.wait_with_output().expect("podgate ends")
}

fn podgate(arguments: &[&str]) -> Output {
    podgate_in(&root(), arguments, "")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("podgate ends by itself")
}

#[track_caller]
fn check(name: &str, arguments: &[&str]) {
    let output = podgate(arguments);
    let mut actual = out(&output);
    let errors = String::from_utf8_lossy(&output.stderr);
    if code(&output) != 0 || !errors.is_empty() {
        actual.push_str(&format!("{errors}exit code {}\n", code(&output)));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/expected").join(name);
    if std::env::var_os("PODGATE_UPDATE_EXPECTED").is_some() {
        fs::write(&file, &actual).expect("the expected output can be written");
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(actual, expected, "podgate check {arguments:?} differs from {}", file.display());
}

/// A directory of its own, gone at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("podgate-check-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join(".git")).expect("a scratch directory");
        Scratch(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("a scratch file");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("a scratch file")
    }

    fn run(&self, arguments: &[&str]) -> Output {
        podgate_in(&self.0, arguments, "")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("an input of the tests")
}

#[test]
fn every_form() {
    let forms = [
        ("text", "txt"),
        ("concise", "txt"),
        ("json", "json"),
        ("yaml", "yaml"),
        ("sarif", "sarif"),
        ("junit", "xml"),
        ("md", "md"),
        ("github", "txt"),
    ];
    for (form, ending) in forms {
        check(&format!("mistakes-{form}.{ending}"), &[MISTAKES, "-o", form]);
    }
    check("shop.txt", &["examples/shop"]);
    check("fixable.txt", &[FIXABLE]);
    check("ignored.txt", &[IGNORED, "-o", "concise"]);
}

#[test]
fn a_newcomer_finds_the_three_mistakes_and_nothing_else() {
    let output = podgate(&[MISTAKES, "-o", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found = value["findings"].as_array().expect("a list").iter();
    let mut ids: Vec<&str> = found.map(|finding| finding["check"].as_str().expect("an id")).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["dns-egress-blocked", "peer-and-or-split", "unprotected-pod"]);
}

#[test]
fn the_exit_code_tells_of_what_is_bad_enough() {
    for (arguments, expect) in [
        (&[MISTAKES][..], 1),
        (&[MISTAKES, "--fail-on", "error"], 0),
        (&["examples/shop"], 0),
        (&["examples/shop", "--fail-on", "info"], 1),
        (&[MISTAKES, "--only", "port-not-open"], 0),
        (&[MISTAKES, "--skip", "dns-egress-blocked,peer-and-or-split,unprotected-pod"], 0),
        (&[MISTAKES, "--only", "no-such-check"], 2),
        (&["no/such/path"], 2),
    ] {
        assert_eq!(code(&podgate(arguments)), expect, "{arguments:?}");
    }
}

#[test]
fn standard_input_has_lines_too() {
    let output = podgate_in(&root(), &["-"], &text_of(FIXABLE));
    let text = out(&output);
    assert!(text.contains("--> -:20:27") && text.contains("cidr: 10.1.2.3/8"), "{text}");
    assert_eq!(code(&output), 1);
    assert_eq!(code(&podgate_in(&root(), &["-"], "")), 2, "nothing to read");
}

#[test]
fn checks_are_listed_and_explained() {
    let list = out(&podgate(&["--list"]));
    assert_eq!(list.lines().count(), 1 + podgate_lint::CHECKS.len());
    let page = out(&podgate(&["--explain", "dns-udp-only"]));
    assert!(page.starts_with("# dns-udp-only\n"), "{page}");
    let wrong = podgate(&["--explain", "dns-udponly"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean `dns-udp-only`?"));
    assert_eq!(code(&wrong), 2);
}

#[test]
fn fixes_change_what_is_safe_and_no_more() {
    let scratch = Scratch::new("fix");
    scratch.write("a.yaml", &text_of(FIXABLE));
    let shown = out(&scratch.run(&["a.yaml", "--diff", "-o", "concise"]));
    assert!(shown.contains("-        - ipBlock: {cidr: 10.1.2.3/8} # the office"), "{shown}");
    assert!(shown.contains("+        - ipBlock: {cidr: 10.0.0.0/8} # the office"), "{shown}");
    assert_eq!(scratch.read("a.yaml"), text_of(FIXABLE), "--diff alone changes nothing");

    let fixed = scratch.run(&["a.yaml", "--fix"]);
    assert!(String::from_utf8_lossy(&fixed.stderr).contains("mended 3 findings in 1 file"), "{fixed:?}");
    let text = scratch.read("a.yaml");
    let expected = text_of(FIXABLE)
        .replace("10.1.2.3/8", "10.0.0.0/8")
        .replace("name: monitoring", "kubernetes.io/metadata.name: monitoring")
        .replace("- port: 80\n", "- port: 8080\n");
    assert_eq!(text, expected);
    assert_eq!(code(&scratch.run(&["a.yaml"])), 0, "nothing is left");
    assert_eq!(code(&podgate_in(&scratch.0, &["-", "--fix"], &text)), 2, "standard input is no file");
}

#[test]
fn a_baseline_knows_what_was_there_and_tells_what_is_gone() {
    let scratch = Scratch::new("baseline");
    scratch.write("a.yaml", &text_of(FIXABLE));
    assert_eq!(code(&scratch.run(&["a.yaml", "--write-baseline", "known.json"])), 0);
    assert_eq!(code(&scratch.run(&["a.yaml", "--baseline", "known.json"])), 0);

    scratch.write("b.yaml", &format!("# moved\n\n{}", text_of(FIXABLE)));
    assert_eq!(code(&scratch.run(&["b.yaml", "--baseline", "known.json"])), 0, "lines may move, files too");

    scratch.write("a.yaml", &text_of(FIXABLE).replace("10.1.2.3/8", "10.0.0.0/8"));
    let output = scratch.run(&["a.yaml", "--baseline", "known.json"]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("the baseline knows cidr-not-canonical"), "{errors}");

    scratch.write("a.yaml", &text_of(FIXABLE).replace("app: web}}\n  ingress", "app: wbe}}\n  ingress"));
    assert_eq!(code(&scratch.run(&["a.yaml", "--baseline", "known.json"])), 1, "what is new counts");
    scratch.write("known.json", "{}");
    assert_eq!(code(&scratch.run(&["a.yaml", "--baseline", "known.json"])), 2);
}

#[test]
fn a_team_chooses_severities_and_ignores_with_reasons() {
    let scratch = Scratch::new("config");
    scratch.write("a.yaml", &text_of(FIXABLE));
    let config = "checks:
  severity:
    cidr-not-canonical: error
    namespace-name-label: 'off'
  ignore:
    - checks: [service-port-not-target-port]
      namespaces: [sh*]
      paths: ['*.yaml']
      reason: the Service is going away
";
    scratch.write(".podgate.yaml", config);
    let output = scratch.run(&["a.yaml", "-o", "json"]);
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let found: Vec<(&str, &str)> = value["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|finding| Some((finding["check"].as_str()?, finding["severity"].as_str()?)))
        .collect();
    assert_eq!(found, [("namespace-without-default-deny", "info"), ("cidr-not-canonical", "error")]);
    assert_eq!(value["ignored"][0]["ignoreReason"], "the Service is going away");

    scratch.write(".podgate.yaml", "checks:\n  severities: {}\n");
    let output = scratch.run(&["a.yaml"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains(".podgate.yaml:2: "), "{output:?}");
    assert_eq!(code(&output), 2);
}

#[test]
fn data_is_as_the_published_schema_says() {
    let text =
        fs::read_to_string(root().join("docs/schema/check.schema.json")).expect("the schema is published");
    let schema = serde_json::from_str(&text).expect("a schema is JSON");
    let schemas = schema::Schemas(vec![("check.schema.json", schema)]);
    for input in [MISTAKES, FIXABLE, IGNORED, "examples/shop"] {
        let output = podgate(&[input, "-o", "json"]);
        let value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(schemas.faults("check.schema.json", &value), Vec::<String>::new(), "{input}");
    }
}

#[test]
fn sarif_has_what_code_hosts_ask_for() {
    for input in [FIXABLE, IGNORED, MISTAKES] {
        let output = podgate(&[input, "-o", "sarif"]);
        let log: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(log["version"], "2.1.0");
        assert!(log["$schema"].as_str().is_some_and(|uri| uri.contains("sarif-2.1.0")));
        let run = &log["runs"][0];
        let driver = &run["tool"]["driver"];
        assert_eq!(driver["name"], "podgate");
        let rules = driver["rules"].as_array().expect("rules");
        assert!(
            rules.iter().all(|rule| rule["helpUri"].as_str().is_some_and(|uri| uri.starts_with("https://")))
        );
        let results = run["results"].as_array().expect("results");
        assert!(!results.is_empty());
        for result in results {
            let index = result["ruleIndex"].as_u64().expect("an index") as usize;
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().expect("a level")));
            assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
            let place = &result["locations"][0]["physicalLocation"];
            assert_eq!(
                place["artifactLocation"]["uri"].as_str().map(|uri| uri.starts_with('/')),
                Some(false)
            );
            assert!(place["region"]["startLine"].as_u64().is_some_and(|line| line > 0));
            assert!(
                result["partialFingerprints"]["podgate/v1"].as_str().is_some_and(|print| print.len() >= 16)
            );
        }
    }
    let sarif = |input: &str| -> Value {
        serde_json::from_slice(&podgate(&[input, "-o", "sarif"]).stdout).expect("JSON")
    };
    let fixable = sarif(FIXABLE);
    let results = fixable["runs"][0]["results"].as_array().expect("results");
    let fixed =
        results.iter().filter(|result| result["fixes"][0]["artifactChanges"][0]["replacements"].is_array());
    assert_eq!(fixed.count(), 3);
    let ignored = sarif(IGNORED);
    let results = ignored["runs"][0]["results"].as_array().expect("results");
    let of_annotation = results
        .iter()
        .find(|result| result["suppressions"][0]["justification"] == "the operator makes these pods");
    assert_eq!(of_annotation.expect("it is there, suppressed")["suppressions"][0]["kind"], "inSource");
    assert_eq!(results.iter().filter(|result| result["suppressions"].is_array()).count(), 3);
}

/// Checked as if they were enforced, while nothing else is said of a cluster in which they are.
#[test]
fn staged_policies_are_checked_and_decide_nothing_for_others() {
    let staged = "crates/cli/tests/answers/staged.yaml";
    check("staged.txt", &[staged, "-o", "concise"]);
    check("staged-enforced.txt", &[staged, "-o", "concise", "--enforce-staged"]);
}
