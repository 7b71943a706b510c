//! Services, the pods behind them, and the ports on which pods listen as far as anybody says.

use std::net::IpAddr;

use podgate_analysis::{PodId, PortSet, World};
use podgate_api::{
    LabelSelector, Operator, PolicyPort, PortMatch, Protocol, Requirement, Service, ServicePort, TargetPort,
};
use rustc_hash::FxHashMap;

use super::Context;
use super::pods::{PodIndex, Scope};

/// A Service and its pods.
pub(crate) struct ServiceFacts<'a> {
    pub object: &'a Service,
    /// Real pods, those in the host network as well.
    pub pods: std::sync::Arc<[PodId]>,
}

/// All Services with the pods that they select, and for each pod its Services.
pub(super) fn of_pods<'a>(world: &'a World, pods: &PodIndex<'_>) -> (Vec<ServiceFacts<'a>>, Vec<Vec<u32>>) {
    let mut of_pod: Vec<Vec<u32>> = vec![Vec::new(); world.pods.len()];
    let services = world
        .services
        .iter()
        .enumerate()
        .map(|(number, object)| {
            let selected = match &object.selector {
                None => std::sync::Arc::new([]) as std::sync::Arc<[PodId]>,
                Some(labels) => {
                    let requirements = labels.iter().map(|(key, value)| Requirement {
                        key: key.clone(),
                        operator: Operator::In,
                        values: vec![value.clone()],
                    });
                    let selector = LabelSelector::new(requirements.collect());
                    pods.select(&Scope::Namespace(&object.meta.namespace), &selector)
                }
            };
            for pod in selected.iter() {
                of_pod[pod.0 as usize].push(number as u32);
            }
            ServiceFacts { object, pods: selected }
        })
        .collect();
    (services, of_pod)
}

/// The numbers to which a Service's port leads on a pod.
pub(crate) fn targets(world: &World, port: &ServicePort, pod: PodId) -> Vec<u16> {
    match &port.target {
        TargetPort::Number(number) => vec![*number],
        TargetPort::Name(name) => {
            let ports = world.pod_object(pod).ports.iter();
            ports.filter(|p| p.name == *name && p.protocol == port.protocol).map(|p| p.port).collect()
        }
    }
}

/// Ports on which a pod listens, as far as its containers declare them or Services lead to them.
pub(super) fn listens(
    world: &World,
    services: &[ServiceFacts<'_>],
    services_of: &[Vec<u32>],
    pod: PodId,
) -> PortSet {
    let declared = world.pod_object(pod).ports.iter();
    let mut all =
        declared.fold(PortSet::none(), |all, port| all.union(&PortSet::port(port.protocol, port.port)));
    for service in &services_of[pod.0 as usize] {
        for port in &services[*service as usize].object.ports {
            for target in targets(world, port, pod) {
                all = all.union(&PortSet::port(port.protocol, target));
            }
        }
    }
    all
}

impl<'a> Context<'a> {
    /// The Services that select a pod.
    pub(crate) fn services_of(&self, pod: PodId) -> impl Iterator<Item = &ServiceFacts<'a>> {
        self.services_of[pod.0 as usize].iter().map(|at| &self.services[*at as usize])
    }

    /// The keys that a rule's ports are at a destination pod.
    pub(crate) fn ports_at(&self, ports: Option<&[PolicyPort]>, pod: PodId) -> PortSet {
        let Some(ports) = ports else { return PortSet::all() };
        ports.iter().fold(PortSet::none(), |all, port| all.union(&self.port_at(port, pod)))
    }

    /// The keys that one entry of a rule's ports is at a destination pod.
    pub(crate) fn port_at(&self, port: &PolicyPort, pod: PodId) -> PortSet {
        match &port.port {
            PortMatch::Named(name) => {
                let declared = self.world.pod_object(pod).ports.iter();
                declared
                    .filter(|p| p.name == *name && p.protocol == port.protocol)
                    .fold(PortSet::none(), |all, p| all.union(&PortSet::port(p.protocol, p.port)))
            }
            _ => numeric(std::slice::from_ref(port)),
        }
    }

    /// The Services that have an address as their cluster IP.
    pub(crate) fn cluster_ips(&self) -> FxHashMap<IpAddr, &'a Service> {
        let services = self.services.iter().map(|facts| facts.object);
        services.flat_map(|object| object.cluster_ips.iter().map(move |ip| (*ip, object))).collect()
    }
}

/// The keys of a rule's ports that are numbers.
pub(crate) fn numeric(ports: &[PolicyPort]) -> PortSet {
    ports.iter().fold(PortSet::none(), |all, port| match port.port {
        PortMatch::All => all.union(&PortSet::protocol(port.protocol)),
        PortMatch::Range(lo, hi) => all.union(&PortSet::range(port.protocol.number(), lo, hi)),
        PortMatch::Named(_) => all,
    })
}

/// What listens on a well-known port, where strangers have no business.
pub(crate) fn data_store(protocol: Protocol, port: u16) -> Option<&'static str> {
    if protocol != Protocol::Tcp {
        return None;
    }
    Some(match port {
        1433 => "SQL Server",
        1521 => "Oracle Database",
        2379 | 2380 => "etcd",
        3306 | 33060 => "MySQL",
        5432 => "PostgreSQL",
        5672 | 15672 => "RabbitMQ",
        5984 => "CouchDB",
        6379 => "Redis",
        7000 | 7001 | 9042 => "Cassandra",
        8086 => "InfluxDB",
        9092 => "Kafka",
        9200 | 9300 => "Elasticsearch",
        11211 => "memcached",
        26257 => "CockroachDB",
        27017..=27019 => "MongoDB",
        28015 => "RethinkDB",
        _ => return None,
    })
}
