//! Pods and everything that makes them.

use std::net::IpAddr;

use crate::{LabelSelector, Labels, Mention, Meta, Protocol};

/// A Pod, as far as traffic is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Name, namespace, labels, UID.
    pub meta: Meta,
    /// The workload that made the pod, as deep as the input tells (a Deployment rather than its ReplicaSet).
    pub owner: Option<Owner>,
    /// `spec.nodeName`.
    pub node: Option<String>,
    /// `status.podIPs` (or `podIP`), primary first.
    pub ips: Vec<IpAddr>,
    /// `spec.hostNetwork`: shares the node's addresses; neither subject nor peer.
    pub host_network: bool,
    /// `status.phase`.
    pub phase: PodPhase,
    /// Declared ports of containers and of init containers with `restartPolicy: Always`.
    pub ports: Vec<ContainerPort>,
    /// Hosts that its containers are told of: see [`PodTemplate::mentions`].
    pub mentions: Vec<Mention>,
    /// `spec.readinessGates`: types of the conditions that the pod needs to be ready.
    pub readiness_gates: Vec<String>,
}

/// The workload that owns a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// Name, in the pod's namespace.
    pub name: String,
}

/// `status.phase`; input without a status counts as running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodPhase {
    /// Accepted, not all containers started: keeps its addresses and its policy.
    Pending,
    /// Running.
    #[default]
    Running,
    /// Ended well: neither subject nor peer.
    Succeeded,
    /// Ended badly: neither subject nor peer.
    Failed,
    /// The node can't be asked: treated as running.
    Unknown,
}

/// A declared container port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerPort {
    /// `name`; empty when absent.
    pub name: String,
    /// `containerPort`, 1..=65535.
    pub port: u16,
    /// `protocol`, TCP by default.
    pub protocol: Protocol,
}

/// `spec.template` of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodTemplate {
    /// `metadata.labels` of the pods.
    pub labels: Labels,
    /// `metadata.annotations` of the pods.
    pub annotations: Labels,
    /// `spec.nodeName`.
    pub node: Option<String>,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// Declared ports, as in [`Pod::ports`].
    pub ports: Vec<ContainerPort>,
    /// Hosts named by the environment, the command lines and the ConfigMaps of all containers, each once:
    /// those that may be a Service of the input, and names outside of the cluster that have a scheme or port.
    pub mentions: Vec<Mention>,
}

/// An object that makes pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Name, namespace, source.
    pub meta: Meta,
    /// Kind.
    pub kind: WorkloadKind,
    /// Pods to make: `replicas` (1 by default), a Job's `parallelism`, 0 for a suspended one.
    /// Unused for a DaemonSet, which has one pod a node.
    pub replicas: u32,
    /// `spec.selector`; `None` where the API server gives it, or the object makes what makes pods.
    pub selector: Option<LabelSelector>,
    /// What each pod looks like.
    pub template: PodTemplate,
}

/// The kinds that make pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkloadKind {
    /// apps/v1 Deployment.
    Deployment,
    /// apps/v1 ReplicaSet.
    ReplicaSet,
    /// apps/v1 StatefulSet.
    StatefulSet,
    /// apps/v1 DaemonSet.
    DaemonSet,
    /// batch/v1 Job.
    Job,
    /// batch/v1 CronJob.
    CronJob,
    /// v1 ReplicationController.
    ReplicationController,
}

impl WorkloadKind {
    /// As the Kubernetes API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            WorkloadKind::Deployment => "Deployment",
            WorkloadKind::ReplicaSet => "ReplicaSet",
            WorkloadKind::StatefulSet => "StatefulSet",
            WorkloadKind::DaemonSet => "DaemonSet",
            WorkloadKind::Job => "Job",
            WorkloadKind::CronJob => "CronJob",
            WorkloadKind::ReplicationController => "ReplicationController",
        }
    }
}

impl Workload {
    /// The pods this workload makes, named `<name>-<index>` from 0, or `<name>-<node>` for a DaemonSet
    /// (`<name>-0` when `nodes` is empty). They have no addresses yet.
    pub fn expand(&self, nodes: &[&str]) -> Vec<Pod> {
        let placed: Vec<(String, Option<String>)> = match self.kind {
            WorkloadKind::DaemonSet if !nodes.is_empty() => {
                nodes.iter().map(|node| (node.to_string(), Some(node.to_string()))).collect()
            }
            WorkloadKind::DaemonSet => vec![("0".to_owned(), None)],
            _ => (0..self.replicas).map(|i| (i.to_string(), self.template.node.clone())).collect(),
        };
        placed.into_iter().map(|(suffix, node)| self.pod(&suffix, node)).collect()
    }

    fn pod(&self, suffix: &str, node: Option<String>) -> Pod {
        Pod {
            meta: Meta {
                name: format!("{}-{suffix}", self.meta.name),
                namespace: self.meta.namespace.clone(),
                labels: self.template.labels.clone(),
                annotations: self.template.annotations.clone(),
                source: self.meta.source.clone(),
                ..Meta::default()
            },
            owner: Some(Owner { kind: self.kind.as_str().to_owned(), name: self.meta.name.clone() }),
            node,
            ips: Vec::new(),
            host_network: self.template.host_network,
            phase: PodPhase::Running,
            ports: self.template.ports.clone(),
            mentions: self.template.mentions.clone(),
            readiness_gates: Vec::new(),
        }
    }
}
