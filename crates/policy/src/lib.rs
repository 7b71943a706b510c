//! The podgate policy engine: the only place in the project where verdicts are made.
//!
//! ```text
//! objects -> selectors (interned) -> classes of addresses -> programs (verdict tables) -> Delta
//! ```
//!
//! Absent on purpose: async, files, sockets, clocks, Linux. Facts come in as arguments, answers go
//! out as values.

mod program;
mod tables;

pub use program::{Program, Programs};
pub use tables::{
    ClassId, Decider, DeciderId, Delta, Direction, Identity, Outcome, PolicyRef, PortKey, PortRange,
    ProgramId, Row, RuleRef, Tier, Verdict,
};
