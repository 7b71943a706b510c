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

mod error;
pub mod netns;
pub mod plan;
pub mod probe;
pub mod state;

pub use error::{Error, Result};
pub use plan::Plan;
pub use state::{Lab, Spec};
