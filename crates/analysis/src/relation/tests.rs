//! The relation agrees with single questions to the engine.

use podgate_api::load_text;
use podgate_policy::{Connection, Verdict};

use super::*;
use crate::world::WorldOptions;

const CLUSTER: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: c, image: c}]}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: c, ports: [{name: sql, containerPort: 5432}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: ops, namespace: ops}
spec: {containers: [{name: c, image: c}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: sql}]
  - from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.128/25]}}]
    ports: [{port: 9000, endPort: 9010}, {port: 53, protocol: UDP}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
  - to: [{podSelector: {}}]
";

#[test]
fn every_pair_and_port_agrees_with_the_engine() {
    let world = World::new(load_text("test.yaml", CLUSTER).objects, &WorldOptions::default());
    let mut relation = Relation::new(&world, Family::V4);
    assert_eq!(relation.parties.len(), 5, "three pods, the block, and the rest of the world");
    let address = |party: &Party| match &party.kind {
        PartyKind::Pods(variant) => world.pod(world.variant(*variant).pods[0]).ips[0],
        PartyKind::Outside(set) => set.first().unwrap(),
        PartyKind::Domain(name) => panic!("no rule names {name}"),
    };
    let ids = || (0..5).map(PartyId);
    let mut allowed = 0;
    for (from, to) in ids().flat_map(|from| ids().map(move |to| (from, to))) {
        let (source, destination) = (address(relation.party(from)), address(relation.party(to)));
        if source == destination {
            continue;
        }
        let set = relation.ports(from, to);
        let set = relation.sets.get(set).clone();
        for (protocol, port) in
            [(6, 5432), (6, 80), (6, 9000), (6, 9010), (6, 9011), (17, 53), (1, 8), (132, 5432)]
        {
            let decision =
                world.cluster.evaluate(&Connection { from: source, to: destination, protocol, port });
            let expected = decision.verdict == Verdict::Allowed;
            let key = podgate_policy::PortKey::new(protocol, port);
            assert_eq!(set.contains(key), expected, "{source} -> {destination} {protocol}/{port}: {set}");
            allowed += usize::from(expected);
        }
    }
    assert!(allowed > 40, "some connections are allowed: {allowed}");
}

#[test]
fn columns_are_pairs_at_once() {
    let world = World::new(load_text("test.yaml", CLUSTER).objects, &WorldOptions::default());
    let mut relation = Relation::new(&world, Family::V4);
    let receivers: Vec<PartyId> = relation.receivers().map(|members| members[0]).collect();
    let senders: Vec<PartyId> = relation.senders().map(|members| members[0]).collect();
    for (receiver, to) in receivers.into_iter().enumerate() {
        let column = relation.column(receiver);
        for (from, ports) in senders.iter().copied().zip(column) {
            assert_eq!(relation.ports(from, to), ports);
        }
    }
}

#[test]
fn names_are_destinations_for_those_whose_rules_name_them() {
    let policies = "
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: out}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}
  egress:
  - {name: api, action: Accept, to: [{domainNames: ['*.example.com']}], protocols: [{tcp: {destinationPort: {number: 443}}}]}
  - {name: rest, action: Deny, to: [{networks: ['0.0.0.0/0']}]}
";
    let loaded = load_text("test.yaml", &format!("{CLUSTER}---{policies}"));
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    let world = World::new(loaded.objects, &WorldOptions::default());
    let mut relation = Relation::new(&world, Family::V4);
    let named = |wanted: &str| {
        let at = relation.parties.iter().position(|party| match &party.kind {
            PartyKind::Pods(variant) => world.workload(world.variant(*variant).workload).name == wanted,
            PartyKind::Domain(name) => name == wanted,
            PartyKind::Outside(_) => false,
        });
        PartyId(at.unwrap_or_else(|| panic!("{wanted} is there")) as u32)
    };
    let (web, ops, example) = (named("web"), named("ops"), named("*.example.com"));
    let ports = relation.ports(web, example);
    assert_eq!(relation.sets.get(ports).to_string(), "TCP 443");
    assert_eq!(relation.ports(ops, example), PortSetId::ALL);
    assert_eq!(relation.ports(example, web), PortSetId::NONE);
}
