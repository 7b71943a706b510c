//! Staged policies decide nothing on real packets, and every flow says what they would do. What was seen
//! outlives the lab's daemon, with the policies of its time. Needs root.

use podgate_archive::Reader;
use podgate_flow::{FlowRecord, FlowVerdict, Query, Timestamp};
use podgate_policy::Verdict;
use podgate_tests::asking::check;
use podgate_tests::lab::{TestLab, wait_until};
use podgate_tests::watch::Watch;

const LAB_PROCESS: &str = env!("CARGO_BIN_EXE_lab-process");

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: node-2, containers: [{name: c, image: i, ports: [{containerPort: 5432}]}]}
"#;

fn namespace(annotations: &str) -> String {
    format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, annotations: {{{annotations}}}}}}}")
}

fn closed(annotations: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, \
         metadata: {{name: closed, namespace: shop, annotations: {{{annotations}}}}}, \
         spec: {{podSelector: {{matchLabels: {{app: db}}}}, policyTypes: [Ingress]}}}}"
    )
}

const STAGED: &str = "podgate.dev/mode: staged";

/// Waits for a flow since a position, and returns it with the position behind it.
#[track_caller]
fn next(watch: &Watch, from: usize, what: &str, is_meant: impl Fn(&FlowRecord) -> bool) -> FlowRecord {
    let found = || watch.flows().into_iter().skip(from).find(&is_meant);
    wait_until(what, || found().is_some());
    found().unwrap()
}

fn would_deny(flow: &FlowRecord) -> bool {
    flow.staged.as_ref().is_some_and(|staged| staged.verdict == Verdict::Denied)
}

#[test]
fn a_staged_policy_cuts_nothing_and_every_flow_says_what_it_would_cut() {
    let lab = TestLab::new(LAB_PROCESS, "staged", 2);
    lab.write("pods.yaml", PODS);
    lab.write("namespace.yaml", &namespace(""));
    lab.write("policy.yaml", &closed(STAGED));
    lab.up();
    let ips = lab.pod("shop/db").ips;
    let watch = Watch::start(&lab);
    let answers = |expected: &str| check(&lab, "shop/web", "tcp", &ips, 5432, expected);
    answers("shop/db");
    let flow = next(&watch, 0, "a flow that would be denied", would_deny);
    assert_eq!(flow.verdict, FlowVerdict::Allowed, "{flow:?}");
    let staged = flow.staged.unwrap();
    let ingress = staged.ingress.expect("the destination's side").reason.to_string();
    assert_eq!(ingress, "isolated by shop/closed");

    // By its namespace instead.
    lab.write("namespace.yaml", &namespace(STAGED));
    lab.write("policy.yaml", &closed(""));
    lab.client().reload().unwrap();
    let seen = watch.flows().len();
    answers("shop/db");
    next(&watch, seen, "a flow that would be denied by the namespace's mode", would_deny);

    // Enforced.
    lab.write("namespace.yaml", &namespace(""));
    lab.client().reload().unwrap();
    let seen = watch.flows().len();
    answers("silent");
    let flow = next(&watch, seen, "a denied flow", |flow| flow.verdict == FlowVerdict::Denied);
    assert_eq!(flow.ingress.unwrap().reason.to_string(), "isolated by shop/closed");
    assert!(flow.staged.is_none(), "nothing is staged any more");
}

#[test]
fn what_was_seen_outlives_the_daemon_with_the_policies_of_its_time() {
    let lab = TestLab::new(LAB_PROCESS, "kept", 1);
    lab.write("pods.yaml", PODS);
    lab.write("policy.yaml", &closed(""));
    lab.up();
    let watch = Watch::start(&lab);
    check(&lab, "shop/web", "tcp", &lab.pod("shop/db").ips, 5432, "silent");
    let flow = next(&watch, 0, "a denied flow", |flow| flow.verdict == FlowVerdict::Denied);
    let dir = lab.lab().file(podgate_lab::enforce::FLOWS);
    let kept = || Reader::open(&dir).unwrap().flows(&Query::default()).unwrap().found;
    wait_until("the flow is on disk", || kept().iter().any(|kept| kept.id == flow.id));
    lab.kill_daemon();
    let after = kept().into_iter().find(|kept| kept.id == flow.id).expect("still there");
    assert_eq!((after.verdict, &after.source, &after.ingress), (flow.verdict, &flow.source, &flow.ingress));
    assert!(after.time > Timestamp(0));
    let policies = Reader::open(&dir).unwrap().policies(after.policy_version).unwrap();
    let names: Vec<String> = policies.unwrap().iter().map(|policy| policy.meta().name.clone()).collect();
    assert_eq!(names, ["closed"]);
}
