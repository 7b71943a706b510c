//! Cluster-scoped policies of a real API server, enforced on packets between nodes: their conditions tell whether
//! they are enforced as written, and a trace tells how each came into the kernel. Needs root.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use podgate_lab::netns;
use podgate_lab_kubernetes::{Cluster, Part, Room};
use podgate_tests::collector::Collector;
use podgate_tests::kubernetes::{PATIENCE, logs, says, start_with};

const PROCESS: &str = env!("CARGO_BIN_EXE_cluster-process");

/// The custom resources as loose as can be: whether a policy is understood is what is tested.
fn definitions() -> String {
    let kinds = [
        ("clusternetworkpolicies", "ClusterNetworkPolicy", "v1alpha2"),
        ("adminnetworkpolicies", "AdminNetworkPolicy", "v1alpha1"),
        ("baselineadminnetworkpolicies", "BaselineAdminNetworkPolicy", "v1alpha1"),
    ];
    let definition = |(resource, kind, version): (&str, &str, &str)| {
        let singular = kind.to_lowercase();
        format!(
            "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {resource}.policy.networking.k8s.io
  annotations: {{api-approved.kubernetes.io: \"unapproved, for tests\"}}
spec:
  group: policy.networking.k8s.io
  scope: Cluster
  names: {{plural: {resource}, singular: {singular}, kind: {kind}}}
  versions:
  - name: {version}
    served: true
    storage: true
    subresources: {{status: {{}}}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {{type: object, x-kubernetes-preserve-unknown-fields: true}}
          status:
            type: object
            properties:
              conditions:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [type]
                items:
                  type: object
                  required: [type]
                  properties: {{type: {{type: string}}}}
                  x-kubernetes-preserve-unknown-fields: true
---
"
        )
    };
    kinds.map(definition).concat()
}

const PODS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: bank, labels: {team: bank}}
---
apiVersion: v1
kind: Pod
metadata: {name: friend, namespace: shop, labels: {app: friend}}
spec: {nodeName: node-2, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: bank, labels: {app: stranger}}
spec: {nodeName: node-2, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
";

/// What comes before NetworkPolicies, and what comes after them.
fn guard(rules: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{name: guard}}\n\
         spec: {{tier: Admin, priority: 10, subject: {{namespaces: {{matchLabels: {{team: shop}}}}}}, ingress: [{rules}]}}\n"
    )
}

const DENY_BANK: &str = "{action: Deny, from: [{namespaces: {matchLabels: {team: bank}}}]}";
const ACCEPT_BANK: &str = "{action: Accept, from: [{namespaces: {matchLabels: {team: bank}}}]}";

const ADMIN: &str = "
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: quarantine}
spec:
  priority: 5
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: friend}}}}
  egress: [{action: Deny, to: [{namespaces: {}}]}]
";

const BASELINE: &str = "
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: {name: default}
spec:
  subject: {namespaces: {matchLabels: {team: shop}}}
  ingress: [{action: Deny, from: [{namespaces: {matchLabels: {team: bank}}}]}]
";

const ISOLATE_WEB: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}
";

/// The pods, and what each of both hears from the server.
struct Shop {
    cluster: Cluster,
    web: Vec<IpAddr>,
}

impl Shop {
    #[track_caller]
    fn eventually(&self, what: &str, expected: &str, say: impl Fn() -> String) {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = say();
            if said.starts_with(expected) {
                return;
            }
            assert!(Instant::now() < until, "{what}: {said:?}, not {expected:?}\n{}", logs(&self.cluster));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    fn hears(&self, namespace: &str, from: &str, expected: &str) {
        let netns = self.cluster.pod(namespace, from).unwrap().netns;
        for ip in &self.web {
            self.eventually(&format!("what {from} hears from {ip}"), expected, || says(&netns, *ip, 8080));
        }
    }

    /// A policy's condition: its status, reason and the generation that it is about.
    #[track_caller]
    fn is_told(&self, kind: &str, name: &str, expected: &str) {
        let path = "jsonpath={range .status.conditions[?(@.type==\"podgate.dev/accepted\")]}{.status} {.reason} {.observedGeneration}{end}";
        let get = || self.cluster.kubectl(&["get", kind, name, "-o", path]).unwrap();
        self.eventually(&format!("the condition of {kind}/{name}"), expected, get);
    }
}

#[test]
fn cluster_scoped_policies_are_enforced_and_say_whether_they_are() {
    let url = "http://127.0.0.1:4318";
    let cluster = start_with(PROCESS, "policies", Room::Usual, &["--otlp-endpoint", url]);
    let collector = netns::run(&cluster.site().netns(1), || Collector::listen(4318)).unwrap();
    cluster.apply(&definitions()).unwrap();
    cluster
        .kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])
        .unwrap_or_else(|error| panic!("{error}"));
    // They would find out within a minute by themselves.
    for node in [1, 2] {
        cluster.restart(Part::Agent(node)).unwrap();
    }
    cluster.apply(PODS).unwrap();
    for (namespace, pod) in [("shop", "friend"), ("bank", "stranger"), ("shop", "web")] {
        cluster.wait_ready(namespace, &format!("pod/{pod}")).unwrap();
    }
    let web = cluster.pod("shop", "web").unwrap().ips;
    let shop = Shop { cluster, web };
    shop.hears("bank", "stranger", "shop/web");

    // The Admin tier comes first: it denies what nobody isolates, and accepts what a NetworkPolicy denies.
    shop.cluster.apply(&guard(DENY_BANK)).unwrap();
    shop.hears("bank", "stranger", "silent");
    shop.hears("shop", "friend", "shop/web");
    shop.is_told("clusternetworkpolicy", "guard", "True Understood 1");
    let trace = collector.wait_for("policy change", "guard");
    let named: Vec<&str> = trace.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(named, ["policy change", "heard", "gathered", "compiled", "published", "answered"]);
    let time = |span: &serde_json::Value, end: &str| span[end].as_str().unwrap().parse::<u64>().unwrap();
    for pair in trace[1..].windows(2) {
        assert_eq!(time(&pair[0], "endTimeUnixNano"), time(&pair[1], "startTimeUnixNano"), "{pair:?}");
    }
    assert_eq!(time(&trace[0], "startTimeUnixNano"), time(&trace[1], "startTimeUnixNano"));

    shop.cluster.apply(ISOLATE_WEB).unwrap();
    shop.cluster.apply(&guard(ACCEPT_BANK)).unwrap();
    shop.hears("bank", "stranger", "shop/web");
    shop.is_told("clusternetworkpolicy", "guard", "True Understood 2");
    shop.cluster.kubectl(&["delete", "clusternetworkpolicy", "guard"]).unwrap();
    shop.hears("bank", "stranger", "silent");

    // The older kinds: one before, one after.
    shop.cluster.apply(ADMIN).unwrap();
    shop.hears("shop", "friend", "silent");
    shop.is_told("adminnetworkpolicy", "quarantine", "True Understood 1");
    shop.cluster.kubectl(&["delete", "adminnetworkpolicy", "quarantine"]).unwrap();
    shop.hears("shop", "friend", "shop/web");
    shop.cluster.apply(BASELINE).unwrap();
    shop.is_told("baselineadminnetworkpolicy", "default", "True Understood 1");
    shop.cluster.kubectl(&["-n", "shop", "delete", "networkpolicy", "web"]).unwrap();
    shop.hears("bank", "stranger", "silent");
    shop.cluster.kubectl(&["delete", "baselineadminnetworkpolicy", "default"]).unwrap();
    shop.hears("bank", "stranger", "shop/web");

    // What can't be understood is said to be so, and accepts nobody.
    shop.cluster.apply(ISOLATE_WEB).unwrap();
    shop.cluster.apply(&guard("{action: Acept, from: [{namespaces: {matchLabels: {team: bank}}}]}")).unwrap();
    shop.is_told("clusternetworkpolicy", "guard", "False NotUnderstood 1");
    shop.hears("bank", "stranger", "silent");
    let events =
        ["get", "events", "-A", "-o", "jsonpath={.items[?(@.reason==\"PolicyNotUnderstood\")].reason}"];
    shop.eventually("Events", "PolicyNotUnderstood", || shop.cluster.kubectl(&events).unwrap());
}
