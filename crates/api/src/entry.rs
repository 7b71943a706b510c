//! What lets traffic in from outside beside Services: Ingress and the Gateway API.

use crate::{Meta, Source};

/// A `networking.k8s.io/v1` Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ingress {
    /// Name, namespace.
    pub meta: Meta,
    /// `spec.ingressClassName`, or the old annotation; empty when absent.
    pub class: String,
    /// All backends: of the rules in order, then `spec.defaultBackend`.
    pub backends: Vec<Backend>,
}

/// A Service behind an Ingress or a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The Service's port.
    pub port: BackendPort,
    /// Host names for which it answers; empty: all.
    pub hosts: Vec<String>,
    /// Where it is written.
    pub source: Source,
}

/// How a backend names the Service's port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum BackendPort {
    /// `number`, or `port` of a Gateway API backend.
    Number(u16),
    /// `name`, of an Ingress backend.
    Name(String),
    /// Not said.
    Any,
}

/// A `gateway.networking.k8s.io` Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Name, namespace.
    pub meta: Meta,
    /// `spec.gatewayClassName`.
    pub class: String,
    /// `spec.listeners`.
    pub listeners: Vec<Listener>,
}

/// A listener of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// `name`.
    pub name: String,
    /// `port`.
    pub port: u16,
    /// `protocol`, such as `HTTPS`.
    pub protocol: String,
    /// `hostname`; empty when absent.
    pub hostname: String,
}

/// A route of the Gateway API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Name, namespace.
    pub meta: Meta,
    /// Kind.
    pub kind: RouteKind,
    /// `spec.parentRefs` that are Gateways.
    pub parents: Vec<ParentRef>,
    /// Service backends of all rules.
    pub backends: Vec<Backend>,
}

/// The kinds of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RouteKind {
    /// HTTPRoute.
    Http,
    /// GRPCRoute.
    Grpc,
    /// TLSRoute.
    Tls,
    /// TCPRoute.
    Tcp,
    /// UDPRoute.
    Udp,
}

impl RouteKind {
    /// As the Gateway API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            RouteKind::Http => "HTTPRoute",
            RouteKind::Grpc => "GRPCRoute",
            RouteKind::Tls => "TLSRoute",
            RouteKind::Tcp => "TCPRoute",
            RouteKind::Udp => "UDPRoute",
        }
    }
}

/// The Gateway that a route hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentRef {
    /// The Gateway's namespace.
    pub namespace: String,
    /// The Gateway's name.
    pub name: String,
    /// `sectionName`: one listener; empty: all.
    pub section: String,
}
