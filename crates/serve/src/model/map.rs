use podgate_flow::{FlowRecord, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CanAnswer;

/// An end of connections as the page names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Tells it from all others, the same in every answer: `shop/web[Deployment]`, `node a`, `internet`.
    pub id: String,
    /// What `from` and `to` of /why accept for it: `shop/Deployment/web`, an address.
    pub end: String,
    /// Namespace; empty for what has none.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Kind of the workload, `Namespace`, `Pod`, `Node`, or `Outside`.
    pub kind: String,
}

/// Every place that answers name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Places {
    /// The objects they are from.
    pub revision: u64,
    /// Namespaces, workloads, nodes and what is outside, by namespace and name.
    pub places: Vec<Place>,
}

/// How far a map looks into the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// A node for each namespace.
    Namespaces,
    /// A node for each workload.
    #[default]
    Workloads,
    /// A node for each pod of the namespaces that are asked for.
    Pods,
}

/// A map, laid out. Lengths are in the map's own unit; a node is about 24 of them high.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MapView {
    /// The objects it shows.
    pub revision: u64,
    /// Its scope.
    pub scope: Scope,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// Namespaces as boxes; none where they are nodes.
    pub groups: Vec<MapGroup>,
    /// The nodes.
    pub nodes: Vec<MapNode>,
    /// The edges, those that matter most first. Edges of folded hubs are among them.
    pub edges: Vec<MapEdge>,
    /// How many edges were left out.
    pub more_edges: usize,
}

/// A namespace as a box.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MapGroup {
    /// The namespace; empty for what is outside of the cluster.
    pub name: String,
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

/// A node of a map.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MapNode {
    /// What it is.
    #[serde(flatten)]
    pub place: Place,
    /// Index of its box.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
    /// Pods in it.
    pub pods: usize,
    /// Some policy has a say about who connects to all of it.
    pub ingress: bool,
    /// Some policy has a say about where all of it connects to.
    pub egress: bool,
    /// Nearly everybody connects to it, or it to nearly everybody, and so its edges are folded: `dns`, `ingress`,
    /// `monitoring`, `outside`, `hub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// Findings about it or its policies.
    pub findings: usize,
    /// Its edges that are `crowded`, with those that were left out.
    pub crowded: usize,
}

/// An edge of a map: from one node to another.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MapEdge {
    /// Index of the node that connects.
    pub from: usize,
    /// Index of the node that is connected to.
    pub to: usize,
    /// Ports that policy allows; empty: none.
    pub allowed: String,
    /// It is allowed only because no policy has a say.
    pub unprotected: bool,
    /// It is one of a hub's many edges that lead to it, or from it.
    pub folded: bool,
    /// Policy allows nothing on it and connections were denied, as on more edges of one of its ends than one can tell
    /// apart: somebody tries everything, or everybody tries one. Never so where something was `cut`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub crowded: bool,
    /// On some port connections came through at least as often as not, and the last was denied.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// What was seen in the window; absent where nothing is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// Connections let through.
    pub allowed: u64,
    /// Connections denied.
    pub denied: u64,
    /// Connections that staged policies would deny.
    pub staged: u64,
    /// Bytes both ways, from the kernel's totals; 0 where they are not kept.
    pub bytes: u64,
    /// When the last was seen.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
}

/// An edge, looked into.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EdgeDetails {
    /// Who connects.
    pub from: Place,
    /// To whom.
    pub to: Place,
    /// What policy says, rule by rule; absent where an end is unknown to it.
    #[schema(value_type = Option<CanAnswer>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<podgate_analysis::why::Answer>,
    /// Why it can't say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untold: Option<String>,
    /// What was seen.
    pub seen: Seen,
    /// The newest records, fifty at most.
    #[schema(value_type = Vec<super::FlowRecord>)]
    pub records: Vec<std::sync::Arc<FlowRecord>>,
}
