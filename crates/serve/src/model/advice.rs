use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CheckFinding, DiffAnswer, Problem, ReplayAnswer};

/// A change to try. Nothing is written anywhere.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Candidate {
    /// What is written anew or besides, in order.
    #[serde(default)]
    pub edits: Vec<Edit>,
    /// Ids of policies that are deleted.
    #[serde(default)]
    pub deleted: Vec<String>,
    /// Flows since then are replayed: a time, or a length such as `24h`; all that are kept without it.
    #[serde(default)]
    pub since: Option<String>,
}

/// YAML that is written.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Edit {
    /// The id of the policy that it replaces, where its name may have changed.
    #[serde(default)]
    pub replaces: Option<String>,
    /// Documents.
    pub yaml: String,
}

/// What a candidate would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhatIf {
    /// The objects that it was tried on.
    pub revision: u64,
    /// What could not be read as it is written; lines are those of the edit.
    pub problems: Vec<Problem>,
    /// Findings that it adds.
    #[schema(value_type = Vec<CheckFinding>)]
    pub new_findings: Vec<podgate_lint::Finding>,
    /// Findings that it mends.
    #[schema(value_type = Vec<CheckFinding>)]
    pub mended_findings: Vec<podgate_lint::Finding>,
    /// What opens and what closes.
    #[schema(value_type = DiffAnswer)]
    pub diff: podgate_analysis::diff::Diff,
    /// Cells of the matrix that change.
    pub cells: Vec<WhatIfCell>,
    /// What it would do to flows that were seen; absent where nothing is watched.
    #[schema(value_type = Option<ReplayAnswer>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay: Option<podgate_advise::Replay>,
    /// The change as a unified diff of the files, for `git apply` or `patch -p1`; new policies are new files.
    pub patch: String,
}

/// A cell of the matrix that changes; its ends are ids.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WhatIfCell {
    /// Who connects.
    pub from: String,
    /// To whom.
    pub to: String,
    /// Ports now.
    pub before: String,
    /// Ports then.
    pub after: String,
}

/// Policies that fit what was seen.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recommendation {
    /// The objects that it is made for.
    pub revision: u64,
    /// What was seen and what not, one sentence each.
    pub statement: Vec<String>,
    /// The policies, by workload.
    pub policies: Vec<RecommendedPolicy>,
}

/// A policy that fits what was seen.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecommendedPolicy {
    /// Id of the workload it is for.
    pub workload: String,
    /// Connections that it was made from.
    pub connections: u64,
    /// What to know before using it.
    pub warnings: Vec<String>,
    /// The policy.
    pub yaml: String,
}

/// A place of a policy where somebody writes.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteAt {
    /// The documents as they are.
    pub yaml: String,
    /// 0-based.
    pub line: u32,
    /// 0-based, in characters.
    pub column: u32,
}

/// What may be written at a place of a policy.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Completions {
    /// Where the word that they replace begins: 0-based column.
    pub from: u32,
    /// What may be written, likeliest first.
    pub items: Vec<Completion>,
}

/// Something that may be written.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Completion {
    /// The text.
    pub text: String,
    /// `field`, `value`, `namespace`, `label`.
    pub kind: String,
    /// What it means, in a sentence.
    pub help: String,
}
