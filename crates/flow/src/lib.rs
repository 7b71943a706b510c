//! Flow records: what really happened on the wire, with names.
//!
//! ```text
//! node A: Observation --\
//!                        >-- Joiner (two halves of one connection) -- Names --> FlowRecord
//! node B: Observation --/
//! ```
//!
//! Absent on purpose: kernel code, sockets, clocks (time is an argument), and any verdict of our own.

mod filter;
mod joiner;
mod names;
mod observation;
mod record;
mod time;

pub use filter::Filter;
pub use joiner::{JOIN_WAIT, Joiner};
pub use names::{Names, RETIRED_FOR};
pub use observation::{Basis, Half, Observation};
pub use record::{
    Decision, Endpoint, FlowRecord, FlowVerdict, OwnerName, Party, Reason, ServiceName, protocol_name,
};
pub use time::Timestamp;
