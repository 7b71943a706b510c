//! Nodes: their addresses, and which of them selectors select.

use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashMap;
use ipnet::IpNet;
use podgate_api::{LabelSelector, Labels, Node};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// Place of a node's name; a name keeps its place for ever.
pub(crate) type NodeId = u32;

/// No node.
pub(crate) const NO_NODE: NodeId = 0;

#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    /// The first place is nobody's.
    states: Vec<NodeState>,
    ids: HashMap<Arc<str>, NodeId>,
    /// More than one where a node was replaced and its old object lingers.
    by_address: FxHashMap<IpAddr, SmallVec<[NodeId; 2]>>,
    /// Labels or addresses changed since they were last asked for.
    changed: bool,
}

#[derive(Clone, Debug)]
struct NodeState {
    name: Arc<str>,
    /// `None` while only pods mention it.
    object: Option<Declared>,
}

#[derive(Clone, Debug, PartialEq)]
struct Declared {
    labels: Labels,
    addresses: Vec<IpAddr>,
}

impl Nodes {
    pub fn apply(&mut self, node: Node) {
        let id = self.id(&node.meta.name);
        let object = Some(Declared { labels: node.meta.labels, addresses: node.addresses });
        if self.states[id as usize].object == object {
            return;
        }
        self.forget(id);
        for ip in object.iter().flat_map(|object| &object.addresses) {
            let owners = self.by_address.entry(*ip).or_default();
            if !owners.contains(&id) {
                owners.push(id);
            }
        }
        self.states[id as usize].object = object;
        self.changed = true;
    }

    pub fn delete(&mut self, name: &str) {
        if let Some(id) = self.ids.get(name) {
            self.forget(*id);
        }
    }

    fn forget(&mut self, id: NodeId) {
        let Some(object) = self.states[id as usize].object.take() else { return };
        self.changed = true;
        for ip in object.addresses {
            if let Some(owners) = self.by_address.get_mut(&ip) {
                owners.retain(|owner| *owner != id);
                if owners.is_empty() {
                    self.by_address.remove(&ip);
                }
            }
        }
    }

    /// The place of a node's name.
    pub fn id(&mut self, name: &str) -> NodeId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        if self.states.is_empty() {
            self.states.push(NodeState { name: "".into(), object: None });
        }
        let (name, id): (Arc<str>, NodeId) = (name.into(), self.states.len() as NodeId);
        self.ids.insert(name.clone(), id);
        self.states.push(NodeState { name, object: None });
        id
    }

    /// The name at a place; `None` for [`NO_NODE`].
    pub fn name(&self, id: NodeId) -> Option<&Arc<str>> {
        (id != NO_NODE).then(|| &self.states[id as usize].name)
    }

    /// The name of the node that an address belongs to.
    pub fn at(&self, ip: IpAddr) -> Option<&Arc<str>> {
        self.by_address.get(&ip)?.first().and_then(|id| self.name(*id))
    }

    /// Whether an address is the node's.
    pub fn has(&self, id: NodeId, ip: IpAddr) -> bool {
        self.by_address.get(&ip).is_some_and(|owners| owners.contains(&id))
    }

    /// Whether labels or addresses changed since this was last asked.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The addresses of the nodes that a selector selects, as networks of one address, sorted.
    pub fn selected(&self, selector: &LabelSelector) -> Vec<IpNet> {
        let declared = self.states.iter().filter_map(|state| state.object.as_ref());
        let nodes = declared.filter(|node| selector.matches(&node.labels));
        let mut addresses: Vec<IpNet> =
            nodes.flat_map(|node| node.addresses.iter().map(|ip| IpNet::from(*ip))).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}
