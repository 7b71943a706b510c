//! Where the services are reached: TCP, TCP with TLS, and sockets of this machine.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use podgate_tls::{Certificates, Identity};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot, watch};
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

/// How long answers under way may take when the server ends.
const GRACE: Duration = Duration::from_millis(500);
/// How long to wait when the system can't accept a connection, for lack of file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// Where clients come in.
#[derive(Debug)]
pub enum Listener {
    /// TCP, as it is.
    Tcp(TcpListener),
    /// TCP with TLS.
    Tls(podgate_tls::Listener),
    /// A socket of this machine.
    Unix(UnixListener),
}

/// Serves until `stop` is done; then answers under way have a moment to end, and those of followers are cut.
pub async fn serve(
    listener: Listener,
    services: Routes,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let (sender, mut receiver) = mpsc::channel(16);
    // Connections end when `open` is dropped.
    let (open, ended) = watch::channel(());
    let accepting = tokio::spawn(accept(listener, sender, ended));
    let incoming = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let (stopping, stopped) = oneshot::channel::<()>();
    let stop = async move {
        stop.await;
        drop(stopping);
    };
    let server = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .add_routes(services)
        .serve_with_incoming_shutdown(incoming, stop);
    let grace = async {
        drop(stopped.await);
        tokio::time::sleep(GRACE).await;
    };
    let served = tokio::select! {
        served = server => served,
        () = grace => Ok(()),
    };
    accepting.abort();
    drop(open);
    served
}

async fn accept(
    mut listener: Listener,
    sender: mpsc::Sender<io::Result<Connection>>,
    ended: watch::Receiver<()>,
) {
    while !sender.is_closed() {
        let connection = match listener.accept().await {
            Ok(bytes) => Connection::new(bytes, ended.clone()),
            Err(error) => {
                tracing::debug!(%error, "a connection for flows can't be accepted");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        drop(sender.send(Ok(connection)).await);
    }
}

impl Listener {
    async fn accept(&mut self) -> io::Result<Pin<Box<dyn Bytes>>> {
        match self {
            Listener::Tcp(sockets) => {
                let (stream, _) = sockets.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::pin(stream))
            }
            Listener::Tls(sockets) => match sockets.next().await {
                Some((stream, _)) => Ok(Box::pin(stream)),
                None => Err(io::Error::other("the runtime ends")),
            },
            Listener::Unix(sockets) => Ok(Box::pin(sockets.accept().await?.0)),
        }
    }
}

/// Has connections over TLS, in which gRPC is spoken: over HTTP/2 alone. `tell` hears of certificates that can't be used
/// any more.
///
/// # Errors
/// When a file can't be used.
pub fn secured(
    listener: TcpListener,
    identity: Identity,
    tell: impl Fn(&str) + Send + 'static,
) -> io::Result<Listener> {
    let certificates = Certificates::new(identity, &["h2"]).map_err(io::Error::other)?;
    Ok(Listener::Tls(podgate_tls::Listener::new(listener, certificates, tell)?))
}

trait Bytes: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Bytes for T {}

/// A client's connection, whatever it is made of.
struct Connection {
    bytes: Pin<Box<dyn Bytes>>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Connection {
    fn new(bytes: Pin<Box<dyn Bytes>>, mut ended: watch::Receiver<()>) -> Connection {
        // Nothing is ever sent: the sender's end is what is waited for.
        Connection { bytes, ended: Box::pin(async move { while ended.changed().await.is_ok() {} }) }
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // As if the client had gone.
        if this.ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        this.bytes.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().bytes.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().bytes.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().bytes.as_mut().poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Address, Tls, connect};
    use crate::proto::observer::observer_client::ObserverClient;
    use crate::proto::observer::{GetFlowsRequest, ServerStatusRequest};
    use podgate_flow::History;
    use podgate_tls::Clients;
    use std::sync::Arc;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Files of an authority, and of a certificate for localhost that it made.
    fn certificates(directory: &std::path::Path) -> [std::path::PathBuf; 3] {
        let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = parameters.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(parameters, key);
        let own_key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let own = own.signed_by(&own_key, &issuer).unwrap();
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        [
            write("ca.pem", authority.pem()),
            write("tls.pem", own.pem()),
            write("tls.key", own_key.serialize_pem()),
        ]
    }

    #[tokio::test]
    async fn with_tls_both_sides_show_who_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let [authority, certificate, key] = certificates(directory.path());
        let identity = Identity {
            certificate: certificate.clone(),
            key: key.clone(),
            clients: Clients::MustShow(authority.clone()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address =
            Address::Tcp { host: "localhost".into(), port: listener.local_addr().unwrap().port(), tls: true };
        let history = Arc::new(History::new(podgate_flow::Limits::default()));
        let services = crate::services(history, crate::ServerInfo::new("a")).unwrap();
        let listener = secured(listener, identity, |_| ()).unwrap();
        tokio::spawn(serve(listener, services, std::future::pending()));

        let ask = async |identity: Option<(&std::path::Path, &std::path::Path)>, name: Option<&str>| {
            let tls =
                Tls::from_files(std::slice::from_ref(&authority), identity, name.map(str::to_owned)).unwrap();
            let channel = connect(&address, Some(&tls), PATIENCE).await.map_err(|error| error.to_string())?;
            let answer = ObserverClient::new(channel).server_status(ServerStatusRequest {}).await;
            answer.map(|_| ()).map_err(|status| status.to_string())
        };
        ask(Some((&certificate, &key)), None).await.unwrap();
        assert!(ask(None, None).await.is_err(), "without a certificate of one's own");
        let other = ask(Some((&certificate, &key)), Some("other.example")).await.unwrap_err();
        assert!(other.contains("other.example"), "{other}");
        let plain = connect(&address, None, PATIENCE).await;
        let refused = match plain {
            Ok(channel) => ObserverClient::new(channel).server_status(ServerStatusRequest {}).await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "without TLS");
    }

    #[tokio::test]
    async fn followers_do_not_keep_a_server_from_ending() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = Listener::Unix(UnixListener::bind(&path).unwrap());
        let history = Arc::new(History::new(podgate_flow::Limits::default()));
        let services = crate::services(history, crate::ServerInfo::new("a")).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, services, async move { drop(stopped.await) }));
        let channel = connect(&Address::Unix(path), None, PATIENCE).await.unwrap();
        let request = GetFlowsRequest { follow: true, ..GetFlowsRequest::default() };
        let mut stream = ObserverClient::new(channel).get_flows(request).await.unwrap().into_inner();
        drop(stop);
        assert!(!matches!(stream.message().await, Ok(Some(_))));
        served.await.unwrap().unwrap();
    }
}
