//! Flows that were seen, turned into advice: what candidate policies would do to them, and policies made from them.
//!
//! ```text
//! FlowRecords -> Collector -> Seen --\
//!                                     >-- Replay: what would be cut, what opened, by which rule
//! objects + candidate -> Judge ------/
//! ```
//!
//! Every verdict comes from the engine (`podgate-policy`), asked with pods as they were when they were seen. What can't
//! be judged is told apart, never guessed. Absent on purpose: files, terminals, clocks.

mod judge;
pub mod recommend;
mod replay;
pub mod score;
mod seen;
pub mod totals;
pub mod unused;
pub mod why;

pub use judge::{Judge, Unjudged, without_staged};
pub use replay::{Change, Kept, KeptFlow, Replay, Side, Told, UnjudgedFlow};
pub use seen::{Collector, DNS, End, Key, Lost, Seen, Tally, Window, second};
