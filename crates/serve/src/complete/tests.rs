use podgate_analysis::WorldOptions;
use podgate_api::load_text;

use super::*;

const CLUSTER: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: ops, labels: {team: ops}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web, tier: front, pod-template-hash: abc}}
spec: {containers: [{name: c, image: c, ports: [{containerPort: 8080, name: http}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db, shard: \"1\"}}
spec: {containers: [{name: c, image: c, ports: [{containerPort: 5432}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: ops, labels: {app: probe}}
spec: {containers: [{name: c, image: c, ports: [{containerPort: 9090}]}]}
";

/// What may be written at `|`, and the column where that begins.
#[track_caller]
fn at(yaml: &str) -> (usize, Vec<String>) {
    let before = yaml.find('|').expect("a cursor");
    let line = yaml[..before].matches('\n').count();
    let column = yaml[..before].rsplit('\n').next().unwrap().chars().count();
    let place = Place::find(&yaml.replacen('|', "", 1), line, column);
    let world = World::new(load_text("test.yaml", CLUSTER).objects, &WorldOptions::default());
    let items = match &place.writing {
        Writing::Key => keys(&world, &place),
        Writing::Value(key) => values(&world, &place, key),
    };
    let texts = items.into_iter().filter(|item| fits(&item.text, &place.word));
    (place.from, texts.map(|item| item.text).collect())
}

const HEAD: &str = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: web\n  namespace: shop\nspec:\n";

#[test]
fn fields_are_those_of_the_place_that_are_not_there_yet() {
    for (text, fields) in [
        ("|", vec!["apiVersion: ", "kind: ", "metadata:", "spec:"]),
        ("kind: NetworkPolicy\n|", vec!["apiVersion: ", "metadata:", "spec:"]),
        ("metadata:\n  na|", vec!["name: ", "namespace: "]),
    ] {
        assert_eq!(at(text).1, fields, "{text}");
    }
    for (text, fields) in [
        ("  |", vec!["podSelector:", "policyTypes: ", "ingress:", "egress:"]),
        ("  podSelector: {}\n  in|\n  egress: []\n", vec!["ingress:"]),
        ("  ingress:\n  - |", vec!["from:", "ports:"]),
        ("  ingress:\n    - from:\n        - po|", vec!["podSelector:"]),
        ("  ingress:\n  - from:\n    - podSelector: {}\n    |", vec!["ports:"]),
        ("  egress:\n  - ports:\n    - protocol: TCP\n      |", vec!["port: ", "endPort: "]),
        ("  podSelector:\n    |", vec!["matchLabels:", "matchExpressions:"]),
        ("  podSelector:\n    matchExpressions:\n    - |", vec!["key: ", "operator: ", "values: "]),
    ] {
        assert_eq!(at(&format!("{HEAD}{text}")).1, fields, "{text}");
    }
}

#[test]
fn values_are_those_that_the_cluster_has() {
    for (text, values) in [
        ("  podSelector:\n    matchLabels:\n      |", vec!["app: ", "shard: ", "tier: "]),
        ("  podSelector:\n    matchLabels:\n      app: |", vec!["db", "web"]),
        ("  podSelector:\n    matchLabels:\n      shard: |", vec!["\"1\""]),
        ("  policyTypes: [Ingress, E|", vec!["Egress"]),
        ("  policyTypes:\n  - |", vec!["Ingress", "Egress"]),
        ("  ingress:\n  - ports:\n    - port: |", vec!["5432", "8080", "http", "9090"]),
        ("  ingress:\n  - ports:\n    - protocol: U|", vec!["UDP"]),
        (
            "  ingress:\n  - from:\n    - namespaceSelector:\n        matchLabels:\n          |",
            vec!["kubernetes.io/metadata.name: ", "team: "],
        ),
        (
            "  ingress:\n  - from:\n    - namespaceSelector: {matchLabels: {team: ops}}\n      podSelector:\n        matchLabels:\n          app: |",
            vec!["probe"],
        ),
        (
            "  ingress:\n  - from:\n    - podSelector:\n        matchLabels:\n          app: |",
            vec!["db", "web"],
        ),
    ] {
        assert_eq!(at(&format!("{HEAD}{text}")).1, values, "{text}");
    }
    assert_eq!(at("metadata:\n  namespace: o|").1, ["ops"]);
}

#[test]
fn cluster_scoped_policies_have_fields_of_their_own() {
    let head = "kind: ClusterNetworkPolicy\nspec:\n";
    for (text, fields) in [
        ("  ti|", vec!["tier: "]),
        ("  tier: |", vec!["Admin", "Baseline"]),
        ("  subject:\n    |", vec!["namespaces:", "pods:"]),
        ("  subject:\n    namespaces:\n      matchLabels:\n        team: |", vec!["ops"]),
        ("  egress:\n  - action: D|", vec!["Deny"]),
        ("  egress:\n  - to:\n    - d|", vec!["domainNames:"]),
        (
            "  ingress:\n  - protocols:\n    - tcp:\n        destinationPort:\n          number: 8|",
            vec!["8080"],
        ),
    ] {
        assert_eq!(at(&format!("{head}{text}")).1, fields, "{text}");
    }
}

#[test]
fn the_word_that_is_replaced_begins_where_it_was_begun() {
    assert_eq!(
        at(&format!("{HEAD}  podSelector:\n    matchLabels:\n      app: we|")),
        (11, vec!["web".to_owned()])
    );
    assert_eq!(at(&format!("{HEAD}  ing|")).0, 2);
    assert_eq!(at("--- # one\nkind: Pod\n---\nki|"), (0, vec!["kind: ".to_owned()]));
}
