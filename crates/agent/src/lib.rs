//! The node agent: watches the API server and keeps this node's kernel in step with it.
//!
//! ```text
//! API server --watch--> \                                     /--> kernel
//! CNI plugin --socket--> > loop: Inventory -> Cluster -> Gate <
//! clock ---------------> /                                     \--> conditions, Events, metrics, status, traces
//! ```
//!
//! One thread runs the loop, so that nothing happens between two steps of a change; everything that waits
//! for others (the API server, plugins, HTTP) is on a runtime beside it and talks to it by messages.
//!
//! Absent on purpose: verdicts. The engine makes them.

mod agent;
pub mod doctor;
mod doorman;
mod error;
mod exports;
mod feedback;
mod flows;
mod gate;
mod http;
mod inventory;
mod memory;
mod metrics;
mod options;
mod policies;
mod staging;
mod status;
mod traces;

pub use agent::run;
pub use error::Error;
pub use feedback::{ACCEPTED, IN_FORCE};
pub use options::{
    ApiOptions, ClickHouseOptions, Endpoint, ExportOptions, FlowOptions, NameOptions, Options, OtlpOptions,
    PodConditions, TraceOptions, Url,
};
pub use podgate_archive::export::{Bucket, Secret};
pub use podgate_observe::Resolvers;
pub use status::{Fault, KernelStatus, PodStatus, SourceStatus, Status};
