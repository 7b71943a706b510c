//! The shapes of the HTTP API's answers. What commands answer with `-o json` has the same shape here, and one
//! schema: docs/schema.

mod advice;
mod flows;
mod map;
mod matrix;
mod policies;
mod posture;
mod status;

use serde::Serialize;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

pub use advice::{
    Candidate, CompleteAt, Completion, Completions, Edit, Recommendation, RecommendedPolicy, WhatIf,
    WhatIfCell,
};
pub use flows::{Bucket, Facet, FacetValue, FlowPage, Missed, Timeline};
pub use map::{EdgeDetails, MapEdge, MapGroup, MapNode, MapView, Place, Places, Scope, Seen};
pub use matrix::{Cell, Disagreement, MatrixParty, MatrixVerdict, MatrixView, Observed, Probed};
pub use policies::{FindingList, PolicyDetails, PolicyKind, PolicyList, PolicySummary, RuleSummary, Subject};
pub use posture::{DenialLine, Denials, Exposed, FindingCounts, NamespacePosture, Posture, StagedPosture};
pub use status::{Counts, FlowsStatus, Measured, NodeState, Origin, Problem, Status};

/// A problem with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ApiError {
    /// What is wrong, where, and what to do.
    pub error: String,
}

/// Names a schema of docs/schema, or of flow records, that is written by hand.
macro_rules! written {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    RefOr::Ref(Ref::from_schema_name(stringify!($name)))
                }
            }

            impl ToSchema for $name {
                fn name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }
            }
        )+
    };
}

written! {
    /// docs/schema/can.schema.json.
    CanAnswer,
    /// docs/schema/diff.schema.json.
    DiffAnswer,
    /// `$defs/ports` of docs/schema/diff.schema.json: [`podgate_analysis::reach::NamedPorts`].
    DiffPorts,
    /// docs/schema/replay.schema.json.
    ReplayAnswer,
    /// `$defs/finding` of docs/schema/check.schema.json.
    CheckFinding,
    /// docs/schema/flow.schema.json: [`podgate_flow::FlowRecord`].
    FlowRecord,
    /// docs/schema/why.schema.json: [`podgate_advise::why::Story`].
    FlowStory,
}
