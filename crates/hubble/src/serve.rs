//! Where the services are reached: TCP, TCP with TLS, and sockets of this machine.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

/// How long a client may take to agree on keys.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait when the system can't accept a connection, for lack of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Where clients come in.
#[derive(Debug)]
pub enum Listener {
    /// TCP, as it is.
    Tcp(TcpListener),
    /// TCP with TLS.
    Tls(TcpListener, Arc<ServerConfig>),
    /// A socket of this machine.
    Unix(UnixListener),
}

/// Serves until `stop` is done; then it lets the answers under way end.
pub async fn serve(
    listener: Listener,
    services: Routes,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let (sender, mut receiver) = mpsc::channel(16);
    let accepting = tokio::spawn(accept(listener, sender));
    let incoming = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let served = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .add_routes(services)
        .serve_with_incoming_shutdown(incoming, stop)
        .await;
    accepting.abort();
    served
}

async fn accept(listener: Listener, sender: mpsc::Sender<io::Result<Connection>>) {
    let (sockets, tls) = match listener {
        Listener::Tcp(sockets) => (Sockets::Tcp(sockets), None),
        Listener::Tls(sockets, config) => (Sockets::Tcp(sockets), Some(acceptor(config))),
        Listener::Unix(sockets) => (Sockets::Unix(sockets), None),
    };
    while !sender.is_closed() {
        let plain = match sockets.accept().await {
            Ok(plain) => plain,
            Err(error) => {
                tracing::debug!(%error, "a connection for flows can't be accepted");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        match tls.clone() {
            None => drop(sender.send(Ok(plain)).await),
            // In a task of its own: a client that says nothing must not keep others out.
            Some(acceptor) => drop(tokio::spawn(hand_shake(acceptor, plain, sender.clone()))),
        }
    }
}

async fn hand_shake(acceptor: TlsAcceptor, plain: Connection, sender: mpsc::Sender<io::Result<Connection>>) {
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(plain)).await {
        Ok(Ok(secure)) => drop(sender.send(Ok(Connection(Box::pin(secure)))).await),
        Ok(Err(error)) => tracing::debug!(%error, "a client for flows can't agree on TLS"),
        Err(_) => tracing::debug!("a client for flows takes too long to agree on TLS"),
    }
}

/// gRPC is spoken over HTTP/2 alone.
fn acceptor(config: Arc<ServerConfig>) -> TlsAcceptor {
    let mut config = (*config).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

enum Sockets {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Sockets {
    async fn accept(&self) -> io::Result<Connection> {
        match self {
            Sockets::Tcp(sockets) => {
                let (stream, _) = sockets.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Connection(Box::pin(stream)))
            }
            Sockets::Unix(sockets) => Ok(Connection(Box::pin(sockets.accept().await?.0))),
        }
    }
}

trait Bytes: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Bytes for T {}

/// A client's connection, whatever it is made of.
struct Connection(Pin<Box<dyn Bytes>>);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().0.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().0.as_mut().poll_shutdown(cx)
    }
}
