//! What is said on the enforcement daemon's socket: one JSON value a line, requests one way, replies the
//! other way.

use std::fmt;
use std::sync::Arc;

use podgate_flow::{FlowRecord, Timestamp};
use serde::{Deserialize, Serialize};

use crate::probe::{Query, Ruling};

/// Name of the socket in the lab's run directory.
pub const SOCKET: &str = "enforce.sock";

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// How things are: one [`Reply::Status`].
    Status,
    /// Every flow and notice from now on, until the client goes: [`Reply::Flow`], [`Reply::Notice`],
    /// [`Reply::Lost`].
    Watch,
    /// What policy in force says of these connections: one [`Reply::Rulings`], in their order.
    Evaluate(Vec<Query>),
    /// Read the lab's request and all manifests again: one [`Reply::Status`] when that is in force.
    Reload,
}

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// To [`Request::Status`] and [`Request::Reload`].
    Status(Box<Status>),
    /// To [`Request::Evaluate`].
    Rulings(Vec<Ruling>),
    /// A connection.
    Flow(Arc<FlowRecord>),
    /// Something else worth a line.
    Notice(Notice),
    /// Flows that a watcher can't see.
    Lost(Lost),
    /// The request made no sense.
    Error(String),
}

/// Flows that are missing from a watcher's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// How many.
    pub count: u64,
    /// Where they were lost.
    pub by: LostBy,
}

/// Where flows can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LostBy {
    /// The kernel's buffer was full.
    Kernel,
    /// The watcher read too slowly.
    Watcher,
}

/// Something that happened to policies rather than to connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// When.
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: NoticeEvent,
}

/// Kinds of [`Notice`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "lowercase")]
pub enum NoticeEvent {
    /// Changed objects are enforced.
    Published {
        /// `+ NetworkPolicy shop/allow-web`, `~ ...` for changed ones, `- ...` for those gone.
        changes: Vec<String>,
        /// From noticing the change to the last node's kernel having it.
        micros: u64,
    },
    /// A file can't be used as it is; what it said before stays in force.
    Broken {
        /// The file.
        file: String,
        /// Its diagnostics, as text.
        diagnostics: Vec<String>,
    },
    /// A file that was broken is fine again.
    Mended {
        /// The file.
        file: String,
    },
    /// The lab's network follows changed pods or Services.
    Network {
        /// What came of it; empty when all went well.
        error: String,
    },
    /// Publishing failed; the kernel keeps the state before.
    Failed {
        /// Why.
        error: String,
    },
}

impl fmt::Display for NoticeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoticeEvent::Published { changes, micros } => {
                let what = if changes.is_empty() { "all objects".to_owned() } else { changes.join(", ") };
                write!(f, "in force after {}.{} ms: {what}", micros / 1000, micros % 1000 / 100)
            }
            NoticeEvent::Broken { file, diagnostics } => {
                write!(f, "{file} has errors; what it said before stays in force")?;
                diagnostics
                    .iter()
                    .try_for_each(|diagnostic| write!(f, "\n  {}", diagnostic.replace('\n', "\n  ")))
            }
            NoticeEvent::Mended { file } => write!(f, "{file} is fine again"),
            NoticeEvent::Network { error } if error.is_empty() => {
                f.write_str("the network follows the manifests")
            }
            NoticeEvent::Network { error } => write!(f, "the network can't follow the manifests: {error}"),
            NoticeEvent::Failed { error } => {
                write!(f, "{error}; the kernel keeps what it has, and it is tried again")
            }
        }
    }
}

/// How the daemon is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Whether policies are enforced, or only flows watched.
    pub policies: bool,
    /// Objects in force by kind.
    pub objects: Vec<(String, usize)>,
    /// Files that are read.
    pub files: usize,
    /// Errors and warnings of the files as they are now.
    pub diagnostics: Vec<FileDiagnostics>,
    /// The nodes' kernels.
    pub nodes: Vec<NodeStatus>,
    /// Publications since the start.
    pub publications: u64,
    /// The last and the slowest publication after the first one, in microseconds.
    pub publish_micros: Option<(u64, u64)>,
    /// Watchers now.
    pub watchers: usize,
    /// Flows that slow watchers missed.
    pub watchers_lost: u64,
    /// What went wrong last with publishing or with the network; empty when nothing is wrong.
    pub failure: String,
}

/// A file's diagnostics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiagnostics {
    /// The file.
    pub file: String,
    /// It has errors: its last good objects are in force.
    pub broken: bool,
    /// The diagnostics, as text.
    pub diagnostics: Vec<String>,
}

/// One node's kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub node: String,
    /// State of an earlier daemon was taken over.
    pub adopted: bool,
    /// Packets seen since the tables were loaded.
    pub packets: u64,
    /// Packets allowed.
    pub allowed: u64,
    /// Packets denied.
    pub denied: u64,
    /// Events that came through.
    pub events: u64,
    /// Events lost in the kernel.
    pub events_lost: u64,
    /// Denials counted but not reported one by one.
    pub events_suppressed: u64,
    /// Pods that are closed because they found no room.
    pub closed: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_survive_their_line() {
        let query = Query {
            from: "10.0.0.1".parse().unwrap(),
            to: "fd00::1".parse().unwrap(),
            protocol: 6,
            port: 80,
        };
        for request in [Request::Status, Request::Watch, Request::Reload, Request::Evaluate(vec![query])] {
            let line = serde_json::to_string(&request).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request, "{line}");
        }
        let broken = NoticeEvent::Broken { file: "a.yaml".into(), diagnostics: vec!["x\n  y".into()] };
        let notice = Notice { time: Timestamp(1000), event: broken };
        let lost = Lost { count: 7, by: LostBy::Watcher };
        let status = Box::new(Status { publish_micros: Some((1, 2)), ..Status::default() });
        for reply in [Reply::Notice(notice), Reply::Lost(lost), Reply::Status(status)] {
            let line = serde_json::to_string(&reply).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), reply, "{line}");
        }
    }
}
