//! The podgate policy engine: the only place in the project where verdicts are made.
//!
//! ```text
//! objects -> predicates (each question once) -> classes of addresses -> programs (verdict tables)
//!                                                    \-------------------> Delta, evaluate
//! ```
//!
//! [`Cluster`] holds the objects. [`Cluster::commit`] compiles what changed and returns a [`Delta`]
//! for whoever publishes the tables; [`Cluster::evaluate`] asks the same tables about one connection.
//!
//! Absent on purpose: async, files, sockets, clocks, Linux. Facts come in as arguments, answers go
//! out as values.

mod blocks;
mod classes;
mod cluster;
mod commit;
mod domains;
mod evaluate;
mod explain;
mod fingerprint;
mod intern;
mod labels;
mod namespaces;
mod nodes;
mod paint;
mod parallel;
mod pods;
mod policies;
mod port_names;
mod predicates;
mod program;
mod programs;
mod redundancy;
mod slots;
mod tables;
mod view;

pub use cluster::{Cluster, Settings, Size};
pub use evaluate::{Connection, Decision, Reason, Side};
pub use explain::{Effect, Explanation, NearRule, PolicyTrace, RuleTrace};
pub use intern::LabelsView;
pub use program::{Program, Programs};
pub use redundancy::{PolicyUse, RuleUse};
pub use tables::{
    ClassId, Decider, DeciderId, Delta, Direction, Family, Identity, Kind, Outcome, PolicyRef, PortKey,
    PortRange, ProgramId, Row, RuleRef, Tier, Verdict,
};
pub use view::{NamespaceView, PodView};
