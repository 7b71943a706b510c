//! ConnectivityTest: what is read, and that a case with a mistake is reported and left out.

#[allow(dead_code, reason = "each test file uses its own part of the support")]
mod support;

use podgate_api::{ConnectivityTest, Expect, Object, Written, load_text};
use support::check;

/// The manifest of a test; its cases, indented by two, start at line 6.
fn text(cases: &str) -> String {
    format!(
        "apiVersion: podgate.dev/v1alpha1\nkind: ConnectivityTest\nmetadata: {{name: t}}\nspec:\n  tests:\n{cases}\n"
    )
}

#[track_caller]
fn read(sentence: &str, cases: &str, expect: &[&str]) -> ConnectivityTest {
    match check(sentence, &text(cases), expect).objects.into_iter().next() {
        Some(Object::ConnectivityTest(test)) => test,
        other => panic!("{sentence}: no test but {other:?}"),
    }
}

fn texts(written: &[Written]) -> Vec<&str> {
    written.iter().map(|written| written.text.as_str()).collect()
}

#[test]
fn cases_are_read_with_every_field_and_know_their_places() {
    let test = read(
        "every field",
        "  - name: only the API reaches the database
    from: all
    notFrom: shop/deploy/api
    to: [shop/svc/db, 10.0.0.1]
    notTo:
    - app=x
    port: TCP/5432
    expect: denied
  - {from: a, to: b, ports: [80, http, UDP/53, TCP/8000-8100], expect: allowed}
  - {from: a, to: internet, port: 443, expect: allowed}
  - {from: a, to: b, expect: denied}",
        &[],
    );
    let [first, second, third, fourth] = &test.cases[..] else { panic!("{:?}", test.cases) };
    assert_eq!((first.name.as_str(), first.expect), ("only the API reaches the database", Expect::Denied));
    assert_eq!((texts(&first.from), texts(&first.not_from)), (vec!["all"], vec!["shop/deploy/api"]));
    assert_eq!((texts(&first.to), texts(&first.not_to)), (vec!["shop/svc/db", "10.0.0.1"], vec!["app=x"]));
    assert_eq!(texts(&first.ports), ["TCP/5432"]);
    assert_eq!((first.source.line, first.source.column), (6, 5));
    assert_eq!((first.to[1].source.line, first.to[1].source.column), (9, 23));
    assert_eq!((first.not_to[0].source.line, first.ports[0].source.line), (11, 12));
    assert_eq!(
        (second.name.as_str(), texts(&second.ports)),
        ("", vec!["80", "http", "UDP/53", "TCP/8000-8100"])
    );
    assert_eq!((texts(&third.ports), third.expect), (vec!["443"], Expect::Allowed));
    assert!(fourth.ports.is_empty());
}

#[test]
fn the_namespace_is_the_one_that_is_written_or_none() {
    let test = read("none", "  - {from: a, to: b, expect: denied}", &[]);
    assert_eq!(test.meta.namespace, "");
    let loaded = load_text("t", &text("    []").replace("{name: t}", "{name: t, namespace: shop}"));
    assert_eq!((loaded.objects[0].meta().namespace.as_str(), loaded.diagnostics.len()), ("shop", 0));
}

#[test]
fn a_case_with_a_mistake_is_reported_and_left_out() {
    const GOOD: &str = "from: a, to: b, port: 80, expect: denied";
    for (sentence, case, expect, help) in [
        ("no from", "^{to: b, expect: denied}", "%.from: `from` is missing", "write `all`"),
        ("no to", "^{from: a, expect: denied}", "%.to: `to` is missing", "write `all`"),
        ("no expect", "^{from: a, to: b}", "%.expect: `expect` is missing", "`expect: denied`"),
        (
            "a misspelt from",
            "{^form: a, to: b, expect: denied}",
            "%.form: unknown field `form`",
            "did you mean `from`?",
        ),
        (
            "a misspelt notFrom",
            "{from: a, ^notfrom: x, to: b, expect: denied}",
            "%.notfrom: unknown field `notfrom`",
            "did you mean `notFrom`?",
        ),
        (
            "a field of nothing",
            "{from: a, to: b, expect: denied, ^timeout: 3}",
            "%.timeout: unknown field `timeout`",
            "fields here are",
        ),
        (
            "another expectation",
            "{from: a, to: b, expect: ^deny}",
            "%.expect: unknown expectation `deny`",
            "did you mean `denied`?",
        ),
        (
            "an expectation in capitals",
            "{from: a, to: b, expect: ^Allowed}",
            "%.expect: unknown expectation `Allowed`",
            "did you mean `allowed`?",
        ),
        (
            "yes",
            "{from: a, to: b, expect: ^yes}",
            "%.expect: expected text, found the boolean `yes`",
            "quote it",
        ),
        ("an empty list", "{from: ^[], to: b, expect: denied}", "%.from: an empty list", "name pods"),
        ("an empty text", "{from: ^\"\", to: b, expect: denied}", "%.from: an empty text", "name pods"),
        (
            "a number as an end",
            "{from: [a, ^1], to: b, expect: denied}",
            "%.from[1]: expected text, found the number `1`",
            "quote it",
        ),
        (
            "a mapping as an end",
            "{from: ^{a: b}, to: b, expect: denied}",
            "%.from: expected text, found a mapping",
            "write one value",
        ),
        (
            "port 0",
            "{from: a, to: b, port: ^0, expect: denied}",
            "%.port: 0 is out of range",
            "from 1 to 65535",
        ),
        (
            "a port too large",
            "{from: a, to: b, ports: [80, ^65536], expect: denied}",
            "%.ports[1]: 65536 is out of range",
            "from 1 to 65535",
        ),
        ("no ports", "{from: a, to: b, ports: ^[], expect: denied}", "%.ports: an empty list", "every port"),
        (
            "port and ports",
            "{from: a, to: b, port: 1, ports: ^2, expect: denied}",
            "%.ports: `port` and `ports` in one case",
            "below `ports`",
        ),
        (
            "a name that is a number",
            "{name: ^1, from: a, to: b, expect: denied}",
            "%.name: expected text, found the number `1`",
            "quote it",
        ),
        ("text", "^a", "%: expected a mapping, found the text `a`", "key: value"),
    ] {
        let column = 5 + case.find('^').expect("a mark");
        let case = case.replace('^', "");
        let expect = format!("6:{column} error {}", expect.replace('%', "spec.tests[0]"));
        let cases = format!("  - {case}\n  - {{{GOOD}}}");
        let test = read(sentence, &cases, &[&expect]);
        assert_eq!(test.cases.len(), 1, "{sentence}");
        assert_eq!(texts(&test.cases[0].ports), ["80"], "{sentence}");
        let loaded = load_text("t", &text(&cases));
        assert!(loaded.diagnostics[0].help.contains(help), "{sentence}: {}", loaded.diagnostics[0].help);
    }
}

#[test]
fn a_test_without_cases_says_so() {
    for (rest, expect) in [
        ("", "1:1 error spec.tests: `tests` is missing"),
        ("spec: {}\n", "4:7 error spec.tests: `tests` is missing"),
        ("spec: []\n", "4:7 error spec: expected a mapping, found a list"),
        ("spec: {tests: {}}\n", "4:15 error spec.tests: expected a list, found a mapping"),
        ("spec: {tests: [], test: []}\n", "4:19 error spec.test: unknown field `test`"),
        ("spec: {tests: []}\ntests: []\n", "5:1 error tests: unknown field `tests`"),
    ] {
        let text = format!(
            "apiVersion: podgate.dev/v1alpha1\nkind: ConnectivityTest\nmetadata: {{name: t}}\n{rest}"
        );
        assert_eq!(check(rest, &text, &[expect]).objects.len(), 1);
    }
    check(
        "another version",
        &text("    []").replace("v1alpha1", "v1"),
        &["1:13 error apiVersion: there is no ConnectivityTest in `podgate.dev/v1`"],
    );
}

#[test]
fn tests_of_one_name_are_all_kept_without_a_warning() {
    let one = text("  - {from: a, to: b, expect: denied}");
    let loaded = check("twice", &format!("{one}---\n{one}"), &[]);
    assert_eq!(loaded.objects.len(), 2);
}
