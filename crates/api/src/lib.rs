//! Kubernetes objects that decide pod traffic, as podgate uses them.
//!
//! ```text
//! files | stdin | API server  ->  reader  ->  Object (defaults applied, validated)  ->  policy engine
//!                                        \->  Diagnostic (file, line, column, field, what to write)
//! ```
//!
//! Objects are *total*: API-server defaults are applied once, here, so that no later code meets an
//! `Option` that means "defaulted". Each object, rule and peer remembers where it was written.
//!
//! Absent on purpose: I/O beyond the readers, and any decision about traffic.

mod answer;
mod cluster;
mod cluster_policy;
mod connectivity_test;
mod cursor;
mod decode;
mod diagnostic;
mod entry;
mod files;
mod ignore;
mod items;
mod json;
mod keep;
mod load;
mod mention;
mod meta;
mod mode;
mod network_policy;
mod scalar;
mod selector;
mod split;
mod syntax;
mod tree;
mod workload;

pub use answer::{Answer, AnswerReader, Refusal, WatchEvent};
pub use cluster::{ExternalTrafficPolicy, Namespace, Node, Service, ServicePort, ServiceType, TargetPort};
pub use cluster_policy::{
    Action, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPort, ClusterPortMatch, ClusterRule,
    ClusterSubject, ClusterTier,
};
pub use connectivity_test::{ConnectivityCase, ConnectivityTest, Expect, Written};
pub use diagnostic::{Diagnostic, Severity};
pub use entry::{Backend, BackendPort, Gateway, Ingress, Listener, ParentRef, Route, RouteKind};
pub use files::is_manifest;
pub use ignore::{Ignore, parse_ignore};
pub use load::{Input, LoadOptions, Loaded, load, load_text, load_with};
pub use mention::Mention;
pub use meta::{Labels, Meta, NAMESPACE_NAME_LABEL, Object, ObjectKey, Source};
pub use mode::{MODE_ANNOTATION, Mode, mode_of, staged};
pub use network_policy::{IpBlock, NetworkPolicy, Peer, PodPeer, PolicyPort, PortMatch, Protocol, Rule};
pub use selector::{LabelSelector, Operator, Requirement};
pub use workload::{ContainerPort, Owner, Pod, PodPhase, PodTemplate, Workload, WorkloadKind};
