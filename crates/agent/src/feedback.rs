//! What the agent writes to the API server: whether a pod's policies are in force, and which policies
//! can't be enforced as written.
//!
//! Every agent knows every policy; of each policy one node tells, chosen by a hash of both names, so that
//! nobody has to elect a leader.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::time::{Duration, SystemTime};

use podgate_kube::{Client, Condition, EventAbout, EventKind, Watched};
use rustc_hash::{FxBuildHasher, FxHashMap};
use tokio::sync::mpsc;

use crate::metrics::{Metrics, Outcome};

/// The type of the pod condition, for `spec.readinessGates`.
pub const IN_FORCE: &str = "podgate.dev/in-force";
/// The type of the condition of cluster-scoped policies.
pub const ACCEPTED: &str = "podgate.dev/accepted";

/// How often a write is tried, and how long the first pause between two tries is.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(200);
/// Writes that wait; what comes beyond is dropped and counted, and written when it changes next.
pub(crate) const QUEUE: usize = 4096;

/// One thing to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    PodCondition { namespace: String, name: String, uid: String, condition: Condition },
    PolicyCondition { what: Watched, name: String, generation: i64, condition: Condition },
    Event { about: EventAbout, reason: &'static str, note: String },
}

/// Remembers what has been said, so that nothing is said twice.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// By pod UID: status and reason.
    pods: FxHashMap<String, (bool, &'static str)>,
    /// By policy UID: generation and message.
    policies: BTreeMap<String, (i64, String)>,
}

impl Said {
    /// The condition to write, if it is news.
    pub(crate) fn pod(
        &mut self,
        uid: &str,
        status: bool,
        reason: &'static str,
        message: &str,
    ) -> Option<Condition> {
        if self.pods.get(uid) == Some(&(status, reason)) {
            return None;
        }
        self.pods.insert(uid.to_owned(), (status, reason));
        Some(condition(IN_FORCE, status, reason, message))
    }

    /// The condition of a cluster-scoped policy, if it is news. An empty fault: none.
    pub(crate) fn policy(&mut self, uid: &str, generation: i64, fault: &str) -> Option<Condition> {
        let said = (generation, fault.to_owned());
        if self.policies.get(uid) == Some(&said) {
            return None;
        }
        self.policies.insert(uid.to_owned(), said);
        Some(match fault {
            "" => condition(ACCEPTED, true, "Understood", "every node with podgate enforces it as written"),
            fault => condition(ACCEPTED, false, "NotUnderstood", fault),
        })
    }

    /// Forgets pods that are gone.
    pub(crate) fn keep_pods(&mut self, is_there: impl Fn(&str) -> bool) {
        self.pods.retain(|uid, _| is_there(uid));
    }
}

fn condition(kind: &str, status: bool, reason: &str, message: &str) -> Condition {
    let (kind, reason, message) = (kind.to_owned(), reason.to_owned(), message.to_owned());
    Condition { kind, status, reason, message, since: SystemTime::now() }
}

/// Whether this node is the one that tells about an object.
pub(crate) fn is_teller<'a>(node: &str, nodes: impl Iterator<Item = &'a str>, uid: &str) -> bool {
    let weight = |node: &str| FxBuildHasher.hash_one((uid, node));
    let own = (weight(node), node);
    nodes.filter(|other| *other != node).all(|other| (weight(other), other) < own)
}

/// Writes one after the other until the sender is gone.
pub(crate) async fn write_all(
    client: Client,
    node: String,
    mut queue: mpsc::Receiver<Write>,
    metrics: Metrics,
) {
    while let Some(write) = queue.recv().await {
        let mut pause = PAUSE;
        let mut result = "failed";
        for attempt in 1..=TRIES {
            let Err(error) = put(&client, &node, &write).await else {
                result = "done";
                break;
            };
            let status = error.status();
            // The object is gone, or another one of its name is there.
            if matches!(status, Some(404 | 409 | 422)) {
                result = "done";
                break;
            }
            if matches!(status, Some(400..=499)) && status != Some(429) || attempt == TRIES {
                tracing::warn!(%error, ?write, "cannot write to the API server");
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        metrics.writes.get_or_create(&Outcome { result }).inc();
    }
}

async fn put(client: &Client, node: &str, write: &Write) -> Result<(), podgate_kube::Error> {
    match write {
        Write::PodCondition { namespace, name, uid, condition } => {
            client.set_pod_condition(namespace, name, uid, condition).await
        }
        Write::PolicyCondition { what, name, generation, condition } => {
            let manager = format!("podgate-{node}");
            client.set_policy_condition(*what, name, *generation, &manager, condition).await
        }
        Write::Event { about, reason, note } => {
            client.tell_event(about, reason, note, EventKind::Warning).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_node_tells_about_each_policy() {
        let nodes = ["a", "b", "c", "d"];
        let mut told: BTreeMap<&str, u32> = BTreeMap::new();
        for uid in 0..200 {
            let uid = format!("uid-{uid}");
            let tellers: Vec<&str> =
                nodes.into_iter().filter(|node| is_teller(node, nodes.into_iter(), &uid)).collect();
            assert_eq!(tellers.len(), 1, "{uid}: {tellers:?}");
            *told.entry(tellers[0]).or_default() += 1;
        }
        assert!(told.len() == nodes.len() && told.values().all(|count| *count > 20), "{told:?}");
    }

    #[test]
    fn nothing_is_said_twice() {
        let mut said = Said::default();
        assert!(said.pod("u", false, "Waiting", "").is_some());
        assert!(said.pod("u", false, "Waiting", "").is_none());
        assert!(said.pod("u", true, "InForce", "").is_some());
        said.keep_pods(|_| false);
        assert!(said.pod("u", true, "InForce", "").is_some());
        assert!(said.policy("p", 1, "").is_some_and(|condition| condition.status));
        assert!(said.policy("p", 1, "").is_none());
        assert!(said.policy("p", 2, "field x").is_some_and(|condition| !condition.status));
    }
}
