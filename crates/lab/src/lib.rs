//! Clusters made of network namespaces, from manifests.
//!
//! ```text
//! manifests -> Plan -> namespaces and links   (network)
//!                   -> Services as nft rules  (services)
//!                   -> answers on every port  (responder)
//!                   -> objects for the engine
//! ```
//!
//! A lab's nodes are network namespaces of their own: the host's network is never changed.

pub mod command;
pub mod demo;
pub mod enforce;
mod error;
pub mod interrupt;
pub mod load;
pub mod netns;
pub mod network;
pub mod plan;
pub mod probe;
pub mod process;
pub mod resolver;
pub mod responder;
pub mod services;
pub mod state;
pub mod up;

pub use error::{Error, Result};
pub use plan::Plan;
pub use state::{Lab, Spec};
