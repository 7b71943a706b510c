//! From the plan and the engine to what flow records are made of.

use std::net::{IpAddr, SocketAddr};

use podgate_flow::{Decision, Names, OwnerName, Party, Protocol, Reason, ServiceName};
use podgate_policy::{Cluster, Decider, Side};

use crate::plan::Plan;
use crate::probe::{Query, Ruling};

/// Puts the plan's addresses and Service ports into the address book.
pub(super) fn set_addresses(names: &mut Names, plan: &Plan) {
    let nodes = plan
        .nodes
        .iter()
        .flat_map(|node| node.addresses.iter().map(|ip| (*ip, Party::Node { node: node.name.clone() })));
    let pods = plan.pods.iter().filter(|pod| !pod.host_network).flat_map(|pod| {
        let party = Party::Pod {
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            owner: pod.owner.clone().map(|(kind, name)| OwnerName { kind, name }),
            node: plan.nodes.get(pod.node).map(|node| node.name.clone()),
            labels: pod.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        };
        pod.ips.iter().map(move |ip| (*ip, party.clone()))
    });
    names.set_addresses(nodes.chain(pods), service_ports(plan));
}

fn service_ports(plan: &Plan) -> Vec<((SocketAddr, Protocol), ServiceName)> {
    let mut ports = Vec::new();
    for service in &plan.services {
        for port in &service.ports {
            let mut add = |ip: IpAddr, number: u16| {
                let (namespace, name) = (service.namespace.clone(), service.name.clone());
                let key = (SocketAddr::new(ip, number), Protocol(port.protocol.number()));
                ports.push((key, ServiceName { namespace, name, port: number }));
            };
            service.cluster_ips.iter().for_each(|ip| add(*ip, port.port));
            if let Some(number) = port.node_port {
                plan.nodes.iter().flat_map(|node| &node.addresses).for_each(|ip| add(*ip, number));
            }
        }
    }
    ports
}

/// Asks the engine about each connection.
pub(super) fn rulings(cluster: &Cluster, queries: &[Query]) -> Vec<Ruling> {
    queries.iter().map(|query| ruling(cluster, query)).collect()
}

fn ruling(cluster: &Cluster, query: &Query) -> Ruling {
    let Query { from, to, protocol, port } = *query;
    // A pod's own address never leaves the pod, so this one came back from a Service.
    let decision = if from == to {
        cluster.evaluate_hairpin(to, protocol, port)
    } else {
        cluster.evaluate(&podgate_policy::Connection { from, to, protocol, port })
    };
    let side = |side: Side| Decision::new(side.verdict, reason(side.reason));
    Ruling { verdict: decision.verdict, egress: side(decision.egress), ingress: side(decision.ingress) }
}

fn reason(reason: podgate_policy::Reason) -> Reason {
    use podgate_policy::Reason as Engine;
    match reason {
        Engine::NotIsolated => Reason::NotIsolated,
        Engine::NotAPod => Reason::NotAPod,
        Engine::OwnNode => Reason::OwnNode,
        Engine::Itself => Reason::Itself,
        Engine::IcmpEcho => Reason::IcmpEcho,
        Engine::Rule(rule) => Reason::of(&Decider::Rule(rule)),
        Engine::Isolated(policies) => Reason::Isolated { policies },
    }
}
