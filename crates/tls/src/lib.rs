//! TLS of podgate's servers.
//!
//! ```text
//! files (certificate, key, authority) --> Certificates --> the configuration of today
//!                                                              |
//! TcpListener --> accepted --> handshake, each in its task --> Listener --> whoever serves
//! ```
//!
//! Absent on purpose: clients, HTTP, and who may do what; a [`Peer`] says whether it showed a certificate, and the
//! server decides.

mod certificates;
mod listener;

pub use certificates::{Certificates, Clients, Error, Identity, certificates};
pub use listener::{Listener, Peer};

#[cfg(test)]
mod tests;
