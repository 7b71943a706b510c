//! What the node knows of the cluster, and which part of it the engine has to hear.
//!
//! ```text
//! API server's news ---> Inventory ---> Cluster: namespaces, nodes, all pods, the policies that may judge
//! CNI attachments ---/                  pods of this node
//! ```
//!
//! Policies of namespaces without pods on this node are put aside: no verdict here depends on them.
//! Addresses that the CNI plugin told of come before those in the pods' status, which are late and stay
//! behind when a sandbox is made anew.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podgate_api::{Object, ObjectKey, Pod, PodPhase};
use podgate_cni::{Attachment, Claim};
use podgate_kube::{Item, News, Watched};
use podgate_policy::Cluster;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use crate::policies::Policies;

/// A pod of this node.
#[derive(Clone, Debug)]
pub(crate) struct LocalPod {
    /// As the API server has it.
    pub(crate) pod: Pod,
    /// As the engine has it: the CNI's addresses, where those are known.
    pub(crate) ips: Vec<IpAddr>,
}

impl LocalPod {
    /// Whether policy judges it.
    pub(crate) fn is_judged(&self) -> bool {
        let has_ended = matches!(self.pod.phase, PodPhase::Succeeded | PodPhase::Failed);
        !self.pod.host_network && !has_ended
    }
}

/// Namespace and name.
pub(crate) type PodKey = (String, String);

/// What a piece of news meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The engine heard of something.
    pub(crate) is_change: bool,
    /// This node's pod CIDRs may be others.
    pub(crate) is_own_node: bool,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Inventory {
    node: String,
    policies: Policies,
    local: BTreeMap<PodKey, LocalPod>,
    /// Judged local pods and claims, by namespace.
    residents: FxHashMap<String, usize>,
    claims: BTreeMap<Attachment, Claim>,
    /// Addresses that a sandbox gave back while its pod's status still names them, by UID.
    given_back: FxHashMap<String, Vec<IpAddr>>,
    /// Hashes of the keys that a running list has named so far.
    listing: FxHashMap<Watched, FxHashSet<u64>>,
    synced: FxHashSet<Watched>,
    pub(crate) pod_cidrs: Vec<ipnet::IpNet>,
    /// Other namespaces and nodes, to tell what a new list no longer names.
    namespaces: FxHashSet<String>,
    nodes: FxHashSet<String>,
}

impl Inventory {
    pub(crate) fn new(node: &str, claims: Vec<Claim>) -> Inventory {
        let mut inventory = Inventory {
            node: node.to_owned(),
            policies: Policies::default(),
            local: BTreeMap::new(),
            residents: FxHashMap::default(),
            claims: BTreeMap::new(),
            given_back: FxHashMap::default(),
            listing: FxHashMap::default(),
            synced: FxHashSet::default(),
            pod_cidrs: Vec::new(),
            namespaces: FxHashSet::default(),
            nodes: FxHashSet::default(),
        };
        for claim in claims {
            inventory.claims.insert(claim.attachment.clone(), claim);
        }
        let namespaces: Vec<String> =
            inventory.claims.values().map(|claim| claim.pod.namespace.clone()).collect();
        for namespace in namespaces {
            *inventory.residents.entry(namespace).or_default() += 1;
        }
        inventory
    }

    /// Whether everything that verdicts depend on has been listed once.
    pub(crate) fn is_synced(&self) -> bool {
        self.missing().next().is_none()
    }

    /// The kinds that haven't been listed yet.
    pub(crate) fn missing(&self) -> impl Iterator<Item = Watched> {
        JUDGING.into_iter().filter(|what| !self.synced.contains(what))
    }

    /// Pods of this node, in order of their names.
    pub(crate) fn local_pods(&self) -> impl Iterator<Item = (&PodKey, &LocalPod)> {
        self.local.iter()
    }

    pub(crate) fn local_pod(&self, namespace: &str, name: &str) -> Option<&LocalPod> {
        self.local.get(&(namespace.to_owned(), name.to_owned()))
    }

    pub(crate) fn claim(&self, attachment: &Attachment) -> Option<&Claim> {
        self.claims.get(attachment)
    }

    /// The cluster's nodes, in no particular order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(String::as_str)
    }

    /// How many policies there are, and how many of them the engine has heard of.
    pub(crate) fn policies(&self) -> (usize, usize) {
        self.policies.count()
    }

    /// The policies of a namespace; of cluster-scoped kinds where the name is empty.
    pub(crate) fn policies_of(&self, namespace: &str) -> Vec<Object> {
        self.policies.in_namespace(namespace)
    }

    pub(crate) fn has_policy(&self, key: &ObjectKey) -> bool {
        self.policies.has(key)
    }

    /// Adds or replaces a policy. `true`: the engine heard of it.
    pub(crate) fn put_policy(&mut self, policy: Object, cluster: &mut Cluster) -> bool {
        let is_resident = self.residents.contains_key(&policy.meta().namespace);
        self.policies.apply(policy, is_resident, cluster)
    }

    /// Removes a policy. `true`: the engine knew it.
    pub(crate) fn drop_policy(&mut self, key: &ObjectKey, cluster: &mut Cluster) -> bool {
        let is_resident = self.residents.contains_key(&key.namespace);
        self.policies.delete(key, is_resident, cluster)
    }

    // === the API server ===

    pub(crate) fn take(&mut self, news: News, cluster: &mut Cluster) -> Effect {
        match news {
            News::Listing(what) => {
                self.listing.insert(what, FxHashSet::default());
                Effect::default()
            }
            News::Applied(what, item) => {
                let hash = key_hash(&item.object.meta().namespace, &item.object.meta().name);
                if let Some(seen) = self.listing.get_mut(&what) {
                    seen.insert(hash);
                }
                self.apply(item, cluster)
            }
            News::Deleted(what, key, uid) => self.delete(what, &key, &uid, cluster),
            News::Unreadable(what, key, _) => {
                // Whatever was understood of it last stays.
                if let Some(seen) = self.listing.get_mut(&what) {
                    seen.insert(key_hash(&key.namespace, &key.name));
                }
                Effect::default()
            }
            News::Synced(what) => {
                let seen = self.listing.remove(&what);
                let is_first = self.synced.insert(what);
                match seen {
                    Some(seen) if !is_first => self.sweep(what, &seen, cluster),
                    _ => Effect { is_change: is_first, is_own_node: false },
                }
            }
            News::Absent(what) => {
                self.listing.remove(&what);
                let is_first = self.synced.insert(what);
                let effect = self.sweep(what, &FxHashSet::default(), cluster);
                Effect { is_change: effect.is_change || is_first, ..effect }
            }
            News::Interrupted { .. } | News::Resumed(_) => Effect::default(),
        }
    }

    fn apply(&mut self, item: Item, cluster: &mut Cluster) -> Effect {
        let mut effect = Effect { is_change: true, is_own_node: false };
        match item.object {
            Object::Pod(pod) => self.apply_pod(pod, cluster),
            Object::Node(node) => {
                if node.meta.name == self.node {
                    effect.is_own_node = self.pod_cidrs != node.pod_cidrs;
                    self.pod_cidrs.clone_from(&node.pod_cidrs);
                }
                self.nodes.insert(node.meta.name.clone());
                cluster.apply(Object::Node(node));
            }
            Object::Namespace(namespace) => {
                self.namespaces.insert(namespace.meta.name.clone());
                cluster.apply(Object::Namespace(namespace));
            }
            policy @ (Object::NetworkPolicy(_) | Object::ClusterPolicy(_)) => {
                let is_resident = self.residents.contains_key(&policy.meta().namespace);
                effect.is_change = self.policies.apply(policy, is_resident, cluster);
            }
            _ => effect.is_change = false,
        }
        effect
    }

    fn delete(&mut self, what: Watched, key: &ObjectKey, uid: &str, cluster: &mut Cluster) -> Effect {
        let is_change = match what {
            Watched::Pods => {
                let local = self.local.get(&(key.namespace.clone(), key.name.clone()));
                // A late goodbye to an earlier pod of this name.
                if local.is_some_and(|local| !uid.is_empty() && local.pod.meta.uid != uid) {
                    return Effect::default();
                }
                self.forget_pod(&key.namespace, &key.name, cluster);
                true
            }
            Watched::Namespaces => self.namespaces.remove(&key.name),
            Watched::Nodes => self.nodes.remove(&key.name),
            _ => {
                let is_resident = self.residents.contains_key(&key.namespace);
                let is_change = self.policies.delete(key, is_resident, cluster);
                return Effect { is_change, is_own_node: false };
            }
        };
        cluster.delete(key);
        Effect { is_change, is_own_node: false }
    }

    /// Forgets what a complete list doesn't name.
    fn sweep(&mut self, what: Watched, seen: &FxHashSet<u64>, cluster: &mut Cluster) -> Effect {
        let is_gone = |namespace: &str, name: &str| !seen.contains(&key_hash(namespace, name));
        let gone: Vec<ObjectKey> = match what {
            Watched::Pods => {
                let gone = cluster.pods().filter(|pod| is_gone(pod.namespace(), pod.name()));
                gone.map(|pod| key_of(what, pod.namespace(), pod.name())).collect()
            }
            Watched::Namespaces => named(what, &self.namespaces, is_gone),
            Watched::Nodes => named(what, &self.nodes, is_gone),
            _ => self.policies.gone(what.kind(), is_gone),
        };
        let mut effect = Effect::default();
        for key in gone {
            effect.is_change |= self.delete(what, &key, "", cluster).is_change;
        }
        effect
    }

    // === pods of this node ===

    fn apply_pod(&mut self, pod: Pod, cluster: &mut Cluster) {
        if pod.node.as_deref() != Some(self.node.as_str()) {
            cluster.apply(Object::Pod(pod));
            return;
        }
        let key = (pod.meta.namespace.clone(), pod.meta.name.clone());
        let known = self.local.get(&key);
        if let Some(known) = known
            && known.pod.meta.uid != pod.meta.uid
        {
            self.given_back.remove(&known.pod.meta.uid.clone());
        }
        let was_judged = self.local.get(&key).is_some_and(LocalPod::is_judged);
        let mut local = LocalPod { ips: Vec::new(), pod };
        local.ips = self.addresses(&local.pod);
        let is_judged = local.is_judged();
        self.tell(&local, cluster);
        self.local.insert(key.clone(), local);
        match (was_judged, is_judged) {
            (false, true) => self.arrive(&key.0, cluster),
            (true, false) => self.leave(&key.0, cluster),
            _ => {}
        }
    }

    fn forget_pod(&mut self, namespace: &str, name: &str, cluster: &mut Cluster) {
        let Some(local) = self.local.remove(&(namespace.to_owned(), name.to_owned())) else { return };
        self.given_back.remove(&local.pod.meta.uid);
        if local.is_judged() {
            self.leave(namespace, cluster);
        }
    }

    /// The addresses that are this pod's now.
    fn addresses(&self, pod: &Pod) -> Vec<IpAddr> {
        let own = |claim: &&Claim| is_of(claim, pod);
        let claimed: Vec<IpAddr> =
            self.claims.values().filter(own).flat_map(|claim| &claim.ips).copied().collect();
        if !claimed.is_empty() {
            return claimed;
        }
        let given_back = self.given_back.get(&pod.meta.uid).map(Vec::as_slice).unwrap_or_default();
        let is_free = |ip: &IpAddr| {
            !given_back.contains(ip) && !self.claims.values().any(|claim| claim.ips.contains(ip))
        };
        pod.ips.iter().copied().filter(is_free).collect()
    }

    fn tell(&self, local: &LocalPod, cluster: &mut Cluster) {
        let mut pod = local.pod.clone();
        pod.ips.clone_from(&local.ips);
        cluster.apply(Object::Pod(pod));
    }

    /// Looks at every local pod's addresses again.
    fn readdress(&mut self, cluster: &mut Cluster) {
        let keys: Vec<PodKey> = self.local.keys().cloned().collect();
        for key in keys {
            let ips = self.addresses(&self.local[&key].pod);
            let Some(local) = self.local.get_mut(&key).filter(|local| local.ips != ips) else { continue };
            local.ips = ips;
            let local = local.clone();
            self.tell(&local, cluster);
        }
    }

    /// Another reason to know a namespace's policies.
    fn arrive(&mut self, namespace: &str, cluster: &mut Cluster) {
        let residents = self.residents.entry(namespace.to_owned()).or_default();
        *residents += 1;
        if *residents == 1 {
            self.policies.wake(namespace, cluster);
        }
    }

    fn leave(&mut self, namespace: &str, cluster: &mut Cluster) {
        let Some(residents) = self.residents.get_mut(namespace) else { return };
        *residents -= 1;
        if *residents == 0 {
            self.residents.remove(namespace);
            self.policies.put_aside(namespace, cluster);
        }
    }

    // === the CNI plugin ===

    /// Takes note of a pod's addresses.
    pub(crate) fn claim_addresses(&mut self, claim: Claim, cluster: &mut Cluster) {
        let namespace = claim.pod.namespace.clone();
        let is_new = self.claims.insert(claim.attachment.clone(), claim).is_none();
        if is_new {
            self.arrive(&namespace, cluster);
        }
        self.readdress(cluster);
    }

    /// The attachment is gone. Returns whether there was one.
    pub(crate) fn give_back(&mut self, attachment: &Attachment, cluster: &mut Cluster) -> bool {
        let Some(claim) = self.claims.remove(attachment) else { return false };
        if let Some(local) = self.local_pod(&claim.pod.namespace, &claim.pod.name)
            && is_of(&claim, &local.pod)
        {
            let uid = local.pod.meta.uid.clone();
            self.given_back.entry(uid).or_default().extend(&claim.ips);
        }
        self.readdress(cluster);
        self.leave(&claim.pod.namespace, cluster);
        true
    }

    /// The attachments that aren't among the valid ones.
    pub(crate) fn stale(&self, valid: &[Attachment]) -> Vec<Attachment> {
        self.claims.keys().filter(|attachment| !valid.contains(attachment)).cloned().collect()
    }
}

/// What verdicts depend on.
pub(crate) const JUDGING: [Watched; 7] = [
    Watched::Namespaces,
    Watched::Nodes,
    Watched::Pods,
    Watched::NetworkPolicies,
    Watched::ClusterNetworkPolicies,
    Watched::AdminNetworkPolicies,
    Watched::BaselineAdminNetworkPolicies,
];

/// Whether a claim is this pod's, and not that of an earlier one of its name.
pub(crate) fn is_of(claim: &Claim, pod: &Pod) -> bool {
    claim.pod.namespace == pod.meta.namespace
        && claim.pod.name == pod.meta.name
        && (claim.pod.uid.is_empty() || claim.pod.uid == pod.meta.uid)
}

fn key_hash(namespace: &str, name: &str) -> u64 {
    use std::hash::BuildHasher;
    FxBuildHasher.hash_one((namespace, name))
}

fn key_of(what: Watched, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { kind: what.kind(), namespace: namespace.to_owned(), name: name.to_owned() }
}

fn named(what: Watched, names: &FxHashSet<String>, is_gone: impl Fn(&str, &str) -> bool) -> Vec<ObjectKey> {
    names.iter().filter(|name| is_gone("", name)).map(|name| key_of(what, "", name)).collect()
}

#[cfg(test)]
mod tests;
