//! Address blocks: which of the blocks in use hold an address.
//!
//! Every `cidr` and every `except` in use is a prefix. All addresses with the same longest matching
//! prefix are held by the same blocks, so a prefix stands for them all.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::joint::map::JointPrefixMap;
use rustc_hash::FxHashMap;

use crate::predicates::{PredId, Predicates, Question};
use crate::tables::ClassId;

#[derive(Debug, Default)]
pub(crate) struct Prefix {
    /// How many blocks begin or have a hole here; the two roots are held once for ever.
    refs: u32,
    /// Blocks whose `cidr` this is.
    begins: Vec<PredId>,
    /// Blocks that hold the addresses of this prefix, sorted.
    pub blocks: Box<[PredId]>,
    pub class: Option<ClassId>,
}

pub(crate) struct Blocks {
    prefixes: JointPrefixMap<IpNet, Prefix>,
    /// Blocks that came or went since the last refresh.
    changed: Vec<IpNet>,
    /// For each question about nodes, the addresses for which it is answered with yes, sorted.
    nodes: FxHashMap<PredId, Vec<IpNet>>,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("prefixes", &self.prefixes.len()).finish()
    }
}

/// What a refresh changed.
#[derive(Debug, Default)]
pub(crate) struct BlockChanges {
    /// Blocks that came or went: pod addresses inside must be asked again.
    pub nets: Vec<IpNet>,
    /// Prefixes that are new or held by other blocks than before.
    pub touched: Vec<IpNet>,
    /// Prefixes that are gone, with the class they had.
    pub gone: Vec<(IpNet, ClassId)>,
}

/// `0.0.0.0/0` and `::/0`.
pub(crate) fn roots() -> [IpNet; 2] {
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
}

impl Blocks {
    pub fn new() -> Self {
        let mut blocks =
            Blocks { prefixes: JointPrefixMap::new(), changed: Vec::new(), nodes: FxHashMap::default() };
        for root in roots() {
            blocks.hold(root);
            blocks.changed.push(root);
        }
        blocks
    }

    fn hold(&mut self, net: IpNet) {
        self.prefixes.entry(net).or_default().refs += 1;
    }

    pub fn add(&mut self, id: PredId, cidr: IpNet, except: &[IpNet]) {
        self.hold(cidr);
        except.iter().for_each(|hole| self.hold(*hole));
        if let Some(prefix) = self.prefixes.get_mut(&cidr) {
            prefix.begins.push(id);
        }
        self.changed.push(cidr);
    }

    pub fn remove(&mut self, id: PredId, cidr: IpNet, except: &[IpNet], gone: &mut Vec<(IpNet, ClassId)>) {
        if let Some(prefix) = self.prefixes.get_mut(&cidr) {
            prefix.begins.retain(|begun| *begun != id);
        }
        for net in std::iter::once(&cidr).chain(except) {
            let Some(prefix) = self.prefixes.get_mut(net) else { continue };
            prefix.refs -= 1;
            if prefix.refs == 0 {
                let class = prefix.class;
                self.prefixes.remove(net);
                gone.extend(class.map(|class| (*net, class)));
            }
        }
        self.changed.push(cidr);
    }

    /// Has a question about nodes answered with yes for exactly these addresses.
    pub fn set_nodes(&mut self, id: PredId, addresses: Vec<IpNet>, gone: &mut Vec<(IpNet, ClassId)>) {
        let before = self.nodes.remove(&id).unwrap_or_default();
        for net in before.iter().filter(|net| addresses.binary_search(net).is_err()) {
            self.remove(id, *net, &[], gone);
        }
        for net in addresses.iter().filter(|net| before.binary_search(net).is_err()) {
            self.add(id, *net, &[]);
        }
        if !addresses.is_empty() {
            self.nodes.insert(id, addresses);
        }
    }

    /// Asks all prefixes inside changed blocks again.
    pub fn refresh(&mut self, predicates: &Predicates, gone: Vec<(IpNet, ClassId)>) -> BlockChanges {
        let mut nets = std::mem::take(&mut self.changed);
        nets.sort_unstable_by_key(|net| (net.prefix_len(), *net));
        nets.dedup();
        let mut changes = BlockChanges { gone, ..BlockChanges::default() };
        for net in nets {
            if !changes.nets.iter().any(|outer| outer.contains(&net)) {
                changes.nets.push(net);
            }
        }
        for outer in &changes.nets {
            let inside: Vec<IpNet> = self.prefixes.children(outer).map(|(net, _)| net).collect();
            for net in inside {
                let blocks = self.holding(&net, predicates);
                let Some(prefix) = self.prefixes.get_mut(&net) else { continue };
                if prefix.class.is_none() || prefix.blocks != blocks {
                    prefix.blocks = blocks;
                    changes.touched.push(net);
                }
            }
        }
        changes
    }

    /// The blocks that hold all addresses of a prefix which no longer prefix in use splits.
    fn holding(&self, net: &IpNet, predicates: &Predicates) -> Box<[PredId]> {
        let mut blocks: Vec<PredId> = Vec::new();
        for (_, outer) in self.prefixes.cover(net) {
            blocks.extend(outer.begins.iter().filter(|id| match &predicates.get(**id).question {
                Question::Block(_, except) => !except.iter().any(|hole| hole.contains(net)),
                Question::Nodes(_) => true,
                _ => false,
            }));
        }
        blocks.sort_unstable();
        blocks.into()
    }

    /// The prefix that stands for an address.
    pub fn prefix_of(&self, address: IpAddr) -> &Prefix {
        self.prefixes.get_lpm(&IpNet::from(address)).expect("the roots hold every address").1
    }

    pub fn get(&self, net: &IpNet) -> Option<&Prefix> {
        self.prefixes.get(net)
    }

    pub fn set_class(&mut self, net: &IpNet, class: ClassId) {
        if let Some(prefix) = self.prefixes.get_mut(net) {
            prefix.class = Some(class);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (IpNet, &Prefix)> {
        self.prefixes.iter()
    }
}
