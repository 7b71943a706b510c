use podgate_analysis::reach::NamedPorts;
use podgate_policy::Verdict;
use serde::Serialize;
use utoipa::ToSchema;

use super::Place;

/// The truth table: who may connect to whom on which ports. Parties that policy can't tell apart share a row or a
/// column: the cell of `rows[from]` and `columns[to]` is a place in `verdicts`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatrixView {
    /// The objects it is about.
    pub revision: u64,
    /// Workloads by namespace and name, then what is outside.
    pub parties: Vec<MatrixParty>,
    /// For each party its row; `null`: it never connects (a domain name).
    pub rows: Vec<Option<u32>>,
    /// For each party its column.
    pub columns: Vec<u32>,
    /// Port sets; the first is none.
    pub verdicts: Vec<MatrixVerdict>,
    /// The cells, row by row: each a place in `verdicts`, and of how many columns in a row it is the cell; and so on.
    /// Most of a large table is denied, and so short.
    pub runs: Vec<Vec<u32>>,
    /// Connections that were seen in the window, where that is known.
    pub observed: Vec<Observed>,
    /// Connections that a probe tried.
    pub measured: Vec<Probed>,
    /// Where these are not the same, all of them.
    pub disagreements: Vec<Disagreement>,
}

/// A row and column of the table.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatrixParty {
    /// What it is.
    #[serde(flatten)]
    pub place: Place,
    /// Pods in it; 0 for what is outside.
    pub pods: usize,
}

/// Ports on which connections are allowed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatrixVerdict {
    /// In words: `none`, `all`, `TCP 80,443`; for both families where they are the same.
    #[schema(inline)]
    pub ports: String,
    /// In numbers too.
    #[schema(value_type = super::DiffPorts)]
    pub named: NamedPorts,
    /// IPv6 ports in words, where they are not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<String>,
    /// Policy tells the pods of an end apart: the ports are those of some pods. /why has which.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partly: bool,
}

/// A cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
pub struct Cell {
    /// The party that connects.
    pub from: u32,
    /// The party it connects to.
    pub to: u32,
}

/// Connections that were seen.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Observed {
    /// Where.
    #[serde(flatten)]
    pub cell: Cell,
    /// `TCP`, `UDP`, ….
    pub protocol: String,
    /// Port.
    pub port: u16,
    /// How many were let through.
    pub allowed: u64,
    /// How many were denied.
    pub denied: u64,
}

/// What a probe tried: every pod of the one with every pod of the other.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Probed {
    /// Where.
    #[serde(flatten)]
    pub cell: Cell,
    /// `TCP`, `UDP`, ….
    pub protocol: String,
    /// Port.
    pub port: u16,
    /// How many connections came through.
    pub allowed: u64,
    /// How many didn't.
    pub denied: u64,
}

/// Where expected, measured and observed are not the same.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disagreement {
    /// Who connects.
    pub from: Place,
    /// To whom.
    pub to: Place,
    /// `TCP`, `UDP`, ….
    pub protocol: String,
    /// Port.
    pub port: u16,
    /// What policy says.
    #[schema(value_type = String)]
    pub expected: Verdict,
    /// What a probe found.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Verdict>,
    /// What the last flow under these policies was.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<Verdict>,
    /// What that means, in a sentence.
    pub text: String,
}
