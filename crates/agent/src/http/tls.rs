//! The whole API for those who are far away: TLS, and everyone says who they are.
//!
//! A client certificate of the given authority is enough; a bearer token is, when the API server knows its
//! bearer and lets them GET the path (a `nonResourceURLs` rule). Everybody else gets 401 or 403.

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use podgate_kube::Client;
use podgate_tls::{Certificates, Clients, Identity, Listener, Peer};
use tokio::net::TcpListener;

use crate::options::ApiOptions;

/// Serves until the process ends.
///
/// # Errors
/// When the files can't be read, or the address is taken.
pub(crate) async fn serve(options: ApiOptions, api: Router, client: Client) -> Result<(), String> {
    let ApiOptions { address, certificate, key, client_ca } = options;
    let clients = client_ca.map_or(Clients::Anybody, Clients::MayShow);
    let identity = Identity { certificate, key, clients };
    let certificates = Certificates::new(identity, &["http/1.1"]).map_err(|error| error.to_string())?;
    let socket = TcpListener::bind(address).await.map_err(|error| error.to_string())?;
    let tell = |trouble: &str| tracing::error!(trouble, "the API over TLS");
    let listener = Listener::new(socket, certificates, tell).map_err(|error| error.to_string())?;
    let app = api.layer(from_fn_with_state(client, admit));
    axum::serve(listener, app.into_make_service_with_connect_info::<Peer>())
        .await
        .map_err(|error| error.to_string())
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

#[cfg(test)]
mod tests;
