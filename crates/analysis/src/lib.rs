//! Questions about a cluster's policies and their answers, as data.
//!
//! ```text
//! objects (files | git | API server)  ->  World (engine + workloads + addresses)
//!                                           |-> Relation: who reaches whom on which ports, symbolic
//!                                           |-> why, exposure, diff, tests, suggestions
//! ```
//!
//! Every verdict comes from the engine (`podgate-policy`); this crate asks, groups and names. Absent on
//! purpose: files, terminals, output formats, exit codes.

pub mod backends;
pub mod diff;
pub mod ends;
pub mod expectations;
pub mod exposure;
pub mod graph;
pub mod ip;
pub mod joint;
pub mod labels;
pub mod manifest;
pub mod matrix;
pub mod npguard;
pub mod ports;
pub mod reach;
pub mod relation;
pub mod suggest;
pub mod why;
pub mod world;

pub use ends::{End, EndError, PortSpec, Ports, Resolved};
pub use ip::IpSet;
pub use ports::{PortSet, PortSetId, PortSets};
pub use relation::{Party, PartyId, PartyKind, Relation};
pub use world::{Family, Hypothesis, PodId, Variant, VariantId, Workload, WorkloadId, World, WorldOptions};
