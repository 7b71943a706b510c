//! Sends traces to a collector.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{Trace, otlp};
use crate::metrics::{Metrics, Outcome};
use crate::options::{Endpoint, TraceOptions};

/// Traces of one request.
const BATCH: usize = 64;
/// How long a trace waits for others to be sent with.
const GATHER: Duration = Duration::from_millis(500);
/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a request is tried, and how long the first pause between two tries is.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// As much is read of an answer that says what is wrong.
const LONGEST_ANSWER: usize = 4096;

pub(super) struct Exporter {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Endpoint,
    node: String,
    metrics: Metrics,
    /// The last request failed, and that has been said.
    is_failing: bool,
}

impl Exporter {
    pub(super) fn new(options: &TraceOptions, node: &str, metrics: Metrics) -> Result<Exporter, String> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        // Roots are read for those only who need them: a node may have none.
        let roots = match options.endpoint.is_https() {
            true => rustls_native_certs::load_native_certs().certs,
            false => Vec::new(),
        };
        let mut store = rustls::RootCertStore::empty();
        store.add_parsable_certificates(roots);
        if options.endpoint.is_https() && store.is_empty() {
            return Err("this node has no certificates of authorities: name a file with SSL_CERT_FILE".into());
        }
        let tls = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(store)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Ok(Exporter {
            client: Client::builder(TokioExecutor::new()).build(connector),
            endpoint: options.endpoint.clone(),
            node: node.to_owned(),
            metrics,
            is_failing: false,
        })
    }

    /// Sends until nobody tells any more.
    pub(super) async fn send_all(mut self, mut traces: mpsc::Receiver<Trace>) {
        let mut batch = Vec::new();
        while let Some(first) = traces.recv().await {
            batch.push(first);
            let until = tokio::time::Instant::now() + GATHER;
            while batch.len() < BATCH {
                match tokio::time::timeout_at(until, traces.recv()).await {
                    Ok(Some(trace)) => batch.push(trace),
                    Ok(None) | Err(_) => break,
                }
            }
            let body = Bytes::from(otlp::request(&self.node, &batch).to_string());
            let result = match self.send(body).await {
                Ok(()) => {
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!(endpoint = %self.endpoint, "traces are taken again");
                    }
                    "sent"
                }
                Err(why) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        tracing::warn!(endpoint = %self.endpoint, why, "traces are lost; enforcement goes on");
                    }
                    "failed"
                }
            };
            self.metrics.traces.get_or_create(&Outcome { result }).inc_by(batch.len() as u64);
            batch.clear();
        }
    }

    async fn send(&self, body: Bytes) -> Result<(), String> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let (why, may_retry) = match timeout(PATIENCE, self.post(body.clone())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(failure)) => failure,
                Err(_) => (format!("no answer within {} seconds", PATIENCE.as_secs()), true),
            };
            if !may_retry || attempt == TRIES {
                return Err(why);
            }
            sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    /// `Err`: why not, and whether it may be otherwise soon.
    async fn post(&self, body: Bytes) -> Result<(), (String, bool)> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.endpoint.uri())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("podgate/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|error| (error.to_string(), false))?;
        let answer = self.client.request(request).await.map_err(|error| (innermost(&error), true))?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again.
        let read = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
        if status.is_success() {
            return Ok(());
        }
        let said = read.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned());
        let may_retry = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        Err((format!("the collector answers {status}: {}", said.unwrap_or_default()), may_retry))
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
