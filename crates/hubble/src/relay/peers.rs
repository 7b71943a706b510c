//! Who the peers are, and their connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tonic::transport::Channel;

use crate::client::{Address, Tls, Unreachable, connect};

/// How long a peer may take to let us in.
const CONNECT: Duration = Duration::from_secs(5);

/// The peers of a relay. A name that stands for many addresses, as that of a headless Service does, is as many peers.
#[derive(Clone, Debug)]
pub struct Peers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    given: Vec<Address>,
    tls: Option<Tls>,
    open: Mutex<BTreeMap<Address, Channel>>,
}

impl Peers {
    /// These peers; `tls`: how to speak to them.
    pub fn new(given: Vec<Address>, tls: Option<Tls>) -> Peers {
        Peers(Arc::new(Inner { given, tls, open: Mutex::default() }))
    }

    /// The peers that there are now. A name that can't be resolved stays one peer, which can't be reached.
    pub(super) async fn now(&self) -> Vec<Address> {
        let mut all = Vec::new();
        for address in &self.0.given {
            let Address::Tcp { host, port, tls } = address else {
                all.push(address.clone());
                continue;
            };
            let found = tokio::net::lookup_host((host.as_str(), *port)).await;
            let mut hosts: Vec<_> = found.into_iter().flatten().map(|at| at.ip().to_string()).collect();
            hosts.sort();
            hosts.dedup();
            match hosts.len() {
                // One address: the name says more, and it is the one in its certificate.
                0 | 1 => all.push(address.clone()),
                _ => all.extend(hosts.into_iter().map(|host| Address::Tcp { host, port: *port, tls: *tls })),
            }
        }
        all.sort();
        all.dedup();
        all
    }

    /// A connection to a peer: the one that there is, or a new one.
    pub(super) async fn channel(&self, peer: &Address) -> Result<Channel, String> {
        let open = || self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = open().get(peer) {
            return Ok(channel.clone());
        }
        let channel = connect(peer, self.0.tls.as_ref(), CONNECT).await.map_err(|error| match error {
            // Who it is about is said beside it.
            Unreachable::Silent { why, .. } => why,
            other => other.to_string(),
        })?;
        open().insert(peer.clone(), channel.clone());
        Ok(channel)
    }

    /// Forgets a connection that failed.
    pub(super) fn forget(&self, peer: &Address) {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).remove(peer);
    }
}
