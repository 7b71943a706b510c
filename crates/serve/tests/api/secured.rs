//! The page over TLS, asked by a TLS client.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use podgate_serve::{Access, Clients, Identity, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{Answer, Served};

const TOKEN: &str = "0123456789abcdef0123";

/// An authority that signs for a server whose files are in a directory.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, name: &str, directory: &Path) -> Tls {
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let [certificate, file] = ["tls.crt", "tls.key"].map(|name| directory.join(name));
        std::fs::write(&certificate, signed.pem()).unwrap();
        std::fs::write(&file, key.serialize_pem()).unwrap();
        let identity = Identity { certificate, key: file, clients: Clients::Anybody };
        Tls { identity, tell: |_| () }
    }

    /// Asks a server that has to show a certificate for this name.
    fn ask(&self, served: &Served, name: &'static str, path: &str, headers: &str) -> Option<Answer> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connection =
            ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, TcpStream::connect(served.address).unwrap());
        let request = format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        Some(Answer::read(stream))
    }
}

#[test]
fn the_page_is_served_over_tls_under_the_name_of_its_certificate() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let tls = Some(authority.sign("page.test", dir.path()));
    let served = Served::with(Access { tls, ..Access::default() }, false);
    // The certificate says who the server is: a name of loopback is not needed.
    let page = authority.ask(&served, "page.test", "/", "").unwrap();
    assert!(page.status == 200 && page.text.contains("<title>"), "{}", page.text);
    assert!(authority.ask(&served, "other.test", "/", "").is_none(), "a name that it has no certificate for");
    assert!(Authority::new().ask(&served, "page.test", "/", "").is_none(), "a stranger's authority");
    let plain = served.ask("GET", "/", &[], "");
    assert!(!plain.text.contains("<title>"), "without TLS: {}", plain.text);
    // Renewed on disk, the new one is shown.
    authority.sign("renewed.test", dir.path());
    assert_eq!(authority.ask(&served, "renewed.test", "/api/v1/status", "").unwrap().status, 200);
    served.stop();
}

#[test]
fn the_token_is_asked_for_over_tls_and_kept_where_only_tls_carries_it() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().unwrap());
    let tls = Some(authority.sign("page.test", dir.path()));
    let token = Some(TOKEN.to_owned());
    let served = Served::with(Access { token, tls, ..Access::default() }, false);
    let ask = |path: &str, headers: &str| authority.ask(&served, "page.test", path, headers).unwrap();
    assert_eq!(ask("/api/v1/status", "").status, 401);
    let welcome = ask(&format!("/?token={TOKEN}"), "");
    let cookie = welcome.header("set-cookie").expect("a cookie").to_owned();
    assert!(welcome.status == 303 && cookie.contains("; secure"), "{cookie}");
    assert_eq!(ask("/api/v1/status", &format!("Cookie: podgate_token={TOKEN}\r\n")).status, 200);
}
