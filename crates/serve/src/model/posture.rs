use podgate_flow::{Losses, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::{CheckFinding, Disagreement, Place};

/// How much of the cluster is protected, what is open, and what goes wrong now.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Posture {
    /// The objects it is about.
    pub revision: u64,
    /// All namespaces together.
    pub total: NamespacePosture,
    /// Each namespace with workloads, by name.
    pub namespaces: Vec<NamespacePosture>,
    /// What the internet reaches, and who reaches the internet.
    pub exposed: Vec<Exposed>,
    /// Connections that were denied in the window.
    pub denials: Denials,
    /// Findings of `check`, by severity.
    pub findings: FindingCounts,
    /// The worst of them, ten at most.
    #[schema(value_type = Vec<CheckFinding>)]
    pub worst: Vec<podgate_lint::Finding>,
    /// Where expected, measured and observed are not the same, a hundred at most.
    pub disagreements: Vec<Disagreement>,
    /// All of these.
    pub disagreement_count: u64,
    /// What staged policies would do.
    pub staged: StagedPosture,
    /// Rules that allowed nothing in the window, where flows are watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused_rules: Option<usize>,
    /// Events that are missing in all of this.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub losses: Losses,
}

/// How much of a namespace is protected.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespacePosture {
    /// Its name; empty for all together.
    pub namespace: String,
    /// Workloads that policies can protect: those in the host network are not among them.
    pub workloads: usize,
    /// Those where a policy has a say about who connects to them.
    pub ingress: usize,
    /// Those where one has a say about where they connect to.
    pub egress: usize,
    /// Those that the internet may connect to.
    pub from_internet: usize,
    /// Those that may connect to the internet.
    pub to_internet: usize,
    /// Connections denied in the window, at either end.
    pub denied: u64,
    /// Findings.
    pub findings: usize,
}

/// A workload that the internet reaches, or that reaches the internet.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exposed {
    /// The workload.
    pub workload: Place,
    /// `ingress`: the internet connects to it; `egress`: it connects to the internet.
    pub direction: String,
    /// On these ports.
    pub ports: String,
    /// What leads there, such as `Service shop/web (LoadBalancer)`; empty where policy alone lets it in.
    pub through: String,
    /// The addresses, as policy tells them apart.
    pub addresses: Vec<String>,
}

/// Connections that were denied.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Denials {
    /// All of them, those included that the kernel only counted.
    pub count: u64,
    /// Where most were, twenty at most.
    pub top: Vec<DenialLine>,
}

/// Denied connections between two places on one port.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DenialLine {
    /// Who connected.
    pub from: Place,
    /// To whom.
    pub to: Place,
    /// `TCP`, `UDP`, ….
    pub protocol: String,
    /// The destination's port; 0: none.
    pub port: u16,
    /// How many.
    pub count: u64,
    /// How many came through in the window before, where most did: what worked and was cut comes first. Else 0.
    pub before: u64,
    /// What denied it, in words.
    pub by: String,
    /// When it was last.
    #[schema(value_type = String, format = DateTime)]
    pub last: Timestamp,
    /// Id of that record.
    pub record: String,
}

/// Findings by severity.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct FindingCounts {
    /// Cannot work as written.
    pub error: usize,
    /// Most likely a mistake.
    pub warning: usize,
    /// Worth knowing.
    pub info: usize,
}

/// What staged policies would do.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StagedPosture {
    /// How many there are.
    pub policies: usize,
    /// Connections of the window that they would deny.
    pub would_deny: u64,
}
