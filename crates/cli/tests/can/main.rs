//! `podgate can` and `podgate test`, as a user runs them: every form, on the example shop and on small manifests.
//!
//! The expected outputs are in `expected/`; `PODGATE_UPDATE_EXPECTED=1 cargo test` writes them anew.

mod schema;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn podgate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podgate"));
    command.args(arguments).current_dir(root()).env("NO_COLOR", "1").output().expect("podgate runs")
}

/// Standard output, then standard error, then the exit code.
fn shown(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}{}exit code {}\n",
        text(&output.stdout),
        text(&output.stderr),
        output.status.code().expect("podgate ends by itself")
    )
}

#[track_caller]
fn check(name: &str, arguments: &[&str]) {
    let actual = shown(&podgate(arguments));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/can/expected").join(name);
    if std::env::var_os("PODGATE_UPDATE_EXPECTED").is_some() {
        std::fs::write(&file, &actual).expect("the expected output can be written");
        return;
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(actual, expected, "podgate {arguments:?} differs from {}", file.display());
}

fn can(name: &str, question: &[&str]) {
    let mut arguments = vec!["can"];
    arguments.extend(question);
    arguments.extend(["-f", "examples/shop"]);
    check(name, &arguments);
}

const SMALL: &str = "crates/cli/tests/can/small.yaml";

fn small(name: &str, question: &[&str]) {
    let mut arguments = vec!["can"];
    arguments.extend(question);
    arguments.extend(["-f", SMALL]);
    check(name, &arguments);
}

#[test]
fn yes_with_both_rules() {
    can("yes.txt", &["web/frontend", "shop/svc/backend", "80"]);
}

#[test]
fn no_with_the_nearest_rules_and_the_change() {
    can("no.txt", &["web/frontend", "data/svc/database", "5432"]);
}

#[test]
fn a_hole_in_a_block() {
    can("hole.txt", &["shop/payments", "198.51.100.200", "443"]);
}

#[test]
fn sets_are_grouped() {
    can("partly.txt", &["all", "data/sts/database", "5432"]);
    check("partly-any.txt", &["can", "--any", "all", "data/sts/database", "5432", "-f", "examples/shop"]);
}

#[test]
fn without_a_port() {
    can("any-port.txt", &["shop/payments", "198.51.100.10"]);
}

#[test]
fn the_pods_port_of_a_service() {
    can("pods-port.txt", &["web/frontend", "shop/svc/backend", "9000"]);
    can("service-port.txt", &["web/frontend", "shop/backend", "80"]);
}

#[test]
fn names_that_are_not_there() {
    can("no-pod.txt", &["web/fronted", "shop/backend", "80"]);
    can("no-namespace.txt", &["wbe/frontend", "shop/backend", "80"]);
    can("bad-port.txt", &["web/frontend", "shop/backend", "90-80"]);
    can("bad-end.txt", &["*", "shop/backend", "80"]);
}

#[test]
fn as_data() {
    can("no.json", &["web/frontend", "data/svc/database", "5432", "-o", "json"]);
    can("yes.yaml", &["web/frontend", "shop/svc/backend", "80", "-o", "yaml"]);
}

#[test]
fn cluster_scoped_policies_and_usual_mistakes() {
    small("admin-deny.txt", &["ops/probe", "shop/web", "8080"]);
    small("baseline-deny.txt", &["ops/probe", "lone/pod", "80"]);
    small("admin-pass.txt", &["shop/web", "shop/api", "9000"]);
    small("service-port-in-rule.txt", &["shop/web", "shop/svc/api", "80"]);
    small("almost-selected.txt", &["shop/web", "shop/db", "5432"]);
    small("dns-forgotten.txt", &["shop/job", "shop/svc/web", "80"]);
    small("host-network.txt", &["kube-system/agent", "shop/db", "5432"]);
    small("own-node.txt", &["172.18.0.2", "shop/db", "5432"]);
    small("both-families.txt", &["2001:db8::7", "shop/web", "8080"]);
    small("ping.txt", &["shop/web", "shop/db", "ICMP"]);
}

fn test(name: &str, arguments: &[&str]) {
    let mut all = vec!["test"];
    all.extend(arguments);
    check(name, &all);
}

const CASES: &str = "crates/cli/tests/can/cases.yaml";

#[test]
fn the_shop_keeps_its_promises() {
    test("test-shop.txt", &["examples/shop"]);
}

#[test]
fn failures_are_explained_in_every_form() {
    for (name, form) in [
        ("test.txt", "text"),
        ("test.tap", "tap"),
        ("test.junit.xml", "junit"),
        ("test.json", "json"),
        ("test.sarif", "sarif"),
    ] {
        test(name, &[CASES, "-f", "examples/shop/app", "-f", "examples/shop/policies", "-o", form]);
    }
}

#[test]
fn no_test_is_no_pass() {
    test("test-none.txt", &["examples/shop/app"]);
}

#[test]
fn data_is_as_the_published_schemas_say() {
    let read = |name: &str| {
        let text =
            std::fs::read_to_string(root().join("docs/schema").join(name)).expect("the schema is published");
        serde_json::from_str(&text).expect("a schema is JSON")
    };
    let names = ["can.schema.json", "test.schema.json"];
    let schemas = schema::Schemas(names.into_iter().map(|name| (name, read(name))).collect());
    let mut checked = 0;
    let mut run = |schema: &str, arguments: &[&str]| {
        let output = podgate(arguments);
        let value = serde_json::from_slice(&output.stdout).expect("the output is JSON");
        assert_eq!(schemas.faults(schema, &value), Vec::<String>::new(), "podgate {arguments:?}");
        checked += 1;
    };
    for question in [
        ["all", "all", "TCP/1-65535"],
        ["shop/web", "shop/svc/api", "80"],
        ["ops/probe", "shop/web", "8080"],
        ["shop/web", "shop/db", "ICMP"],
        ["all", "shop/web", "http"],
    ] {
        let [from, to, port] = question;
        run("can.schema.json", &["can", from, to, port, "-f", SMALL, "-o", "json"]);
    }
    run(
        "test.schema.json",
        &["test", CASES, "-f", "examples/shop/app", "-f", "examples/shop/policies", "-o", "json"],
    );
    assert_eq!(checked, 6);
    let broken = serde_json::json!({ "answer": "maybe", "extra": 1 });
    assert!(schemas.faults("can.schema.json", &broken).len() > 4, "the checker finds faults");
}
