//! All policies of the cluster, and which of them the engine knows.
//!
//! A cluster has tens of thousands that judge no pod of this node, and most of them say the same in other
//! namespaces. What a NetworkPolicy says is kept once, whoever says it; names, and nothing else, are kept for each.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use podgate_api::{Meta, NetworkPolicy, Object, ObjectKey, Peer, Rule, Source};
use podgate_policy::Cluster;

/// Ordered by namespace, empty for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    namespace: Box<str>,
    kind: &'static str,
    name: Box<str>,
}

impl Key {
    fn of(key: &ObjectKey) -> Key {
        Key { namespace: key.namespace.as_str().into(), kind: key.kind, name: key.name.as_str().into() }
    }

    fn object_key(&self) -> ObjectKey {
        ObjectKey { kind: self.kind, namespace: self.namespace.to_string(), name: self.name.to_string() }
    }
}

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// Without what tells it from others that say the same: its metadata and its sources.
    Shared(Arc<NetworkPolicy>),
    /// Cluster-scoped policies are few.
    Whole(Box<Object>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Policies {
    all: BTreeMap<Key, Content>,
    /// Hashed with a key of this process: tenants write what is in it.
    contents: HashSet<Arc<NetworkPolicy>>,
    /// What sources of NetworkPolicies start with.
    origin: String,
    nowhere: Source,
    awake: usize,
}

/// Nothing is shared with the original: what is shared is counted.
impl Clone for Policies {
    fn clone(&self) -> Policies {
        let contents: HashSet<Arc<NetworkPolicy>> =
            self.contents.iter().map(|content| Arc::new(NetworkPolicy::clone(content))).collect();
        let content = |content: &Content| match content {
            Content::Whole(policy) => Content::Whole(policy.clone()),
            Content::Shared(shared) => {
                Content::Shared(contents.get(shared).expect("what somebody says is in the set").clone())
            }
        };
        Policies {
            all: self.all.iter().map(|(key, said)| (key.clone(), content(said))).collect(),
            origin: self.origin.clone(),
            nowhere: self.nowhere.clone(),
            awake: self.awake,
            contents,
        }
    }
}

impl Default for Policies {
    fn default() -> Policies {
        let nowhere = Source::default();
        Policies { all: BTreeMap::new(), contents: HashSet::new(), origin: String::new(), nowhere, awake: 0 }
    }
}

impl Policies {
    /// How many there are, and how many of them the engine knows.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.all.len(), self.awake)
    }

    /// Adds or replaces a policy. `true`: the engine heard of it.
    pub(crate) fn apply(&mut self, policy: Object, is_resident: bool, cluster: &mut Cluster) -> bool {
        let key = Key::of(&policy.key());
        let is_heard = is_resident || key.namespace.is_empty();
        let content = self.content(&policy);
        let known = self.all.insert(key, content.clone());
        if known.as_ref() == Some(&content) {
            return false;
        }
        match known {
            Some(known) => self.forget(known),
            None => self.awake += usize::from(is_heard),
        }
        if is_heard {
            cluster.apply(policy);
        }
        is_heard
    }

    /// Removes a policy. `true`: the engine knew it.
    pub(crate) fn delete(&mut self, key: &ObjectKey, is_resident: bool, cluster: &mut Cluster) -> bool {
        let Some(content) = self.all.remove(&Key::of(key)) else { return false };
        self.forget(content);
        let is_heard = is_resident || key.namespace.is_empty();
        if is_heard {
            self.awake -= 1;
            cluster.delete(key);
        }
        is_heard
    }

    /// Tells the engine the policies of a namespace.
    pub(crate) fn wake(&mut self, namespace: &str, cluster: &mut Cluster) {
        let mut awake = 0;
        for (key, content) in self.of(namespace) {
            awake += 1;
            cluster.apply(self.object(key, content));
        }
        self.awake += awake;
    }

    /// Has the engine forget the policies of a namespace.
    pub(crate) fn put_aside(&mut self, namespace: &str, cluster: &mut Cluster) {
        let mut asleep = 0;
        for (key, _) in self.of(namespace) {
            asleep += 1;
            cluster.delete(&key.object_key());
        }
        self.awake -= asleep;
    }

    /// The policies of a kind that a list didn't name.
    pub(crate) fn gone(&self, kind: &str, is_gone: impl Fn(&str, &str) -> bool) -> Vec<ObjectKey> {
        let gone = |key: &&Key| key.kind == kind && is_gone(&key.namespace, &key.name);
        self.all.keys().filter(gone).map(Key::object_key).collect()
    }

    fn of(&self, namespace: &str) -> impl Iterator<Item = (&Key, &Content)> {
        let first = Key { namespace: namespace.into(), kind: "", name: "".into() };
        let namespace = first.namespace.clone();
        self.all.range(first..).take_while(move |(key, _)| key.namespace == namespace)
    }

    /// The policies of a namespace, as far as they are kept: without labels and annotations.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Object> {
        self.of(namespace).map(|(key, content)| self.object(key, content)).collect()
    }

    pub(crate) fn has(&self, key: &ObjectKey) -> bool {
        self.all.contains_key(&Key::of(key))
    }

    // === what policies say ===

    fn content(&mut self, policy: &Object) -> Content {
        let Object::NetworkPolicy(policy) = policy else { return Content::Whole(Box::new(policy.clone())) };
        let (own, meta) = (&policy.meta.source.file, &policy.meta);
        let origin = own.strip_suffix(&format!("{}/{}", meta.namespace, meta.name)).unwrap_or(own);
        if self.origin != origin {
            origin.clone_into(&mut self.origin);
        }
        let mut policy = policy.clone();
        policy.meta = Meta { source: self.nowhere.clone(), ..Meta::default() };
        set_sources(&mut policy, &self.nowhere);
        if let Some(known) = self.contents.get(&policy) {
            return Content::Shared(known.clone());
        }
        let content = Arc::new(policy);
        self.contents.insert(content.clone());
        Content::Shared(content)
    }

    /// Lets go of what nobody says any more.
    fn forget(&mut self, content: Content) {
        if let Content::Shared(content) = content
            // This one, and that in the set.
            && Arc::strong_count(&content) == 2
        {
            self.contents.remove(&content);
        }
    }

    fn object(&self, key: &Key, content: &Content) -> Object {
        match content {
            Content::Whole(policy) => Object::clone(policy),
            Content::Shared(content) => {
                let mut policy = NetworkPolicy::clone(content);
                let source = Source::origin(&format!("{}{}/{}", self.origin, key.namespace, key.name));
                set_sources(&mut policy, &source);
                let (name, namespace) = (key.name.to_string(), key.namespace.to_string());
                policy.meta = Meta { name, namespace, source, ..Meta::default() };
                Object::NetworkPolicy(policy)
            }
        }
    }
}

fn set_sources(policy: &mut NetworkPolicy, to: &Source) {
    let rules = policy.ingress.iter_mut().chain(&mut policy.egress);
    for Rule { peers, ports, source } in rules {
        source.clone_from(to);
        for peer in peers.iter_mut().flatten() {
            match peer {
                Peer::Pods(peer) => peer.source.clone_from(to),
                Peer::IpBlock(block) => block.source.clone_from(to),
            }
        }
        ports.iter_mut().flatten().for_each(|port| port.source.clone_from(to));
    }
}

#[cfg(test)]
mod tests {
    use podgate_api::load_text;
    use podgate_policy::Settings;

    use super::*;

    fn policy(namespace: &str, name: &str, label: &str) -> Object {
        let text = format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: {namespace}, labels: {{of: {name}}}}}, \
             spec: {{podSelector: {{}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: {label}}}}}}}, {{ipBlock: {{cidr: 192.0.2.0/24}}}}], ports: [{{port: 80}}]}}]}}}}"
        );
        load_text("context:networkpolicies/x/y", &text).objects.remove(0)
    }

    #[test]
    fn what_many_policies_say_is_kept_once_and_as_long_as_one_says_it() {
        let (mut policies, mut cluster) = (Policies::default(), Cluster::new(Settings::default()));
        for number in 0..100 {
            policies.apply(policy(&format!("tenant-{number}"), "web", "a"), false, &mut cluster);
        }
        assert_eq!((policies.count(), policies.contents.len()), ((100, 0), 1));
        policies.apply(policy("tenant-0", "web", "b"), false, &mut cluster);
        assert_eq!(policies.contents.len(), 2);
        policies.apply(policy("tenant-0", "web", "c"), false, &mut cluster);
        assert_eq!(policies.contents.len(), 2, "nobody says b any more");
        for number in 0..100 {
            policies.delete(&policy(&format!("tenant-{number}"), "web", "a").key(), false, &mut cluster);
        }
        assert_eq!((policies.count(), policies.contents.len()), ((0, 0), 0));
    }

    #[test]
    fn a_policy_that_wakes_says_what_it_said() {
        let (mut policies, mut cluster) = (Policies::default(), Cluster::new(Settings::default()));
        let mut awake = Cluster::new(Settings::default());
        for namespace in ["shop", "shop-2", "bank"] {
            let policy = policy(namespace, "web", "a");
            awake.apply(policy.clone());
            assert!(!policies.apply(policy, false, &mut cluster));
        }
        assert_eq!(cluster.policies().count(), 0);
        policies.wake("shop", &mut cluster);
        let woken: Vec<&NetworkPolicy> = cluster.policies().collect();
        let [woken] = woken[..] else { panic!("{woken:?}") };
        let told = awake.policies().find(|policy| policy.meta.namespace == "shop").unwrap();
        assert_eq!((&woken.meta.name, &woken.meta.namespace), (&told.meta.name, &told.meta.namespace));
        let rules = |policy: &NetworkPolicy| {
            let mut policy = policy.clone();
            set_sources(&mut policy, &Source::default());
            (
                policy.pod_selector,
                policy.ingress,
                policy.egress,
                policy.ingress_in_force,
                policy.egress_in_force,
            )
        };
        assert_eq!(rules(woken), rules(told));
        assert_eq!(policies.count(), (3, 1));
        policies.put_aside("shop", &mut cluster);
        assert_eq!((cluster.policies().count(), policies.count()), (0, (3, 0)));
    }

    #[test]
    fn a_policy_that_is_told_again_with_other_labels_of_its_own_is_no_change() {
        let (mut policies, mut cluster) = (Policies::default(), Cluster::new(Settings::default()));
        let told = policy("shop", "web", "a");
        assert!(policies.apply(told.clone(), true, &mut cluster));
        let Object::NetworkPolicy(mut again) = told else { panic!("it is one") };
        again.meta.labels.insert("team".into(), "web".into());
        assert!(!policies.apply(Object::NetworkPolicy(again), true, &mut cluster));
    }
}
