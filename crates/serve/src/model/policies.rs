use serde::Serialize;
use utoipa::ToSchema;

use super::{CheckFinding, Place};

/// Kinds of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
pub enum PolicyKind {
    /// `networking.k8s.io/v1`.
    NetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha2`.
    ClusterNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1`.
    AdminNetworkPolicy,
    /// `policy.networking.k8s.io/v1alpha1`.
    BaselineAdminNetworkPolicy,
}

/// All policies.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PolicyList {
    /// The objects they are from.
    pub revision: u64,
    /// In the order in which they are asked: by tier, priority, namespace and name.
    pub policies: Vec<PolicySummary>,
}

/// What `podgate check` finds.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FindingList {
    /// The objects that it is about.
    pub revision: u64,
    /// The worst first.
    #[schema(value_type = Vec<CheckFinding>)]
    pub findings: Vec<podgate_lint::Finding>,
}

/// A policy in the list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicySummary {
    /// `NetworkPolicy/shop/web`, `ClusterNetworkPolicy//guard`: what /policies/{id} takes, each part encoded.
    pub id: String,
    /// Its kind.
    pub kind: PolicyKind,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `Admin`, `NetworkPolicy` or `Baseline`.
    pub tier: String,
    /// Priority in the tier, for kinds that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// It is evaluated and doesn't decide.
    pub staged: bool,
    /// It has a say about incoming connections.
    pub ingress: bool,
    /// It has a say about outgoing ones.
    pub egress: bool,
    /// Workloads it selects.
    pub subjects: usize,
    /// Its rules.
    pub rules: usize,
    /// Connections of the window that its rules or its isolation decided; absent where nothing is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hits: Option<u64>,
    /// Findings of `check` about it.
    pub findings: usize,
    /// `file:line` of it.
    pub source: String,
}

/// A policy, looked into.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyDetails {
    /// As in the list.
    #[serde(flatten)]
    pub summary: PolicySummary,
    /// Workloads it selects.
    pub selected: Vec<Subject>,
    /// Its rules, in order, ingress first.
    pub rule_list: Vec<RuleSummary>,
    /// Connections that its isolation denied; absent where nothing is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolated: Option<u64>,
    /// Findings about it.
    #[schema(value_type = Vec<CheckFinding>)]
    pub finding_list: Vec<podgate_lint::Finding>,
    /// Its YAML: as written where that is known, and else as the API server has it.
    pub yaml: String,
    /// The file it is written in; empty where there is none.
    pub file: String,
    /// The line of the file that is `yaml`'s first.
    pub first_line: u32,
}

/// A workload that a policy selects.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The workload.
    #[serde(flatten)]
    pub place: Place,
    /// Its pods that are selected.
    pub pods: usize,
    /// All its pods.
    pub of: usize,
}

/// A rule of a policy.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleSummary {
    /// `ingress` or `egress`.
    pub list: String,
    /// Its 0-based place in the list.
    pub index: u32,
    /// `allow`, `deny` or `pass`.
    pub effect: String,
    /// What it says, in words.
    pub says: String,
    /// Its line in the file; 0: unknown.
    pub line: u32,
    /// Connections of the window that it decided; absent where nothing is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hits: Option<u64>,
}
