//! Certificates and keys in files, read again when they were renewed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Who a server is, and which clients it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its certificate and those that lead to its authority, PEM.
    pub certificate: PathBuf,
    /// The certificate's key, PEM.
    pub key: PathBuf,
    /// Who may connect.
    pub clients: Clients,
}

/// Which certificates clients show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clients {
    /// None.
    Anybody,
    /// One of this authority (PEM), or none.
    MayShow(PathBuf),
    /// One of this authority (PEM); others are sent away.
    MustShow(PathBuf),
}

impl Clients {
    /// The authority's file.
    fn authority(&self) -> Option<&Path> {
        match self {
            Clients::Anybody => None,
            Clients::MayShow(path) | Clients::MustShow(path) => Some(path),
        }
    }
}

/// A file that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl Error {
    fn new(path: &Path, why: impl ToString) -> Error {
        Error { path: path.to_owned(), why: why.to_string() }
    }
}

/// The configuration of a server, kept up to date with its files.
#[derive(Debug)]
pub struct Certificates {
    identity: Identity,
    protocols: &'static [&'static str],
    config: Arc<ServerConfig>,
    /// The files as they were when they were read last, whether or not they could be used.
    read: Vec<Stamp>,
    trouble: Option<Error>,
}

impl Certificates {
    /// Reads the files. `protocols`: what is spoken inside, as ALPN names it; none where clients needn't ask.
    ///
    /// # Errors
    /// When one of them can't be used.
    pub fn new(identity: Identity, protocols: &'static [&'static str]) -> Result<Certificates, Error> {
        let read = stamps(&identity)?;
        let config = Arc::new(config(&identity, protocols)?);
        Ok(Certificates { identity, protocols, config, read, trouble: None })
    }

    /// The configuration that the files make today. Files that can't be used leave the one before in force: whoever
    /// renews them may be between two of them. The error is told once.
    pub fn current(&mut self) -> (Arc<ServerConfig>, Option<Error>) {
        let trouble = match stamps(&self.identity) {
            Ok(now) if now == self.read => return (self.config.clone(), None),
            Ok(now) => {
                self.read = now;
                match config(&self.identity, self.protocols) {
                    Ok(config) => {
                        self.config = Arc::new(config);
                        None
                    }
                    Err(error) => Some(error),
                }
            }
            Err(error) => {
                self.read.clear();
                Some(error)
            }
        };
        let is_new = trouble != self.trouble;
        self.trouble.clone_from(&trouble);
        (self.config.clone(), trouble.filter(|_| is_new))
    }
}

/// What tells a file from the one that was there before: when it was written, its number and its length.
type Stamp = (i64, i64, u64, u64);

fn stamps(identity: &Identity) -> Result<Vec<Stamp>, Error> {
    let paths = [Some(&*identity.certificate), Some(&identity.key), identity.clients.authority()];
    let stamp = |path: &Path| {
        let meta = std::fs::metadata(path).map_err(|error| Error::new(path, error))?;
        Ok((meta.mtime(), meta.mtime_nsec(), meta.ino(), meta.len()))
    };
    paths.into_iter().flatten().map(stamp).collect()
}

fn config(identity: &Identity, protocols: &[&str]) -> Result<ServerConfig, Error> {
    let chain = certificates(&identity.certificate)?;
    let key = key(&identity.key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider knows ciphers of TLS 1.2 and 1.3");
    let builder = match identity.clients.authority() {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| Error::new(path, error))?;
            }
            let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let clients = match identity.clients {
                Clients::MayShow(_) => clients.allow_unauthenticated(),
                Clients::Anybody | Clients::MustShow(_) => clients,
            };
            builder.with_client_cert_verifier(clients.build().map_err(|error| Error::new(path, error))?)
        }
    };
    let made = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let whose = identity.certificate.display();
            Error::new(&identity.key, format!("it is not the key of the certificate in {whose}"))
        }
        error => Error::new(&identity.certificate, error),
    });
    let mut config = made?;
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(config)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::new(path, error))?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            Error::new(path, "no private key in it that can be read without a pass phrase")
        }
        error => Error::new(path, error),
    })
}

/// The certificates of a file, PEM.
///
/// # Errors
/// When there is none, or one that can't be read.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::new(path, error))?;
    let read: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::new(path, error))?;
    match read.is_empty() {
        true => Err(Error::new(path, "no certificate in it")),
        false => Ok(read),
    }
}
