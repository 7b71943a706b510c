//! What can go wrong between here and a cluster, each said in one line with what to do next.

use crate::connect::Server;
use crate::kinds::Kind;

/// Why a cluster could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No kubeconfig, or not a readable one.
    #[error("no cluster to read: {0}: name a file with --kubeconfig, or set KUBECONFIG")]
    NoCluster(String),
    /// The context is not in the kubeconfig, or none is chosen.
    #[error("{}{}", context_problem(named.as_deref()), contexts(known))]
    Context {
        /// The one that was asked for.
        named: Option<String>,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The kubeconfig does not make sense.
    #[error("context {context}: the kubeconfig can't be used: {why}")]
    Kubeconfig {
        /// The context.
        context: String,
        /// What is wrong.
        why: String,
    },
    /// Nobody answers.
    #[error(
        "context {context}: {server} can't be reached: {why}: check the address, the network and the VPN"
    )]
    Unreachable {
        /// The context.
        context: String,
        /// The server's address.
        server: String,
        /// What is wrong.
        why: String,
    },
    /// The server does not know who asks.
    #[error("context {context}: the server does not accept the credentials ({said}): log in again and retry")]
    Unauthorized {
        /// The context.
        context: String,
        /// What the server or the credential plugin said.
        said: String,
    },
    /// The server knows who asks and says no.
    #[error(
        "context {context}: {what} may not be listed in the whole cluster, and without them answers would be wrong: {said}: grant it with `kubectl create clusterrole NAME --verb=list --resource={what}` and a binding"
    )]
    Forbidden {
        /// The context.
        context: String,
        /// The resource.
        what: String,
        /// What the server said.
        said: String,
    },
    /// The server has forgotten the state whose pages it gave out, again and again.
    #[error("the server drops its lists faster than they can be read: try again when it is less busy")]
    Expired,
    /// The server answers something else than an API server does.
    #[error("context {context}: {what}: {said}: is this the address of a Kubernetes API server?")]
    Unexpected {
        /// The context.
        context: String,
        /// What was asked for.
        what: String,
        /// What is wrong with the answer.
        said: String,
    },
    /// The server says no to a request of an agent.
    #[error("context {context}: the server refuses to {what} ({code}): {said}{}", grant_of(*code))]
    Refused {
        /// The context.
        context: String,
        /// What was asked for: a verb and the object.
        what: String,
        /// The HTTP status.
        code: u16,
        /// What the server said.
        said: String,
    },
    /// This process can't talk to anybody.
    #[error("this process can't start its network: {0}")]
    Runtime(String),
}

impl Error {
    /// The HTTP status that the server answered with, where it did.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Unauthorized { .. } => Some(401),
            Error::Forbidden { .. } => Some(403),
            Error::Expired => Some(410),
            Error::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

fn grant_of(code: u16) -> &'static str {
    match code {
        403 => ": bind the ClusterRole of podgate's agent to its service account",
        _ => "",
    }
}

fn context_problem(named: Option<&str>) -> String {
    match named {
        Some(name) => format!("the kubeconfig has no context {name}"),
        None => "the kubeconfig has no current context".to_owned(),
    }
}

fn contexts(known: &[String]) -> String {
    match known {
        [] => ": it has no contexts at all".to_owned(),
        _ => format!(": name one with --context: {}", known.join(", ")),
    }
}

/// Sorts a failed request.
pub(crate) fn of_request(server: &Server, kind: &Kind, error: kube::Error) -> Error {
    let context = server.context.clone();
    let what = kind.qualified();
    match error {
        kube::Error::Api(status) => {
            let said = match status.message.trim() {
                "" => status.reason.clone(),
                message => message.to_owned(),
            };
            match status.code {
                401 => Error::Unauthorized { context, said },
                403 => Error::Forbidden { context, what, said },
                410 => Error::Expired,
                code => {
                    Error::Unexpected { context, what, said: format!("the server answers {code}: {said}") }
                }
            }
        }
        kube::Error::Auth(error) => Error::Unauthorized { context, said: credentials(&error) },
        kube::Error::FromUtf8(_) | kube::Error::SerdeError(_) => {
            Error::Unexpected { context, what, said: innermost(&error) }
        }
        other => Error::Unreachable { context, server: server.url.clone(), why: innermost(&other) },
    }
}

/// What a credential plugin said last.
pub(crate) fn credentials(error: &kube::client::AuthError) -> String {
    match error {
        kube::client::AuthError::AuthExecRun { cmd, out } => {
            let text = String::from_utf8_lossy(&out.stderr);
            let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            format!("{cmd} failed: {}", last.trim())
        }
        kube::client::AuthError::AuthExecStart(error) => {
            format!("the kubeconfig's credential plugin can't be run: {error}")
        }
        other => innermost(other),
    }
}

/// The last reason of a chain, which is the one that people know, in one line.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
