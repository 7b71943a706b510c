//! Choosing the usual answer of each block: the one that most classes of addresses give.
//!
//! It is chosen when a block is new, and looked at again when a quarter of all addresses have come or gone
//! since: a usual answer that most addresses don't give is right, but costs a row for each of them.

use std::hash::BuildHasher;

use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use crate::blocks::{BlockChanges, family};
use crate::cluster::Cluster;
use crate::predicates::{IS_V6, PredId, Question};
use crate::tables::{Family, Kind};

/// From this many new blocks on, asking all addresses through the tree of prefixes beats asking each block
/// about each address.
const MANY_BLOCKS: usize = 8;

/// With fewer addresses and prefixes come and gone, nothing is looked at again.
const FEW: usize = 8;

impl Cluster {
    /// Chooses the usual answers of new blocks, and of all of them once addresses have changed a lot.
    pub(super) fn choose_usual_answers(&mut self) {
        let fresh: FxHashSet<PredId> = self.fresh_blocks().collect();
        let again = self.must_look_again();
        let asked: Vec<PredId> = if again.contains(&true) {
            self.predicates.blocks().collect()
        } else {
            let mut fresh: Vec<PredId> = fresh.iter().copied().collect();
            fresh.sort_unstable();
            fresh
        };
        if asked.is_empty() {
            return;
        }
        // Addresses whose pods answer alike are one class, or will be.
        let pods = self.pods.addresses().filter_map(|address| {
            let answers = self.pods.answers(address.owner()?);
            Some((address.ip, FxBuildHasher.hash_one((&answers.peers, &answers.named))))
        });
        let weights = self.blocks.weigh(pods);
        let mut turned: FxHashMap<Kind, Vec<PredId>> = FxHashMap::default();
        for id in asked {
            let Question::Block(cidr, except) = &self.predicates.get(id).question else { continue };
            let (cidr, except) = (*cidr, except.clone());
            for pod in [false, true] {
                if !again[usize::from(pod)] && !fresh.contains(&id) {
                    continue;
                }
                let kind = Kind { pod, family: family(&cidr) };
                let (yes, all) = self.blocks.weight(&weights, &cidr, &except, pod);
                let (is_fresh, before) = (fresh.contains(&id), self.predicates.is_usual(id, kind));
                let usual = match before {
                    _ if is_fresh => yes * 2 > all,
                    // Not at once: programs have to be made anew.
                    false => yes * 3 > all * 2,
                    true => yes * 3 >= all,
                };
                if usual != before {
                    self.predicates.set_usual(id, kind, usual);
                    self.blocks.set_usual(id, kind, usual);
                    if !is_fresh {
                        turned.entry(kind).or_default().push(id);
                    }
                    self.tell_apart(pod);
                }
            }
        }
        for kind in Kind::ALL {
            if let Some(ids) = turned.get_mut(&kind) {
                ids.sort_unstable();
                self.remake_programs(ids);
                self.classes.turn(ids, kind, &mut self.predicates);
            }
        }
    }

    /// Whether prefixes, and pods' addresses, have changed so much that all blocks must be looked at again.
    fn must_look_again(&mut self) -> [bool; 2] {
        let all = [self.blocks.len(), self.pods.count_addresses()];
        let shifted = [self.blocks.take_new(), self.pods.take_shifted()];
        let mut again = [false; 2];
        for pod in 0..2 {
            self.shifted[pod] += shifted[pod];
            again[pod] = self.shifted[pod] >= FEW && self.shifted[pod] * 4 > all[pod];
            if again[pod] {
                self.shifted[pod] = 0;
            }
        }
        again
    }

    /// Has keys tell the families apart from now on.
    fn tell_apart(&mut self, pod: bool) {
        if std::mem::replace(&mut self.predicates.apart[usize::from(pod)], true) {
            return;
        }
        self.predicates.fresh.push(IS_V6);
        if pod {
            self.pods.touch_addresses(|address| address.is_ipv6());
        } else {
            self.blocks.touch(Family::V6);
        }
    }

    /// Has the addresses asked again that answer a new block unusually, or came to a question about nodes or domains
    /// or went from it.
    pub(super) fn touch_unusual(&mut self, changes: &BlockChanges) {
        changes.members.iter().for_each(|ip| self.pods.touch_address(*ip));
        let fresh: Vec<PredId> = self.fresh_blocks().collect();
        if fresh.len() > MANY_BLOCKS {
            self.pods.touch_addresses(|_| true);
            return;
        }
        for id in fresh {
            let predicate = self.predicates.get(id);
            let Question::Block(cidr, except) = &predicate.question else { continue };
            let usual = predicate.usual & Kind { pod: true, family: family(cidr) }.bit() != 0;
            let of_family = |ip: &std::net::IpAddr| Family::of(*ip) == family(cidr);
            self.pods.touch_addresses(|ip| {
                let holds = cidr.contains(&ip) && !except.iter().any(|hole| hole.contains(&ip));
                of_family(&ip) && holds != usual
            });
        }
    }

    fn fresh_blocks(&self) -> impl Iterator<Item = PredId> {
        let is_block = |id: &PredId| matches!(self.predicates.get(*id).question, Question::Block(..));
        self.predicates.fresh.iter().copied().filter(move |id| is_block(id) && self.predicates.in_use(*id))
    }
}
