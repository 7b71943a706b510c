//! A relay as a process.

use std::io;

use podgate_tls::Identity;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

use super::{Peers, services};
use crate::client::Address;
use crate::serve::secured;
use crate::{Listener, serve};

/// Serves a relay at an address until Ctrl-C or SIGTERM; `ready` is told where when clients can come, and
/// `tell` hears of certificates that can't be used any more.
pub fn run(
    peers: Peers,
    listen: &Address,
    identity: Option<&Identity>,
    ready: impl FnOnce(&str),
    tell: impl Fn(&str) + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (listener, place) = match (listen, identity) {
            (Address::Unix(path), _) => {
                // Left by one that was killed: a socket that answers is somebody's.
                if std::os::unix::net::UnixStream::connect(path).is_err() {
                    drop(std::fs::remove_file(path));
                }
                (Listener::Unix(UnixListener::bind(path)?), listen.to_string())
            }
            (Address::Tcp { host, port, .. }, identity) => {
                let listener = TcpListener::bind((&**host, *port)).await?;
                let place = listener.local_addr()?.to_string();
                let listener = match identity {
                    None => Listener::Tcp(listener),
                    Some(identity) => secured(listener, identity.clone(), tell)?,
                };
                (listener, place)
            }
        };
        let mut terminated = signal(SignalKind::terminate())?;
        ready(&place);
        let stop = async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
        };
        let served = serve(listener, services(peers, "relay"), stop).await;
        if let Address::Unix(path) = listen {
            drop(std::fs::remove_file(path));
        }
        served.map_err(io::Error::other)
    })
}
