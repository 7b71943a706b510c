//! What every object carries: its name, labels and the place it was read from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{
    ClusterPolicy, ConnectivityTest, Gateway, Ingress, Namespace, NetworkPolicy, Node, Pod, Route, Service,
    Workload,
};

/// Labels or annotations, sorted by key.
pub type Labels = BTreeMap<String, String>;

/// The label that the API server puts on every namespace, with the namespace's name as value.
pub const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A place in an input: 1-based line and column; line 0 means "not from text" (an API server, a test).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// Path as the user gave it, `-` for standard input, or the name of another origin.
    pub file: Arc<str>,
    /// 1-based line, 0 when the origin has no lines.
    pub line: u32,
    /// 1-based column in characters, 0 when unknown.
    pub column: u32,
}

impl Source {
    /// A place without lines, such as an API server.
    pub fn origin(name: &str) -> Self {
        Source { file: name.into(), line: 0, column: 0 }
    }

    /// The same file at another line and column.
    pub fn at(&self, line: u32, column: u32) -> Self {
        Source { file: self.file.clone(), line, column }
    }
}

impl Default for Source {
    fn default() -> Self {
        Source::origin("")
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// `metadata` of an object, as far as podgate uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Meta {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; empty for cluster-scoped kinds, `default` where the input omits it.
    pub namespace: String,
    /// `metadata.uid`; empty when the input has none. Identity is the UID, not the name.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.annotations`, without the object's text that `kubectl apply` leaves there.
    pub annotations: Labels,
    /// `metadata.creationTimestamp` as written (RFC 3339, UTC, so it sorts as text); empty when absent.
    pub created: String,
    /// `metadata.deletionTimestamp` is set: the object is going away but may still run.
    pub terminating: bool,
    /// Where the object was read from.
    pub source: Source,
}

/// One object of a kind that podgate uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A Namespace.
    Namespace(Namespace),
    /// A Node.
    Node(Node),
    /// A Pod.
    Pod(Pod),
    /// A Service.
    Service(Service),
    /// Anything that makes pods. The engine takes pods only: see [`Workload::expand`].
    Workload(Workload),
    /// A `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy(NetworkPolicy),
    /// A cluster-scoped policy of `policy.networking.k8s.io`.
    ClusterPolicy(ClusterPolicy),
    /// A `networking.k8s.io/v1` Ingress.
    Ingress(Ingress),
    /// A `gateway.networking.k8s.io` Gateway.
    Gateway(Gateway),
    /// A route of the Gateway API.
    Route(Route),
    /// A `podgate.dev/v1alpha1` ConnectivityTest.
    ConnectivityTest(ConnectivityTest),
}

impl Object {
    /// The object's metadata.
    pub fn meta(&self) -> &Meta {
        match self {
            Object::Namespace(o) => &o.meta,
            Object::Node(o) => &o.meta,
            Object::Pod(o) => &o.meta,
            Object::Service(o) => &o.meta,
            Object::Workload(o) => &o.meta,
            Object::NetworkPolicy(o) => &o.meta,
            Object::ClusterPolicy(o) => &o.meta,
            Object::Ingress(o) => &o.meta,
            Object::Gateway(o) => &o.meta,
            Object::Route(o) => &o.meta,
            Object::ConnectivityTest(o) => &o.meta,
        }
    }

    /// The object's kind and name: what an update or deletion refers to.
    pub fn key(&self) -> ObjectKey {
        let kind = match self {
            Object::Namespace(_) => "Namespace",
            Object::Node(_) => "Node",
            Object::Pod(_) => "Pod",
            Object::Service(_) => "Service",
            Object::Workload(w) => w.kind.as_str(),
            Object::NetworkPolicy(_) => "NetworkPolicy",
            Object::ClusterPolicy(p) => p.kind.as_str(),
            Object::Ingress(_) => "Ingress",
            Object::Gateway(_) => "Gateway",
            Object::Route(r) => r.kind.as_str(),
            Object::ConnectivityTest(_) => "ConnectivityTest",
        };
        let meta = self.meta();
        ObjectKey { kind, namespace: meta.namespace.clone(), name: meta.name.clone() }
    }
}

/// Kind, namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// `kind`, as the API spells it.
    pub kind: &'static str,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}
