//! Case 20: what a pod reaches of itself. Its own address isn't seen by policy; through a Service,
//! cluster-scoped policies apply and NetworkPolicies don't.

use podgate_api::load_text;
use podgate_policy::{Cluster, Settings, Verdict};

fn cluster(policies: &str) -> Cluster {
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: a, labels: {app: web}}
spec: {containers: [{name: c, image: c, ports: [{name: http, containerPort: 80}]}]}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: b}
spec: {containers: [{name: c, image: c}]}
status: {podIPs: [{ip: 10.0.0.2}]}
";
    let loaded = load_text("test.yaml", &format!("{pod}---{policies}"));
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    let mut cluster = Cluster::new(Settings::default());
    cluster.apply_all(loaded.objects);
    cluster.commit();
    cluster
}

/// Whether the pod reaches its ports 80 and 81 through a Service.
fn reaches(policies: &str) -> (bool, bool) {
    let cluster = cluster(policies);
    let port =
        |port| cluster.evaluate_hairpin("10.0.0.1".parse().unwrap(), 6, port).verdict == Verdict::Allowed;
    (port(80), port(81))
}

fn rule(tier: &str, direction: &str, rules: &str) -> String {
    format!(
        "
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {{name: {}}}
spec:
  tier: {tier}
  priority: 10
  subject: {{namespaces: {{}}}}
  {direction}:
{rules}
---",
        tier.to_lowercase()
    )
}

const DENY_ALL: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: a}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---";

#[test]
fn case_20_network_policies_do_not_forbid_it() {
    assert_eq!(reaches(DENY_ALL), (true, true));
}

#[test]
fn case_20_cluster_scoped_policies_apply_to_both_sides() {
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        let all = format!("  - {{action: Deny, {peers}: [{{namespaces: {{}}}}]}}");
        assert_eq!(reaches(&rule("Admin", direction, &all)), (false, false), "{direction}");
        let own = format!(
            "  - {{action: Deny, {peers}: [{{pods: {{namespaceSelector: {{}}, podSelector: {{matchLabels: {{app: web}}}}}}}}], protocols: [{{destinationNamedPort: http}}]}}"
        );
        assert_eq!(reaches(&rule("Admin", direction, &own)), (false, true), "{direction}");
        let other = format!(
            "  - {{action: Deny, {peers}: [{{namespaces: {{matchLabels: {{kubernetes.io/metadata.name: b}}}}}}]}}"
        );
        assert_eq!(reaches(&rule("Admin", direction, &other)), (true, true), "{direction}");
    }
}

#[test]
fn case_20_tiers_are_asked_in_order() {
    let deny = rule("Baseline", "ingress", "  - {action: Deny, from: [{namespaces: {}}]}");
    assert_eq!(reaches(&deny), (false, false));
    assert_eq!(
        reaches(&format!("{deny}{DENY_ALL}")),
        (true, true),
        "a NetworkPolicy ends the tiers, and allows"
    );
    let pass = rule(
        "Admin",
        "ingress",
        "  - {action: Pass, from: [{namespaces: {}}]}\n  - {action: Deny, from: [{namespaces: {}}]}",
    );
    assert_eq!(reaches(&pass), (true, true));
    assert_eq!(reaches(&format!("{pass}{deny}")), (false, false));
}
