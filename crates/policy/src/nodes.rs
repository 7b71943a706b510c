//! Nodes: their addresses, and which of them selectors select.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;
use podgate_api::{LabelSelector, Labels, Node};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

#[derive(Debug, Default)]
pub(crate) struct Nodes {
    by_name: HashMap<Arc<str>, NodeState>,
    /// More than one where a node was replaced and its old object lingers.
    by_address: FxHashMap<IpAddr, SmallVec<[Arc<str>; 1]>>,
    /// Labels or addresses changed since they were last asked for.
    changed: bool,
}

/// A node; without labels and addresses while only pods mention it.
#[derive(Debug, Default, PartialEq)]
struct NodeState {
    labels: Labels,
    addresses: Vec<IpAddr>,
    /// A Node object exists.
    declared: bool,
}

impl Nodes {
    pub fn apply(&mut self, node: Node) {
        let state = NodeState { labels: node.meta.labels, addresses: node.addresses, declared: true };
        if self.by_name.get(&*node.meta.name) == Some(&state) {
            return;
        }
        self.delete(&node.meta.name);
        let name = self.name(&node.meta.name);
        for ip in &state.addresses {
            let owners = self.by_address.entry(*ip).or_default();
            if !owners.contains(&name) {
                owners.push(name.clone());
            }
        }
        self.by_name.insert(name, state);
        self.changed = true;
    }

    pub fn delete(&mut self, name: &str) {
        let Some(state) = self.by_name.remove(name) else { return };
        self.changed = true;
        for ip in state.addresses {
            if let Some(owners) = self.by_address.get_mut(&ip) {
                owners.retain(|owner| **owner != *name);
                if owners.is_empty() {
                    self.by_address.remove(&ip);
                }
            }
        }
    }

    /// One shared copy of a node's name.
    pub fn name(&mut self, name: &str) -> Arc<str> {
        if let Some((name, _)) = self.by_name.get_key_value(name) {
            return name.clone();
        }
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), NodeState::default());
        name
    }

    /// Whether an address is the node's.
    pub fn has(&self, name: &str, ip: IpAddr) -> bool {
        self.by_address.get(&ip).is_some_and(|owners| owners.iter().any(|owner| **owner == *name))
    }

    /// Whether labels or addresses changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The addresses of the nodes that a selector selects, as networks of one address, sorted.
    pub fn selected(&self, selector: &LabelSelector) -> Vec<IpNet> {
        let nodes = self.by_name.values().filter(|node| node.declared && selector.matches(&node.labels));
        let mut addresses: Vec<IpNet> =
            nodes.flat_map(|node| node.addresses.iter().map(|ip| IpNet::from(*ip))).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}
