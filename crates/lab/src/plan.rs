//! The plan of a lab: which nodes, pods and Services it has, and all their names and addresses.
//!
//! ```text
//! objects (manifests) + number of nodes + previous plan  ->  Plan  ->  network, nft rules, responder, engine
//! ```
//!
//! Making a plan is pure. The plan is the lab's only state: it is stored as JSON beside the lab's
//! processes, and the next plan is made with it, so that what stays keeps its names and addresses.

mod build;
mod outside;
mod pool;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use podgate_api::{
    ContainerPort, ExternalTrafficPolicy, Labels, Meta, Node, Object, Owner, Pod, PodPhase, Protocol, Source,
};
use serde::{Deserialize, Serialize};

pub use build::PlanError;

/// Addresses of a lab's Services.
pub const SERVICE_NETWORKS: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];
/// Addresses of a lab's pods.
pub const POD_NETWORKS: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];
/// Addresses of a lab's nodes, and of the fabric between them (the first of each).
pub const NODE_NETWORKS: [&str; 2] = ["172.30.0.0/24", "fd00:172:30::/64"];
/// The fabric's addresses among the nodes.
pub const FABRIC_ADDRESSES: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(172, 30, 0, 1), Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, 1));
/// The fabric's addresses towards the outside host.
pub const FABRIC_OUTSIDE_ADDRESSES: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(198, 51, 100, 1), Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1));
/// The outside host's own addresses.
pub const OUTSIDE_ADDRESSES: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(198, 51, 100, 10), Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x10));

/// What a lab is made of. See the module's text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The lab's name.
    pub lab: String,
    /// Named network namespace of the fabric: a bridge between the nodes, and the router to the outside.
    pub fabric_netns: String,
    /// Nodes, at least one. A node's position here is its index.
    pub nodes: Vec<NodePlan>,
    /// Pods, sorted by namespace and name.
    pub pods: Vec<PodPlan>,
    /// Services with traffic of their own (no ExternalName), sorted by namespace and name.
    pub services: Vec<ServicePlan>,
    /// The host outside the cluster.
    pub outside: OutsidePlan,
    /// What is worth knowing about the input, such as a pod name used twice: lower-case fragments.
    pub notes: Vec<String>,
}

/// A node: a network namespace with an `eth0` on the fabric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// The Node's name.
    pub name: String,
    /// The Node object's labels.
    pub labels: Labels,
    /// Named network namespace.
    pub netns: String,
    /// IPv4 and IPv6 address, in this order.
    pub addresses: Vec<IpAddr>,
    /// Blocks from which the node's pods get addresses: a /24 for each 250 pods, and one /64.
    pub pod_cidrs: Vec<IpNet>,
}

/// A pod: a network namespace with a veth pair to its node, or the node's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodPlan {
    /// Stable over plans as long as the pod lives; names its interface and namespace. NOT a position in
    /// [`Plan::pods`]: see [`Plan::pod`].
    pub index: u32,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `metadata.uid` of the input; empty when it has none.
    pub uid: String,
    /// Labels.
    pub labels: Labels,
    /// Kind and name of the workload that made the pod.
    pub owner: Option<(String, String)>,
    /// Position of its node in [`Plan::nodes`].
    pub node: usize,
    /// Named network namespace.
    pub netns: String,
    /// IPv4 and IPv6 address, in this order; the node's for a pod in the host network.
    pub ips: Vec<IpAddr>,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Declared container ports.
    pub ports: Vec<PortPlan>,
    /// What the pod answers on: its declared ports and the target ports of the Services that select it.
    pub listen: Vec<(Protocol, u16)>,
    /// File, line and column of the pod or of its workload.
    pub source: (String, u32, u32),
}

/// A declared container port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPlan {
    /// `name`; empty when absent.
    pub name: String,
    /// Number.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// IPv4 and IPv6 address; empty for a headless Service.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.clusterIP: None`.
    pub headless: bool,
    /// `spec.externalTrafficPolicy: Local`: a node port leads to pods of the asked node only.
    pub external_local: bool,
    /// [`PodPlan::index`] of the pods that it selects.
    pub endpoints: Vec<u32>,
    /// Ports.
    pub ports: Vec<ServicePortPlan>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePortPlan {
    /// `name`; empty when absent.
    pub name: String,
    /// Protocol.
    pub protocol: Protocol,
    /// `port`.
    pub port: u16,
    /// Port on every node, for types NodePort and LoadBalancer.
    pub node_port: Option<u16>,
    /// [`PodPlan::index`] and port of each pod that answers. A pod without the named target port is absent.
    pub backends: Vec<(u32, u16)>,
}

/// The host outside the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsidePlan {
    /// Named network namespace.
    pub netns: String,
    /// Its own IPv4 and IPv6 address, then one address inside each external `ipBlock` and each `except`.
    pub addresses: Vec<IpAddr>,
    /// The domain names that rules name, in lower case, with the addresses of it that the lab's DNS gives to them;
    /// `*.` in front stands for one or more labels.
    #[serde(default)]
    pub names: BTreeMap<String, Vec<IpAddr>>,
    /// What it answers on: the ports that egress rules to blocks name, and 80, 443 and 53.
    pub listen: Vec<(Protocol, u16)>,
}

/// Whether the object is a policy of any kind.
pub fn is_policy(object: &Object) -> bool {
    matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_))
}

impl Plan {
    /// Makes a lab's plan.
    ///
    /// `nodes` is the number of nodes; 0 means as many as `previous` has, or else as many as the input
    /// names (at most 8, at least 1). What `previous` and the input both have keeps its index and addresses.
    ///
    /// # Errors
    /// When the input can't become a cluster: addresses claimed twice, or more than fit. The error names the objects.
    pub fn new(
        lab: &str,
        objects: &[Object],
        nodes: usize,
        previous: Option<&Plan>,
    ) -> Result<Plan, PlanError> {
        build::build(lab, objects, nodes, previous)
    }

    /// The objects for the engine: Namespaces and policies of the input as they are, and the plan's pods
    /// and nodes with their addresses.
    pub fn objects(&self, input: &[Object]) -> Vec<Object> {
        let kept = input.iter().filter(|o| matches!(o, Object::Namespace(_)) || is_policy(o));
        let nodes = self.nodes.iter().map(|node| Object::Node(node.object()));
        let pods = self.pods.iter().map(|pod| Object::Pod(pod.object(&self.nodes[pod.node].name)));
        kept.cloned().chain(nodes).chain(pods).collect()
    }

    /// The pod with this [`PodPlan::index`].
    pub fn pod(&self, index: u32) -> Option<&PodPlan> {
        self.pods.iter().find(|pod| pod.index == index)
    }

    /// All pods by [`PodPlan::index`].
    pub fn pods_by_index(&self) -> BTreeMap<u32, &PodPlan> {
        self.pods.iter().map(|pod| (pod.index, pod)).collect()
    }

    /// Every network namespace of the lab: fabric, outside, nodes, pods of their own.
    pub fn netns_names(&self) -> Vec<&str> {
        let pods = self.pods.iter().filter(|pod| !pod.host_network).map(|pod| pod.netns.as_str());
        [self.fabric_netns.as_str(), self.outside.netns.as_str()]
            .into_iter()
            .chain(self.nodes.iter().map(|node| node.netns.as_str()))
            .chain(pods)
            .collect()
    }
}

impl NodePlan {
    fn object(&self) -> Node {
        Node {
            meta: Meta { name: self.name.clone(), labels: self.labels.clone(), ..Meta::default() },
            addresses: self.addresses.clone(),
            pod_cidrs: self.pod_cidrs.clone(),
        }
    }

    /// The node's IPv4 address.
    pub fn v4(&self) -> IpAddr {
        self.addresses[0]
    }

    /// The node's IPv6 address.
    pub fn v6(&self) -> IpAddr {
        self.addresses[1]
    }
}

impl PodPlan {
    fn object(&self, node: &str) -> Pod {
        let (file, line, column) = &self.source;
        Pod {
            meta: Meta {
                name: self.name.clone(),
                namespace: self.namespace.clone(),
                uid: self.uid.clone(),
                labels: self.labels.clone(),
                terminating: self.terminating,
                source: Source { file: file.as_str().into(), line: *line, column: *column },
                ..Meta::default()
            },
            owner: self.owner.clone().map(|(kind, name)| Owner { kind, name }),
            node: Some(node.to_owned()),
            ips: self.ips.clone(),
            host_network: self.host_network,
            phase: PodPhase::Running,
            ports: self.ports.iter().map(PortPlan::object).collect(),
            ..Pod::default()
        }
    }

    /// Name of the pod's interface in its node's namespace.
    pub fn veth(&self) -> String {
        format!("pg{}", self.index)
    }

    /// `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl PortPlan {
    fn object(&self) -> ContainerPort {
        ContainerPort { name: self.name.clone(), port: self.port, protocol: self.protocol }
    }
}

impl ServicePlan {
    fn is_local(policy: ExternalTrafficPolicy) -> bool {
        policy == ExternalTrafficPolicy::Local
    }
}
