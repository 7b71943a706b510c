//! Where a server is, and how to speak to it.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use podgate_tls::certificates;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A socket of this machine.
    Unix(PathBuf),
    /// `host:port`.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whether the address itself asks for TLS.
        tls: bool,
    },
}

/// How to speak TLS to a server.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Whom to trust, and who we are.
    pub config: Arc<ClientConfig>,
    /// The name that its certificate has to have; without one, the host's.
    pub server_name: Option<String>,
}

impl Tls {
    /// Trusts the authorities of these PEM files, or the system's when there are none; shows a certificate when there
    /// is one.
    pub fn from_files(
        authorities: &[PathBuf],
        identity: Option<(&Path, &Path)>,
        server_name: Option<String>,
    ) -> Result<Tls, String> {
        let mut roots = RootCertStore::empty();
        for path in authorities {
            for certificate in certificates(path).map_err(|error| error.to_string())? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        if authorities.is_empty() {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let told = |error: &dyn std::fmt::Display| format!("{}: {error}", key.display());
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| told(&error))?;
                let chain = certificates(certificate).map_err(|error| error.to_string())?;
                builder.with_client_auth_cert(chain, private).map_err(|error| told(&error))?
            }
        };
        Ok(Tls { config: Arc::new(config), server_name })
    }
}

/// Why a server can't be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The name can't be that of a certificate.
    #[error("{0:?} can't be a name in a certificate: say which one the server's has")]
    Name(String),
    /// Nobody answers.
    #[error("{address}: {why}")]
    Silent {
        /// Where.
        address: Address,
        /// Why.
        why: String,
    },
}

/// Connects to a server.
pub async fn connect(
    address: &Address,
    tls: Option<&Tls>,
    patience: Duration,
) -> Result<Channel, Unreachable> {
    let secure = match (address, tls) {
        (Address::Tcp { host, .. }, Some(tls)) => {
            let name = tls.server_name.clone().unwrap_or_else(|| host.clone());
            let name_of = ServerName::try_from(name.clone()).map_err(|_| Unreachable::Name(name))?;
            let mut config = (*tls.config).clone();
            config.alpn_protocols = vec![b"h2".to_vec()];
            Some((TlsConnector::from(Arc::new(config)), name_of))
        }
        _ => None,
    };
    let to = address.clone();
    let connector = tower::service_fn(move |_: Uri| {
        let (to, secure) = (to.clone(), secure.clone());
        async move { open(to, secure).await.map(TokioIo::new) }
    });
    // The connector knows where; HTTP wants a name all the same.
    let endpoint = Endpoint::from_static("http://podgate.invalid")
        .connect_timeout(patience)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_while_idle(true);
    let connected = endpoint.connect_with_connector(connector).await;
    connected.map_err(|error| Unreachable::Silent { address: address.clone(), why: causes(&error) })
}

async fn open(
    to: Address,
    secure: Option<(TlsConnector, ServerName<'static>)>,
) -> std::io::Result<Box<dyn Stream>> {
    match to {
        Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Address::Tcp { host, port, .. } => {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(match secure {
                Some((connector, name)) => Box::new(connector.connect(name, stream).await?),
                None => Box::new(stream),
            })
        }
    }
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

/// An error with what caused it: the outermost says "transport error" alone.
fn causes(error: &dyn std::error::Error) -> String {
    let mut words = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        words.push(without_number(cause.to_string()));
        next = cause.source();
    }
    words.dedup();
    if words.is_empty() { error.to_string() } else { words.join(": ") }
}

/// Whether the connection failed, and not the server refused: over the wire, errors have no cause.
pub(crate) fn is_broken(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// Why there is no answer.
pub(crate) fn said(status: &Status) -> String {
    if is_broken(status) { "the connection broke".to_owned() } else { status.message().to_owned() }
}

/// What the system says of an error, without its number: `Connection refused`.
fn without_number(words: String) -> String {
    match words.rsplit_once(" (os error ") {
        Some((said, number)) if number.ends_with(')') => said.to_owned(),
        _ => words,
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.is_empty() {
                true => Err(format!("{text:?} names no socket: unix:///run/podgate/hubble.sock")),
                false => Ok(Address::Unix(path.into())),
            };
        }
        let (rest, tls) = match text.strip_prefix("tls://") {
            Some(rest) => (rest, true),
            None => {
                (text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://")).unwrap_or(text), false)
            }
        };
        let unreadable = || format!("{text:?} is no address: host:port, tls://host:port or unix:///path");
        let (host, port) = rest.rsplit_once(':').ok_or_else(unreadable)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if bare.is_empty() || bare.contains('/') || (bare == host && host.contains(':')) {
            return Err(unreadable());
        }
        Ok(Address::Tcp { host: bare.to_owned(), port: port.parse().map_err(|_| unreadable())?, tls })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_hubble_reads_them() {
        let tcp = |host: &str, port, tls| Ok(Address::Tcp { host: host.into(), port, tls });
        for (text, address) in [
            ("localhost:4245", tcp("localhost", 4245, false)),
            ("tls://relay.example:443", tcp("relay.example", 443, true)),
            ("[::1]:4244", tcp("::1", 4244, false)),
            ("unix:///run/a.sock", Ok(Address::Unix("/run/a.sock".into()))),
            ("unix:a.sock", Ok(Address::Unix("a.sock".into()))),
        ] {
            assert_eq!(text.parse(), address, "{text}");
        }
        for text in ["localhost", ":1", "::1:4244", "a:b", "unix://", "a/b:1"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        let shown =
            ["[::1]:4244", "a:1", "unix:///x"].map(|text| text.parse::<Address>().unwrap().to_string());
        assert_eq!(shown, ["[::1]:4244", "a:1", "unix:///x"]);
    }

    #[test]
    fn errors_of_the_system_are_told_without_their_numbers() {
        let refused = std::io::Error::from_raw_os_error(111);
        assert!(refused.to_string().contains("111"), "{refused}");
        let told = without_number(refused.to_string());
        assert_eq!(told, "Connection refused");
        assert_eq!(without_number(told.clone()), told);
    }
}
