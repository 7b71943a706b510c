use std::sync::Arc;

use podgate_flow::{FlowRecord, Losses, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// Some flows, newest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowPage {
    /// The records.
    #[schema(value_type = Vec<super::FlowRecord>)]
    pub records: Vec<Arc<FlowRecord>>,
    /// How many fit the filter in the window.
    pub matching: u64,
    /// How many there are in the window.
    pub total: u64,
    /// Values to filter by, counted over those that fit.
    pub facets: Vec<Facet>,
    /// What `before` of the next page is; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What is missing.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub losses: Losses,
}

/// Flows that a reader of the stream didn't get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Missed {
    /// How many came since the last that was sent, and went before they could be; filters aside.
    pub missed: u64,
}

/// A field to filter by.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Facet {
    /// The parameter of /flows: `verdict`, `namespace`, `workload`, `policy`, `port`, `protocol`, `node`.
    pub field: String,
    /// Its commonest values, twelve at most.
    pub values: Vec<FacetValue>,
}

/// A value of a field.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FacetValue {
    /// The value.
    pub value: String,
    /// How many records have it.
    pub count: u64,
}

/// Connections over time.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// When the first bucket begins.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Length of a bucket in seconds.
    pub seconds: u64,
    /// The buckets.
    pub buckets: Vec<Bucket>,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Bucket {
    /// Connections let through.
    pub allowed: u64,
    /// Connections denied.
    pub denied: u64,
    /// Connections that staged policies would deny.
    pub staged: u64,
}
