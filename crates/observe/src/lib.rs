//! What nodes saw, as flow records: the kernel's events with the engine's names.
//!
//! ```text
//! podgate_datapath::Event --> Observation --> Joiner --> FlowRecord --> History
//! ```
//!
//! Absent on purpose: the kernel itself, sockets, and verdicts of our own.

mod keeper;
mod misses;
mod mode;
mod observation;
mod observer;
mod staged;

pub use keeper::Keeper;
pub use mode::{MODE_ANNOTATION, Mode, mode_of};
pub use observation::{boot_time, observation, wall_clock};
pub use observer::Observer;
