//! Documents of all kinds: lists, kinds of others, broken and duplicate ones, templates, faults of YAML.

#[allow(dead_code, reason = "each test file uses its own part of the support")]
mod support;

use podgate_api::{Loaded, load_text};
use support::{check, findings};

fn names(loaded: &Loaded) -> Vec<String> {
    loaded.objects.iter().map(|object| object.key().to_string()).collect()
}

#[test]
fn lists_hold_items_of_their_kind_or_of_any() {
    let any = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n- {apiVersion: v1, kind: Secret}\n- {kind: Pod}\n- apiVersion: v1\n  kind: List\n  items: [{apiVersion: v1, kind: Pod, metadata: {name: b}}]\n";
    let loaded = check("any kinds", any, &["6:3 error items[2].apiVersion: `apiVersion` is missing"]);
    assert_eq!(names(&loaded), ["Pod default/a", "Pod default/b"]);
    assert_eq!(loaded.ignored["v1 Secret"], 1);
    let own = "{\"apiVersion\": \"v1\", \"kind\": \"PodList\", \"items\": [\n\t{\"metadata\": {\"name\": \"a\"}},\n\t{\"metadata\": {\"name\": \"B\"}}]}";
    let loaded =
        check("one kind, in JSON", own, &["3:24 error items[1].metadata.name: `B` is no valid name"]);
    assert_eq!((loaded.objects.len(), loaded.objects[0].meta().source.line), (2, 2));
    assert_eq!(load_text("t", "{apiVersion: v1, kind: SecretList, items: []}").ignored["v1 SecretList"], 1);
    check("null items", "{apiVersion: v1, kind: List, items: }", &[]);
}

#[test]
fn kinds_of_others_are_counted() {
    let text = "{apiVersion: v1, kind: Secret}\n---\n{apiVersion: serving.knative.dev/v1, kind: Service}\n---\n{apiVersion: crd.projectcalico.org/v1, kind: NetworkPolicy}\n---\n{apiVersion: v1, kind: Secret}\n";
    let loaded = check("others", text, &[]);
    let ignored: Vec<(&str, usize)> =
        loaded.ignored.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(
        ignored,
        [
            ("crd.projectcalico.org/v1 NetworkPolicy", 1),
            ("serving.knative.dev/v1 Service", 1),
            ("v1 Secret", 2)
        ]
    );
    assert_eq!(loaded.documents, 4);
}

#[test]
fn a_kind_of_ours_in_a_wrong_version_or_spelling_is_an_error_and_read() {
    let text = "apiVersion: v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}}\n";
    let loaded = check("a version", text, &["1:13 error apiVersion: there is no NetworkPolicy in `v1`"]);
    assert_eq!(names(&loaded), ["NetworkPolicy default/p"]);
    let text = "apiVersion: networking.k8s.io/v1\nkind: Networkpolicy\nmetadata: {name: p}\nspec: {podSelector: {}}\n";
    let loaded = check("a kind", text, &["2:7 error kind: there is no kind `Networkpolicy`"]);
    assert_eq!(names(&loaded), ["NetworkPolicy default/p"]);
}

#[test]
fn documents_that_are_no_objects_are_errors() {
    for (sentence, text, expect) in [
        ("no kind", "apiVersion: v1\n", vec!["1:1 error kind: `kind` is missing"]),
        ("no version", "\nkind: Pod\n", vec!["2:1 error apiVersion: `apiVersion` is missing"]),
        (
            "neither",
            "a: 1\n",
            vec!["1:1 error kind: `kind` is missing", "1:1 error apiVersion: `apiVersion` is missing"],
        ),
        ("a list", "- a\n", vec!["1:1 error : expected a mapping, found a list"]),
        ("text", "hello\n", vec!["1:1 error : expected a mapping, found the text `hello`"]),
        (
            "a number for a kind",
            "apiVersion: v1\nkind: 1\n",
            vec!["2:7 error kind: expected text, found the number `1`"],
        ),
    ] {
        assert_eq!(check(sentence, text, &expect).documents, 1);
    }
    for text in
        ["", "---\n", "# only a comment\n", "---\n---\n# a\n---\n", "null\n", "\n\n", "--- # a\n...\n"]
    {
        assert_eq!(check("nothing is fine", text, &[]).documents, 0, "{text:?}");
    }
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let good = |name: &str| format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n");
    let text = format!("{}---\na: [\n{}---\nb: \"\n{}", good("a"), good("b"), good("c"));
    let loaded = load_text("t", &text);
    assert_eq!(names(&loaded), ["Pod default/a", "Pod default/b", "Pod default/c"]);
    let lines: Vec<u32> = loaded.diagnostics.iter().map(|d| d.source.line).collect();
    assert_eq!(lines.len(), 2, "{:?}", findings(&loaded));
    assert!((6..=7).contains(&lines[0]) && (12..=13).contains(&lines[1]), "{lines:?}");
    assert_eq!(loaded.documents, 5);
}

#[test]
fn duplicate_keys_are_errors_and_the_last_counts() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {x: a, x: b}\n  name: b\n";
    let loaded = check(
        "keys",
        text,
        &[
            "5:18 error metadata.labels.x: key `x` is already set at line 5",
            "6:3 error metadata.name: key `name` is already set at line 4",
        ],
    );
    assert_eq!(
        (loaded.objects[0].meta().name.as_str(), loaded.objects[0].meta().labels["x"].as_str()),
        ("b", "b")
    );
    check(
        "in JSON",
        "{\"apiVersion\": \"v1\", \"kind\": \"Pod\",\n \"metadata\": {\"name\": \"a\", \"name\": \"b\"}}",
        &["2:28 error metadata.name: key `name` is already set at line 2"],
    );
}

#[test]
fn duplicate_objects_are_warnings() {
    let text = "{apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: default}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: b}}\n";
    let loaded =
        check("pods", text, &["3:1 warning metadata.name: Pod default/a is already written at t.yaml:1:1"]);
    assert_eq!(loaded.objects.len(), 3);
}

#[test]
fn templates_that_were_not_rendered_are_named() {
    for (text, line, column) in [
        ("{{- if .Values.a }}\napiVersion: v1\nkind: Pod\n{{- end }}\n", 1, 1),
        ("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Values.name }}\n", 4, 9),
        (
            "apiVersion: v1\nkind: Pod\nmetadata:\n  labels:\n    {{- include \"labels\" . | nindent 4 }}\n",
            5,
            5,
        ),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: \"{{ .Values.name }}\"}\n", 3, 18),
    ] {
        let loaded = load_text("t", text);
        let found = &loaded.diagnostics[0];
        assert_eq!((found.source.line, found.source.column), (line, column), "{text}\n{found}");
        assert!(found.help.contains("render the chart first"), "{text}\n{found}");
    }
}

#[test]
fn yaml_faults_say_what_to_do() {
    for (text, line, column, help) in [
        ("a:\n\tb: 1\n", 2, 2, "spaces"),
        ("a: b: c\n", 1, 5, "quote text that holds `: `"),
        ("a: [1, 2\n", 1, 4, "close each `[`"),
        ("a: \"b\n", 1, 4, "close the quote"),
        ("a: *b\n", 1, 4, "`&name`"),
        ("{\"a\": 1,\n \"b\" 2}", 2, 6, "\"key\": value"),
    ] {
        let loaded = load_text("t", text);
        let found = &loaded.diagnostics[0];
        assert_eq!((found.source.line, found.source.column), (line, column), "{text}\n{found}");
        assert!(found.help.contains(help), "{text}\n{found}");
    }
}

#[test]
fn the_copy_that_kubectl_apply_leaves_is_not_kept() {
    let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', b: c}}\n";
    let loaded = check("an annotation", text, &[]);
    let kept: Vec<&str> = loaded.objects[0].meta().annotations.keys().map(String::as_str).collect();
    assert_eq!(kept, ["b"]);
}
