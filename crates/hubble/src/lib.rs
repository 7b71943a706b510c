//! Flow records for others, over gRPC: the public Hubble API, so that what speaks to Hubble speaks to podgate, and an
//! API of podgate's own for what Hubble's has no words for.
//!
//! ```text
//! History --> services (one node) --\
//!                                    >-- serve: TCP, TLS, a socket --> hubble, Hubble UI, podgate observe
//! peers ----> relay::services -------/
//! ```
//!
//! Absent on purpose: verdicts of our own, names (records have them), files.

pub mod choice;
pub mod client;
#[cfg(test)]
mod fixture;
mod flows;
mod health;
pub mod json;
mod mask;
pub mod proto;
mod reader;
pub mod relay;
mod serve;
mod server;
mod tail;
mod unflow;

pub use flows::{Naming, details, flow_of, to_hubble, views};
pub use mask::Mask;
pub use reader::{Heard, ReadError, Server, read_lines};
pub use relay::run as run_relay;
pub use serve::{Listener, secured, serve};
pub use server::{ServerInfo, services};
pub use unflow::from_hubble;
