//! From manifests to verdicts: what defaults, omissions and errors in the text mean for traffic. Each
//! test is named after the numbered case of the specification that it holds.

use std::net::IpAddr;

use podgate_api::{Loaded, load_text};
use podgate_policy::{Cluster, Verdict};
use podgate_tests::compare::{agree, connection, engine};
use podgate_tests::naive::{Question, World};

const PODS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {team: red}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a, labels: {app: web}}
spec:
  initContainers:
  - {name: sidecar, image: x, restartPolicy: Always, ports: [{name: side, containerPort: 9000}]}
  - {name: setup, image: x, ports: [{name: setup, containerPort: 9001}]}
  containers:
  - {name: one, image: x, ports: [{name: http, containerPort: 80}, {name: dns, containerPort: 53, protocol: UDP}]}
  - {name: two, image: x, ports: [{containerPort: 8080}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: a, labels: {app: db}}
spec: {containers: [{name: one, image: x}]}
status: {phase: Running, podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: job, namespace: b}
spec: {containers: [{name: one, image: x}]}
status: {phase: Running, podIP: 10.0.0.3}
---
"#;

const WEB: &str = "10.0.0.1";
const DB: &str = "10.0.0.2";
const JOB: &str = "10.0.0.3";

struct Judged {
    loaded: Loaded,
    world: World,
    cluster: Cluster,
}

fn judged(policies: &str) -> Judged {
    let loaded = load_text("test.yaml", &format!("{PODS}{policies}"));
    let world = World::of(&loaded.objects);
    let cluster = engine(&loaded.objects, false);
    Judged { loaded, world, cluster }
}

/// `spec` of a policy named p in namespace a.
fn with_spec(spec: &str) -> Judged {
    let indented = spec.trim_matches('\n').replace('\n', "\n  ");
    judged(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p, namespace: a}}\nspec:\n  {indented}\n"
    ))
}

impl Judged {
    #[track_caller]
    fn check(&self, rows: &[(&str, &str, u8, u16, bool)]) -> &Judged {
        for (from, to, protocol, port, allowed) in rows {
            let address = |text: &str| text.parse::<IpAddr>().expect("an address");
            let question =
                Question { from: address(from), to: address(to), protocol: *protocol, port: *port };
            let decision = self.cluster.evaluate(&connection(&question));
            assert_eq!(decision.verdict == Verdict::Allowed, *allowed, "{question:?}: {decision:?}");
            agree(&self.world, &self.cluster, &question).unwrap_or_else(|why| panic!("{why}"));
        }
        self
    }

    #[track_caller]
    fn valid(&self) -> &Judged {
        assert!(!self.loaded.has_errors(), "{:#?}", self.loaded.diagnostics);
        self
    }

    #[track_caller]
    fn refused(&self) -> &Judged {
        assert!(self.loaded.has_errors(), "the API server would refuse this");
        self
    }
}

#[test]
fn case_02_a_peer_with_nothing_set_is_an_error_and_never_everything() {
    with_spec("podSelector: {}\ningress: [{from: [{}]}]").refused().check(&[
        (DB, WEB, 6, 80, false),
        (JOB, WEB, 6, 80, false),
        ("8.8.8.8", WEB, 6, 80, false),
    ]);
}

#[test]
fn case_03_the_name_label_is_there_and_cannot_be_overridden() {
    let liar = "
apiVersion: v1
kind: Namespace
metadata: {name: b, labels: {kubernetes.io/metadata.name: a}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: a}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: a}}}]}]
";
    judged(liar).check(&[(DB, WEB, 6, 80, true), (JOB, WEB, 6, 80, false)]);
}

#[test]
fn case_05_an_invalid_selector_fails_closed() {
    with_spec(
        "podSelector: {matchExpressions: [{key: app, operator: Near, values: [x]}]}\npolicyTypes: [Ingress]",
    )
    .refused()
    .check(&[(JOB, WEB, 6, 80, false), (JOB, DB, 6, 80, false)]);
    with_spec(
        "podSelector: {}\ningress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In}]}}]}]",
    )
    .refused()
    .check(&[(DB, WEB, 6, 80, false), (JOB, WEB, 6, 80, false)]);
}

#[test]
fn case_07_absent_and_empty_lists_mean_the_same() {
    for deny in ["podSelector: {}", "podSelector: {}\ningress: []", "podSelector: {}\npolicyTypes: [Ingress]"]
    {
        with_spec(deny).valid().check(&[(JOB, WEB, 6, 80, false), ("8.8.8.8", DB, 17, 53, false)]);
    }
    for all in ["[{}]", "[{from: []}]", "[{ports: []}]", "[{from: [], ports: []}]"] {
        with_spec(&format!("podSelector: {{}}\ningress: {all}")).valid().check(&[
            (JOB, WEB, 6, 80, true),
            ("8.8.8.8", WEB, 132, 9, true),
            (JOB, WEB, 47, 0, true),
        ]);
    }
}

#[test]
fn case_08_policy_types_by_default() {
    for (spec, ingress_open, egress_open) in [
        ("podSelector: {}", false, true),
        ("podSelector: {}\npolicyTypes: []", false, true),
        ("podSelector: {}\negress: []", false, true),
        ("podSelector: {}\negress: [{ports: [{port: 1}]}]", false, false),
        ("podSelector: {}\npolicyTypes: [Egress]\ningress: [{ports: [{port: 1}]}]", true, false),
        ("podSelector: {}\npolicyTypes: [Ingress]\negress: [{ports: [{port: 1}]}]", false, true),
        ("podSelector: {}\npolicyTypes: [Ingress, Egress]", false, false),
    ] {
        with_spec(spec).valid().check(&[(JOB, WEB, 6, 80, ingress_open), (WEB, JOB, 6, 80, egress_open)]);
    }
}

#[test]
fn case_10_a_port_entry_without_protocol_is_tcp() {
    with_spec("podSelector: {}\ningress: [{ports: [{port: 80}]}]").valid().check(&[
        (JOB, WEB, 6, 80, true),
        (JOB, WEB, 17, 80, false),
        (JOB, WEB, 132, 80, false),
    ]);
    with_spec("podSelector: {}\ningress: [{ports: [{}]}]").valid().check(&[
        (JOB, WEB, 6, 1, true),
        (JOB, WEB, 6, 65535, true),
        (JOB, WEB, 17, 1, false),
    ]);
    with_spec("podSelector: {}\ningress: [{ports: [{protocol: UDP}]}]")
        .valid()
        .check(&[(JOB, WEB, 17, 65535, true), (JOB, WEB, 6, 80, false)]);
}

#[test]
fn case_11_end_port_needs_a_smaller_numeric_port() {
    with_spec("podSelector: {}\ningress: [{ports: [{port: 80, endPort: 90}]}]").valid().check(&[
        (JOB, WEB, 6, 80, true),
        (JOB, WEB, 6, 90, true),
        (JOB, WEB, 6, 91, false),
    ]);
    for bad in [
        "{port: http, endPort: 90}",
        "{port: 80, endPort: 79}",
        "{endPort: 90}",
        "{port: 0}",
        "{port: 65536}",
    ] {
        with_spec(&format!("podSelector: {{}}\ningress: [{{ports: [{bad}]}}]")).refused().check(&[
            (JOB, WEB, 6, 85, false),
            (JOB, WEB, 6, 1, false),
            (JOB, WEB, 17, 80, false),
        ]);
    }
}

#[test]
fn case_12_sidecars_name_ports_and_ordinary_init_containers_do_not() {
    let named =
        |name: &str| with_spec(&format!("podSelector: {{}}\ningress: [{{ports: [{{port: {name}}}]}}]"));
    named("side").valid().check(&[(JOB, WEB, 6, 9000, true), (JOB, WEB, 6, 80, false)]);
    named("setup").valid().check(&[(JOB, WEB, 6, 9001, false)]);
    named("http").valid().check(&[(JOB, WEB, 6, 80, true), (JOB, WEB, 6, 8080, false)]);
    named("dns").valid().check(&[(JOB, WEB, 6, 53, false), (JOB, WEB, 17, 53, false)]);
}

#[test]
fn case_15_a_block_with_host_bits_is_used_masked() {
    with_spec(
        "podSelector: {}\ningress: [{from: [{ipBlock: {cidr: 192.0.2.77/24, except: [192.0.2.9/29]}}]}]",
    )
    .check(&[
        ("192.0.2.1", WEB, 6, 80, true),
        ("192.0.2.8", WEB, 6, 80, false),
        ("192.0.2.15", WEB, 6, 80, false),
        ("192.0.2.16", WEB, 6, 80, true),
        ("192.0.3.1", WEB, 6, 80, false),
    ]);
}

#[test]
fn case_15_except_must_lie_strictly_inside() {
    for hole in ["192.0.2.0/24", "192.0.0.0/16", "198.51.100.0/24", "fd00::/64"] {
        with_spec(&format!("podSelector: {{}}\ningress: [{{from: [{{ipBlock: {{cidr: 192.0.2.0/24, except: ['{hole}']}}}}]}}]"))
            .refused()
            .check(&[("198.51.100.1", WEB, 6, 80, false), (JOB, WEB, 6, 80, false)]);
    }
}
