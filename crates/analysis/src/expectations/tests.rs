//! Cases that hold, cases that don't, and cases about nothing.

use podgate_api::load_text;

use super::*;
use crate::world::WorldOptions;

const SHOP: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: a, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec: {containers: [{name: a, ports: [{name: http, containerPort: 9000}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {nodeName: n1, containers: [{name: a, ports: [{containerPort: 5432}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: kube-system, labels: {app: agent}}
spec: {nodeName: n1, hostNetwork: true, containers: [{name: a}]}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 5432}]}]
";

fn run(cases: &str) -> TestReport {
    let test = format!(
        "{SHOP}---\napiVersion: podgate.dev/v1alpha1\nkind: ConnectivityTest\nmetadata: {{name: t, namespace: shop}}\nspec:\n  tests:\n{cases}\n"
    );
    let loaded = load_text("t.yaml", &test);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    World::new(loaded.objects, &WorldOptions::default()).run_tests()
}

#[track_caller]
fn result(case: &str, expected: CaseResult) -> CaseReport {
    let report = run(&format!("  - {case}"));
    let [case] = <[CaseReport; 1]>::try_from(report.cases).unwrap();
    assert_eq!(case.result, expected, "{case:?}");
    case
}

#[test]
fn only_the_api_reaches_the_database() {
    let case = result(
        "{name: only the API, from: all, notFrom: shop/api, to: shop/svc/db, port: 5432, expect: denied}",
        CaseResult::Passed,
    );
    assert!(case.pairs >= 3, "{case:?}");
    result("{from: api, to: svc/db, port: 5432, expect: allowed}", CaseResult::Passed);
    result("{from: api, to: svc/db, expect: allowed}", CaseResult::Passed);
    result("{from: [web, api], to: api, ports: [http, 80], expect: allowed}", CaseResult::Passed);
}

#[test]
fn a_failure_names_the_connections_and_why() {
    let case = result("{from: all, to: db, port: 5432, expect: denied}", CaseResult::Failed);
    assert_eq!(case.name, "all -> db on 5432: denied");
    assert_eq!((case.wrong, case.connections[0].from.join(", ").as_str()), (1, "shop/api[Pod]"));
    assert_eq!(case.explanations[0].ingress.reason, "shop/db ingress[0] allows it");
    let case = result("{from: web, to: db, ports: [5432, 80], expect: allowed}", CaseResult::Failed);
    assert!(case.explanations[0].change.is_some());
}

#[test]
fn a_node_and_its_own_pods_are_asked_about_by_name_only() {
    result("{from: [kube-system/agent, web], to: db, port: 1, expect: denied}", CaseResult::Passed);
    result("{from: kube-system/agent, to: db, port: 1, expect: denied}", CaseResult::Failed);
}

#[test]
fn an_expectation_about_nothing_can_not_hold() {
    let case = result("{from: shop/app=wbe, to: db, port: 1, expect: denied}", CaseResult::Error);
    assert!(
        case.error.as_deref().unwrap().starts_with("t.yaml:44: from: no pod in namespace shop"),
        "{case:?}"
    );
    result("{from: web, notFrom: shop/*, to: db, port: 1, expect: denied}", CaseResult::Error);
    result("{from: web, to: db, port: htpt, expect: denied}", CaseResult::Error);
    result("{from: web, to: svc/db, port: 80, expect: allowed}", CaseResult::Error);
}

#[test]
fn cases_are_counted() {
    let report = run(
        "  - {from: api, to: db, port: 5432, expect: allowed}\n  - {from: web, to: db, port: 5432, expect: allowed}\n  - {from: nobody, to: db, expect: denied}",
    );
    assert_eq!((report.passed, report.failed, report.errors), (1, 1, 1));
}
