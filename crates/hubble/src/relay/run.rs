//! A relay as a process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, UnixListener};

use super::{Peers, services};
use crate::client::Address;
use crate::{Listener, serve};

/// Who a server is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its certificate, PEM.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
    /// The authority of clients' certificates; without one, whoever comes is served.
    pub client_authority: Option<PathBuf>,
}

impl Identity {
    /// How to serve as it.
    pub(crate) fn config(&self) -> io::Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| named(path, &error))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(|error| named(path, &error))?)
            }
        };
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| named(&self.key, &error))?;
        let config = builder.with_single_cert(certificates(&self.certificate)?, key);
        config.map(Arc::new).map_err(|error| named(&self.certificate, &error))
    }
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).map_err(|error| named(path, &error))?;
    all.collect::<Result<_, _>>().map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// Serves a relay at an address until Ctrl-C; `ready` is called when clients can come.
pub fn run(
    peers: Peers,
    listen: &Address,
    identity: Option<&Identity>,
    ready: impl FnOnce(),
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
                Listener::Tls(TcpListener::bind((&**host, *port)).await?, identity.config()?)
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
