//! All policies of the cluster, and which of them the engine knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use podgate_api::{Object, ObjectKey};
use podgate_policy::Cluster;

/// Policies by namespace (empty for cluster-scoped kinds), then by kind and name.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    by_namespace: BTreeMap<String, BTreeMap<(&'static str, String), Arc<Object>>>,
    awake: usize,
    total: usize,
}

impl Policies {
    /// How many there are, and how many of them the engine knows.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.total, self.awake)
    }

    /// Adds or replaces a policy. `true`: the engine heard of it.
    pub(crate) fn apply(&mut self, policy: Arc<Object>, is_resident: bool, cluster: &mut Cluster) -> bool {
        let key = policy.key();
        let is_heard = is_resident || key.namespace.is_empty();
        let policies = self.by_namespace.entry(key.namespace).or_default();
        let known = policies.insert((key.kind, key.name), policy.clone());
        if known.as_ref() == Some(&policy) {
            return false;
        }
        if known.is_none() {
            self.total += 1;
            self.awake += usize::from(is_heard);
        }
        if is_heard {
            cluster.apply(Arc::unwrap_or_clone(policy));
        }
        is_heard
    }

    /// Removes a policy. `true`: the engine knew it.
    pub(crate) fn delete(&mut self, key: &ObjectKey, is_resident: bool, cluster: &mut Cluster) -> bool {
        let Some(policies) = self.by_namespace.get_mut(&key.namespace) else { return false };
        if policies.remove(&(key.kind, key.name.clone())).is_none() {
            return false;
        }
        if policies.is_empty() {
            self.by_namespace.remove(&key.namespace);
        }
        self.total -= 1;
        let is_heard = is_resident || key.namespace.is_empty();
        if is_heard {
            self.awake -= 1;
            cluster.delete(key);
        }
        is_heard
    }

    /// Tells the engine the policies of a namespace.
    pub(crate) fn wake(&mut self, namespace: &str, cluster: &mut Cluster) {
        for policy in self.of(namespace) {
            self.awake += 1;
            cluster.apply(Object::clone(&policy));
        }
    }

    /// Has the engine forget the policies of a namespace.
    pub(crate) fn put_aside(&mut self, namespace: &str, cluster: &mut Cluster) {
        for policy in self.of(namespace) {
            self.awake -= 1;
            cluster.delete(&policy.key());
        }
    }

    /// The policies of a kind that a list didn't name.
    pub(crate) fn gone(&self, kind: &str, is_gone: impl Fn(&str, &str) -> bool) -> Vec<ObjectKey> {
        let all = self.by_namespace.values().flat_map(BTreeMap::values).map(|policy| policy.key());
        all.filter(|key| key.kind == kind && is_gone(&key.namespace, &key.name)).collect()
    }

    fn of(&self, namespace: &str) -> Vec<Arc<Object>> {
        self.by_namespace
            .get(namespace)
            .map(|policies| policies.values().cloned().collect())
            .unwrap_or_default()
    }
}
