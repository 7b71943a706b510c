//! Health, metrics and status over HTTP.
//!
//! On the agent's socket, which is root's, and over authenticated TLS everything is served; in plain HTTP only
//! what holds no names of pods. Metrics name namespaces and policies.

pub(crate) mod tls;

use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

use crate::agent::Message;

/// A loop that hasn't turned for this long hangs.
const STUCK: Duration = Duration::from_secs(10);

/// What the loop shows without being asked: health checks must not wait for it.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) turned: Instant,
    /// Why the node isn't ready; empty: it is.
    pub(crate) unready: String,
}

#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) loop_: SyncSender<Message>,
    pub(crate) health: Arc<Mutex<Health>>,
    pub(crate) registry: Arc<Registry>,
}

/// What anybody on the node's network may see.
pub(crate) fn public(served: Served) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(served)
}

/// Everything.
pub(crate) fn private(served: Served) -> Router {
    public(served.clone()).merge(Router::new().route("/v1/status", get(status)).with_state(served))
}

/// Serves in plain HTTP until the process ends.
pub(crate) async fn serve_public(address: SocketAddr, served: Served) -> std::io::Result<()> {
    axum::serve(tokio::net::TcpListener::bind(address).await?, public(served)).await
}

async fn healthz(State(served): State<Served>) -> Response {
    let turned = served.health.lock().unwrap_or_else(PoisonError::into_inner).turned;
    match turned.elapsed() {
        still if still > STUCK => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!(
                "the agent's loop has not turned for {} s; a restart keeps enforcement\n",
                still.as_secs()
            ),
        )
            .into_response(),
        _ => "ok\n".into_response(),
    }
}

async fn readyz(State(served): State<Served>) -> Response {
    let unready = served.health.lock().unwrap_or_else(PoisonError::into_inner).unready.clone();
    match unready.is_empty() {
        true => "ok\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, format!("{unready}\n")).into_response(),
    }
}

async fn metrics(State(served): State<Served>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &served.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status(State(served): State<Served>) -> Response {
    let (reply, replied) = oneshot::channel();
    let asked = served.loop_.send(Message::Status(reply));
    match (asked, tokio::time::timeout(STUCK, replied).await) {
        (Ok(()), Ok(Ok(status))) => Json(*status).into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the agent does not answer\n").into_response(),
    }
}
