//! The whole API for those who are far away: TLS, and everyone says who they are.
//!
//! A client certificate of the given authority is enough; a bearer token is, when the API server knows its
//! bearer and lets them GET the path (a `nonResourceURLs` rule). Everybody else gets 401 or 403.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, Listener};
use podgate_kube::Client;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::options::ApiOptions;

/// A client that hasn't shaken hands by then is sent away.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections whose handshake is done and that wait to be served.
const BACKLOG: usize = 64;

/// Serves until the process ends.
///
/// # Errors
/// When the files can't be read, or the address is taken.
pub(crate) async fn serve(options: ApiOptions, api: Router, client: Client) -> Result<(), String> {
    let mut files = Files::new(options.clone());
    files.config()?;
    let listener = TcpListener::bind(options.address).await.map_err(|error| error.to_string())?;
    let (done, shaken) = mpsc::channel(BACKLOG);
    tokio::spawn(shake_hands(listener, files, done));
    let app = api.layer(from_fn_with_state(client, admit));
    let listener = Shaken { shaken, address: options.address };
    axum::serve(listener, app.into_make_service_with_connect_info::<Peer>())
        .await
        .map_err(|error| error.to_string())
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
struct Peer {
    address: SocketAddr,
    /// It has shown a certificate of the authority.
    is_certified: bool,
}

impl Connected<IncomingStream<'_, Shaken>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Shaken>) -> Self {
        *stream.remote_addr()
    }
}

async fn admit(
    State(client): State<Client>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    if peer.is_certified {
        return next.run(request).await;
    }
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(token) = header.and_then(|value| value.strip_prefix("Bearer ")) else {
        let text = "show a client certificate, or a bearer token of the cluster\n";
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], text).into_response();
    };
    let path = request.uri().path().to_owned();
    match client.may_get(token, &path).await {
        Ok(true) => next.run(request).await,
        Ok(false) => {
            tracing::info!(%peer.address, path, "a request was refused");
            let text = format!(
                "the token's bearer may not GET {path}: a ClusterRole with nonResourceURLs allows it\n"
            );
            (StatusCode::FORBIDDEN, text).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// Connections that have been made.
struct Shaken {
    shaken: mpsc::Receiver<(TlsStream<TcpStream>, Peer)>,
    address: SocketAddr,
}

impl Listener for Shaken {
    type Io = TlsStream<TcpStream>;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.shaken.recv().await {
            Some(connection) => connection,
            // The acceptor ends with the runtime only.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(Peer { address: self.address, is_certified: false })
    }
}

/// Accepts connections; one that is slow to shake hands holds nobody up.
async fn shake_hands(
    listener: TcpListener,
    mut files: Files,
    done: mpsc::Sender<(TlsStream<TcpStream>, Peer)>,
) {
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the API");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let config = match files.config() {
            Ok(config) => config,
            Err(why) => {
                tracing::error!(why, "the API's certificate can't be used");
                continue;
            }
        };
        let done = done.clone();
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
                Ok(Ok(stream)) => {
                    let is_certified = stream.get_ref().1.peer_certificates().is_some();
                    drop(done.send((stream, Peer { address, is_certified })).await);
                }
                Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS"),
                Err(_) => tracing::debug!(%address, "too slow"),
            }
        });
    }
}

/// Certificate and keys, read again when they were renewed.
struct Files {
    options: ApiOptions,
    read: Option<(Vec<SystemTime>, Arc<ServerConfig>)>,
}

impl Files {
    fn new(options: ApiOptions) -> Files {
        Files { options, read: None }
    }

    fn config(&mut self) -> Result<Arc<ServerConfig>, String> {
        let paths =
            [Some(&self.options.certificate), Some(&self.options.key), self.options.client_ca.as_ref()];
        let changed = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified());
        let times: Result<Vec<SystemTime>, String> = paths
            .into_iter()
            .flatten()
            .map(|path| changed(path).map_err(|error| format!("{}: {error}", path.display())))
            .collect();
        let times = times?;
        if let Some((read, config)) = &self.read
            && *read == times
        {
            return Ok(config.clone());
        }
        let config = Arc::new(load(&self.options)?);
        self.read = Some((times, config.clone()));
        Ok(config)
    }
}

/// For servers that know nobody but by their certificate.
pub(crate) fn mutual(options: &ApiOptions) -> Result<ServerConfig, String> {
    if options.client_ca.is_none() {
        return Err("clients can only say who they are by certificates: give their authority".to_owned());
    }
    build(options, true)
}

fn load(options: &ApiOptions) -> Result<ServerConfig, String> {
    build(options, false)
}

fn build(options: &ApiOptions, is_mutual: bool) -> Result<ServerConfig, String> {
    let chain = certificates(&options.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&options.key)
        .map_err(|error| format!("{}: {error}", options.key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match &options.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
            let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let clients = if is_mutual { clients } else { clients.allow_unauthenticated() };
            let verifier = clients.build().map_err(|error| format!("{}: {error}", path.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder
        .with_single_cert(chain, key)
        .map_err(|error| format!("{}: {error}", options.certificate.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error| format!("{}: {error}", path.display());
    let read: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if read.is_empty() {
        return Err(format!("{}: no certificate in it", path.display()));
    }
    Ok(read)
}

#[cfg(test)]
mod tests;
