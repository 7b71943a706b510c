//! Address blocks: which of the blocks in use hold an address.
//!
//! Every `cidr` and every `except` in use is a prefix. All addresses with the same longest matching
//! prefix are held by the same blocks, so a prefix stands for them all. It lists the blocks that answer
//! unusually there: see [`Predicate::usual`](crate::predicates::Predicate::usual).

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::joint::map::JointPrefixMap;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::predicates::PredId;
use crate::tables::{ClassId, Family, Kind};

#[derive(Clone, Debug, Default)]
pub(crate) struct Prefix {
    /// How many blocks begin or have a hole here; the two roots are held once for ever.
    refs: u32,
    /// Blocks that answer differently here and around: they begin here or have a hole here. Sorted.
    turns: Vec<PredId>,
    /// Blocks that answer unusually here, sorted: for addresses of no pod, and for pods'.
    unusual: [Box<[PredId]>; 2],
    pub class: Option<ClassId>,
    /// Place in the order of all prefixes, while they are weighed.
    at: u32,
}

impl Prefix {
    /// Blocks that answer unusually here, sorted.
    pub fn unusual(&self, pod: bool) -> &[PredId] {
        &self.unusual[usize::from(pod)]
    }
}

#[derive(Clone)]
pub(crate) struct Blocks {
    prefixes: JointPrefixMap<IpNet, Prefix>,
    /// Blocks that usually answer yes, by kind of address. Sorted.
    usual: [[Vec<PredId>; 2]; 2],
    /// Where prefixes must be asked again.
    changed: Vec<IpNet>,
    /// All prefixes of this family are to be told.
    touched: Option<Family>,
    /// Single addresses that came to or went from a question since the last refresh.
    members_changed: Vec<IpAddr>,
    /// For each question about nodes, the addresses for which it is answered with yes, sorted.
    nodes: FxHashMap<PredId, Vec<IpNet>>,
    /// How many prefixes came since this was last asked.
    new: usize,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("prefixes", &self.prefixes.len()).finish()
    }
}

/// What a refresh changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct BlockChanges {
    /// Single addresses that came to or went from a question: where a pod has one, it must be asked again.
    pub members: Vec<IpAddr>,
    /// Prefixes that are new or answer otherwise than before.
    pub touched: Vec<IpNet>,
}

/// How much lies in each prefix: a number for pods' addresses, and one for others.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    /// With everything inside, by the prefix's place.
    inside: Vec<[u32; 2]>,
    all: [[u32; 2]; 2],
}

/// `0.0.0.0/0` or `::/0`.
fn root(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Ipv4Net::default()),
        Family::V6 => IpNet::V6(Ipv6Net::default()),
    }
}

pub(crate) fn family(net: &IpNet) -> Family {
    Family::of(net.addr())
}

/// The prefixes at which a block's answer turns: its own, and the outermost holes in it.
fn turns(cidr: &IpNet, except: &[IpNet]) -> SmallVec<[IpNet; 4]> {
    if except.iter().any(|hole| hole.contains(cidr)) {
        return SmallVec::new();
    }
    let mut holes: Vec<IpNet> = except.iter().filter(|hole| cidr.contains(*hole)).map(IpNet::trunc).collect();
    // A network comes right before what is inside.
    holes.sort_unstable_by_key(|net| (net.addr(), net.prefix_len()));
    let mut turns: SmallVec<[IpNet; 4]> = SmallVec::from_iter([*cidr]);
    for hole in holes {
        if turns.len() == 1 || turns.last().is_some_and(|outer| !outer.contains(&hole)) {
            turns.push(hole);
        }
    }
    turns
}

impl Blocks {
    pub fn new() -> Self {
        let mut blocks = Blocks {
            prefixes: JointPrefixMap::new(),
            usual: Default::default(),
            changed: Vec::new(),
            touched: None,
            members_changed: Vec::new(),
            nodes: FxHashMap::default(),
            new: 0,
        };
        for root in Family::ALL.map(root) {
            blocks.new += usize::from(blocks.hold(root));
            blocks.changed.push(root);
        }
        blocks
    }

    /// Holds a prefix once more. `true`: it is new.
    fn hold(&mut self, net: IpNet) -> bool {
        let prefix = self.prefixes.entry(net).or_default();
        prefix.refs += 1;
        prefix.refs == 1
    }

    pub fn add(&mut self, id: PredId, cidr: IpNet, except: &[IpNet]) {
        for net in std::iter::once(&cidr).chain(except) {
            self.new += usize::from(self.hold(*net));
        }
        self.turn_at(id, cidr, except);
    }

    fn turn_at(&mut self, id: PredId, cidr: IpNet, except: &[IpNet]) {
        for net in turns(&cidr, except) {
            let turns = self.prefixes.get_mut(&net).map(|prefix| &mut prefix.turns);
            if let Some(turns) = turns
                && let Err(at) = turns.binary_search(&id)
            {
                turns.insert(at, id);
            }
        }
        self.changed.extend(std::iter::once(&cidr).chain(except));
    }

    /// Forgets a block; prefixes that go with it are told to `gone` with the class they had.
    pub fn remove(&mut self, id: PredId, cidr: IpNet, except: &[IpNet], gone: &mut Vec<(IpNet, ClassId)>) {
        for net in turns(&cidr, except) {
            let turns = self.prefixes.get_mut(&net).map(|prefix| &mut prefix.turns);
            if let Some(turns) = turns
                && let Ok(at) = turns.binary_search(&id)
            {
                turns.remove(at);
            }
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
        for pod in [false, true] {
            self.set_usual(id, Kind { pod, family: family(&cidr) }, false);
        }
        self.changed.push(cidr);
    }

    /// Has the block counted as one that usually answers yes for this kind of address, or no.
    pub fn set_usual(&mut self, id: PredId, kind: Kind, yes: bool) {
        let list = &mut self.usual[kind.family as usize][usize::from(kind.pod)];
        match (list.binary_search(&id), yes) {
            (Err(at), true) => list.insert(at, id),
            (Ok(at), false) => _ = list.remove(at),
            _ => return,
        }
        self.changed.push(root(kind.family));
    }

    /// Has all prefixes of a family told by the next refresh, whatever they answer.
    pub fn touch(&mut self, family: Family) {
        self.touched = Some(family);
        self.changed.push(root(family));
    }

    /// Has a question about nodes answered with yes for exactly these addresses.
    pub fn set_nodes(&mut self, id: PredId, addresses: Vec<IpNet>, gone: &mut Vec<(IpNet, ClassId)>) {
        let before = self.nodes.remove(&id).unwrap_or_default();
        for net in before.iter().filter(|net| addresses.binary_search(net).is_err()) {
            self.leave(id, net.addr(), gone);
        }
        for net in addresses.iter().filter(|net| before.binary_search(net).is_err()) {
            self.join(id, net.addr());
        }
        if !addresses.is_empty() {
            self.nodes.insert(id, addresses);
        }
    }

    /// Has a question answered with yes for one more address. Such prefixes don't count as new: however many there
    /// are, those with the same answers are one class, and the usual answers of blocks are as good as before.
    pub fn join(&mut self, id: PredId, address: IpAddr) {
        let net = IpNet::from(address);
        self.hold(net);
        self.turn_at(id, net, &[]);
        self.members_changed.push(address);
    }

    /// Takes back what [`Blocks::join`] did.
    pub fn leave(&mut self, id: PredId, address: IpAddr, gone: &mut Vec<(IpNet, ClassId)>) {
        self.remove(id, IpNet::from(address), &[], gone);
        self.members_changed.push(address);
    }

    /// Asks all prefixes at and inside changed ones again.
    pub fn refresh(&mut self) -> BlockChanges {
        let mut nets = std::mem::take(&mut self.changed);
        nets.sort_unstable_by_key(|net| (net.addr(), net.prefix_len()));
        let mut changes =
            BlockChanges { members: std::mem::take(&mut self.members_changed), ..BlockChanges::default() };
        let touched = self.touched.take();
        let mut asked: Option<IpNet> = None;
        for outer in nets {
            if asked.is_some_and(|asked| asked.contains(&outer)) {
                continue;
            }
            asked = Some(outer);
            let inside: Vec<IpNet> = self.prefixes.children(&outer).map(|(net, _)| net).collect();
            // The prefixes around the one that is asked, outermost first.
            let mut around: Vec<IpNet> = self.prefixes.cover(&outer).map(|(net, _)| net).collect();
            for net in inside {
                while around.last().is_some_and(|outer| *outer == net || !outer.contains(&net)) {
                    around.pop();
                }
                let unusual = [false, true].map(|pod| self.unusual_at(&net, around.last(), pod));
                around.push(net);
                let Some(prefix) = self.prefixes.get_mut(&net) else { continue };
                let again = touched == Some(family(&net));
                if again || prefix.class.is_none() || prefix.unusual != unusual {
                    prefix.unusual = unusual;
                    changes.touched.push(net);
                }
            }
        }
        changes
    }

    /// The blocks that answer unusually at a prefix: those of the prefix around, but for the blocks whose
    /// answer turns. Around all prefixes, no block answers yes.
    fn unusual_at(&self, net: &IpNet, around: Option<&IpNet>, pod: bool) -> Box<[PredId]> {
        let around = match around {
            Some(outer) => self.prefixes.get(outer).map(|prefix| prefix.unusual(pod)).unwrap_or_default(),
            None => &self.usual[family(net) as usize][usize::from(pod)],
        };
        let turns = self.prefixes.get(net).map(|prefix| &prefix.turns[..]).unwrap_or_default();
        in_one_only(around, turns)
    }

    /// Weighs all prefixes: `pods` are addresses of pods; those with one prefix and equal numbers count once.
    pub fn weigh(&mut self, pods: impl Iterator<Item = (IpAddr, u64)>) -> Weights {
        let mut outer: Vec<Option<u32>> = Vec::with_capacity(self.prefixes.len());
        let mut around: Vec<(IpNet, u32)> = Vec::new();
        for (at, (net, prefix)) in self.prefixes.iter_mut().enumerate() {
            prefix.at = at as u32;
            while around.last().is_some_and(|(outer, _)| !outer.contains(&net)) {
                around.pop();
            }
            outer.push(around.last().map(|(_, at)| *at));
            around.push((net, at as u32));
        }
        let mut pods: Vec<(u32, u64)> = pods.map(|(ip, number)| (self.prefix_of(ip).at, number)).collect();
        pods.sort_unstable();
        pods.dedup();
        let mut inside: Vec<[u32; 2]> = vec![[1, 0]; outer.len()];
        pods.iter().for_each(|(at, _)| inside[*at as usize][1] += 1);
        // What is inside comes later in the order.
        for at in (0..outer.len()).rev() {
            if let Some(outer) = outer[at] {
                let [others, pods] = inside[at];
                inside[outer as usize][0] += others;
                inside[outer as usize][1] += pods;
            }
        }
        let of = |family| self.prefixes.get(&root(family)).map_or([0; 2], |root| inside[root.at as usize]);
        Weights { all: Family::ALL.map(of), inside }
    }

    /// How much of all lies in a block: that, and all.
    pub fn weight(&self, weights: &Weights, cidr: &IpNet, except: &[IpNet], pod: bool) -> (u32, u32) {
        let inside = |net: &IpNet| {
            self.prefixes.get(net).map_or(0, |prefix| weights.inside[prefix.at as usize][usize::from(pod)])
        };
        let all = weights.all[family(cidr) as usize][usize::from(pod)];
        match turns(cidr, except).split_first() {
            Some((cidr, holes)) => (inside(cidr) - holes.iter().map(inside).sum::<u32>(), all),
            None => (0, all),
        }
    }

    /// How many prefixes came since this was last asked.
    pub fn take_new(&mut self) -> usize {
        std::mem::take(&mut self.new)
    }

    pub fn len(&self) -> usize {
        self.prefixes.len()
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

/// What is in one of two sorted lists and not in both.
pub(crate) fn in_one_only(a: &[PredId], b: &[PredId]) -> Box<[PredId]> {
    if b.is_empty() {
        return a.into();
    }
    let mut result = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next();
            }
            (Some(x), Some(y)) if x < y => result.extend(a.next()),
            (Some(_), None) => result.extend(a.next()),
            (_, Some(_)) => result.extend(b.next()),
            (None, None) => break,
        }
    }
    result.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    #[test]
    fn a_block_turns_at_its_outermost_holes_only() {
        let check = |cidr: &str, except: &[&str], expected: &[&str]| {
            let except: Vec<IpNet> = except.iter().map(|hole| net(hole)).collect();
            let expected: Vec<IpNet> = expected.iter().map(|turn| net(turn)).collect();
            assert_eq!(turns(&net(cidr), &except)[..], expected[..], "{cidr} but {except:?}");
        };
        check("10.0.0.0/8", &[], &["10.0.0.0/8"]);
        check(
            "10.0.0.0/8",
            &["10.1.0.0/24", "10.0.0.0/16", "10.1.0.0/16", "10.0.0.5/32"],
            &["10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16"],
        );
        check("10.0.0.0/8", &["11.0.0.0/16"], &["10.0.0.0/8"]);
        check("10.0.0.0/8", &["10.0.0.0/8"], &[]);
        check("10.0.0.0/8", &["0.0.0.0/0"], &[]);
    }

    #[test]
    fn what_both_lists_have_goes() {
        assert_eq!(*in_one_only(&[1, 3, 5], &[0, 3, 5, 9]), [0, 1, 9]);
        assert_eq!(*in_one_only(&[], &[4]), [4]);
        assert_eq!(*in_one_only(&[4], &[]), [4]);
    }
}
