//! The server: routes, limits, and the threads that answers are made on.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use podgate_tls::Certificates;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::access::{Access, admit};
use crate::ask::Ask;
use crate::assets;
use crate::compression;
use crate::events;
use crate::fault::Fault;
use crate::routes::{Answer, Form, PREFIX, ROUTES, Route, Takes};
use crate::source::Source;
use crate::state::Server;

/// The largest body of a request.
const MOST_BODY: usize = 1 << 20;
/// A request that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is spoken over TLS.
const PROTOCOLS: &[&str] = &["http/1.1"];
/// Answers that are made at one time; the others wait.
const AT_ONCE: usize = 8;

#[derive(Clone)]
struct App {
    server: Arc<Server>,
    at_once: Arc<Semaphore>,
}

/// Serves the page and its API on a listener until `shutdown`.
async fn serve(
    listener: TcpListener,
    certificates: Option<Certificates>,
    source: Source,
    access: Access,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let server = Arc::new(Server::new(source));
    let followers = events::follow(&server);
    let app = App { server: server.clone(), at_once: Arc::new(Semaphore::new(AT_ONCE)) };
    let over = server.over.clone();
    let shutdown = async move {
        shutdown.await;
        // Streams of events end, or nobody would leave.
        over.send_replace(true);
    };
    let tell = access.tls.as_ref().map(|tls| tls.tell);
    let router = router(app, access);
    let served = match certificates.zip(tell) {
        None => axum::serve(listener, router).with_graceful_shutdown(shutdown).await,
        Some((certificates, tell)) => {
            let listener = podgate_tls::Listener::new(listener, certificates, tell)?;
            axum::serve(listener, router).with_graceful_shutdown(shutdown).await
        }
    };
    server.over.send_replace(true);
    for follower in followers {
        drop(follower.await);
    }
    served
}

/// A server on a thread of its own.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// Serves from a thread of its own, for those who have no asynchronous runtime.
///
/// # Errors
/// When others reach the address and nothing is asked of them, when a certificate can't be used, and when there is no
/// thread.
pub fn start(listener: std::net::TcpListener, source: Source, access: Access) -> io::Result<Serving> {
    let address = listener.local_addr()?;
    access.allows(address).map_err(io::Error::other)?;
    let tls = access.tls.as_ref();
    let certificates = tls.map(|tls| Certificates::new(tls.identity.clone(), PROTOCOLS)).transpose();
    let certificates = certificates.map_err(io::Error::other)?;
    listener.set_nonblocking(true)?;
    let stop = watch::Sender::new(false);
    let mut stopped = stop.subscribe();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("page".to_owned()).spawn(move || {
        let served = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            let shutdown = async move { drop(stopped.wait_for(|over| *over).await) };
            serve(listener, certificates, source, access, shutdown).await
        });
        // An answer that is being made has nobody to go to.
        runtime.shutdown_timeout(Duration::from_secs(1));
        served
    })?;
    Ok(Serving { address, stop, thread: Some(thread) })
}

impl Serving {
    /// Ends the server.
    ///
    /// # Errors
    /// What made it fail before, if anything did.
    pub fn stop(mut self) -> io::Result<()> {
        self.stop.send_replace(true);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(served)) => served,
            Some(Err(_)) => Err(io::Error::other("the page's server came to a bad end")),
            None => Ok(()),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

fn router(app: App, access: Access) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        router = router.route(&format!("{PREFIX}{}", route.path), method(route));
    }
    router
        .fallback(other)
        .method_not_allowed_fallback(async || {
            Fault::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "everything is read: GET it; only /what-if and /complete take a POST",
            )
        })
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(from_fn_with_state(access, admit))
        // For whoever looks whether the server lives, and knows no token.
        .route("/healthz", get(async || "ok\n"))
        .layer(from_fn(headers))
        .with_state(app)
}

fn method(route: &'static Route) -> MethodRouter<App> {
    let has_segment = route.parameters.iter().any(|parameter| parameter.form == Form::Segment);
    match route.takes {
        Takes::Get if has_segment => get(
            async move |State(app): State<App>,
                        Path(id): Path<String>,
                        RawQuery(query): RawQuery,
                        headers: HeaderMap| {
                respond(app, route, query, id, headers, Vec::new()).await
            },
        ),
        Takes::Get => {
            get(async move |State(app): State<App>, RawQuery(query): RawQuery, headers: HeaderMap| {
                respond(app, route, query, String::new(), headers, Vec::new()).await
            })
        }
        Takes::Post(_) => post(
            async move |State(app): State<App>,
                        RawQuery(query): RawQuery,
                        headers: HeaderMap,
                        body: Result<Bytes, axum::extract::rejection::BytesRejection>| {
                let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
                if !kind.is_some_and(|kind| kind.starts_with("application/json")) {
                    return Fault::new(
                        StatusCode::UNSUPPORTED_MEDIA_TYPE,
                        "send JSON with `Content-Type: application/json`",
                    )
                    .into_response();
                }
                match body {
                    Ok(body) => respond(app, route, query, String::new(), headers, body.to_vec()).await,
                    Err(rejection) => Fault::new(rejection.status(), rejection.body_text()).into_response(),
                }
            },
        ),
    }
}

async fn respond(
    app: App,
    route: &'static Route,
    query: Option<String>,
    id: String,
    headers: HeaderMap,
    body: Vec<u8>,
) -> Response {
    let query = query.unwrap_or_default();
    match route.answer {
        Answer::Events(_, stream) => {
            let ask = blocking(move || Ask::new(app.server, route, &query, id, body)).await;
            match ask.and_then(stream) {
                Ok(stream) => stream,
                Err(fault) => fault.into_response(),
            }
        }
        Answer::Json(_, make) => {
            // The semaphore is never closed.
            let Ok(permit) = app.at_once.clone().acquire_owned().await else {
                return Fault::new(StatusCode::SERVICE_UNAVAILABLE, "the server ends").into_response();
            };
            let work = blocking(move || {
                let _permit = permit;
                Ok(json(&headers, make(&Ask::new(app.server, route, &query, id, body)?)?))
            });
            match tokio::time::timeout(PATIENCE, work).await {
                Ok(Ok(response)) => response,
                Ok(Err(fault)) => fault.into_response(),
                Err(_) => {
                    let error = format!(
                        "no answer within {} s: ask for a namespace or a shorter time",
                        PATIENCE.as_secs()
                    );
                    Fault::new(StatusCode::SERVICE_UNAVAILABLE, error).into_response()
                }
            }
        }
    }
}

/// Works something out on a thread that may take its time. A panic is a fault of this answer only.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(Fault::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "this answer came to a bad end, which is a fault of podgate: its standard error says where",
        )),
    }
}

/// An answer, compressed where the client takes that. Takes its time with large ones.
fn json(headers: &HeaderMap, bytes: Vec<u8>) -> Response {
    let is_packed = compression::is_accepted(headers) && compression::is_worth_it(&bytes);
    // Other bytes go over the wire: another tag.
    let etag = assets::etag(&bytes, if is_packed { "-gzip" } else { "" });
    let mut response = match (assets::is_known(headers, &etag), is_packed) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, true) => Response::new(Body::from(compression::gzip(&bytes))),
        (false, false) => Response::new(Body::from(bytes)),
    };
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    set.insert(header::ETAG, HeaderValue::from_str(&etag).expect("hexadecimal digits"));
    set.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if is_packed {
        set.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// The page's files, and nothing else.
async fn other(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return Fault::new(StatusCode::METHOD_NOT_ALLOWED, "everything is read: GET it").into_response();
    }
    match assets::file(uri.path(), &headers) {
        Some(response) => response,
        None => Fault::missing(format!(
            "nothing is at {}: the page is at /, the API's description at {PREFIX}/openapi.json",
            uri.path()
        ))
        .into_response(),
    }
}

/// What every answer carries: browsers run and load nothing but this server's own.
async fn headers(request: axum::extract::Request, next: Next) -> Response {
    const SET: [(header::HeaderName, &str); 5] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in SET {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
