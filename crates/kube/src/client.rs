//! A connection to an API server that outlives its credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::Deserialize;

use crate::connect::{self, Server};
use crate::error::{credentials, innermost};
use crate::kinds::Kind;
use crate::write::Told;
use crate::{Error, Options, Watched};

/// How long an answer may take to begin, and one that is no stream to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// A connection this young is not made anew because the network failed.
const YOUNG: Duration = Duration::from_secs(5);
/// What is read of an answer that tells of a failure.
const LONGEST_FAILURE: usize = 64 * 1024;

/// A connection to an API server. Copies share it.
///
/// Requests are sent as they come: there is no limit on their rate on this side. Tokens that a file holds are
/// read again as they rotate; when the server does not accept what it gets, everything is read again.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    context: String,
    /// With the context by its name: another current context of the kubeconfig is another cluster.
    options: Options,
    current: RwLock<Current>,
    /// Versions in which the server has the kinds that are custom resources, as far as known.
    pub(crate) versions: Mutex<BTreeMap<Watched, Kind>>,
    pub(crate) told: Mutex<Told>,
}

#[derive(Clone)]
struct Current {
    server: Arc<Server>,
    made: Instant,
    /// How often it was made anew.
    turn: u64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("context", &self.shared.context).finish_non_exhaustive()
    }
}

/// Why a request has no result.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nobody answers, or not to the end.
    Unreachable(String),
    /// There are no credentials to send.
    Credentials(String),
    /// The server says no.
    Status { code: u16, said: String, retry_after: Option<Duration> },
}

impl Fault {
    pub fn code(&self) -> u16 {
        match self {
            Fault::Status { code, .. } => *code,
            _ => 0,
        }
    }
}

/// A request.
pub(crate) struct Asked<'a> {
    pub method: Method,
    pub path: &'a str,
    pub content_type: Option<&'static str>,
    pub body: Vec<u8>,
}

impl<'a> Asked<'a> {
    pub fn get(path: &'a str) -> Self {
        Asked { method: Method::GET, path, content_type: None, body: Vec::new() }
    }
}

impl Client {
    /// Finds the cluster: a kubeconfig, or the service account of a pod. No request is sent yet. Call it on the
    /// runtime that will use it.
    pub async fn connect(options: &Options) -> Result<Client, Error> {
        let server = connect::connect(options, false).await?;
        let mut options = options.clone();
        if !server.is_in_cluster {
            options.context = Some(server.context.clone());
        }
        let context = server.context.clone();
        let current = Current { server: Arc::new(server), made: Instant::now(), turn: 0 };
        Ok(Client {
            shared: Arc::new(Shared {
                context,
                options,
                current: RwLock::new(current),
                versions: Mutex::default(),
                told: Mutex::default(),
            }),
        })
    }

    /// What users call the cluster: the kubeconfig's context, or `in-cluster`.
    pub fn context(&self) -> &str {
        &self.shared.context
    }

    /// The server's address.
    pub(crate) fn url(&self) -> String {
        self.current().server.url.clone()
    }

    pub(crate) fn versions(&self) -> &Mutex<BTreeMap<Watched, Kind>> {
        &self.shared.versions
    }

    pub(crate) fn told(&self) -> &Mutex<Told> {
        &self.shared.told
    }

    fn current(&self) -> Current {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the credentials again, unless somebody did so since `old` was in use.
    async fn renew(&self, old: &Current) -> Result<(), Fault> {
        if self.current().turn != old.turn {
            return Ok(());
        }
        let server = connect::connect(&self.shared.options, false).await;
        let server = server.map_err(|error| Fault::Credentials(error.to_string()))?;
        let new = Current { server: Arc::new(server), made: Instant::now(), turn: old.turn + 1 };
        let mut current = self.shared.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.turn == old.turn {
            *current = new;
        }
        Ok(())
    }

    /// Sends a request; the answer is one of success, whose body is still to be read.
    pub(crate) async fn open(&self, asked: &Asked<'_>) -> Result<Response<Body>, Fault> {
        let current = self.current();
        let answer = send(&current, asked).await;
        match &answer {
            // The token may have been replaced since it was read.
            Err(Fault::Status { code: 401, .. }) => {
                self.renew(&current).await?;
                send(&self.current(), asked).await
            }
            // The server may have another address or another authority by now: for the next time.
            Err(Fault::Unreachable(_)) if current.made.elapsed() > YOUNG => {
                self.renew(&current).await?;
                answer
            }
            _ => answer,
        }
    }

    /// Sends a request; its whole answer.
    pub(crate) async fn ask(&self, asked: &Asked<'_>) -> Result<Vec<u8>, Fault> {
        let answer = self.open(asked).await?;
        match tokio::time::timeout(PATIENCE, answer.into_body().collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
            Ok(Err(error)) => Err(Fault::Unreachable(innermost(&error))),
            Err(_) => Err(too_slow()),
        }
    }

    /// [`Client::ask`] for what is at a path; nothing where the server has nothing there.
    pub(crate) async fn get<T>(&self, path: &str) -> Result<Option<T>, Fault>
    where
        T: for<'a> Deserialize<'a>,
    {
        match self.ask(&Asked::get(path)).await {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|error| {
                Fault::Unreachable(format!("its answer is not what an API server writes: {error}"))
            }),
            Err(Fault::Status { code: 404, .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }
}

fn too_slow() -> Fault {
    Fault::Unreachable(format!("no answer within {} seconds", PATIENCE.as_secs()))
}

async fn send(current: &Current, asked: &Asked<'_>) -> Result<Response<Body>, Fault> {
    let mut request = Request::builder().method(asked.method.clone()).uri(asked.path);
    if let Some(content_type) = asked.content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    let request = request
        .body(Body::from(asked.body.clone()))
        .map_err(|error| Fault::Unreachable(format!("{} can't be asked for: {error}", asked.path)))?;
    let answer = match tokio::time::timeout(PATIENCE, current.server.client.send(request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(kube::Error::Auth(error))) => return Err(Fault::Credentials(credentials(&error))),
        Ok(Err(error)) => return Err(Fault::Unreachable(innermost(&error))),
        Err(_) => return Err(too_slow()),
    };
    if answer.status().is_success() {
        return Ok(answer);
    }
    Err(failure(answer).await)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    details: Option<Details>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    retry_after_seconds: u64,
}

/// What an answer says that is none of success.
async fn failure(answer: Response<Body>) -> Fault {
    let code = answer.status();
    let header = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = http_body_util::Limited::new(answer.into_body(), LONGEST_FAILURE).collect();
    let text = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => Default::default(),
    };
    let status: Status = serde_json::from_slice(&text).unwrap_or_default();
    let said = match status.message.trim() {
        "" => code.canonical_reason().unwrap_or("it does not say why").to_owned(),
        message => message.to_owned(),
    };
    let seconds = status.details.map(|details| details.retry_after_seconds).filter(|&seconds| seconds > 0);
    let retry_after = header.or(seconds).map(Duration::from_secs);
    Fault::Status { code: code.as_u16(), said, retry_after }
}
