//! What a node saw, as flow records: the kernel's events with the engine's names.
//!
//! ```text
//! podgate_datapath::Event --> Observation --> Joiner --> FlowRecord --> History
//! ```

mod observation;

pub use observation::{boot_time, deciders, observation, wall_clock};
