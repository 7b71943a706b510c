//! What is open, on a small shop.

use podgate_api::load_text;

use super::*;
use crate::world::WorldOptions;

const SHOP: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: c, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: free, namespace: ops}
spec: {containers: [{name: c, image: c}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  type: LoadBalancer
  loadBalancerSourceRanges: [203.0.113.0/24]
  externalTrafficPolicy: Local
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: db, namespace: shop}
spec: {defaultBackend: {service: {name: db, port: {number: 5432}}}}
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
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}, {podSelector: {matchLabels: {app: backup}}}]
    ports: [{port: 5432}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
  - ports: [{port: 8080}]
  egress:
  - to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]
    ports: [{port: 443}]
";

fn exposure() -> Exposure {
    let loaded = load_text("shop.yaml", SHOP);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    let options = WorldOptions { hypotheses: true, ..WorldOptions::default() };
    Exposure::new(&World::new(loaded.objects, &options))
}

fn of<'a>(exposure: &'a Exposure, name: &str) -> &'a WorkloadExposure {
    exposure.workloads.iter().find(|workload| workload.workload.contains(name)).unwrap()
}

#[test]
fn a_rule_for_every_source_opens_to_the_whole_cluster() {
    let exposure = exposure();
    let web = of(&exposure, "web");
    assert!(web.ingress.protected && web.egress.protected);
    assert_eq!(web.ingress.cluster.to_string(), "TCP 8080");
    assert!(web.ingress.selected.is_empty(), "{:?}", web.ingress.selected);
    assert_eq!(web.metadata.to_string(), "none");
    assert_eq!(web.egress.outside[0].addresses, ["anywhere but 169.254.169.254"]);
    assert!(web.egress.outside[0].internet);
}

#[test]
fn pods_that_do_not_exist_yet_are_named_by_their_labels() {
    let exposure = exposure();
    let db = of(&exposure, "db");
    assert_eq!(db.ingress.cluster.to_string(), "none");
    let selected: Vec<(&str, bool, String)> =
        db.ingress.selected.iter().map(|s| (s.pods.as_str(), s.exists, s.ports.to_string())).collect();
    assert_eq!(
        selected,
        [
            ("pods with app=backup in namespace shop", false, "TCP 5432".to_owned()),
            // Pods of that label can't be told apart from the one there is: its egress policy holds for them.
        ]
    );
    assert!(db.egress.outside.is_empty());
}

#[test]
fn what_no_policy_selects_is_unprotected() {
    let exposure = exposure();
    let free = of(&exposure, "free");
    assert!(!free.ingress.protected && !free.egress.protected);
    assert_eq!(free.ingress.cluster.to_string(), "all");
    assert_eq!(free.metadata.to_string(), "all");
}

#[test]
fn ways_in_are_open_where_policy_lets_clients_in() {
    let exposure = exposure();
    let ways: Vec<String> = exposure
        .entries
        .iter()
        .map(|e| {
            format!(
                "{} {} {} {:?} {:?} {}",
                e.through,
                e.workload,
                e.ports,
                e.clients,
                e.controllers,
                e.is_open()
            )
        })
        .collect();
    assert_eq!(
        ways,
        [
            "Ingress shop/db -> Service shop/db shop/db[Pod] TCP 5432 [] [] false",
            "Service shop/web (LoadBalancer) shop/web[Pod] TCP 8080 [\"203.0.113.0/24\"] [] true",
        ]
    );
}
