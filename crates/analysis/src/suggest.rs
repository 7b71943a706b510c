//! Policies for manifests that have none: default-deny, and what each workload was seen to need.
//!
//! ```text
//! manifests -> wanted connections (wanted) -> policies (draft) -> YAML (yaml) -> the engine again (verify)
//! ```
//!
//! What is wanted is read from manifests alone: hosts that containers are told of, Services, Ingresses, routes.
//! What they don't tell is said in notes, never guessed.

mod draft;
mod verify;
mod wanted;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use podgate_api::{Object, Source};
use serde::Serialize;

use crate::world::{World, WorldOptions};

pub use yaml::{labels_selector, namespace_named};

/// What to leave in place.
#[derive(Clone, Debug, Default)]
pub struct SuggestOptions {
    /// Only these namespaces get policies; empty: all but Kubernetes' own.
    pub namespaces: Vec<String>,
}

/// Policies to apply, with where each rule comes from.
#[derive(Clone, Debug, Serialize)]
pub struct Suggestion {
    /// The policies, sorted by namespace: default-deny first, then DNS, then by workload.
    pub policies: Vec<SuggestedPolicy>,
    /// What could not be known, sorted.
    pub notes: Vec<String>,
    /// Policies of the input that had no part in this, as `Kind namespace/name`.
    pub left_out: Vec<String>,
    /// Where the engine's answer on the suggested policies differs from what was wanted: none, or podgate is
    /// wrong.
    pub differences: Vec<String>,
}

/// A NetworkPolicy to apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SuggestedPolicy {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Labels of the pods it selects; empty: all of the namespace.
    pub subject: BTreeMap<String, String>,
    /// Rules for connections to the pods; `None`: it has no say on them.
    pub ingress: Option<Vec<SuggestedRule>>,
    /// Rules for connections of the pods; `None`: it has no say on them.
    pub egress: Option<Vec<SuggestedRule>>,
}

/// A rule of a [`SuggestedPolicy`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SuggestedRule {
    /// Where the rule comes from, a line each.
    pub why: Vec<String>,
    /// The other end.
    pub peer: SuggestedPeer,
    /// `TCP 80`, in order.
    pub ports: Vec<SuggestedPort>,
}

/// The other end of a [`SuggestedRule`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SuggestedPeer {
    /// Pods.
    Pods {
        /// Their namespace; `None`: the policy's own.
        namespace: Option<String>,
        /// Their labels.
        labels: BTreeMap<String, String>,
    },
    /// All pods of all namespaces.
    AnyPod,
    /// Everybody, inside and outside.
    Anyone,
    /// Public addresses: networks, each without its holes.
    Outside {
        /// The networks.
        networks: Vec<(String, Vec<String>)>,
    },
}

/// Ports of one protocol, both ends inclusive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SuggestedPort {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl Suggestion {
    /// Policies for the namespaces of some manifests. Policies among them have no part in it: the suggestion
    /// is for when they are gone. Every connection that was found to be wanted, and no other one between the
    /// manifests' pods, is allowed by the result; the engine is asked for that before this returns.
    pub fn new(objects: Vec<Object>, world: &WorldOptions, options: &SuggestOptions) -> Suggestion {
        let mut left_out: Vec<String> = Vec::new();
        let mut objects = objects;
        objects.retain(|object| match object {
            Object::NetworkPolicy(_) | Object::ClusterPolicy(_) => {
                left_out.push(object.key().to_string());
                false
            }
            _ => true,
        });
        left_out.sort();
        left_out.dedup();
        let before = World::new(objects.clone(), world);
        let mut notes = BTreeSet::new();
        let covered = covered(&before, options, &mut notes);
        let wanted = wanted::collect(&before, &covered, &mut notes);
        let draft = draft::Draft::new(&before, &covered, wanted, &mut notes);
        let mut suggestion = Suggestion {
            policies: draft.policies(),
            notes: notes.into_iter().collect(),
            left_out,
            differences: Vec::new(),
        };
        suggestion.differences = verify::differences(&suggestion, objects, world, &draft);
        suggestion
    }
}

/// Namespaces that Kubernetes runs itself in: a default-deny there takes clusters down.
const OWN: [&str; 3] = ["kube-node-lease", "kube-public", "kube-system"];

/// The namespaces that get policies.
fn covered(world: &World, options: &SuggestOptions, notes: &mut BTreeSet<String>) -> BTreeSet<String> {
    let mut covered = BTreeSet::new();
    for workload in world.workloads.iter().filter(|workload| workload.hypothesis.is_none()) {
        let name = &workload.namespace;
        let asked_for = options.namespaces.contains(name);
        if OWN.contains(&name.as_str()) && !asked_for {
            notes.insert(format!("namespace {name} gets no policies: Kubernetes itself runs there"));
        } else if options.namespaces.is_empty() || asked_for {
            covered.insert(name.clone());
        }
    }
    for name in &options.namespaces {
        if !covered.contains(name) {
            notes.insert(format!("namespace {name} gets no policies: the input has no pods in it"));
        }
    }
    covered
}

/// `file:line`.
fn place(source: &Source) -> String {
    match source.line {
        0 => source.file.to_string(),
        line => format!("{}:{line}", source.file),
    }
}

#[cfg(test)]
mod tests;
