//! Connections whose handshake is done.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Certificates;

/// A client that hasn't shaken hands by then is sent away.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections whose handshake is done and that wait to be served.
const BACKLOG: usize = 64;
/// How long to wait when the system can't accept a connection, for lack of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// It has shown a certificate of the authority.
    pub is_certified: bool,
}

/// Accepts connections; a client that is slow to shake hands holds nobody up.
#[derive(Debug)]
pub struct Listener {
    shaken: mpsc::Receiver<(TlsStream<TcpStream>, Peer)>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Listener {
    /// Listens, within a runtime. `tell` hears what whoever runs the server should know: files that can't be used any
    /// more, connections that can't be accepted.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn new(
        listener: TcpListener,
        certificates: Certificates,
        tell: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Listener> {
        let address = listener.local_addr()?;
        let (done, shaken) = mpsc::channel(BACKLOG);
        let accepting = tokio::spawn(accept(listener, certificates, done, tell));
        Ok(Listener { shaken, address, accepting })
    }

    /// The next connection; `None` only while the runtime ends.
    pub async fn next(&mut self) -> Option<(TlsStream<TcpStream>, Peer)> {
        self.shaken.recv().await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    mut certificates: Certificates,
    done: mpsc::Sender<(TlsStream<TcpStream>, Peer)>,
    tell: impl Fn(&str),
) {
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tell(&format!("a connection can't be accepted: {error}"));
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        let (config, trouble) = certificates.current();
        if let Some(error) = trouble {
            tell(&format!("{error}; the certificate from before stays in use"));
        }
        let done = done.clone();
        // In a task of its own: a client that says nothing must not keep others out.
        tokio::spawn(async move {
            // Answers are sent as they come: nothing is gained by waiting for more.
            drop(stream.set_nodelay(true));
            match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
                Ok(Ok(stream)) => {
                    let is_certified = stream.get_ref().1.peer_certificates().is_some();
                    drop(done.send((stream, Peer { address, is_certified })).await);
                }
                Ok(Err(error)) => tracing::debug!(%address, %error, "a client can't agree on TLS"),
                Err(_) => tracing::debug!(%address, "a client takes too long to agree on TLS"),
            }
        });
    }
}

#[cfg(feature = "axum")]
mod served {
    use axum::extract::connect_info::Connected;
    use axum::serve::IncomingStream;

    use super::*;

    impl axum::serve::Listener for Listener {
        type Io = TlsStream<TcpStream>;
        type Addr = Peer;

        async fn accept(&mut self) -> (Self::Io, Self::Addr) {
            match self.next().await {
                Some(connection) => connection,
                // The acceptor ends with the runtime only.
                None => std::future::pending().await,
            }
        }

        fn local_addr(&self) -> io::Result<Self::Addr> {
            Ok(Peer { address: self.address, is_certified: false })
        }
    }

    impl Connected<IncomingStream<'_, Listener>> for Peer {
        fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
            *stream.remote_addr()
        }
    }
}
