use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use podgate_tls::certificates;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
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
        papers
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn sign(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        self.write(&format!("{name}.pem"), &params.signed_by(&key, &self.issuer).unwrap().pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// Serves, and asks for `/`: the status line's code and the text.
    async fn ask(&self, with_certificate: bool, header: &str) -> (u16, String) {
        self.sign("server");
        self.sign("client");
        let kubeconfig = "{apiVersion: v1, kind: Config, current-context: x, clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}], users: [{name: x, user: {}}], contexts: [{name: x, context: {cluster: x, user: x}}]}";
        self.write("kubeconfig", kubeconfig);
        let kube = podgate_kube::Options { kubeconfig: Some(self.path("kubeconfig")), context: None };
        let client = Client::connect(&kube).await.unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let options = ApiOptions {
            address: free,
            certificate: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: Some(self.path("ca.pem")),
        };
        let api = Router::new().route("/", get(async || "secret"));
        tokio::spawn(serve(options, api, client));
        let mut roots = RootCertStore::empty();
        roots.add(certificates(&self.path("ca.pem")).unwrap().remove(0)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match with_certificate {
            false => config.with_no_client_auth(),
            true => {
                let key = PrivateKeyDer::from_pem_file(self.path("client.key")).unwrap();
                let chain = certificates(&self.path("client.pem")).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        let tcp = loop {
            match TcpStream::connect(free).await {
                Ok(tcp) => break tcp,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n");
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        // The server may close without a farewell.
        tls.read_to_string(&mut answer).await.ok();
        let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (code, answer)
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn a_client_certificate_of_the_authority_is_enough() {
    let (code, text) = run(Papers::new().ask(true, ""));
    assert_eq!(code, 200);
    assert!(text.ends_with("secret"), "{text}");
}

#[test]
fn who_shows_nothing_is_told_what_to_show() {
    let (code, text) = run(Papers::new().ask(false, ""));
    assert_eq!(code, 401);
    assert!(text.contains("bearer token") && !text.contains("secret"), "{text}");
}

#[test]
fn a_token_that_nobody_can_vouch_for_opens_nothing() {
    let (code, text) = run(Papers::new().ask(false, "Authorization: Bearer x\r\n"));
    assert_eq!(code, 503);
    assert!(!text.contains("secret"), "{text}");
}
