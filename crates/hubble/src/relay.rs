//! Many nodes as one: a server whose answers are those of its peers, in order of time.
//!
//! Clients of the Hubble API get both directions of a connection between two nodes, each from the node that decided
//! it. In podgate's own API they are one record.

mod ask;
mod merge;
mod peers;
mod run;
mod services;

pub use peers::Peers;
pub use run::run;
pub use services::services;
