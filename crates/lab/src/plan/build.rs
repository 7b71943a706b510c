//! Making a plan: nodes, then pods, then Services, then the outside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use podgate_api::{
    Labels, Object, Owner, Pod, PodPhase, Protocol, Service, ServiceType, TargetPort, Workload,
};

use super::pool::{PodPool, ServicePool, block_of};
use super::{
    FABRIC_ADDRESSES, NODE_NETWORKS, NodePlan, POD_NETWORKS, Plan, PodPlan, PortPlan, ServicePlan,
    ServicePortPlan, outside,
};

/// Node addresses are 172.30.0.10 to .209.
const MAX_NODES: usize = 200;
/// How many nodes a lab has at most when nobody says how many.
const MAX_DEFAULT_NODES: usize = 8;
/// Node ports that are handed out, as the API server's default range.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30000..=32767;
/// The number that clusters give to their DNS Service: `10.96.0.10`.
const DNS_NUMBER: u16 = 10;

/// Why the input can't become a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// `--nodes` is more than the lab has addresses for.
    #[error("{asked} nodes are more than the {MAX_NODES} that fit into a lab; use fewer --nodes")]
    TooManyNodes {
        /// What was asked for.
        asked: usize,
    },
    /// All pod addresses are in use.
    #[error("no pod address is left for {pod}: a lab has room for about 64,000 pods")]
    PodsExhausted {
        /// `namespace/name`.
        pod: String,
    },
    /// A workload asks for more pods than a lab has room for.
    #[error("{workload} makes {replicas} pods ({written}): a lab has room for about 64,000")]
    TooManyReplicas {
        /// Kind, `namespace/name`.
        workload: String,
        /// What it asks for.
        replicas: u32,
        /// File, line and column.
        written: String,
    },
    /// All Service addresses are in use.
    #[error("no cluster IP is left for service {service}: a lab has room for about 65,000")]
    ServicesExhausted {
        /// `namespace/name`.
        service: String,
    },
    /// All node ports are in use.
    #[error("no node port is left for service {service}: 30000 to 32767 are all taken")]
    NodePortsExhausted {
        /// `namespace/name`.
        service: String,
    },
    /// Two Services ask for one cluster IP.
    #[error("services {first} and {second} both ask for cluster IP {ip}; change one of them")]
    ClusterIpConflict {
        /// `namespace/name`.
        first: String,
        /// `namespace/name`.
        second: String,
        /// The address.
        ip: IpAddr,
    },
    /// Two Services ask for one node port.
    #[error("services {first} and {second} both ask for node port {port}/{protocol}; change one of them")]
    NodePortConflict {
        /// `namespace/name`.
        first: String,
        /// `namespace/name`.
        second: String,
        /// The port.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
    },
}

pub(super) fn build(
    lab: &str,
    objects: &[Object],
    nodes: usize,
    previous: Option<&Plan>,
) -> Result<Plan, PlanError> {
    let mut notes = Vec::new();
    let mut nodes = plan_nodes(lab, objects, nodes, previous)?;
    check_replicas(objects)?;
    let mut pods = place_pods(objects, &nodes, previous, &mut notes);
    name_and_address(lab, &mut nodes, &mut pods, previous)?;
    let services = plan_services(objects, &pods, previous, &mut notes)?;
    listen_on_targets(&mut pods, &services);
    let service_ips: Vec<IpAddr> = services.iter().flat_map(|s| s.cluster_ips.iter().copied()).collect();
    let outside = outside::plan(format!("pg-{lab}-out"), objects, &service_ips);
    Ok(Plan {
        lab: lab.to_owned(),
        fabric_netns: format!("pg-{lab}-net"),
        nodes,
        pods,
        services,
        outside,
        notes,
    })
}

// === nodes ===

fn plan_nodes(
    lab: &str,
    objects: &[Object],
    asked: usize,
    previous: Option<&Plan>,
) -> Result<Vec<NodePlan>, PlanError> {
    let mut known: Vec<(String, Labels)> = Vec::new();
    let mut add = |name: &str, labels: Labels| match known.iter_mut().find(|(n, _)| n == name) {
        Some(node) => node.1.extend(labels),
        None => known.push((name.to_owned(), labels)),
    };
    for node in previous.iter().flat_map(|plan| &plan.nodes) {
        add(&node.name, Labels::new());
    }
    for object in objects {
        if let Object::Node(node) = object {
            add(&node.meta.name, node.meta.labels.clone());
        }
    }
    for object in objects {
        let node = match object {
            Object::Pod(pod) => pod.node.as_deref(),
            Object::Workload(workload) => workload.template.node.as_deref(),
            _ => None,
        };
        if let Some(node) = node {
            add(node, Labels::new());
        }
    }
    let count = match (asked, previous) {
        (0, Some(plan)) => plan.nodes.len(),
        (0, None) => known.len().clamp(1, MAX_DEFAULT_NODES),
        (asked, _) => asked,
    };
    if count > MAX_NODES {
        return Err(PlanError::TooManyNodes { asked: count });
    }
    let mut number = 1;
    while known.len() < count {
        let name = format!("node-{number}");
        number += 1;
        if !known.iter().any(|(n, _)| *n == name) {
            known.push((name, Labels::new()));
        }
    }
    known.truncate(count);
    let node = |(i, (name, labels)): (usize, (String, Labels))| NodePlan {
        name,
        labels,
        netns: format!("pg-{lab}-n{i}"),
        addresses: node_addresses(i),
        pod_cidrs: Vec::new(),
    };
    Ok(known.into_iter().enumerate().map(node).collect())
}

fn node_addresses(index: usize) -> Vec<IpAddr> {
    // `index` is below MAX_NODES, so neither the octet nor the group overflows.
    let number = 10 + u16::try_from(index).unwrap_or(u16::MAX);
    let v4 = u32::from(FABRIC_ADDRESSES.0) - 1 + u32::from(number);
    let mut v6 = FABRIC_ADDRESSES.1.segments();
    v6[7] = number;
    vec![IpAddr::V4(Ipv4Addr::from(v4)), IpAddr::V6(Ipv6Addr::from(v6))]
}

// === pods ===

/// The pods of the input, each on a node, still without index and addresses.
fn place_pods(
    objects: &[Object],
    nodes: &[NodePlan],
    previous: Option<&Plan>,
    notes: &mut Vec<String>,
) -> Vec<PodPlan> {
    let position: BTreeMap<&str, usize> =
        nodes.iter().enumerate().map(|(i, n)| (n.name.as_str(), i)).collect();
    let earlier: BTreeMap<(&str, &str), &PodPlan> =
        previous.iter().flat_map(|p| &p.pods).map(|p| ((p.namespace.as_str(), p.name.as_str()), p)).collect();
    let mut found: BTreeMap<(String, String), Pod> = BTreeMap::new();
    for pod in input_pods(objects, nodes) {
        if matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed) {
            continue;
        }
        let key = (pod.meta.namespace.clone(), pod.meta.name.clone());
        if let Some(old) = found.insert(key, pod) {
            let key = format!("{}/{}", old.meta.namespace, old.meta.name);
            notes.push(format!(
                "pod {key} is defined twice; the definition at {} is not used",
                old.meta.source
            ));
        }
    }
    let mut load = vec![0usize; nodes.len()];
    let mut placed: Vec<(Pod, Option<usize>)> = Vec::with_capacity(found.len());
    for pod in found.into_values() {
        let named = pod.node.as_deref().and_then(|name| position.get(name).copied());
        if let (Some(name), None) = (&pod.node, named) {
            let key = format!("{}/{}", pod.meta.namespace, pod.meta.name);
            notes.push(format!(
                "pod {key} names node {name}, which the lab does not have; it runs on another"
            ));
        }
        let old = earlier.get(&(pod.meta.namespace.as_str(), pod.meta.name.as_str()));
        let old = old.map(|pod| pod.node).filter(|node| *node < nodes.len());
        let node = named.or(old);
        if let Some(node) = node {
            load[node] += 1;
        }
        placed.push((pod, node));
    }
    let mut plans = Vec::with_capacity(placed.len());
    for (pod, node) in placed {
        let node = node.unwrap_or_else(|| {
            let emptiest = (0..nodes.len()).min_by_key(|i| load[*i]).unwrap_or(0);
            load[emptiest] += 1;
            emptiest
        });
        plans.push(unaddressed(pod, node));
    }
    note_host_port_conflicts(&plans, notes);
    plans
}

/// Refuses what could not even be listed in memory.
fn check_replicas(objects: &[Object]) -> Result<(), PlanError> {
    const MOST: u32 = 65_000;
    let too_many = objects.iter().find_map(|object| match object {
        Object::Workload(workload) if workload.replicas > MOST => Some((object.key(), workload)),
        _ => None,
    });
    match too_many {
        None => Ok(()),
        Some((key, workload)) => Err(PlanError::TooManyReplicas {
            workload: key.to_string(),
            replicas: workload.replicas,
            written: workload.meta.source.to_string(),
        }),
    }
}

/// Pods as written, and those that workloads make. A workload whose pods are in the input as well (a
/// dump of a running cluster) makes none.
fn input_pods(objects: &[Object], nodes: &[NodePlan]) -> Vec<Pod> {
    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let written = || objects.iter().filter_map(|o| if let Object::Pod(pod) = o { Some(pod) } else { None });
    let materialised = |workload: &Workload| {
        let owned = |owner: &Owner, pod: &Pod| {
            (owner.kind == workload.kind.as_str() && owner.name == workload.meta.name)
                || pod.meta.name.strip_prefix(&workload.meta.name).is_some_and(|rest| rest.starts_with('-'))
        };
        written().any(|pod| {
            pod.meta.namespace == workload.meta.namespace && pod.owner.as_ref().is_some_and(|o| owned(o, pod))
        })
    };
    let mut latest: BTreeMap<(&str, &str, &str), &Workload> = BTreeMap::new();
    for object in objects {
        if let Object::Workload(workload) = object {
            // As with `kubectl apply`, the last definition of an object counts.
            let key = (workload.meta.namespace.as_str(), workload.kind.as_str(), workload.meta.name.as_str());
            latest.insert(key, workload);
        }
    }
    let expanded =
        latest.into_values().filter(|workload| !materialised(workload)).flat_map(|w| w.expand(&names));
    written().cloned().chain(expanded).collect()
}

fn unaddressed(pod: Pod, node: usize) -> PodPlan {
    let mut listen: Vec<(Protocol, u16)> = pod.ports.iter().map(|p| (p.protocol, p.port)).collect();
    listen.sort();
    listen.dedup();
    PodPlan {
        index: 0,
        namespace: pod.meta.namespace,
        name: pod.meta.name,
        uid: pod.meta.uid,
        labels: pod.meta.labels,
        owner: pod.owner.map(|owner| (owner.kind, owner.name)),
        node,
        netns: String::new(),
        ips: Vec::new(),
        host_network: pod.host_network,
        terminating: pod.meta.terminating,
        ports: pod
            .ports
            .into_iter()
            .map(|p| PortPlan { name: p.name, port: p.port, protocol: p.protocol })
            .collect(),
        listen,
        source: (pod.meta.source.file.to_string(), pod.meta.source.line, pod.meta.source.column),
    }
}

fn note_host_port_conflicts(pods: &[PodPlan], notes: &mut Vec<String>) {
    let mut owners: BTreeMap<(usize, Protocol, u16), String> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.host_network) {
        for (protocol, port) in &pod.listen {
            if let Some(first) = owners.get(&(pod.node, *protocol, *port)) {
                notes.push(format!(
                    "pods {first} and {} both use port {port}/{protocol} of their node; only the first answers",
                    pod.key()
                ));
            } else {
                owners.insert((pod.node, *protocol, *port), pod.key());
            }
        }
    }
}

fn name_and_address(
    lab: &str,
    nodes: &mut [NodePlan],
    pods: &mut [PodPlan],
    previous: Option<&Plan>,
) -> Result<(), PlanError> {
    let mut pool = PodPool::default();
    for (i, node) in nodes.iter().enumerate() {
        let old = previous.and_then(|plan| plan.nodes.iter().find(|n| n.name == node.name));
        let blocks: Vec<u8> = old.iter().flat_map(|n| &n.pod_cidrs).filter_map(block_of).collect();
        for block in blocks {
            pool.give_block(i, Some(block));
        }
    }
    for (i, node) in nodes.iter().enumerate() {
        if pool.pod_cidrs(i).len() < 2 && pool.give_block(i, None).is_none() {
            return Err(PlanError::PodsExhausted { pod: format!("node {}", node.name) });
        }
    }
    let earlier: BTreeMap<(&str, &str), &PodPlan> =
        previous.iter().flat_map(|p| &p.pods).map(|p| ((p.namespace.as_str(), p.name.as_str()), p)).collect();
    let mut used: BTreeSet<u32> = earlier.values().map(|pod| pod.index).collect();
    let mut kept = vec![false; pods.len()];
    for (pod, kept) in pods.iter_mut().zip(&mut kept) {
        let Some(old) = earlier.get(&(pod.namespace.as_str(), pod.name.as_str())) else { continue };
        // Identity is the UID: a pod made anew under its name is another pod.
        if old.uid != pod.uid || old.host_network != pod.host_network || old.node != pod.node {
            continue;
        }
        if pod.host_network || pool.keep(pod.node, &old.ips) {
            pod.index = old.index;
            pod.ips = old.ips.clone();
            *kept = true;
        }
    }
    // Policy moves to a new plan before the network does: an address whose pod is gone stays free until the
    // next plan, or that pod would have its successor's rights while it is still there.
    let stays: BTreeSet<u32> =
        pods.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(pod, _)| pod.index).collect();
    for gone in earlier.values().filter(|pod| !pod.host_network && !stays.contains(&pod.index)) {
        pool.withhold(&gone.ips);
    }
    let mut next = 0;
    for (pod, kept) in pods.iter_mut().zip(kept) {
        if !kept {
            while !used.insert(next) {
                next += 1;
            }
            pod.index = next;
            pod.ips = match pod.host_network {
                true => nodes[pod.node].addresses.clone(),
                false => pool.take(pod.node).ok_or_else(|| PlanError::PodsExhausted { pod: pod.key() })?,
            };
        }
        pod.netns = match pod.host_network {
            true => nodes[pod.node].netns.clone(),
            false => format!("pg-{lab}-p{}", pod.index),
        };
    }
    for (i, node) in nodes.iter_mut().enumerate() {
        node.pod_cidrs = pool.pod_cidrs(i);
    }
    Ok(())
}

fn listen_on_targets(pods: &mut [PodPlan], services: &[ServicePlan]) {
    let mut targets: BTreeMap<u32, BTreeSet<(Protocol, u16)>> = BTreeMap::new();
    for port in services.iter().flat_map(|service| &service.ports) {
        for (pod, number) in &port.backends {
            targets.entry(*pod).or_default().insert((port.protocol, *number));
        }
    }
    for pod in pods {
        if let Some(targets) = targets.remove(&pod.index) {
            pod.listen.extend(targets);
            pod.listen.sort();
            pod.listen.dedup();
        }
    }
}

// === services ===

fn plan_services(
    objects: &[Object],
    pods: &[PodPlan],
    previous: Option<&Plan>,
    notes: &mut Vec<String>,
) -> Result<Vec<ServicePlan>, PlanError> {
    let mut found: BTreeMap<(&str, &str), &Service> = BTreeMap::new();
    for object in objects {
        let Object::Service(service) = object else { continue };
        if service.kind == ServiceType::ExternalName {
            continue;
        }
        let key = (service.meta.namespace.as_str(), service.meta.name.as_str());
        if let Some(old) = found.insert(key, service) {
            notes.push(format!(
                "service {}/{} is defined twice; the definition at {} is not used",
                key.0, key.1, old.meta.source
            ));
        }
    }
    let earlier: BTreeMap<(&str, &str), &ServicePlan> = previous
        .iter()
        .flat_map(|p| &p.services)
        .map(|s| ((s.namespace.as_str(), s.name.as_str()), s))
        .collect();
    let mut ips = cluster_ips(&found, &earlier, notes)?;
    let mut node_ports = node_ports(&found, &earlier)?;
    let mut plans = Vec::with_capacity(found.len());
    for (key, service) in found {
        let selected: Vec<&PodPlan> = match &service.selector {
            Some(selector) => pods.iter().filter(|pod| selects(selector, key.0, pod)).collect(),
            None => Vec::new(),
        };
        let ports = service.ports.iter().enumerate().map(|(i, port)| ServicePortPlan {
            name: port.name.clone(),
            protocol: port.protocol,
            port: port.port,
            node_port: node_ports.remove(&(key, i)),
            backends: selected
                .iter()
                .filter_map(|pod| Some((pod.index, target(&port.target, port.protocol, pod)?)))
                .collect(),
        });
        plans.push(ServicePlan {
            namespace: key.0.to_owned(),
            name: key.1.to_owned(),
            cluster_ips: ips.remove(&key).unwrap_or_default(),
            headless: service.headless,
            external_local: ServicePlan::is_local(service.external_traffic_policy),
            ports: ports.collect(),
            endpoints: selected.iter().map(|pod| pod.index).collect(),
        });
    }
    Ok(plans)
}

type Key<'a> = (&'a str, &'a str);

fn name(key: Key<'_>) -> String {
    format!("{}/{}", key.0, key.1)
}

/// Addresses that Services ask for come first, then those of the earlier plan, then new ones.
fn cluster_ips<'a>(
    services: &BTreeMap<Key<'a>, &Service>,
    earlier: &BTreeMap<Key<'_>, &ServicePlan>,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<Key<'a>, Vec<IpAddr>>, PlanError> {
    let lab_networks: Vec<IpNet> =
        POD_NETWORKS.iter().chain(&NODE_NETWORKS).filter_map(|net| net.parse().ok()).collect();
    let mut pool = ServicePool::default();
    let mut owners: BTreeMap<IpAddr, Key<'_>> = BTreeMap::new();
    let mut ips: BTreeMap<Key<'a>, Vec<IpAddr>> = BTreeMap::new();
    let with_ips = || services.iter().filter(|(_, service)| !service.headless);
    for (key, service) in with_ips() {
        for ip in &service.cluster_ips {
            let inside = lab_networks.iter().any(|net| net.contains(ip)) || outside::is_wiring(ip);
            if inside || ip.is_loopback() || ip.is_multicast() || ip.is_unspecified() {
                notes.push(format!(
                    "cluster IP {ip} of service {} can't be used here; it gets another",
                    name(*key)
                ));
            } else if let Some(first) = owners.insert(*ip, *key).filter(|first| first != key) {
                return Err(PlanError::ClusterIpConflict { first: name(first), second: name(*key), ip: *ip });
            } else if !ips.get(key).is_some_and(|own| own.iter().any(|own| own.is_ipv4() == ip.is_ipv4())) {
                pool.keep(*ip);
                ips.entry(*key).or_default().push(*ip);
            }
        }
    }
    let lacks = |own: &[IpAddr], v4: bool| !own.iter().any(|ip| ip.is_ipv4() == v4);
    for (key, _) in with_ips() {
        for ip in earlier.get(key).iter().flat_map(|old| &old.cluster_ips) {
            let own = ips.entry(*key).or_default();
            if lacks(own, ip.is_ipv4()) && pool.keep(*ip) {
                own.push(*ip);
            }
        }
    }
    for (key, _) in with_ips() {
        let own = ips.entry(*key).or_default();
        let first = (*key == ("kube-system", "kube-dns")).then_some(DNS_NUMBER);
        let (v4, v6) = (lacks(own, true), lacks(own, false));
        if v4 || v6 {
            let new = pool
                .take(first, v4, v6)
                .ok_or_else(|| PlanError::ServicesExhausted { service: name(*key) })?;
            own.extend(new);
        }
        own.sort_by_key(IpAddr::is_ipv6);
    }
    Ok(ips)
}

/// Node ports by Service and position of the port: asked for, then earlier, then new.
fn node_ports<'a>(
    services: &BTreeMap<Key<'a>, &Service>,
    earlier: &BTreeMap<Key<'_>, &ServicePlan>,
) -> Result<BTreeMap<(Key<'a>, usize), u16>, PlanError> {
    let mut owners: BTreeMap<(Protocol, u16), Key<'a>> = BTreeMap::new();
    let mut ports = BTreeMap::new();
    let exposed = || {
        services
            .iter()
            .filter(|(_, s)| matches!(s.kind, ServiceType::NodePort | ServiceType::LoadBalancer))
            .flat_map(|(key, s)| s.ports.iter().enumerate().map(|(i, port)| (*key, i, port)))
    };
    for (key, i, port) in exposed() {
        let Some(number) = port.node_port.filter(|number| *number != 0) else { continue };
        if let Some(first) = owners.insert((port.protocol, number), key) {
            let (first, second) = (name(first), name(key));
            return Err(PlanError::NodePortConflict { first, second, port: number, protocol: port.protocol });
        }
        ports.insert((key, i), number);
    }
    for (key, i, port) in exposed() {
        let old = earlier
            .get(&key)
            .iter()
            .flat_map(|s| &s.ports)
            .find(|p| (p.protocol, p.port) == (port.protocol, port.port));
        let Some(number) = old.and_then(|p| p.node_port) else { continue };
        if !ports.contains_key(&(key, i)) && !owners.contains_key(&(port.protocol, number)) {
            owners.insert((port.protocol, number), key);
            ports.insert((key, i), number);
        }
    }
    for (key, i, port) in exposed() {
        if ports.contains_key(&(key, i)) {
            continue;
        }
        let free = NODE_PORTS.clone().find(|number| !owners.contains_key(&(port.protocol, *number)));
        let number = free.ok_or_else(|| PlanError::NodePortsExhausted { service: name(key) })?;
        owners.insert((port.protocol, number), key);
        ports.insert((key, i), number);
    }
    Ok(ports)
}

fn selects(selector: &Labels, namespace: &str, pod: &PodPlan) -> bool {
    pod.namespace == namespace
        && !pod.terminating
        && selector.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
}

fn target(target: &TargetPort, protocol: Protocol, pod: &PodPlan) -> Option<u16> {
    match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => {
            pod.ports.iter().find(|p| p.name == *name && p.protocol == protocol).map(|p| p.port)
        }
    }
}
