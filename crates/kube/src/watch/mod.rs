//! Follows what an API server has, kind by kind.
//!
//! ```text
//! served -> list (a stream, or pages) -> watch -> lines -> decode -> News
//!              ^                           |
//!              +---- version forgotten ----+   any other failure: the same watch again, after a delay
//! ```

mod backoff;
mod decode;
mod follow;
mod lines;
mod list;
mod served;

use std::sync::Arc;
use std::time::{Duration, Instant};

use podgate_api::{Diagnostic, Object, ObjectKey};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::Client;
use follow::Follower;

pub(crate) use served::{Served, served};

/// The kinds that a node agent follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Watched {
    /// Namespaces.
    Namespaces,
    /// Nodes.
    Nodes,
    /// Pods.
    Pods,
    /// Services.
    Services,
    /// NetworkPolicies of `networking.k8s.io/v1`.
    NetworkPolicies,
    /// ClusterNetworkPolicies of `policy.networking.k8s.io`.
    ClusterNetworkPolicies,
    /// AdminNetworkPolicies of `policy.networking.k8s.io`.
    AdminNetworkPolicies,
    /// BaselineAdminNetworkPolicies of `policy.networking.k8s.io`.
    BaselineAdminNetworkPolicies,
}

impl Watched {
    /// All of them.
    pub const ALL: [Watched; 8] = [
        Watched::Namespaces,
        Watched::Nodes,
        Watched::Pods,
        Watched::Services,
        Watched::NetworkPolicies,
        Watched::ClusterNetworkPolicies,
        Watched::AdminNetworkPolicies,
        Watched::BaselineAdminNetworkPolicies,
    ];

    /// The plural name in paths, such as `networkpolicies`.
    pub fn resource(self) -> &'static str {
        match self {
            Watched::Namespaces => "namespaces",
            Watched::Nodes => "nodes",
            Watched::Pods => "pods",
            Watched::Services => "services",
            Watched::NetworkPolicies => "networkpolicies",
            Watched::ClusterNetworkPolicies => "clusternetworkpolicies",
            Watched::AdminNetworkPolicies => "adminnetworkpolicies",
            Watched::BaselineAdminNetworkPolicies => "baselineadminnetworkpolicies",
        }
    }

    /// The kind, as in [`ObjectKey::kind`].
    pub fn kind(self) -> &'static str {
        match self {
            Watched::Namespaces => "Namespace",
            Watched::Nodes => "Node",
            Watched::Pods => "Pod",
            Watched::Services => "Service",
            Watched::NetworkPolicies => "NetworkPolicy",
            Watched::ClusterNetworkPolicies => "ClusterNetworkPolicy",
            Watched::AdminNetworkPolicies => "AdminNetworkPolicy",
            Watched::BaselineAdminNetworkPolicies => "BaselineAdminNetworkPolicy",
        }
    }

    /// Without it verdicts would be wrong rather than incomplete.
    pub fn is_essential(self) -> bool {
        !matches!(self, Watched::Nodes | Watched::Services)
    }
}

/// An object with what the API server keeps beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The object; its UID, creation time and whether it is terminating are in its `meta`.
    pub object: Object,
    /// `metadata.resourceVersion`.
    pub resource_version: Box<str>,
    /// `metadata.generation`; 0 for kinds that have none.
    pub generation: i64,
}

/// What happened.
#[expect(clippy::large_enum_variant, reason = "nearly all news are of the largest form")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A list begins: objects of this kind that aren't applied before the next `Synced` are gone. A list that
    /// is interrupted begins again: what was applied since the earlier `Listing` doesn't count any more.
    Listing(Watched),
    /// The object is there, in this form.
    Applied(Watched, Item),
    /// The object is gone. The text is its UID.
    Deleted(Watched, ObjectKey, String),
    /// The object can't be read as written: its key, and what is wrong. Its reader may still have made an
    /// object that fails closed, which comes as `Applied` just before.
    Unreadable(Watched, ObjectKey, Vec<Diagnostic>),
    /// The list is complete.
    Synced(Watched),
    /// The server doesn't serve the kind: a custom resource that isn't installed. Looked for again every
    /// minute; counts as synced and empty.
    Absent(Watched),
    /// After an interruption: a watch goes on from what was told last.
    Resumed(Watched),
    /// The connection failed; it is tried again after the delay. The last state holds.
    Interrupted {
        /// The kind.
        what: Watched,
        /// What went wrong, in one line, with what to do about it.
        why: String,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// How patient a watch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A watch that says nothing for about this long is taken for dead. Servers send a bookmark every minute.
    pub silence: Duration,
    /// How often a kind that the server does not have is looked for.
    pub absent: Duration,
    /// About the first delay after a failure. Delays double, and differ by chance.
    pub first_retry: Duration,
    /// The longest delay.
    pub last_retry: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            silence: Duration::from_secs(150),
            absent: Duration::from_secs(60),
            first_retry: Duration::from_millis(200),
            last_retry: Duration::from_secs(30),
        }
    }
}

/// Follows kinds until it is dropped.
#[derive(Debug)]
pub struct Watching {
    tasks: Vec<(Watched, Arc<Notify>, JoinHandle<()>)>,
}

impl Watching {
    /// Asks for a new list of a kind, also while the watch waits to try again.
    pub fn resync(&self, what: Watched) {
        for (_, resync, _) in self.tasks.iter().filter(|(kind, ..)| *kind == what) {
            resync.notify_one();
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        for (.., task) in &self.tasks {
            task.abort();
        }
    }
}

/// Follows kinds on a runtime, until the returned handle is dropped. News come in order per kind, in batches:
/// everything that one read of the socket held, and when that was.
pub fn watch(
    client: &Client,
    what: &[Watched],
    runtime: &Handle,
    sink: impl Fn(Instant, Vec<News>) + Send + Sync + Clone + 'static,
) -> Watching {
    watch_at(client, what, runtime, Pace::default(), sink)
}

/// [`watch`] with another patience.
pub fn watch_at(
    client: &Client,
    what: &[Watched],
    runtime: &Handle,
    pace: Pace,
    sink: impl Fn(Instant, Vec<News>) + Send + Sync + Clone + 'static,
) -> Watching {
    let start = |&what: &Watched| {
        let resync = Arc::new(Notify::new());
        let follower = Follower::new(client.clone(), what, pace, resync.clone(), sink.clone());
        (what, resync, runtime.spawn(follower.run()))
    };
    Watching { tasks: what.iter().map(start).collect() }
}
