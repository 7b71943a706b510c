use podgate_flow::{Losses, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// What the page is about and how fresh it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// podgate's version.
    pub version: String,
    /// What the objects are called: a directory, a lab, a cluster.
    pub name: String,
    /// Where the objects are from.
    pub origin: Origin,
    /// Counts changes of the objects; answers with the same revision fit together.
    pub revision: u64,
    /// The server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub now: Timestamp,
    /// How many there are of what.
    pub counts: Counts,
    /// What could not be read as it is written.
    pub problems: Vec<Problem>,
    /// Flows; absent where nothing is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flows: Option<FlowsStatus>,
    /// The last probe with real connections; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Nodes that enforce.
    pub nodes: Vec<NodeState>,
    /// Why the source has not been heard lately, and since when; absent while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
}

impl Status {
    /// Whether another one says the same, but for the time.
    pub fn is_like(&self, other: &Status) -> bool {
        let told =
            |status: &Status| serde_json::to_string(&Status { now: Timestamp(0), ..status.clone() }).ok();
        told(self) == told(other)
    }
}

/// Where objects are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Manifests.
    Files,
    /// A lab.
    Lab,
    /// A Kubernetes cluster.
    Cluster,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Namespaces.
    pub namespaces: usize,
    /// Workloads.
    pub workloads: usize,
    /// Pods.
    pub pods: usize,
    /// Services.
    pub services: usize,
    /// Policies of all kinds, the staged ones too.
    pub policies: usize,
    /// Those that are staged.
    pub staged: usize,
}

/// Something that could not be read as it is written.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `error` or `warning`.
    pub severity: String,
    /// The file, or the origin's name.
    pub file: String,
    /// From 1; 0: unknown.
    pub line: u32,
    /// From 1; 0: unknown.
    pub column: u32,
    /// What is wrong, and what to write.
    pub message: String,
}

/// What is known of flows.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowsStatus {
    /// Records that can be asked for.
    pub kept: u64,
    /// The oldest of them.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
    /// The newest.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// Why flows don't come any more; absent while they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What is missing: `kernel`, `suppressed`, `disk`, `export`, `nodes`, each a number.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub losses: Losses,
}

/// A probe with real connections.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Connections that were tried.
    pub tried: u64,
    /// Those that ended otherwise than expected.
    pub disagree: u64,
}

/// A node that enforces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Its policies are in its kernel.
    pub in_force: bool,
    /// What is not as it should be; empty: nothing.
    pub trouble: String,
}
