//! The process that answers in every pod, in place of the application.
//!
//! A socket belongs to the network namespace in which it was opened, so one process can listen in all of
//! them: sockets are opened on threads that enter the namespaces, and served by one loop.
//!
//! What it says, so that a prober learns who answered:
//! - TCP: one line `namespace/pod port protocol client-address`, then each byte that it receives.
//! - UDP: the same line, then the datagram that it answers.
//! - SCTP: INIT ACK to an INIT on a port that it has, ABORT on any other; by raw socket, since many kernels
//!   have no SCTP sockets.
//! - Port 53 of TCP and UDP: DNS, to whoever speaks DNS; see the module `dns`.

mod dns;
mod orders;
mod places;
mod sctp;
mod serve;
mod sockets;
mod stream;

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::state::Lab;

pub(crate) use dns::DOMAIN;
use orders::Orders;
pub use places::{Place, places};

/// What the responder tells when it has taken over a plan: the content of `responder.ready`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// [`stamp`] of the plan.
    pub stamp: u64,
    /// Sockets that could not be opened: lower-case fragments.
    pub problems: Vec<String>,
}

/// Name of the file with [`Ready`] in the run directory.
pub const READY_FILE: &str = "responder.ready";

/// Answers for a lab until the process is ended. Follows the lab's `plan.json`.
///
/// # Errors
/// When the plan can't be read at the start, or the kernel refuses to wait for events.
pub fn run(lab: &Lab) -> Result<()> {
    serve::Server::new(Orders::Plan(lab.clone()))?.run()
}

/// Answers in the places that a file lists, a JSON map of [`Place`] by name of network namespace, until the
/// process is ended. Follows the file, which has to be replaced as [`store`](crate::state::store) does.
/// [`READY_FILE`] is written beside it.
///
/// # Errors
/// As for [`run`].
pub fn run_places(file: &Path) -> Result<()> {
    serve::Server::new(Orders::Places(file.to_owned()))?.run()
}

/// Tells versions of a plan or places file apart.
///
/// # Errors
/// When the file can't be read.
pub fn stamp(plan: &Path) -> Result<u64> {
    let text = fs::read(plan).map_err(|error| Error::io(format!("read {}", plan.display()), error))?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&text);
    Ok(hasher.finish())
}
