//! Flow records: what really happened on the wire, with names.
//!
//! ```text
//! node A: Observation --\
//!                        >-- Joiner (two halves of one connection) -- Names --> FlowRecord --> History
//! node B: Observation --/
//! node A: Count ------------- Edges (sums by minute) ------------------ Names --> EdgeMinute
//! ```
//!
//! Absent on purpose: kernel code, sockets, clocks (time is an argument), and any verdict of our own.

mod edges;
mod filter;
#[cfg(test)]
mod fixture;
mod history;
mod joiner;
mod names;
mod nearest;
mod observation;
mod record;
mod time;
mod words;

pub use edges::{Count, Edge, EdgeMinute, Edges, Place, Totals};
pub use filter::{
    Denial, End, EndTerms, FLAGS, Family, Filter, Flag, Given, LabelTerms, NamePrefix, Pattern, PolicyName,
    RuleName, Terms, UnusableFilter, View, WorkloadName, identity,
};
pub use history::{Batch, History, Limits, Losses, Query, Take};
pub use joiner::{JOIN_WAIT, Joiner};
pub use names::{KNOWN_FOR, Names};
pub use nearest::nearest;
pub use observation::{Basis, ConnectionKey, Half, Observation, Would};
pub use record::{
    Decision, Endpoint, FlowRecord, FlowVerdict, NearMiss, OwnerName, Party, Reason, ServiceName, Staged,
};
pub use time::Timestamp;
pub use words::{FlowId, PolicyVersion, Protocol, TcpFlags};
