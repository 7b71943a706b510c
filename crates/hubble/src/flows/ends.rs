//! The ends of a flow in the Hubble API's words.

use podgate_flow::{End, Party, ServiceName, View, identity};

use crate::proto::flow;

/// Addresses as they are in the packet. Of a reply, the one under which the client knows the server is its translation.
pub fn ip(view: View<'_>) -> flow::Ip {
    let (source, destination) = view.ends();
    let asked = view.record().asked.filter(|_| source.service.is_some());
    let version = if source.endpoint.ip.is_ipv4() { flow::IpVersion::IPv4 } else { flow::IpVersion::IPv6 };
    flow::Ip {
        source: source.endpoint.ip.to_string(),
        source_xlated: asked.map(|at| at.ip().to_string()).unwrap_or_default(),
        destination: destination.endpoint.ip.to_string(),
        ip_version: version.into(),
        encrypted: false,
    }
}

/// Whose address an end is.
pub fn endpoint(end: End<'_>, cluster: &str) -> flow::Endpoint {
    let party = &*end.endpoint.party;
    let mut endpoint =
        flow::Endpoint { identity: identity(party), cluster_name: cluster.to_owned(), ..Default::default() };
    match party {
        Party::Pod { namespace, pod, owner, labels, .. } => {
            endpoint.namespace = namespace.clone();
            endpoint.pod_name = pod.clone();
            endpoint.labels = labels.iter().map(|(key, value)| format!("k8s:{key}={value}")).collect();
            endpoint.labels.push(format!("k8s:io.kubernetes.pod.namespace={namespace}"));
            endpoint.labels.sort();
            let workload = |owner: &podgate_flow::OwnerName| flow::Workload {
                name: owner.name.clone(),
                kind: owner.kind.clone(),
            };
            endpoint.workloads = owner.iter().map(workload).collect();
        }
        Party::Node { .. } => endpoint.labels = vec!["reserved:host".to_owned()],
        Party::Outside { .. } => {
            endpoint.cluster_name = String::new();
            endpoint.labels = vec!["reserved:world".to_owned()];
        }
    }
    endpoint
}

/// Names by which an end is known beside those of Kubernetes: from DNS, a node's, or one that was given to it.
pub fn names(end: End<'_>) -> Vec<String> {
    let given = match &*end.endpoint.party {
        Party::Node { node } => Some(node.clone()),
        Party::Outside { name } => name.clone(),
        Party::Pod { .. } => None,
    };
    let dns = end.endpoint.dns.iter().flat_map(|names| names.iter().map(|name| name.to_string()));
    dns.chain(given).collect()
}

/// A Service.
pub fn service(service: &ServiceName) -> flow::Service {
    flow::Service { name: service.name.clone(), namespace: service.namespace.clone() }
}
