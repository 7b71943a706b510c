//! A copy of the cluster on which edits are tried before anybody sees them.

use std::net::IpAddr;

use podgate_api::{Meta, NetworkPolicy, Object};
use podgate_policy::{Cluster, Connection, Direction, PortKey, ProgramId, Verdict};
use rustc_hash::FxHashMap;

use super::{Candidate, Wanted};
use crate::ip::{IpSet, by_longest_prefix};
use crate::ports::{PortSet, PortSetId, PortSets};
use crate::why::judge::{Stand, Tables, Unit, UnitKind, first_outside};
use crate::world::{Family, VariantId, World};

/// A copy of the cluster to try edits on, and everyone whose connections an edit might open.
pub(super) struct Bench<'a> {
    world: &'a World,
    wanted: &'a Wanted<'a>,
    copy: Cluster,
    family: Family,
    /// Variants with an address of the family, and what they are to the cluster as it is.
    variants: Vec<(VariantId, IpAddr, Stand)>,
    tables: Tables,
    sets: PortSets,
}

/// Someone at the other end of what an edit opens.
#[derive(Debug)]
struct Party {
    kind: PartyKind,
    /// To the cluster as it is.
    before: Stand,
    /// To the copy.
    after: Stand,
}

#[derive(Debug)]
enum PartyKind {
    Variant(VariantId),
    Outside(IpSet),
}

/// A variant that an edited policy selects.
#[derive(Clone, Copy, Debug)]
struct Subject {
    variant: VariantId,
    before: Stand,
    after: Stand,
}

/// What one side allows after an edit and did not allow before.
#[derive(Debug)]
struct Opened {
    subject: Subject,
    /// Place among the parties.
    party: usize,
    new: PortSet,
    old: PortSet,
}

impl<'a> Bench<'a> {
    pub(super) fn new(world: &'a World, wanted: &'a Wanted<'a>) -> Bench<'a> {
        let mut copy = Cluster::new(world.cluster.settings());
        let mut objects: Vec<Object> = Vec::new();
        for (name, labels) in world.known_namespaces() {
            let meta = Meta { name: name.to_owned(), labels: labels.clone(), ..Meta::default() };
            objects.push(Object::Namespace(podgate_api::Namespace { meta }));
        }
        objects.extend(world.nodes.iter().cloned().map(Object::Node));
        objects.extend(world.cluster.policies().cloned().map(Object::NetworkPolicy));
        objects.extend(world.cluster.cluster_policies().cloned().map(Object::ClusterPolicy));
        copy.apply_with_pods(objects, world.pod_objects());
        copy.commit();
        let family = Family::of(wanted.from.ip);
        let variants = world.variants.iter().enumerate().filter_map(|(number, variant)| {
            let ips = world.pod(*variant.pods.first()?).ips.iter();
            let ip = ips.copied().find(|ip| Family::of(*ip) == family)?;
            Some((VariantId(number as u32), ip, Stand::of(&world.cluster, ip)?))
        });
        let variants = variants.collect();
        Bench { world, wanted, copy, family, variants, tables: Tables::default(), sets: PortSets::default() }
    }

    fn apply(&mut self, candidate: &Candidate) {
        self.copy.apply(Object::NetworkPolicy(candidate.after.clone()));
    }

    fn undo(&mut self, candidate: &Candidate) {
        let meta = &candidate.after.meta;
        let known = |policy: &&NetworkPolicy| {
            policy.meta.namespace == meta.namespace && policy.meta.name == meta.name
        };
        match self.world.cluster.policies().find(known) {
            Some(before) => self.copy.apply(Object::NetworkPolicy(before.clone())),
            None => self.copy.delete(&Object::NetworkPolicy(candidate.after.clone()).key()),
        }
    }

    /// What a candidate opens in its direction beside what is wanted, as a number of connections; `None` when
    /// it does not allow what is wanted there, or denies anything.
    pub(super) fn try_side(&mut self, candidate: &Candidate, direction: Direction) -> Option<u64> {
        self.apply(candidate);
        self.copy.commit();
        let parties = self.parties();
        let opened = self.opened(direction, &self.subjects(&candidate.after), &parties);
        self.undo(candidate);
        self.copy.commit();
        let mut is_allowed = false;
        let mut extra = 0;
        for one in opened? {
            match self.is_wanted(direction, one.subject.variant, &parties[one.party].kind) {
                true => {
                    is_allowed |= self.wanted.ports.is_subset(&one.new.union(&one.old));
                    extra += u64::from(!one.new.is_subset(&self.wanted.ports));
                }
                false => extra += 1,
            }
        }
        is_allowed.then_some(extra)
    }

    /// Whether a subject and another party are the two ends in question.
    fn is_wanted(&self, direction: Direction, subject: VariantId, other: &PartyKind) -> bool {
        let (mine, theirs) = match direction {
            Direction::Egress => (self.wanted.from, self.wanted.to),
            Direction::Ingress => (self.wanted.to, self.wanted.from),
        };
        let is_mine = matches!(&mine.kind, UnitKind::Pods(variant, _) if *variant == subject);
        is_mine && self.is_unit(theirs, other)
    }

    fn is_unit(&self, unit: &Unit, party: &PartyKind) -> bool {
        match (&unit.kind, party) {
            (UnitKind::Pods(mine, _), PartyKind::Variant(variant)) => mine == variant,
            (UnitKind::Outside(mine), PartyKind::Outside(set)) => set.difference(mine).is_empty(),
            (UnitKind::Pods(..), PartyKind::Outside(set)) => *set == IpSet::address(unit.ip),
            _ => false,
        }
    }

    /// The variants that a policy selects.
    fn subjects(&self, policy: &NetworkPolicy) -> Vec<Subject> {
        let selected = self.variants.iter().filter_map(|(variant, _, _)| {
            let workload = self.world.workload(self.world.variant(*variant).workload);
            if workload.namespace != policy.meta.namespace || workload.host_network {
                return None;
            }
            let mut pods = self.world.variant(*variant).pods.iter();
            let pod = pods.find(|pod| {
                let labels = &self.world.pod_object(**pod).meta.labels;
                policy.pod_selector.is_invalid() || policy.pod_selector.matches(labels)
            })?;
            let mut ips = self.world.pod(*pod).ips.iter().copied();
            let ip = ips.find(|ip| Family::of(*ip) == self.family)?;
            Some(Subject {
                variant: *variant,
                before: Stand::of(&self.world.cluster, ip)?,
                after: Stand::of(&self.copy, ip)?,
            })
        });
        selected.collect()
    }

    /// What one direction of the copy allows some subjects that the cluster does not; `None` when it also
    /// denies what the cluster allows: a new policy may isolate pods that none selected.
    fn opened(
        &mut self,
        direction: Direction,
        subjects: &[Subject],
        parties: &[Party],
    ) -> Option<Vec<Opened>> {
        let program = |stand: &Stand| match direction {
            Direction::Egress => stand.egress,
            Direction::Ingress => stand.ingress,
        };
        // Variants under the same two programs open the same.
        type Found = Vec<(usize, PortSetId, PortSetId)>;
        let mut known: FxHashMap<(Option<ProgramId>, Option<ProgramId>), Found> = FxHashMap::default();
        let mut after_tables = Tables::default();
        let mut opened = Vec::new();
        for subject in subjects {
            let key = (program(&subject.before), program(&subject.after));
            let found = known.entry(key).or_insert_with(|| {
                let mut found = Found::new();
                for (at, party) in parties.iter().enumerate() {
                    let old = self.tables.side(&self.world.cluster, &mut self.sets, key.0, party.before);
                    let now = after_tables.side(&self.copy, &mut self.sets, key.1, party.after);
                    if old != now {
                        found.push((at, old, now));
                    }
                }
                found
            });
            for (party, old, now) in found.iter() {
                let (old, now) = (self.sets.get(*old).clone(), self.sets.get(*now));
                if !old.is_subset(now) {
                    return None;
                }
                let new = now.difference(&old);
                if !new.is_empty() {
                    opened.push(Opened { subject: *subject, party: *party, new, old });
                }
            }
        }
        Some(opened)
    }

    /// Everyone, as the cluster is and as the copy is.
    fn parties(&self) -> Vec<Party> {
        let mut parties = Vec::new();
        for (variant, ip, before) in &self.variants {
            let host = self.world.workload(self.world.variant(*variant).workload).host_network;
            if !host && let Some(after) = Stand::of(&self.copy, *ip) {
                parties.push(Party { kind: PartyKind::Variant(*variant), before: *before, after });
            }
        }
        let mut pieces = by_longest_prefix(self.family, self.copy.prefixes());
        pieces.sort_by(|a, b| a.1.cmp(&b.1));
        // Parts of a set of addresses that the cluster as it is tells apart.
        let known = by_longest_prefix(self.family, self.world.cluster.prefixes());
        for (_, set) in pieces {
            let parts = known.iter().map(|(_, piece)| piece.intersection(&set));
            for part in parts.filter(|part| !part.is_empty()) {
                let Some(ip) = first_outside(self.world, &part) else { continue };
                if let (Some(before), Some(after)) =
                    (Stand::of(&self.world.cluster, ip), Stand::of(&self.copy, ip))
                {
                    parties.push(Party { kind: PartyKind::Outside(part), before, after });
                }
            }
        }
        parties
    }

    /// Applies all edits, and tells what they open beside what is wanted; `None` when what is wanted is still
    /// denied.
    pub(super) fn verify(&mut self, chosen: &[Candidate]) -> Option<Vec<String>> {
        for candidate in chosen {
            self.apply(candidate);
        }
        self.copy.commit();
        for (lo, hi) in self.wanted.ports.ranges() {
            for key in [PortKey(*lo), PortKey(*hi)] {
                let connection = Connection {
                    from: self.wanted.from.ip,
                    to: self.wanted.to.ip,
                    protocol: key.protocol(),
                    port: key.port(),
                };
                if self.copy.evaluate(&connection).verdict == Verdict::Denied {
                    return None;
                }
            }
        }
        let mut lines: Vec<String> = Vec::new();
        let mut after_tables = Tables::default();
        let parties = self.parties();
        for candidate in chosen {
            let direction = candidate.direction;
            let subjects = self.subjects(&candidate.after);
            for Opened { subject, party, .. } in self.opened(direction, &subjects, &parties)? {
                let party = &parties[party];
                let (old, now) = match direction {
                    Direction::Egress => ((subject.before, party.before), (subject.after, party.after)),
                    Direction::Ingress => ((party.before, subject.before), (party.after, subject.after)),
                };
                let old = self.tables.allowed(&self.world.cluster, &mut self.sets, old.0, old.1);
                let now = after_tables.allowed(&self.copy, &mut self.sets, now.0, now.1);
                let mut new = self.sets.get(now).difference(self.sets.get(old));
                if self.is_wanted(direction, subject.variant, &party.kind) {
                    new = new.difference(&self.wanted.ports);
                }
                if new.is_empty() {
                    continue;
                }
                let new = match new.union(&self.wanted.ports).is_all() {
                    true => "all other ports and protocols".to_owned(),
                    false => new.to_string(),
                };
                let (mine, theirs) =
                    (self.world.variant_title(subject.variant), self.party_name(&party.kind));
                lines.push(match direction {
                    Direction::Egress => format!("{mine} -> {theirs}: {new}"),
                    Direction::Ingress => format!("{theirs} -> {mine}: {new}"),
                });
            }
        }
        lines.sort();
        lines.dedup();
        Some(lines)
    }

    fn party_name(&self, party: &PartyKind) -> String {
        match party {
            PartyKind::Variant(variant) => self.world.variant_title(*variant),
            PartyKind::Outside(set) => set.to_string(),
        }
    }

    pub(super) fn name(&self, unit: &Unit) -> String {
        match &unit.kind {
            UnitKind::Pods(variant, _) => self.world.variant_title(*variant),
            UnitKind::Outside(set) => set.to_string(),
        }
    }
}
