//! A chained CNI plugin, and what it says to the node agent.
//!
//! ```text
//! container runtime --env, stdin--> plugin --socket--> node agent --> kernel
//!                   <-----stdout----       <-in force-
//! ```
//!
//! The plugin comes last in the chain: the pod has its addresses, but no process of it runs yet. It tells
//! the agent the addresses and waits until the pod's policies judge them. Nothing is configured by it: the
//! previous plugin's result goes through unchanged.
//!
//! Source: the Container Network Interface specification 1.1.0.

mod claims;
pub mod install;
mod plugin;
mod protocol;
mod spec;

pub use claims::{Claim, Claims};
pub use plugin::{PLUGIN, run};
pub use protocol::{Attachment, PodName, Refusal, Reply, Request, ask};

/// Where the agent listens, unless it is told another run directory.
pub const SOCKET: &str = "/run/podgate/cni.sock";
