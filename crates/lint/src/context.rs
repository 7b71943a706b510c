//! Facts that checks share, worked out once.

pub(crate) mod dns;
mod entries;
mod pods;
mod reach;
mod services;

use std::sync::{Arc, Mutex, OnceLock};

use podgate_analysis::{PodId, PortSet, Relation, VariantId, Workload, World};
use podgate_api::{ClusterPolicy, Diagnostic, Meta, NetworkPolicy, PolicyPort, PortMatch, Rule, Source};
use podgate_policy::{Direction, PolicyRef, PolicyUse};
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::Settings;
use crate::context::dns::Dns;
use crate::context::pods::PodIndex;
use crate::context::reach::Newcomers;
use crate::context::services::{ServiceFacts, of_pods};
use crate::finding::ObjectRef;
use crate::locate::{self, Lines};

pub(crate) use entries::{Entry, Way};
pub(crate) use pods::Scope;
pub(crate) use reach::Outside;
pub(crate) use services::{data_store, numeric, targets};

/// Finds the text of a file by the name that sources call it.
pub type Texts<'a> = &'a (dyn Fn(&str) -> Option<Arc<str>> + Sync);

/// What checks look at.
pub struct Context<'a> {
    /// The engine and the names people use.
    pub world: &'a World,
    /// What the reader found wrong.
    pub diagnostics: &'a [Diagnostic],
    /// The texts of the input, for places that objects don't remember.
    pub texts: Texts<'a>,
    /// Choices that teams make.
    pub settings: &'a Settings,
    /// NetworkPolicies by place.
    pub(crate) policies: Vec<Policy<'a>>,
    /// Cluster-scoped policies by place.
    pub(crate) cluster_policies: Vec<&'a ClusterPolicy>,
    /// Services with selected pods, by namespace and name.
    pub(crate) services: Vec<ServiceFacts<'a>>,
    /// For each pod, the Services that select it, as places in `services`.
    pub(crate) services_of: Vec<Vec<u32>>,
    /// Where pods find the cluster's DNS.
    pub(crate) dns: Dns,
    /// What each policy and rule is good for; empty when no check asks.
    pub(crate) redundancies: Vec<PolicyUse>,
    /// Ways in from outside.
    pub(crate) entries: Vec<Entry>,
    /// Services with a way in, as places in `services`.
    pub(crate) entered: FxHashSet<usize>,
    /// Addresses that are no pod's.
    pub(crate) outside: Vec<Outside>,
    pods: PodIndex<'a>,
    variants: Vec<VariantId>,
    listens: Vec<PortSet>,
    policies_of: OnceLock<Vec<Vec<u32>>>,
    by_name: OnceLock<FxHashMap<(&'a str, &'a str), usize>>,
    newcomers: Newcomers,
    relations: Vec<Mutex<Relation>>,
    /// The texts that were asked for.
    lines: Mutex<FxHashMap<Arc<str>, Option<Arc<Lines>>>>,
}

/// A NetworkPolicy and its subjects.
pub(crate) struct Policy<'a> {
    pub object: &'a NetworkPolicy,
    /// Real pods that the policy is about.
    pub subjects: Arc<[PodId]>,
    /// Pods in the host network that its selector selects in vain.
    pub hosts: Vec<PodId>,
}

impl<'a> Policy<'a> {
    /// Its namespace.
    pub fn namespace(&self) -> &'a str {
        &self.object.meta.namespace
    }

    /// `namespace/name`.
    pub fn name(&self) -> String {
        title(&self.object.meta)
    }

    /// The reference that findings carry.
    pub fn object_ref(&self) -> ObjectRef {
        object_ref("NetworkPolicy", &self.object.meta)
    }

    /// The rules of a direction, and whether it is in force.
    pub fn rules(&self, direction: Direction) -> (&'a [Rule], bool) {
        match direction {
            Direction::Ingress => (&self.object.ingress, self.object.ingress_in_force),
            Direction::Egress => (&self.object.egress, self.object.egress_in_force),
        }
    }

    /// All rules that are in force: direction, place in their list, rule.
    pub fn rules_in_force(&self) -> impl Iterator<Item = (Direction, usize, &'a Rule)> {
        let object = self.object;
        let egress = object.egress.iter().enumerate().filter(|_| object.egress_in_force);
        let ingress = object.ingress.iter().enumerate().filter(|_| object.ingress_in_force);
        ingress
            .map(|(at, rule)| (Direction::Ingress, at, rule))
            .chain(egress.map(|(at, rule)| (Direction::Egress, at, rule)))
    }
}

/// `namespace/name`, or the name alone.
pub(crate) fn title(meta: &Meta) -> String {
    if meta.namespace.is_empty() { meta.name.clone() } else { format!("{}/{}", meta.namespace, meta.name) }
}

pub(crate) fn object_ref(kind: &str, meta: &Meta) -> ObjectRef {
    ObjectRef { kind: kind.to_owned(), namespace: meta.namespace.clone(), name: meta.name.clone() }
}

/// `ingress` or `egress`.
pub(crate) fn word(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

impl<'a> Context<'a> {
    /// Works the facts out.
    pub fn new(
        world: &'a World,
        diagnostics: &'a [Diagnostic],
        texts: Texts<'a>,
        settings: &'a Settings,
    ) -> Context<'a> {
        let pods = PodIndex::new(world);
        let mut policies: Vec<&NetworkPolicy> = world.cluster.policies().collect();
        policies.sort_by(|a, b| by_place(&a.meta).cmp(&by_place(&b.meta)));
        let mut cluster_policies: Vec<&ClusterPolicy> = world.cluster.cluster_policies().collect();
        cluster_policies.sort_by(|a, b| by_place(&a.meta).cmp(&by_place(&b.meta)));
        let policies: Vec<Policy<'a>> = policies
            .par_iter()
            .map(|object| {
                let selected = pods.select(&Scope::Namespace(&object.meta.namespace), &object.pod_selector);
                let (hosts, subjects): (Vec<PodId>, Vec<PodId>) =
                    selected.iter().copied().partition(|pod| pods.is_host(*pod));
                let subjects = if hosts.is_empty() { selected } else { subjects.into() };
                Policy { object, subjects, hosts }
            })
            .collect();
        let (services, services_of) = of_pods(world, &pods);
        let dns = Dns::new(world, &services);
        let entries = entries::all(world, &services);
        let listens = (0..world.pods.len() as u32)
            .into_par_iter()
            .map(|pod| services::listens(world, &services, &services_of, PodId(pod)))
            .collect();
        // Asked here and not when first needed: checks run in parallel, and so does the engine.
        let asked = ["redundant-rule", "redundant-policy", "ineffective-policy", "cnp-shadowed"];
        let redundancies = match asked.iter().any(|id| settings.runs(id)) {
            true => world.cluster.redundancies(),
            false => Vec::new(),
        };
        Context {
            redundancies,
            entered: entries.iter().map(|entry| entry.service).collect(),
            entries,
            listens,
            lines: Mutex::default(),
            policies_of: OnceLock::new(),
            by_name: OnceLock::new(),
            world,
            diagnostics,
            texts,
            settings,
            policies,
            cluster_policies,
            services,
            services_of,
            dns,
            outside: reach::outside(world),
            relations: world
                .families
                .iter()
                .map(|family| Mutex::new(Relation::new(world, *family)))
                .collect(),
            variants: reach::variants(world),
            newcomers: Newcomers::new(world),
            pods,
        }
    }

    /// Ports on which a pod listens, as far as its containers declare them or Services lead to them.
    pub(crate) fn listens(&self, pod: PodId) -> &PortSet {
        &self.listens[pod.0 as usize]
    }

    /// The NetworkPolicies that select a pod, in order.
    pub(crate) fn policies_of(&self, pod: PodId) -> impl Iterator<Item = (usize, &Policy<'a>)> {
        let of_pods = self.policies_of.get_or_init(|| {
            let mut of_pods = vec![Vec::new(); self.world.pods.len()];
            for (number, policy) in self.policies.iter().enumerate() {
                for pod in policy.subjects.iter() {
                    of_pods[pod.0 as usize].push(number as u32);
                }
            }
            of_pods
        });
        of_pods[pod.0 as usize].iter().map(|at| (*at as usize, &self.policies[*at as usize]))
    }

    /// The place of a NetworkPolicy in the list.
    pub(crate) fn find_policy(&self, name: &PolicyRef) -> Option<usize> {
        let by_name = self.by_name.get_or_init(|| {
            let names = self.policies.iter().map(|policy| &policy.object.meta);
            names.enumerate().map(|(at, meta)| ((meta.namespace.as_str(), meta.name.as_str()), at)).collect()
        });
        let found = by_name.get(&(name.namespace.as_str(), name.name.as_str())).copied();
        found.filter(|_| name.kind == "NetworkPolicy")
    }

    /// Whether a NetworkPolicy isolates a pod in a direction.
    pub(crate) fn is_isolated(&self, pod: PodId, direction: Direction) -> bool {
        self.policies_of(pod).any(|(_, policy)| policy.rules(direction).1)
    }

    /// Whether pods of the namespace are somebody else's business.
    pub(crate) fn is_system(&self, namespace: &str) -> bool {
        self.settings.system_namespaces.iter().any(|name| name == namespace)
    }

    /// A better place than the start of an object: the line that gives a key.
    pub(crate) fn key_of(&self, from: &Source, key: &str) -> Source {
        self.text_of(from).and_then(|text| locate::key(&text, from, key)).unwrap_or_else(|| from.clone())
    }

    /// The line with an object's name.
    pub(crate) fn name_of(&self, meta: &Meta) -> Source {
        let found = self.text_of(&meta.source).and_then(|text| {
            let metadata = locate::key(&text, &meta.source, "metadata")?;
            locate::key(&text, &metadata, "name")
        });
        found.unwrap_or_else(|| meta.source.clone())
    }

    /// The line with a workload's name.
    pub(crate) fn name_of_workload(&self, workload: &Workload) -> Source {
        self.name_of(&Meta { source: workload.source.clone(), ..Meta::default() })
    }

    /// The text of the file of a place.
    pub(crate) fn text_of(&self, source: &Source) -> Option<Arc<Lines>> {
        if source.line == 0 {
            return None;
        }
        let mut lines = self.lines.lock().expect("no panic while reading");
        if let Some(known) = lines.get(&source.file) {
            return known.clone();
        }
        let read = (self.texts)(&source.file).map(|text| Arc::new(Lines::new(text)));
        lines.insert(source.file.clone(), read.clone());
        read
    }
}

fn by_place(meta: &Meta) -> (&Source, &str, &str) {
    (&meta.source, &meta.namespace, &meta.name)
}

/// `TCP 80`, `UDP 53-60`, `TCP http`, `every TCP port`.
pub(crate) fn port_text(port: &PolicyPort) -> String {
    let protocol = port.protocol;
    match &port.port {
        PortMatch::All => format!("every {protocol} port"),
        PortMatch::Range(lo, hi) if lo == hi => format!("{protocol} {lo}"),
        PortMatch::Range(lo, hi) => format!("{protocol} {lo}-{hi}"),
        PortMatch::Named(name) => format!("{protocol} {name}"),
    }
}
