//! One request at a time, and what its answer means for those who wait.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Method, Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// A request that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// It may be taken another time.
    pub is_passing: bool,
    /// When the other side wants to be asked again.
    pub retry_after: Option<Duration>,
    /// Who said what.
    pub what: String,
}

impl Failure {
    /// The other side's answer can't be understood, now or later.
    pub(crate) fn lasting(what: impl fmt::Display) -> Failure {
        Failure { is_passing: false, retry_after: None, what: what.to_string() }
    }
}

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Answers are as large as a page of records at most.
const LARGEST_ANSWER: u64 = 1 << 30;

#[derive(Clone)]
pub(crate) struct Client(Agent);

/// Headers of a request.
pub(crate) type Headers<'a> = [(&'a str, &'a str)];

impl Client {
    /// A client that trusts the system's certificates; `SSL_CERT_FILE` names others.
    pub fn new() -> Client {
        let roots = rustls_native_certs::load_native_certs().certs;
        let roots: Vec<_> = roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .timeout_connect(Some(Duration::from_secs(10)))
            .tls_config(tls)
            .user_agent(concat!("podgate/", env!("CARGO_PKG_VERSION")))
            .build();
        Client(config.into())
    }

    /// Sends a body and returns the answer's, when the answer is a good one.
    pub fn send(
        &self,
        method: Method,
        url: &str,
        headers: &Headers<'_>,
        body: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let mut answer = self.ask(method, url, headers, body)?;
        let status = answer.status();
        let text = read(&mut answer).map_err(|error| passing(url, error))?;
        if status.is_success() {
            return Ok(text);
        }
        let seconds = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let said = String::from_utf8_lossy(&text);
        let said: String = said.trim().chars().filter(|c| !c.is_control()).take(300).collect();
        Err(Failure {
            // What RFC 9110 and the OTLP specification call worth another try.
            is_passing: matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504),
            retry_after: seconds.map(Duration::from_secs),
            what: match said.is_empty() {
                true => format!("{} answers {status}", without_query(url)),
                false => format!("{} answers {status}: {said}", without_query(url)),
            },
        })
    }

    /// The length that an object has there; `None`: there is none.
    pub fn length(&self, url: &str, headers: &Headers<'_>) -> Result<Option<u64>, Failure> {
        let answer = self.ask(Method::HEAD, url, headers, b"")?;
        match answer.status().as_u16() {
            200 => {
                Ok(answer.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok()))
            }
            404 => Ok(None),
            status => Err(Failure {
                is_passing: status >= 500 || status == 429,
                retry_after: None,
                what: format!("{} answers {}", without_query(url), answer.status()),
            }),
        }
    }

    fn ask(
        &self,
        method: Method,
        url: &str,
        headers: &Headers<'_>,
        body: &[u8],
    ) -> Result<Response<Body>, Failure> {
        let mut request = Request::builder().method(&method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let wrong = |error| Failure::lasting(format!("{} can't be asked: {error}", without_query(url)));
        let answer = match method == Method::HEAD {
            true => self.0.run(request.body(()).map_err(wrong)?),
            false => self.0.run(request.body(body).map_err(wrong)?),
        };
        answer.map_err(|error| passing(url, error))
    }
}

fn read(answer: &mut Response<Body>) -> Result<Vec<u8>, ureq::Error> {
    answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec()
}

fn passing(url: &str, error: ureq::Error) -> Failure {
    let is_passing = !matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_));
    Failure { is_passing, retry_after: None, what: format!("{} can't be asked: {error}", without_query(url)) }
}

/// Queries are long, and may name what logs should not.
fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(url, _)| url)
}

/// A text in a URL: what is neither plain nor kept is written by its bytes.
pub(crate) fn encoded(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ if keep.contains(&byte) => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
