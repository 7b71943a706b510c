//! Namespaces, nodes and Services.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{Labels, Meta, Protocol};

/// A Namespace. Its labels always hold `kubernetes.io/metadata.name` with its own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Name, labels, UID.
    pub meta: Meta,
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Name, labels.
    pub meta: Meta,
    /// `status.addresses` of types InternalIP and ExternalIP.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs` (or `podCIDR`).
    pub pod_cidrs: Vec<IpNet>,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Name, namespace.
    pub meta: Meta,
    /// `spec.selector`; `None` when absent or empty: its endpoints are made by somebody else.
    pub selector: Option<Labels>,
    /// `spec.type`.
    pub kind: ServiceType,
    /// `spec.clusterIP: None`: DNS answers with pod addresses, nothing is translated.
    pub headless: bool,
    /// `spec.clusterIPs` that are addresses; empty when not assigned yet.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.externalTrafficPolicy`.
    pub external_traffic_policy: ExternalTrafficPolicy,
    /// `spec.externalIPs`: addresses outside of the cluster's care that lead to it.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip`.
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.loadBalancerSourceRanges`: who may use the load balancer; empty: everybody.
    pub source_ranges: Vec<IpNet>,
    /// `spec.externalName`, the DNS name that it stands for; empty when absent.
    pub external_name: String,
    /// An annotation of the cloud says that its load balancer is not reachable from the internet.
    pub internal_load_balancer: bool,
}

/// `spec.type` of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    /// Reachable inside the cluster.
    #[default]
    ClusterIp,
    /// And on a port of every node.
    NodePort,
    /// And through a load balancer.
    LoadBalancer,
    /// A DNS alias; no traffic of its own.
    ExternalName,
}

/// `spec.externalTrafficPolicy` of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalTrafficPolicy {
    /// Any node's pods may answer; the client's address is lost.
    #[default]
    Cluster,
    /// Only pods of the node that was asked; the client's address stays.
    Local,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`; empty when absent.
    pub name: String,
    /// `protocol`, TCP by default.
    pub protocol: Protocol,
    /// `port`.
    pub port: u16,
    /// `targetPort`, `port` by default.
    pub target: TargetPort,
    /// `nodePort`, when given.
    pub node_port: Option<u16>,
}

/// Where a Service port leads on its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// A port number.
    Number(u16),
    /// A container port's name, resolved on each pod.
    Name(String),
}
