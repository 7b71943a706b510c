//! Which pods a selector selects, asked once for each selector and without looking at pods that lack its labels.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use podgate_analysis::{PodId, World};
use podgate_api::{LabelSelector, Labels, NAMESPACE_NAME_LABEL, Operator, Peer, PodPeer};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Context;
use crate::context::dns;

/// Namespaces to look for pods in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope<'s> {
    /// One.
    Namespace(&'s str),
    /// Those with such labels.
    Selected(&'s LabelSelector),
}

/// A namespace that exists or is mentioned.
struct Place<'w> {
    name: &'w str,
    labels: &'w Labels,
    /// The input has its object, so that its labels are known.
    declared: bool,
    /// Pods that exist, those in the host network as well.
    pods: Vec<PodId>,
}

/// The same as [`Scope`], to remember an answer by.
type Key = (Option<u32>, LabelSelector, LabelSelector);

pub(super) struct PodIndex<'w> {
    world: &'w World,
    /// Sorted by name.
    places: Vec<Place<'w>>,
    /// Pods by namespace, label key and value.
    postings: FxHashMap<(u32, &'w str, &'w str), Vec<PodId>>,
    hosts: Vec<bool>,
    pods: Mutex<FxHashMap<Key, Arc<[PodId]>>>,
    namespaces: Mutex<FxHashMap<LabelSelector, Arc<[u32]>>>,
}

impl<'w> PodIndex<'w> {
    pub fn new(world: &'w World) -> PodIndex<'w> {
        // Namespaces that only pods that don't exist are in are not there.
        let of_pods =
            world.workloads.iter().filter(|w| w.hypothesis.is_none() && w.name != dns::HYPOTHETICAL);
        let of_pods = of_pods.map(|workload| workload.namespace.as_str());
        let of_policies = world.cluster.policies().map(|policy| policy.meta.namespace.as_str());
        let declared = world.namespaces.iter().map(|namespace| namespace.meta.name.as_str());
        let declared: FxHashSet<&str> = declared.collect();
        let real: FxHashSet<&str> = of_pods.chain(of_policies).chain(declared.iter().copied()).collect();
        let mut places: Vec<Place<'w>> = world
            .known_namespaces()
            .filter(|(name, _)| real.contains(name))
            .map(|(name, labels)| Place { name, labels, declared: declared.contains(name), pods: Vec::new() })
            .collect();
        places.sort_by_key(|place| place.name);
        let mut postings: FxHashMap<(u32, &str, &str), Vec<PodId>> = FxHashMap::default();
        let mut hosts = vec![false; world.pods.len()];
        for (number, pod) in world.pods.iter().enumerate() {
            let workload = world.workload(pod.workload);
            if workload.hypothesis.is_some() || workload.name == dns::HYPOTHETICAL {
                continue;
            }
            let id = PodId(number as u32);
            let Ok(place) = places.binary_search_by_key(&workload.namespace.as_str(), |place| place.name)
            else {
                continue;
            };
            hosts[number] = workload.host_network;
            places[place].pods.push(id);
            for (key, value) in &world.pod_object(id).meta.labels {
                postings.entry((place as u32, key.as_str(), value.as_str())).or_default().push(id);
            }
        }
        PodIndex { world, places, postings, hosts, pods: Mutex::default(), namespaces: Mutex::default() }
    }

    pub fn is_host(&self, pod: PodId) -> bool {
        self.hosts[pod.0 as usize]
    }

    fn place(&self, namespace: &str) -> Option<u32> {
        self.places.binary_search_by_key(&namespace, |place| place.name).ok().map(|at| at as u32)
    }

    /// Real pods that a selector selects, sorted; an unreadable selector selects none.
    pub fn select(&self, scope: &Scope<'_>, pods: &LabelSelector) -> Arc<[PodId]> {
        let key: Key = match scope {
            Scope::Namespace(name) => match self.place(name) {
                Some(place) => (Some(place), LabelSelector::default(), pods.clone()),
                None => return Arc::new([]),
            },
            Scope::Selected(namespaces) => (None, (*namespaces).clone(), pods.clone()),
        };
        if let Some(known) = self.pods.lock().expect("no panic while asking").get(&key) {
            return known.clone();
        }
        let found: Arc<[PodId]> = match &key.0 {
            Some(place) => self.in_place(*place, pods).into(),
            None => {
                let places = self.select_namespaces(&key.1);
                let mut all: Vec<PodId> =
                    places.iter().flat_map(|place| self.in_place(*place, pods)).collect();
                all.sort_unstable();
                all.into()
            }
        };
        self.pods.lock().expect("no panic while asking").insert(key, found.clone());
        found
    }

    fn in_place(&self, place: u32, selector: &LabelSelector) -> Vec<PodId> {
        if selector.is_invalid() {
            return Vec::new();
        }
        // The rarest of the labels that it asks for, each with all pods that have it.
        let candidates = selector
            .requirements()
            .iter()
            .filter(|requirement| requirement.operator == Operator::In)
            .map(|requirement| {
                let lists = requirement.values.iter();
                lists
                    .filter_map(|value| self.postings.get(&(place, requirement.key.as_str(), value.as_str())))
                    .flatten()
                    .copied()
                    .collect::<Vec<PodId>>()
            })
            .min_by_key(Vec::len);
        let mut found = candidates.unwrap_or_else(|| self.places[place as usize].pods.clone());
        found.retain(|pod| selector.matches(&self.world.pod_object(*pod).meta.labels));
        found.sort_unstable();
        found
    }

    /// Namespaces with such labels.
    pub fn select_namespaces(&self, selector: &LabelSelector) -> Arc<[u32]> {
        if let Some(known) = self.namespaces.lock().expect("no panic while asking").get(selector) {
            return known.clone();
        }
        let matches = |place: &u32| selector.matches(self.places[*place as usize].labels);
        let by_name = selector.requirements().iter().find(|requirement| {
            requirement.key == NAMESPACE_NAME_LABEL && requirement.operator == Operator::In
        });
        let found: Arc<[u32]> = match by_name {
            Some(requirement) => {
                requirement.values.iter().filter_map(|name| self.place(name)).filter(matches).collect()
            }
            None => (0..self.places.len() as u32).filter(matches).collect(),
        };
        self.namespaces.lock().expect("no panic while asking").insert(selector.clone(), found.clone());
        found
    }
}

impl<'a> Context<'a> {
    /// Real pods that a selector selects.
    pub(crate) fn select(&self, scope: &Scope<'_>, pods: &LabelSelector) -> Arc<[PodId]> {
        self.pods.select(scope, pods)
    }

    /// Real pods that a peer of a policy of namespace `own` selects, those in the host network as well.
    pub(crate) fn peer_pods(&self, peer: &PodPeer, own: &str) -> Arc<[PodId]> {
        let everything = LabelSelector::default();
        let pods = peer.pods.as_ref().unwrap_or(&everything);
        match &peer.namespaces {
            None => self.pods.select(&Scope::Namespace(own), pods),
            Some(namespaces) => self.pods.select(&Scope::Selected(namespaces), pods),
        }
    }

    /// Real pods that the peers of a rule select, those that take part in policy only; every pod for a rule
    /// without peers.
    pub(crate) fn rule_pods(&self, peers: Option<&[Peer]>, own: &str) -> Vec<PodId> {
        let Some(peers) = peers else { return self.real_pods().collect() };
        let mut all: BTreeSet<PodId> = BTreeSet::new();
        for peer in peers {
            if let Peer::Pods(peer) = peer {
                all.extend(self.peer_pods(peer, own).iter().filter(|pod| !self.is_host(**pod)));
            }
        }
        all.into_iter().collect()
    }

    /// Pods that exist and take part in policy.
    pub(crate) fn real_pods(&self) -> impl Iterator<Item = PodId> {
        let pods = self.pods.places.iter().flat_map(|place| &place.pods).copied();
        pods.filter(|pod| !self.is_host(*pod))
    }

    /// Whether a pod shares its node's addresses.
    pub(crate) fn is_host(&self, pod: PodId) -> bool {
        self.pods.is_host(pod)
    }

    /// Pods of a namespace, those in the host network as well.
    pub(crate) fn pods_in(&self, namespace: &str) -> &[PodId] {
        self.pods.place(namespace).map_or(&[], |place| &self.pods.places[place as usize].pods)
    }

    /// Names of the namespaces with such labels.
    pub(crate) fn namespaces_with(&self, selector: &LabelSelector) -> Vec<&'a str> {
        self.pods
            .select_namespaces(selector)
            .iter()
            .map(|place| self.pods.places[*place as usize].name)
            .collect()
    }

    /// All namespaces that exist or are mentioned, with their labels, by name.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = (&'a str, &'a Labels)> {
        self.pods.places.iter().map(|place| (place.name, place.labels))
    }

    /// Whether the input has the namespace's object, so that its labels are known.
    pub(crate) fn is_declared(&self, namespace: &str) -> bool {
        self.pods.place(namespace).is_some_and(|place| self.pods.places[place as usize].declared)
    }
}
