//! A relay as a process.

use std::io;

use podgate_tls::Identity;
use tokio::net::{TcpListener, UnixListener};

use super::{Peers, services};
use crate::client::Address;
use crate::serve::secured;
use crate::{Listener, serve};

/// Serves a relay at an address until Ctrl-C; `ready` is called when clients can come, and
/// `tell` hears of certificates that can't be used any more.
pub fn run(
    peers: Peers,
    listen: &Address,
    identity: Option<&Identity>,
    ready: impl FnOnce(),
    tell: impl Fn(&str) + Send + 'static,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = match (listen, identity) {
            (Address::Unix(path), _) => {
                // Left by one that was killed: a socket that answers is somebody's.
                if std::os::unix::net::UnixStream::connect(path).is_err() {
                    drop(std::fs::remove_file(path));
                }
                Listener::Unix(UnixListener::bind(path)?)
            }
            (Address::Tcp { host, port, .. }, None) => {
                Listener::Tcp(TcpListener::bind((&**host, *port)).await?)
            }
            (Address::Tcp { host, port, .. }, Some(identity)) => {
                secured(TcpListener::bind((&**host, *port)).await?, identity.clone(), tell)?
            }
        };
        ready();
        let stop = async { drop(tokio::signal::ctrl_c().await) };
        let served = serve(listener, services(peers, "relay"), stop).await;
        if let Address::Unix(path) = listen {
            drop(std::fs::remove_file(path));
        }
        served.map_err(io::Error::other)
    })
}
