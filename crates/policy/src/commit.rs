//! Bringing the tables up to date with the objects, touching only what changed.
//!
//! ```text
//! namespaces, blocks -> answers of predicates -> sets of subjects -> programs in use
//!               usual answers of predicates -\-> classes ---------> rows of programs -> Delta
//! ```

mod answers;
mod programs;
mod usual;

use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashSet;

use crate::blocks::{BlockChanges, family};
use crate::classes::{ClassKey, Move};
use crate::cluster::Cluster;
use crate::parallel::map;
use crate::pods::{AddressIx, PodIx, Told};
use crate::predicates::{PredId, Question};
use crate::tables::{ClassId, Delta, Family, Kind};

/// An address of a pod, or a prefix of addresses that no pod has.
#[derive(Clone, Copy, Debug)]
enum Member {
    Address(AddressIx),
    Prefix(IpNet),
}

impl Cluster {
    /// Brings the tables up to date with all objects applied and deleted since the last commit, and
    /// tells what changed.
    pub fn commit(&mut self) -> Delta {
        let mut delta = Delta::default();
        let gone = self.update_blocks();
        self.mark_pods_to_ask();
        let mut regroup = self.forget_dead_subjects();
        regroup.extend(self.answer_fresh_predicates());
        regroup.extend(self.ask_dirty_pods());
        self.choose_usual_answers();
        let blocks = self.refresh_blocks(gone, &mut delta);
        let fresh_programs = self.regroup_subjects(regroup);
        self.remove_unused_programs(&mut delta);
        self.forget_dead_peers();
        self.touch_unusual(&blocks);
        let touched = self.pods.take_touched(&self.namespaces);
        let fresh_classes = self.reclassify(&touched, &blocks, &mut delta);
        self.remove_empty_classes(&mut delta);
        self.forget_dead_names();
        self.add_rows(&fresh_classes, &mut delta);
        self.build_programs(fresh_programs, &mut delta);
        self.tell_addresses(&touched, &mut delta);
        self.bury();
        delta
    }

    /// The whole state as additions: what a datapath that knows nothing has to be told.
    pub fn whole(&self) -> Delta {
        let mut delta = Delta::default();
        for (net, prefix) in self.blocks.iter() {
            delta.prefixes.push((net, prefix.class));
        }
        for address in self.pods.addresses() {
            if let Some(told) = address.told() {
                delta.addresses.push((address.ip, Some(self.identity_of(told))));
            }
        }
        delta.programs.extend(self.programs.states.keys());
        delta.addresses.sort_unstable_by_key(|(ip, _)| *ip);
        delta.programs.sort_unstable();
        delta
    }

    /// Files new blocks and forgets those that are out of use. Returns the prefixes that are gone.
    fn update_blocks(&mut self) -> Vec<(IpNet, ClassId)> {
        let mut gone = Vec::new();
        let fresh: FxHashSet<PredId> = self.predicates.fresh.iter().copied().collect();
        let mut dead: Vec<PredId> =
            self.predicates.dead.iter().copied().filter(|id| !fresh.contains(id)).collect();
        // Lists by id are cheapest to empty from their ends.
        dead.sort_unstable_by(|a, b| b.cmp(a));
        for id in dead {
            if let Question::Block(cidr, except) = &self.predicates.get(id).question {
                self.blocks.remove(id, *cidr, except, &mut gone);
            }
        }
        for id in &self.predicates.fresh {
            if let Question::Block(cidr, except) = &self.predicates.get(*id).question
                && self.predicates.in_use(*id)
            {
                self.blocks.add(*id, *cidr, except);
            }
        }
        self.ask_nodes(&mut gone);
        self.domains.refresh(&self.predicates, &mut self.blocks, &mut gone);
        gone
    }

    fn refresh_blocks(&mut self, gone: Vec<(IpNet, ClassId)>, delta: &mut Delta) -> BlockChanges {
        let changes = self.blocks.refresh();
        for (net, class) in gone {
            self.classes.leave(class);
            // A prefix may have gone and come back within this commit.
            if self.blocks.get(&net).is_none() {
                delta.prefixes.push((net, None));
            }
        }
        changes
    }

    /// Answers the questions about nodes where nodes or questions changed.
    fn ask_nodes(&mut self, gone: &mut Vec<(IpNet, ClassId)>) {
        let changed = self.nodes.take_changed();
        for (id, selector) in self.predicates.about_nodes() {
            let addresses = match self.predicates.in_use(id) {
                true if changed || self.predicates.fresh.contains(&id) => self.nodes.selected(selector),
                true => continue,
                false => Vec::new(),
            };
            self.blocks.set_nodes(id, addresses, gone);
        }
    }

    /// Puts addresses and prefixes whose answers changed into their classes. Returns the new classes.
    fn reclassify(
        &mut self,
        touched: &[AddressIx],
        blocks: &BlockChanges,
        delta: &mut Delta,
    ) -> Vec<ClassId> {
        let mut moves: Vec<Move<Member>> = map(touched, |ix| {
            let address = self.pods.address(*ix);
            let key = address.owner().map(|owner| self.address_key(address.ip, owner));
            Move { member: Member::Address(*ix), from: address.class(), key: key.unwrap_or_default() }
        });
        moves.retain(|Move { member, key, .. }| {
            let Member::Address(ix) = *member else { return true };
            // Without an owner there is not even the answer that it is a pod's.
            if key.is_empty()
                && let Some(class) = self.pods.address(ix).class()
            {
                self.pods.address_mut(ix).set_class(None);
                self.classes.leave(class);
            }
            !key.is_empty()
        });
        for net in &blocks.touched {
            let Some(prefix) = self.blocks.get(net) else { continue };
            let kind = Kind { pod: false, family: family(net) };
            let mut key = self.predicates.kind_key(kind);
            key.extend_from_slice(prefix.unusual(false));
            moves.push(Move { member: Member::Prefix(*net), from: prefix.class, key });
        }
        let Cluster { classes, predicates, pods, blocks, .. } = self;
        classes.assign(moves, predicates, |member, class| match member {
            Member::Address(ix) => pods.address_mut(ix).set_class(Some(class)),
            Member::Prefix(net) => {
                let told = blocks.get(&net).and_then(|prefix| prefix.class);
                if told != Some(class) {
                    blocks.set_class(&net, class);
                    delta.prefixes.push((net, Some(class)));
                }
            }
        })
    }

    /// The predicates that an address of this pod answers unusually.
    fn address_key(&self, ip: IpAddr, owner: PodIx) -> ClassKey {
        let state = self.pods.answers(owner);
        let mut key = self.predicates.kind_key(Kind { pod: true, family: Family::of(ip) });
        key.extend_from_slice(&state.peers);
        let sorted = state.named.is_empty();
        key.extend_from_slice(&state.named);
        let blocks = self.blocks.prefix_of(ip).unusual(true);
        key.extend_from_slice(blocks);
        if !sorted || !blocks.is_empty() {
            key.sort_unstable();
        }
        key
    }

    fn remove_empty_classes(&mut self, delta: &mut Delta) {
        for class in self.classes.take_empty() {
            for program in self.programs_asking(class) {
                if let Some(state) = self.programs.states.get_mut(&program)
                    && state.program.remove_row(class)
                {
                    delta.rows_gone.push((program, class));
                }
            }
            self.classes.remove(class, &mut self.predicates);
        }
    }

    fn tell_addresses(&mut self, touched: &[AddressIx], delta: &mut Delta) {
        let all = map(touched, |ix| {
            let address = self.pods.address(*ix);
            let (owner, class) = (address.owner()?, address.class()?);
            let set = self.pods.answers(owner).set.map(|(set, _)| self.sets.get(set));
            let (egress, ingress) = (set.and_then(|set| set.egress), set.and_then(|set| set.ingress));
            Some(Told::new(class, egress, ingress, self.pods.get(owner).node()))
        });
        delta.addresses.reserve(touched.len());
        for (ix, told) in touched.iter().zip(all) {
            let address = self.pods.address(*ix);
            if told != address.told() {
                delta.addresses.push((address.ip, told.map(|told| self.identity_of(told))));
            }
            match told {
                Some(told) => self.pods.address_mut(*ix).set_told(told),
                None => self.pods.forget_address(*ix),
            }
        }
    }

    fn bury(&mut self) {
        self.policies.bury();
        self.predicates.bury();
        self.namespaces.bury();
    }
}
