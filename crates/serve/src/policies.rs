//! Policies, with their subjects, rules, hits, findings and YAML.

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podgate_analysis::why::rules::Written;
use podgate_analysis::{PodId, WorkloadId, World};
use podgate_api::{
    Action, ClusterPolicy, ClusterPolicyKind, ClusterSubject, ClusterTier, NetworkPolicy, Object, ObjectKey,
    Source,
};
use podgate_flow::{Filter, FlowRecord, Reason};
use podgate_lint::Finding;
use podgate_policy::{Direction, PolicyRef};

use crate::ask::Ask;
use crate::fault::Fault;
use crate::flows::{count, records};
use crate::model::{PolicyDetails, PolicyKind, PolicyList, PolicySummary, RuleSummary, Subject};
use crate::state::{Snapshot, file_text};

/// A policy of either sort.
#[derive(Clone, Copy)]
pub enum Policy<'a> {
    /// A NetworkPolicy.
    Network(&'a NetworkPolicy),
    /// A cluster-scoped one.
    Cluster(&'a ClusterPolicy),
}

/// Connections by what decided them.
#[derive(Default)]
pub struct Hits {
    policies: BTreeMap<PolicyRef, u64>,
    isolated: BTreeMap<PolicyRef, u64>,
    rules: BTreeMap<(PolicyRef, Direction, u32), u64>,
}

impl Hits {
    /// Counts records.
    pub fn new(records: &[Arc<FlowRecord>]) -> Hits {
        let mut hits = Hits::default();
        for record in records {
            let number = count(record);
            let mut policies: BTreeSet<&PolicyRef> = BTreeSet::new();
            let mut isolating: BTreeSet<&PolicyRef> = BTreeSet::new();
            for decision in [&record.egress, &record.ingress].into_iter().flatten() {
                match &*decision.reason {
                    Reason::Rule { policy, list, rule, .. } => {
                        *hits.rules.entry((policy.clone(), *list, *rule)).or_default() += number;
                        policies.insert(policy);
                    }
                    Reason::Isolated { policies: by } => isolating.extend(by),
                    _ => {}
                }
            }
            for policy in &isolating {
                *hits.isolated.entry((*policy).clone()).or_default() += number;
            }
            for policy in policies.union(&isolating) {
                *hits.policies.entry((*policy).clone()).or_default() += number;
            }
        }
        hits
    }

    fn rule(&self, policy: &PolicyRef, list: Direction, index: u32) -> u64 {
        self.rules.get(&(policy.clone(), list, index)).copied().unwrap_or_default()
    }

    /// How many rules in force decided nothing.
    pub fn unused(&self, snapshot: &Snapshot) -> usize {
        let staged = snapshot.staged();
        let enforced = all(&snapshot.inventory.loaded.objects);
        let enforced = enforced.into_iter().filter(|policy| !staged.contains(&policy.key()));
        let of = |policy: Policy<'_>| {
            let name = policy.reference();
            let unused = |(list, index): &(Direction, u32)| self.rule(&name, *list, *index) == 0;
            policy.rules().filter(unused).count()
        };
        enforced.map(of).sum()
    }
}

/// All policies in the order in which they are asked. Of one name the last counts.
pub fn all(objects: &[Object]) -> Vec<Policy<'_>> {
    let mut policies: BTreeMap<(u8, i32, &str, &str, &str), Policy<'_>> = BTreeMap::new();
    for object in objects {
        let policy = match object {
            Object::NetworkPolicy(policy) => Policy::Network(policy),
            Object::ClusterPolicy(policy) => Policy::Cluster(policy),
            _ => continue,
        };
        policies.insert(policy.order(), policy);
    }
    // A policy that is written again with another priority has two places in the order.
    let mut seen = BTreeSet::new();
    let mut kept: Vec<Policy<'_>> =
        policies.into_values().rev().filter(|policy| seen.insert(policy.id())).collect();
    kept.reverse();
    kept
}

impl<'a> Policy<'a> {
    fn meta(self) -> &'a podgate_api::Meta {
        match self {
            Policy::Network(policy) => &policy.meta,
            Policy::Cluster(policy) => &policy.meta,
        }
    }

    fn kind(self) -> PolicyKind {
        match self {
            Policy::Network(_) => PolicyKind::NetworkPolicy,
            Policy::Cluster(policy) => match policy.kind {
                ClusterPolicyKind::AdminNetworkPolicy => PolicyKind::AdminNetworkPolicy,
                ClusterPolicyKind::BaselineAdminNetworkPolicy => PolicyKind::BaselineAdminNetworkPolicy,
                ClusterPolicyKind::ClusterNetworkPolicy => PolicyKind::ClusterNetworkPolicy,
            },
        }
    }

    fn order(self) -> (u8, i32, &'a str, &'a str, &'a str) {
        let meta = self.meta();
        let (tier, priority) = match self {
            Policy::Network(_) => (1, 0),
            Policy::Cluster(policy) => match policy.tier {
                ClusterTier::Admin => (0, policy.priority),
                ClusterTier::Baseline => (2, policy.priority),
            },
        };
        (tier, priority, &meta.namespace, &meta.name, self.kind_name())
    }

    /// As the API spells it.
    pub fn kind_name(self) -> &'static str {
        match self {
            Policy::Network(_) => "NetworkPolicy",
            Policy::Cluster(policy) => policy.kind.as_str(),
        }
    }

    /// What /policies/{id} takes.
    pub fn id(self) -> String {
        let meta = self.meta();
        format!("{}/{}/{}", self.kind_name(), meta.namespace, meta.name)
    }

    /// As flows name it.
    pub fn reference(self) -> PolicyRef {
        let meta = self.meta();
        PolicyRef {
            kind: self.kind_name().to_owned(),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
        }
    }

    /// As objects name each other.
    pub fn key(self) -> ObjectKey {
        self.object().key()
    }

    /// The object.
    pub fn object(self) -> Object {
        match self {
            Policy::Network(policy) => Object::NetworkPolicy(policy.clone()),
            Policy::Cluster(policy) => Object::ClusterPolicy(policy.clone()),
        }
    }

    /// Where it is written.
    pub fn source(self) -> &'a Source {
        &self.meta().source
    }

    /// Its rules: ingress first.
    fn rules(self) -> impl Iterator<Item = (Direction, u32)> {
        let (ingress, egress) = match self {
            Policy::Network(policy) => (
                if policy.ingress_in_force { policy.ingress.len() } else { 0 },
                if policy.egress_in_force { policy.egress.len() } else { 0 },
            ),
            Policy::Cluster(policy) => (policy.ingress.len(), policy.egress.len()),
        };
        let list = |direction, number| (0..number as u32).map(move |index| (direction, index));
        list(Direction::Ingress, ingress).chain(list(Direction::Egress, egress))
    }

    fn has_say(self) -> (bool, bool) {
        match self {
            Policy::Network(policy) => (policy.ingress_in_force, policy.egress_in_force),
            Policy::Cluster(policy) => (!policy.ingress.is_empty(), !policy.egress.is_empty()),
        }
    }

    /// The pods it selects, by their workloads.
    pub fn subjects(self, world: &World) -> BTreeMap<WorkloadId, Vec<PodId>> {
        let mut subjects: BTreeMap<WorkloadId, Vec<PodId>> = BTreeMap::new();
        for (number, workload) in world.workloads.iter().enumerate() {
            if workload.host_network || !self.is_about(world, &workload.namespace) {
                continue;
            }
            let selected: Vec<PodId> = workload
                .pods
                .iter()
                .copied()
                .filter(|pod| {
                    let labels = &world.pod_object(*pod).meta.labels;
                    match self {
                        Policy::Network(policy) => policy.pod_selector.matches(labels),
                        Policy::Cluster(policy) => match &policy.subject {
                            ClusterSubject::Pods { pods, .. } => pods.matches(labels),
                            ClusterSubject::Unknown => false,
                        },
                    }
                })
                .collect();
            if !selected.is_empty() {
                subjects.insert(WorkloadId(number as u32), selected);
            }
        }
        subjects
    }

    fn is_about(self, world: &World, namespace: &str) -> bool {
        match self {
            Policy::Network(policy) => policy.meta.namespace == namespace,
            Policy::Cluster(policy) => match &policy.subject {
                ClusterSubject::Pods { namespaces, .. } => {
                    world.namespace_labels(namespace).is_some_and(|labels| namespaces.matches(labels))
                }
                ClusterSubject::Unknown => false,
            },
        }
    }

    /// Whether a finding is about it.
    pub fn is_blamed(self, finding: &Finding) -> bool {
        let (object, meta) = (&finding.object, self.meta());
        object.kind == self.kind_name() && object.namespace == meta.namespace && object.name == meta.name
    }
}

/// Answers /policies.
pub fn list(ask: &Ask) -> Result<PolicyList, Fault> {
    let hits = hits(ask)?;
    let snapshot = &ask.snapshot;
    let staged = snapshot.staged();
    let policies = all(&snapshot.inventory.loaded.objects);
    let summaries = policies.iter().map(|policy| summary(snapshot, *policy, &staged, hits.as_ref()));
    Ok(PolicyList { revision: snapshot.revision(), policies: summaries.collect() })
}

fn hits(ask: &Ask) -> Result<Option<Hits>, Fault> {
    let window = ask.window()?;
    let counted = || Ok(Hits::new(&records(&ask.server, window, Filter::default())?));
    ask.server.is_watched().then(counted).transpose()
}

fn summary(
    snapshot: &Snapshot,
    policy: Policy<'_>,
    staged: &BTreeSet<ObjectKey>,
    hits: Option<&Hits>,
) -> PolicySummary {
    let meta = policy.meta();
    let (ingress, egress) = policy.has_say();
    PolicySummary {
        id: policy.id(),
        kind: policy.kind(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        tier: match policy.order().0 {
            0 => "Admin",
            1 => "NetworkPolicy",
            _ => "Baseline",
        }
        .to_owned(),
        priority: match policy {
            Policy::Cluster(policy) if policy.priority != ClusterPolicy::NO_PRIORITY => Some(policy.priority),
            _ => None,
        },
        staged: staged.contains(&policy.key()),
        ingress,
        egress,
        subjects: policy.subjects(snapshot.world()).len(),
        rules: policy.rules().count(),
        hits: hits.map(|hits| hits.policies.get(&policy.reference()).copied().unwrap_or_default()),
        findings: snapshot.findings().iter().filter(|finding| policy.is_blamed(finding)).count(),
        source: podgate_analysis::diff::place(&meta.source),
    }
}

/// Answers /policies/{id}.
pub fn details(ask: &Ask) -> Result<PolicyDetails, Fault> {
    let snapshot = &ask.snapshot;
    let policies = all(&snapshot.inventory.loaded.objects);
    let policy = policies.into_iter().find(|policy| policy.id() == ask.id).ok_or_else(|| {
        Fault::missing(format!(
            "no policy has the id {}: ids look like NetworkPolicy/shop/web, percent-encoded, and /policies lists them",
            ask.id
        ))
    })?;
    let hits = hits(ask)?;
    let (world, places) = (snapshot.world(), snapshot.places());
    let selected = policy.subjects(world).into_iter().map(|(workload, pods)| Subject {
        place: places.get(workload.0 as usize).clone(),
        pods: pods.len(),
        of: world.workload(workload).pods.len(),
    });
    let name = policy.reference();
    let rule_list = policy.rules().map(|(list, index)| {
        let (written, effect, source) = match policy {
            Policy::Network(policy) => {
                let rules = if list == Direction::Ingress { &policy.ingress } else { &policy.egress };
                (Written::Network(policy), "allow", &rules[index as usize].source)
            }
            Policy::Cluster(policy) => {
                let rules = if list == Direction::Ingress { &policy.ingress } else { &policy.egress };
                let rule = &rules[index as usize];
                let effect = match rule.action {
                    Action::Accept => "allow",
                    Action::Deny => "deny",
                    Action::Pass => "pass",
                };
                (Written::Cluster(policy), effect, &rule.source)
            }
        };
        RuleSummary {
            list: if list == Direction::Ingress { "ingress" } else { "egress" }.to_owned(),
            index,
            effect: effect.to_owned(),
            says: written.rule(list, index),
            line: source.line,
            hits: hits.as_ref().map(|hits| hits.rule(&name, list, index)),
        }
    });
    let text = text::of(policy, &file_text(&snapshot.inventory.loaded));
    Ok(PolicyDetails {
        summary: summary(snapshot, policy, &snapshot.staged(), hits.as_ref()),
        selected: selected.collect(),
        rule_list: rule_list.collect(),
        isolated: hits.as_ref().map(|hits| hits.isolated.get(&name).copied().unwrap_or_default()),
        finding_list: snapshot
            .findings()
            .iter()
            .filter(|finding| policy.is_blamed(finding))
            .cloned()
            .collect(),
        yaml: text.yaml,
        file: text.file,
        first_line: text.first_line,
    })
}

pub use text::Text;

/// The text of a policy, as written where that is known.
pub fn text_of(policy: Policy<'_>, read: &dyn Fn(&str) -> Option<Arc<str>>) -> Text {
    text::of(policy, read)
}
