//! A lab with enforcement from end to end: real namespaces, the kernel, real connections. Needs root.

#![expect(clippy::print_stderr, reason = "what a failing test leaves to read")]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Lab, policy, wait_until};

/// Everything that policies can say, in one small cluster.
const CLUSTER: &str = include_str!("cluster.yaml");

#[test]
fn every_connection_goes_as_policy_says_in_both_families() {
    let lab = Lab::up("e2e-all", &[("cluster.yaml", CLUSTER)], 2);
    let report = lab.probe(&[]);
    assert_eq!(report["differences"], 0, "{}", differing(&report));
    let cells = report["cells"].as_array().unwrap();
    let some = |what: &str, pick: &dyn Fn(&Value) -> bool| {
        assert!(cells.iter().any(pick), "the probe tries {what}");
    };
    for verdict in ["allowed", "denied"] {
        for protocol in ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6"] {
            some(&format!("{verdict} {protocol}"), &|cell| {
                cell["protocol"] == protocol && cell["expected"] == verdict && cell["toKind"] == "pod"
            });
        }
        for kind in ["pod", "outside"] {
            some(&format!("{verdict} to a {kind}"), &|c| c["toKind"] == kind && c["expected"] == verdict);
            some(&format!("{verdict} from a {kind}"), &|c| c["fromKind"] == kind && c["expected"] == verdict);
        }
        some(&format!("{verdict} to an undeclared port"), &|cell| {
            cell["declared"] == false && cell["expected"] == verdict
        });
    }
    some("a Service whose backends differ", &|c| c["toKind"] == "service" && c["expected"] == "depends");
    some("a pod that reaches itself through its Service", &|cell| {
        cell["toKind"] == "service" && cell["why"][0]["ingress"]["reason"] == "itself"
    });
    some("a node port", &|cell| cell["toKind"] == "node-port");
    some("a pod's own node", &|cell| {
        cell["fromKind"] == "node" && cell["why"][0]["ingress"]["reason"] == "own-node"
    });
}

#[test]
fn a_probe_finds_what_the_kernel_does_otherwise() {
    let lab = Lab::up("e2e-diff", &[("cluster.yaml", CLUSTER)], 1);
    // Somebody else's rule drops what policy allows; and enforcement is taken away where policy denies.
    lab.nft("node-1", "add table inet rude; add chain inet rude c { type filter hook forward priority 0; }; add rule inet rude c tcp dport 8080 drop");
    let report = lab.probe_code(&["--from", "shop/web", "--to", "shop/api", "--family", "4"], 1);
    let different = report["cells"].as_array().unwrap().iter().filter(|cell| cell["agrees"] == false);
    let found: Vec<(&Value, &Value, &Value)> =
        different.map(|cell| (&cell["port"], &cell["expected"], &cell["measured"]["outcome"])).collect();
    assert!(!found.is_empty());
    for (port, expected, measured) in found {
        assert!(
            *port == 8080 && *expected == "allowed" && *measured == "dropped",
            "{port} {expected} {measured}"
        );
    }
}

#[test]
fn an_edit_is_enforced_at_once_and_cuts_live_connections() {
    let allow = policy("allow-web", "{app: api}", "[{from: [{podSelector: {matchLabels: {app: web}}}]}]");
    let nobody = policy("allow-web", "{app: api}", "[{from: [{podSelector: {matchLabels: {app: nobody}}}]}]");
    let lab = Lab::up("e2e-edit", &[("pods.yaml", PODS), ("policy.yaml", &allow)], 2);
    let mut watch = lab.watch();
    lab.expect("allowed");

    let mut edits = Vec::new();
    for round in 0..11 {
        let (text, verdict) = if round % 2 == 0 { (&nobody, false) } else { (&allow, true) };
        lab.write("policy.yaml", text);
        let written = Instant::now();
        while lab.is_reached("shop/web-0", "shop/api-0", 8080, Duration::from_millis(5)) != verdict {
            assert!(written.elapsed() < Duration::from_secs(5), "round {round} is never enforced");
        }
        edits.push(written.elapsed());
    }
    // The attempt that finds a denial takes 5 ms itself.
    edits.sort();
    eprintln!("from write to effect: median {:?}, most {:?}", edits[5], edits[10]);
    let mut micros: Vec<u64> = edits
        .iter()
        .map(|_| {
            watch.until(|line| line["notice"]["notice"] == "published")["notice"]["micros"].as_u64().unwrap()
        })
        .collect();
    micros.sort();
    assert!(micros[5] < 20_000, "publishing took {micros:?} us");

    // The last edit denied; what follows is about a connection made while it is allowed.
    lab.write("policy.yaml", &allow);
    lab.expect("allowed");
    watch.until(|line| line["notice"]["notice"] == "published");
    let mut connection = lab.connect("shop/web-0", "shop/api-0", 8080);
    connection.expect_echo();
    lab.write("policy.yaml", &nobody);
    lab.expect("denied");
    connection.expect_silence();
    let published = watch.until(|line| line["notice"]["notice"] == "published");
    assert_eq!(published["notice"]["changes"][0], "~ NetworkPolicy shop/allow-web");
    let cut = watch.until(|line| line["flow"]["cut"] == true);
    assert_eq!(cut["flow"]["source"]["pod"], "web-0");
    assert_eq!(cut["flow"]["ingress"]["policies"][0]["name"], "allow-web");
}

#[test]
fn a_broken_edit_keeps_what_was_in_force_and_says_so() {
    let deny = policy("deny", "{app: api}", "[]");
    let lab = Lab::up("e2e-broken", &[("pods.yaml", PODS), ("policy.yaml", &deny)], 1);
    let mut watch = lab.watch();
    lab.expect("denied");
    lab.write("policy.yaml", &deny.replace("ingress: []", "ingres: ["));
    let notice = watch.until(|line| line["notice"]["notice"] == "broken");
    assert!(notice["notice"]["diagnostics"][0].as_str().unwrap().contains("policy.yaml:"), "{notice}");
    lab.expect("denied");
    assert_eq!(lab.status()["diagnostics"][0]["broken"], true);

    lab.write("policy.yaml", &policy("deny", "{app: other}", "[]"));
    watch.until(|line| line["notice"]["notice"] == "mended");
    lab.expect("allowed");
    assert_eq!(lab.status()["diagnostics"].as_array().unwrap().len(), 0);

    lab.write("policy.yaml", &deny);
    watch.until(|line| line["notice"]["notice"] == "published");
    lab.expect("denied");
    lab.remove("policy.yaml");
    wait_until("the deleted policy is gone", || lab.is_reached("shop/web-0", "shop/api-0", 8080, SHORT));
}

#[test]
fn a_killed_daemon_leaves_enforcement_on_and_the_next_one_takes_over() {
    let deny = policy("deny", "{app: api}", "[]");
    let lab = Lab::up("e2e-kill", &[("pods.yaml", PODS), ("policy.yaml", &deny)], 2);
    lab.expect("denied");
    lab.kill_daemon();
    assert!(!lab.is_reached("shop/web-0", "shop/api-0", 8080, SHORT), "the kernel keeps what it has");
    assert_eq!(lab.probe(&["--family", "4"])["differences"], 0, "without a daemon the manifests are asked");

    // What was edited meanwhile comes into force with the next daemon, what was there is never lifted.
    lab.write("policy.yaml", &format!("{deny}---\n{}", policy("deny-web", "{app: web}", "[]")));
    lab.up_again(&[]);
    let status = lab.status();
    assert_eq!(status["nodes"].as_array().unwrap().iter().filter(|node| node["adopted"] == true).count(), 2);
    assert!(!lab.is_reached("shop/web-0", "shop/api-0", 8080, SHORT));
    assert!(!lab.is_reached("shop/api-0", "shop/web-0", 8080, SHORT));
}

#[test]
fn new_pods_are_isolated_from_the_start_and_can_be_reached() {
    let deny = policy("deny", "{app: api}", "[]");
    let lab = Lab::up("e2e-pods", &[("pods.yaml", PODS), ("policy.yaml", &deny)], 2);
    let mut watch = lab.watch();
    lab.write("pods.yaml", &PODS.replace("replicas: 1", "replicas: 3"));
    let network = watch.until(|line| line["notice"]["notice"] == "network");
    assert_eq!(network["notice"]["error"], "");
    let report = lab.probe(&[]);
    assert_eq!(report["differences"], 0, "{}", differing(&report));
    let to = |pod: &str| report["cells"].as_array().unwrap().iter().filter(|c| c["to"] == pod).count();
    assert!(to("shop/api-2") > 0 && to("shop/web-2") > 0);
}

/// Applications as their authors publish them, where a checkout has them beside it.
#[test]
fn published_applications_go_as_their_policies_say_with_and_without_them() {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.exists() {
        eprintln!("not tried: {} has no published applications", data.display());
        return;
    }
    for (name, paths) in [
        ("sock", ["sock-shop/deploy/kubernetes/manifests", "sock-shop/deploy/kubernetes/manifests-policy"]),
        ("boutique", ["online-boutique/release", "online-boutique/kustomize"]),
    ] {
        let paths: Vec<String> = paths.map(|path| data.join(path).display().to_string()).into();
        let lab = Lab::up_from(&format!("e2e-{name}"), &paths, 2);
        let report = lab.probe(&[]);
        assert_eq!(report["differences"], 0, "{}", differing(&report));
        assert!(report["expected"]["denied"].as_u64() > Some(100), "policies are in force");
        lab.up_again(&["--no-policies"]);
        let report = lab.probe(&[]);
        assert_eq!(report["differences"], 0, "{}", differing(&report));
        assert_eq!(report["expected"]["denied"], 0);
    }
}

/// Two workloads that reach each other while no policy says otherwise.
const PODS: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
";

/// Enough for an answer inside one machine.
const SHORT: Duration = Duration::from_millis(300);

fn differing(report: &Value) -> String {
    let cells = report["cells"].as_array().unwrap();
    let lines = cells.iter().filter(|cell| cell["agrees"] == false).map(|cell| {
        let name = |key: &str| cell[key].as_str().unwrap_or_default().to_owned();
        format!(
            "{} -> {} {} {}: {} {}",
            name("from"),
            name("to"),
            name("protocol"),
            cell["port"],
            cell["expected"],
            cell["measured"]
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}
