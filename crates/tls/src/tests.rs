use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;

/// An authority, and what it has signed.
struct Papers {
    directory: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Papers {
    fn new() -> Papers {
        let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let papers = Papers { directory: tempfile::tempdir().unwrap(), issuer };
        papers.write("ca.pem", &papers.issuer.pem());
        papers.sign("server", "localhost");
        papers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file as those who renew certificates do: beside the old one, and then in its place.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn sign(&self, file: &str, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        self.write(&format!("{file}.pem"), &params.signed_by(&key, &self.issuer).unwrap().pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    fn identity(&self, clients: Clients) -> Identity {
        Identity { certificate: self.path("server.pem"), key: self.path("server.key"), clients }
    }

    /// A client's configuration, with a certificate to show or without.
    fn client(&self, certificate: Option<&str>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(certificates(&self.path("ca.pem")).unwrap().remove(0)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        match certificate {
            None => config.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
                let chain = certificates(&self.path(&format!("{name}.pem"))).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }

    /// Connects to the server's name, says a word and reads it back.
    async fn echo(
        &self,
        address: std::net::SocketAddr,
        name: &'static str,
        certificate: Option<&str>,
    ) -> std::io::Result<String> {
        let tcp = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(self.client(certificate)));
        let mut tls = connector.connect(ServerName::try_from(name).unwrap(), tcp).await?;
        tls.write_all(b"word").await?;
        let mut heard = [0; 4];
        tls.read_exact(&mut heard).await?;
        Ok(String::from_utf8_lossy(&heard).into_owned())
    }
}

/// A server that says back what it hears, and what it was told.
struct Echo {
    address: std::net::SocketAddr,
    told: Arc<Mutex<Vec<String>>>,
    peers: Arc<Mutex<Vec<Peer>>>,
}

impl Echo {
    async fn new(certificates: Certificates) -> Echo {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let peers: Arc<Mutex<Vec<Peer>>> = Arc::default();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tell = told.clone();
        let tell = move |text: &str| tell.lock().unwrap().push(text.to_owned());
        let mut listener = Listener::new(socket, certificates, tell).unwrap();
        let echo = Echo { address: listener.address(), told, peers: peers.clone() };
        tokio::spawn(async move {
            while let Some((mut stream, peer)) = listener.next().await {
                peers.lock().unwrap().push(peer);
                tokio::spawn(async move {
                    let mut heard = [0; 4];
                    if stream.read_exact(&mut heard).await.is_ok() {
                        drop(stream.write_all(&heard).await);
                    }
                });
            }
        });
        echo
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn who_has_to_show_a_certificate_and_does_not_is_sent_away() {
    run(async {
        let papers = Papers::new();
        papers.sign("client", "somebody");
        for (clients, shows, comes_in) in [
            (Clients::Anybody, None, Some(false)),
            (Clients::MayShow(papers.path("ca.pem")), None, Some(false)),
            (Clients::MayShow(papers.path("ca.pem")), Some("client"), Some(true)),
            (Clients::MustShow(papers.path("ca.pem")), None, None),
            (Clients::MustShow(papers.path("ca.pem")), Some("client"), Some(true)),
        ] {
            let certificates = Certificates::new(papers.identity(clients.clone()), &[]).unwrap();
            let server = Echo::new(certificates).await;
            let heard = papers.echo(server.address, "localhost", shows).await;
            assert_eq!(heard.is_ok(), comes_in.is_some(), "{clients:?} {shows:?}: {heard:?}");
            let certified = server.peers.lock().unwrap().first().map(|peer| peer.is_certified);
            assert_eq!(certified, comes_in, "{clients:?} {shows:?}");
        }
    });
}

#[test]
fn a_certificate_of_another_authority_opens_nothing() {
    run(async {
        let (papers, others) = (Papers::new(), Papers::new());
        others.sign("client", "somebody");
        for file in ["client.pem", "client.key"] {
            papers.write(file, &fs::read_to_string(others.path(file)).unwrap());
        }
        let clients = Clients::MayShow(papers.path("ca.pem"));
        let server = Echo::new(Certificates::new(papers.identity(clients), &[]).unwrap()).await;
        assert!(papers.echo(server.address, "localhost", Some("client")).await.is_err());
        assert!(server.peers.lock().unwrap().is_empty());
    });
}

#[test]
fn a_client_that_says_nothing_keeps_nobody_out() {
    run(async {
        let papers = Papers::new();
        let server = Echo::new(Certificates::new(papers.identity(Clients::Anybody), &[]).unwrap()).await;
        let _silent = TcpStream::connect(server.address).await.unwrap();
        assert_eq!(papers.echo(server.address, "localhost", None).await.unwrap(), "word");
    });
}

#[test]
fn a_renewed_certificate_is_shown_to_the_next_client() {
    run(async {
        let papers = Papers::new();
        let server = Echo::new(Certificates::new(papers.identity(Clients::Anybody), &[]).unwrap()).await;
        assert!(papers.echo(server.address, "renewed.test", None).await.is_err(), "not its name yet");
        papers.sign("server", "renewed.test");
        assert_eq!(papers.echo(server.address, "renewed.test", None).await.unwrap(), "word");
        assert_eq!(*server.told.lock().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn between_two_files_the_certificate_from_before_stays_and_is_told_of_once() {
    run(async {
        let papers = Papers::new();
        let server = Echo::new(Certificates::new(papers.identity(Clients::Anybody), &[]).unwrap()).await;
        papers.write("server.key", &KeyPair::generate().unwrap().serialize_pem());
        for _ in 0..3 {
            assert_eq!(papers.echo(server.address, "localhost", None).await.unwrap(), "word");
        }
        fs::remove_file(papers.path("server.key")).unwrap();
        for _ in 0..3 {
            assert_eq!(papers.echo(server.address, "localhost", None).await.unwrap(), "word");
        }
        let told = server.told.lock().unwrap().clone();
        assert!(
            told.len() == 2 && told[0].contains("not the key") && told[1].contains("server.key"),
            "{told:?}"
        );
        papers.sign("server", "renewed.test");
        assert_eq!(papers.echo(server.address, "renewed.test", None).await.unwrap(), "word");
        assert_eq!(server.told.lock().unwrap().len(), 2);
    });
}

#[test]
fn files_that_cant_be_used_are_named() {
    let papers = Papers::new();
    papers.sign("other", "localhost");
    papers.write("empty.pem", "");
    papers.write("nonsense.pem", "-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----\n");
    for (certificate, key, authority, named, why) in [
        ("none.pem", "server.key", "ca.pem", "none.pem", "No such file"),
        ("empty.pem", "server.key", "ca.pem", "empty.pem", "no certificate"),
        ("nonsense.pem", "server.key", "ca.pem", "nonsense.pem", ""),
        ("server.pem", "empty.pem", "ca.pem", "empty.pem", "no private key"),
        ("server.pem", "other.key", "ca.pem", "other.key", "not the key of the certificate"),
        ("server.pem", "server.key", "empty.pem", "empty.pem", "no certificate"),
    ] {
        let clients = Clients::MustShow(papers.path(authority));
        let identity = Identity { certificate: papers.path(certificate), key: papers.path(key), clients };
        let error = Certificates::new(identity, &[]).unwrap_err();
        assert!(error.path.ends_with(named) && error.to_string().contains(why), "{error}");
    }
}
