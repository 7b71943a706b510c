//! What nodes saw, as flow records: the kernel's events with the engine's names.
//!
//! ```text
//! podgate_datapath::Event --> Observation --> Joiner --> FlowRecord --> History
//! podgate_datapath::DnsMessage --> Answer --> Bindings --> podgate_policy::Cluster, names of records
//! ```
//!
//! Absent on purpose: the kernel itself, sockets, and verdicts of our own.

mod dns;
mod keeper;
mod misses;
mod observation;
mod observer;
mod services;
mod staged;

pub use dns::{Answer, BindingCounts, BindingLimits, Bindings, Changes, DnsCounts, Nothing, Resolvers, read};
pub use keeper::Keeper;
pub use observation::{boot_time, observation, since_boot, wall_clock};
pub use observer::Observer;
