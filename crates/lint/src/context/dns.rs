//! Where pods find the cluster's DNS.

use std::net::{IpAddr, Ipv4Addr};

use podgate_analysis::{PodId, World};
use podgate_api::{ContainerPort, Labels, Object, Protocol};

use super::services::{ServiceFacts, targets};

/// The name of the DNS server that is put in where the input has none: no real name is in brackets.
pub(crate) const HYPOTHETICAL: &str = "[dns server]";

/// Where the node-local cache listens, unless told otherwise.
pub(crate) const NODE_LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 20, 10));

/// The DNS servers of the cluster.
#[derive(Debug)]
pub(crate) struct Dns {
    /// Pods with the ports on which they answer; more than one port of a protocol: any of them.
    pub servers: Vec<Server>,
    /// The input has no DNS server: the one here stands for it.
    pub hypothetical: bool,
    /// The input has a cache on every node.
    pub local_cache: bool,
}

/// A pod that answers DNS queries.
#[derive(Debug)]
pub(crate) struct Server {
    pub pod: PodId,
    pub udp: Vec<u16>,
    pub tcp: Vec<u16>,
}

fn is_server(labels: &Labels) -> bool {
    let is = |key: &str, values: &[&str]| labels.get(key).is_some_and(|v| values.contains(&v.as_str()));
    is("k8s-app", &["kube-dns", "coredns"])
        || is("app.kubernetes.io/name", &["coredns"])
        || is("dns.operator.openshift.io/daemonset-dns", &["default"])
}

/// Whether the input has a DNS server.
pub(crate) fn is_present(objects: &[Object]) -> bool {
    objects.iter().any(|object| match object {
        Object::Pod(pod) => is_server(&pod.meta.labels),
        Object::Workload(workload) => is_server(&workload.template.labels),
        Object::Service(service) => {
            service.selector.is_some()
                && service.ports.iter().any(|p| p.port == 53 && p.protocol == Protocol::Udp)
        }
        _ => false,
    })
}

/// The ports of a DNS server that nobody has seen: as usual, and as where containers may not use low ports.
pub(crate) fn usual_ports() -> Vec<ContainerPort> {
    let mut ports = Vec::new();
    for port in [53, 5353, 8053] {
        ports.push(ContainerPort { name: "dns".to_owned(), port, protocol: Protocol::Udp });
        ports.push(ContainerPort { name: "dns-tcp".to_owned(), port, protocol: Protocol::Tcp });
    }
    ports
}

impl Dns {
    pub(super) fn new(world: &World, services: &[ServiceFacts<'_>]) -> Dns {
        let mut servers: Vec<Server> = Vec::new();
        let mut hypothetical = false;
        for workload in &world.workloads {
            let is_guess = workload.name == HYPOTHETICAL;
            if workload.hypothesis.is_some() || !(is_guess || is_server(&workload.labels)) {
                continue;
            }
            hypothetical |= is_guess;
            servers.extend(workload.pods.iter().map(|pod| Server { pod: *pod, udp: vec![], tcp: vec![] }));
        }
        for service in services {
            for port in service.object.ports.iter().filter(|port| port.port == 53) {
                for pod in service.pods.iter() {
                    let at = servers.iter().position(|server| server.pod == *pod).unwrap_or_else(|| {
                        servers.push(Server { pod: *pod, udp: vec![], tcp: vec![] });
                        servers.len() - 1
                    });
                    let found = targets(world, port, *pod);
                    match port.protocol {
                        Protocol::Udp => servers[at].udp.extend(found),
                        Protocol::Tcp => servers[at].tcp.extend(found),
                        Protocol::Sctp => {}
                    }
                }
            }
        }
        for server in &mut servers {
            for port in &world.pod_object(server.pod).ports {
                let is_dns = port.name.starts_with("dns") || port.port == 53;
                match port.protocol {
                    Protocol::Udp if is_dns => server.udp.push(port.port),
                    Protocol::Tcp if is_dns => server.tcp.push(port.port),
                    _ => {}
                }
            }
            for list in [&mut server.udp, &mut server.tcp] {
                if list.is_empty() {
                    list.push(53);
                }
                list.sort_unstable();
                list.dedup();
            }
        }
        servers.sort_by_key(|server| server.pod);
        let is_cache = |labels: &Labels| labels.get("k8s-app").is_some_and(|value| value == "node-local-dns");
        let local_cache = world.workloads.iter().any(|w| w.hypothesis.is_none() && is_cache(&w.labels));
        Dns { servers, hypothetical, local_cache }
    }

    /// Whether a pod is one of the servers.
    pub fn is_server(&self, pod: PodId) -> bool {
        self.servers.binary_search_by_key(&pod, |server| server.pod).is_ok()
    }
}
