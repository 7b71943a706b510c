//! Texts made to hurt: they get diagnostics, quickly, and never a panic.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use podgate_api::{Input, Loaded, Severity, load, load_text};
use proptest::prelude::*;

#[allow(dead_code, reason = "each test file uses its own part of the support")]
mod support;

#[path = "support/promises.rs"]
mod promises;

/// Loads within a time that only a reader gone wrong exceeds, also on a busy machine.
#[track_caller]
fn quickly(text: &str) -> Loaded {
    let start = Instant::now();
    let loaded = load_text("t", text);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(60), "took {took:?}");
    loaded
}

#[track_caller]
fn first_error(loaded: &Loaded) -> &str {
    let error = loaded.diagnostics.iter().find(|d| d.severity == Severity::Error);
    &error.expect("an error").message
}

#[test]
fn an_alias_bomb_does_not_go_off() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let below = vec![format!("*a{}", level - 1); 9].join(", ");
        let _ = writeln!(text, "a{level}: &a{level} [{below}]");
    }
    let loaded = quickly(&text);
    assert!(first_error(&loaded).contains("more than the document itself"), "{:?}", loaded.diagnostics);
}

#[test]
fn many_small_alias_bombs_do_not_add_up() {
    let bomb = "---\na: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: &d [*c, *c, *c, *c]\ne: &e [*d, *d, *d, *d]\nf: [*e, *e, *e, *e, *e]\n";
    assert!(quickly(&bomb.repeat(2_000)).has_errors());
}

#[test]
fn a_large_text_behind_many_aliases_is_not_copied_without_end() {
    let text = format!("a: &a \"{}\"\nb: [{}]\n", "x\\n".repeat(500_000), vec!["*a"; 10_000].join(", "));
    let loaded = quickly(&text);
    assert!(first_error(&loaded).contains("aliases expand"), "{:?}", loaded.diagnostics);
}

#[test]
fn ordinary_anchors_aliases_and_merges_are_read() {
    let text = "apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: &meta {name: a, labels: &labels {app: x, tier: web}}
- apiVersion: v1
  kind: Pod
  metadata: {<<: *meta, name: b, labels: {tier: z, <<: *labels}}
- apiVersion: v1
  kind: Pod
  metadata: {name: c, labels: {<<: [{app: first}, *labels]}}
";
    let loaded = quickly(text);
    assert_eq!(loaded.diagnostics, []);
    let labels: Vec<String> =
        loaded.objects.iter().map(|o| format!("{} {:?}", o.meta().name, o.meta().labels)).collect();
    assert_eq!(
        labels,
        [
            r#"a {"app": "x", "tier": "web"}"#,
            r#"b {"app": "x", "tier": "z"}"#,
            r#"c {"app": "first", "tier": "web"}"#
        ]
    );
}

#[test]
fn endless_nesting_is_refused() {
    for text in [
        "[".repeat(100_000),
        "{\"a\":".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        format!("apiVersion: v1\nkind: Pod\nmetadata: {}", "[".repeat(100_000)),
        (0..2_000).fold(String::new(), |text, depth| format!("{text}{}a:\n", " ".repeat(depth))),
        "? ".repeat(100_000),
        format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
    ] {
        let loaded = quickly(&text);
        assert!(loaded.has_errors() && loaded.objects.is_empty(), "{}", &text[..20]);
    }
    let deep = quickly(&format!("{}{}", "[".repeat(129), "]".repeat(129)));
    assert_eq!(first_error(&deep), "more than 128 collections inside each other");
}

#[test]
fn aliases_can_not_nest_deeper_than_brackets() {
    let mut text = format!("a0: &a0 {}{}\n", "[".repeat(100), "]".repeat(100));
    text.push_str(&format!("b: {}*a0{}\n", "[".repeat(100), "]".repeat(100)));
    assert_eq!(first_error(&quickly(&text)), "more than 128 collections inside each other");
}

#[test]
fn an_alias_of_the_node_that_holds_it_is_refused() {
    for text in ["a: &a [*a]\n", "&a {b: *a}\n", "a: &a {<<: *a}\n"] {
        assert!(quickly(text).has_errors(), "{text}");
    }
}

#[test]
fn a_million_documents_are_read() {
    let loaded = quickly(&"---\na: 1\n".repeat(1_000_000));
    assert_eq!((loaded.documents, loaded.diagnostics.len()), (1_000_000, 2_000_000));
    let last = loaded.diagnostics.last().map(|d| d.source.line);
    assert_eq!(last, Some(2_000_000));
    assert_eq!(quickly(&"---\n".repeat(100_000)).documents, 0);
}

#[test]
fn a_scalar_of_ten_megabytes_is_read() {
    let long = "x".repeat(10_000_000);
    for value in [
        long.clone(),
        format!("\"{long}\""),
        format!("|\n      {long}"),
        format!("'{}'", long.replace("xx", "''")),
    ] {
        let text =
            format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations:\n    b: {value}\n");
        let loaded = quickly(&text);
        assert_eq!(loaded.diagnostics, []);
        assert_eq!(loaded.objects.len(), 1);
    }
    let loaded = quickly(&format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {long}}}\n"));
    assert!(first_error(&loaded).len() < 400, "messages stay short");
}

#[test]
fn wide_collections_are_read_in_time_proportional_to_their_size() {
    let fields: String = (0..200_000).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "    k{n}: v");
        text
    });
    let loaded = quickly(&format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n{fields}"));
    assert_eq!(loaded.objects[0].meta().labels.len(), 200_000);

    let same = quickly(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n{}",
        "    k: v\n".repeat(100_000)
    ));
    assert_eq!(same.diagnostics.len(), 99_999);

    let merges: String = (0..100_000).fold("x: &x {a: b}\ny:\n".to_owned(), |mut text, n| {
        let _ = write!(text, "  k{n}: v\n  <<: *x\n");
        text
    });
    assert_eq!(quickly(&merges).diagnostics.len(), 2, "no kind and no version");

    let policies: String = (0..20_000).fold(String::new(), |mut text, n| {
        let _ = write!(
            text,
            "{}{{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{{\"name\":\"n{n}\"}}}}",
            if n == 0 { "" } else { "," }
        );
        text
    });
    let loaded = quickly(&format!("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{policies}]}}"));
    assert_eq!((loaded.objects.len(), loaded.diagnostics.len()), (20_000, 0));
}

#[test]
fn bytes_that_are_no_utf8_are_reported_at_their_place() {
    let folder = std::env::temp_dir().join(format!("podgate-api-bytes-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("bad.yaml");
    std::fs::write(&file, b"a: 1\nb\xc3\xa9: \xff\n").expect("a file");
    let loaded = load(&[Input::Path(file)]);
    std::fs::remove_dir_all(&folder).expect("removal");
    assert_eq!(support::findings(&loaded), ["2:5 error : the text is not UTF-8"]);
}

#[test]
fn control_characters_and_odd_line_ends_keep_the_promises() {
    for text in [
        "\0",
        "a: \0",
        "\u{feff}apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n",
        "\u{feff}---\n\u{feff}a",
        "a: b\rc: d\r\n---\r\ne",
        "\u{2028}a: \u{85}b",
        "%",
        "%YAML 9.9\n---\na",
        "%TAG ! x\n---\n!a b",
        "--- >\n a\n---\t|\n b",
        "...\n...\n",
        "&a",
        "*a",
        "!",
        "!!binary \"a\"",
        "? [a, b]\n: c",
        "<<: a",
        "{<<: [*a]}",
        "a: &a b\n*a : c",
        "{{ .Values }}",
        "a: {{ .Values.b }}",
        "a: &a b\nc: {<<: \r*a, y: \"{{ z }}\"}\n? k\n- l",
        "\t{\"a\": 1}",
        "{\"a\": 1} {\"b\": 2} x",
        "[1] [2]",
    ] {
        promises::hold_for(text);
    }
}

/// Pieces that random manifests are made of.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "apiVersion: v1\n",
        "apiVersion: networking.k8s.io/v1\n",
        "kind: NetworkPolicy\n",
        "kind: Pod\n",
        "apiVersion: policy.networking.k8s.io/v1beta1\n",
        "apiVersion: policy.networking.k8s.io/v1alpha1\n",
        "kind: ClusterNetworkPolicy\n",
        "kind: AdminNetworkPolicy\n",
        "apiVersion: podgate.dev/v1alpha1\nkind: ConnectivityTest\n",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\n",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n",
        "kind: ConfigMap\n",
        "data: {a: 'http://b:80'}\n",
        "  tests:\n",
        "  - {from: a, to: [b], port: 80, expect: denied}\n",
        "  - from: a\n",
        "  rules: [{http: {paths: [{backend: {service: {name: a, port: {number: 80}}}}]}}]\n",
        "  rules: [{backendRefs: [{name: a, port: 80}]}]\n",
        "  containers: [{env: [{name: A, value: 'a.b:80'}], args: ['$(A)$(A)']}]\n",
        "# podgate.dev/ignore: a-b, c\n",
        "  tier: Admin\n",
        "  priority: 1\n",
        "  subject: {namespaces: {}}\n",
        "  - action: Accept\n",
        "  - action: Deny\n",
        "    from:\n",
        "    to:\n",
        "    - namespaces: {}\n",
        "    - pods: {podSelector: {}}\n",
        "    - networks: [10.0.0.0/8]\n",
        "    - domainNames: [a.b]\n",
        "    protocols: [{tcp: {destinationPort: {number: 80}}}, {destinationNamedPort: http}]\n",
        "kind: List\n",
        "metadata: {name: a}\n",
        "metadata:\n",
        "  name: b\n",
        "spec:\n",
        "  podSelector: {}\n",
        "  podSelector:\n",
        "    matchLabels: {a: b}\n",
        "  ingress:\n",
        "  egress:\n",
        "  - from:\n",
        "  - to:\n",
        "    - podSelector: {}\n",
        "    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}\n",
        "    ports: [{port: 80, endPort: 90}]\n",
        "    - {}\n",
        "  policyTypes: [Egress]\n",
        "---\n",
        "...\n",
        "- ",
        "  ",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "\"",
        "'",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "|\n",
        ">\n",
        "# c\n",
        "\r",
        "\r\n",
        "\t",
        "{{ x }}",
        "null",
        "yes",
        "é",
        "\u{feff}",
        "%",
        "?",
    ];
    prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "[ -~]{0,8}",
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_text_keeps_the_promises(pieces in prop::collection::vec(piece(), 0..40)) {
        promises::hold_for(&pieces.concat());
    }

    #[test]
    fn every_damaged_manifest_keeps_the_promises(
        text in prop::sample::select(vec![include_str!("data/shop.yaml"), include_str!("data/toolbox.yaml")]),
        at in 0_usize..3000,
        cut in 0_usize..30,
        put in piece(),
    ) {
        let chars: Vec<char> = text.chars().collect();
        let at = at.min(chars.len());
        let rest = &chars[(at + cut).min(chars.len())..];
        let text: String = chars[..at].iter().copied().chain(put.chars()).chain(rest.iter().copied()).collect();
        promises::hold_for(&text);
    }
}

#[test]
fn hostile_texts_of_the_new_kinds_are_read_in_time_proportional_to_their_size() {
    let networks: Vec<String> =
        (0..100_000).map(|n| format!("10.{}.{}.0/24", n / 256 % 256, n % 256)).collect();
    let policy = format!(
        "apiVersion: policy.networking.k8s.io/v1beta1\nkind: ClusterNetworkPolicy\nmetadata: {{name: p}}\nspec:\n  tier: Admin\n  priority: 1\n  subject: {{namespaces: {{}}}}\n  egress: [{{action: Deny, to: [{{networks: [{}]}}]}}]\n",
        networks.join(", ")
    );
    assert!(quickly(&policy).has_errors());
    let rules = "{action: Deny, from: [{}]}, ".repeat(50_000);
    let policy = format!(
        "apiVersion: policy.networking.k8s.io/v1alpha1\nkind: AdminNetworkPolicy\nmetadata: {{name: p}}\nspec:\n  priority: 1\n  subject: {{namespaces: {{}}}}\n  ingress: [{rules}]\n"
    );
    assert!(quickly(&policy).diagnostics.len() > 50_000);

    // Variables inside variables, and very many of them.
    let env: String = (0..20_000).map(|n| format!("{{name: A{n}, value: '$(A0)$(A{n})'}}, ")).collect();
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{{env: [{env}], args: ['{}']}}]}}\n",
        "$(A1)".repeat(10_000)
    );
    quickly(&pod);
    let words = "word:1 ".repeat(1_000_000);
    quickly(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{a: '{words}'}}\n"));
    let hits: String = (0..100_000)
        .map(|n| {
            format!(
                "# podgate.dev/ignore: a-b\n- {{apiVersion: v1, kind: Namespace, metadata: {{name: n{n}}}}}\n"
            )
        })
        .collect();
    assert_eq!(quickly(&format!("apiVersion: v1\nkind: List\nitems:\n{hits}")).ignores.len(), 100_000);
}
