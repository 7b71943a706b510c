//! What the engine's tables say, asked for pods and addresses.

use std::net::IpAddr;

use podgate_analysis::ip::by_longest_prefix;
use podgate_analysis::world::HypothesisNamespaces;
use podgate_analysis::{Family, IpSet, PartyId, PartyKind, PodId, PortSet, VariantId, World};
use podgate_policy::{ClassId, Connection, Decision, Direction, Identity, Kind, ProgramId, Programs};

use rustc_hash::FxHashMap;

use super::Context;

/// Addresses outside that policy can't tell apart.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    pub ips: IpSet,
    pub class: ClassId,
}

pub(super) fn outside(world: &World) -> Vec<Outside> {
    let of_family = |family: &Family| {
        let mut sets = by_longest_prefix(*family, world.cluster.prefixes());
        sets.sort_by(|a, b| a.1.cmp(&b.1));
        sets.into_iter().map(|(class, ips)| Outside { ips, class })
    };
    world.families.iter().flat_map(of_family).collect()
}

/// Pods that don't exist yet and that no policy names.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    stranger: Option<PodId>,
    of: FxHashMap<String, PodId>,
}

impl Newcomers {
    pub fn new(world: &World) -> Newcomers {
        let mut found = Newcomers::default();
        for workload in &world.workloads {
            let Some(hypothesis) = workload.hypothesis.as_ref().filter(|h| h.pods.is_none()) else {
                continue;
            };
            let pod = workload.pods.first().copied();
            match &hypothesis.namespaces {
                HypothesisNamespaces::Any => found.stranger = pod,
                HypothesisNamespaces::Named(name) => found.of.extend(pod.map(|pod| (name.clone(), pod))),
                HypothesisNamespaces::Selected(_) => {}
            }
        }
        found
    }
}

/// The variant of each pod.
pub(super) fn variants(world: &World) -> Vec<VariantId> {
    let mut of_pod = vec![VariantId(u32::MAX); world.pods.len()];
    for (number, variant) in world.variants.iter().enumerate() {
        for pod in &variant.pods {
            of_pod[pod.0 as usize] = VariantId(number as u32);
        }
    }
    of_pod
}

impl Context<'_> {
    /// The variant of a pod.
    pub(crate) fn variant_of(&self, pod: PodId) -> VariantId {
        self.variants[pod.0 as usize]
    }

    /// What a pod's addresses are to policy.
    pub(crate) fn identities(&self, pod: PodId) -> &[(Family, Identity)] {
        &self.world.variant(self.variant_of(pod)).identities
    }

    /// What a pod is to policy by its first address.
    pub(crate) fn identity(&self, pod: PodId) -> Option<&Identity> {
        self.identities(pod).first().map(|(_, identity)| identity)
    }

    /// Whether policy has a say on what a pod may do (egress) or what may be done to it (ingress).
    pub(crate) fn is_judged(&self, pod: PodId, direction: Direction) -> bool {
        self.identity(pod).is_some_and(|identity| match direction {
            Direction::Egress => identity.egress.is_some(),
            Direction::Ingress => identity.ingress.is_some(),
        })
    }

    /// The ports on which a pod reaches another, over all families.
    pub(crate) fn reaches(&self, from: PodId, to: PodId) -> PortSet {
        let (from, to) = (self.variant_of(from), self.variant_of(to));
        let mut all = PortSet::none();
        for relation in &self.relations {
            let mut relation = relation.lock().expect("no panic while asking");
            if let (Some(from), Some(to)) = (party(&relation, from), party(&relation, to)) {
                let ports = relation.ports(from, to);
                all = all.union(relation.sets.get(ports));
            }
        }
        all
    }

    /// The ports on which one side allows a pod to talk with addresses of a class outside, or `pod`s.
    pub(crate) fn side(&self, program: Option<ProgramId>, class: ClassId, kind: Kind) -> PortSet {
        let Some(program) = program.and_then(|id| self.world.cluster.program(id)) else {
            return PortSet::all();
        };
        PortSet::allowed(program.row_towards(class, kind))
    }

    /// The ports on which a pod reaches addresses outside, or (ingress) is reached by them.
    pub(crate) fn with_outside(&self, pod: PodId, direction: Direction, outside: &Outside) -> PortSet {
        let family = outside.ips.family();
        let Some((_, identity)) = self.identities(pod).iter().find(|(f, _)| *f == family) else {
            return PortSet::none();
        };
        let program = match direction {
            Direction::Egress => identity.egress,
            Direction::Ingress => identity.ingress,
        };
        self.side(program, outside.class, Kind { pod: false, family })
    }

    /// The engine's answer on one connection, by the first addresses of one family.
    pub(crate) fn ask(&self, from: PodId, to: PodId, protocol: u8, port: u16) -> Option<Decision> {
        let (from, to) = (&self.world.pod(from).ips, &self.world.pod(to).ips);
        let (from, to) =
            from.iter().find_map(|a| Some((a, to.iter().find(|b| a.is_ipv4() == b.is_ipv4())?)))?;
        Some(self.world.cluster.evaluate(&Connection { from: *from, to: *to, protocol, port }))
    }

    /// The engine's answer on a connection from a pod to an address.
    pub(crate) fn ask_address(&self, from: PodId, to: IpAddr, protocol: u8, port: u16) -> Option<Decision> {
        let from = self.world.pod(from).ips.iter().find(|from| from.is_ipv4() == to.is_ipv4())?;
        Some(self.world.cluster.evaluate(&Connection { from: *from, to, protocol, port }))
    }

    /// Any pod of any namespace, that no policy names.
    pub(crate) fn stranger(&self) -> Option<PodId> {
        self.newcomers.stranger
    }

    /// Any pod of a namespace, that no policy names.
    pub(crate) fn newcomer(&self, namespace: &str) -> Option<PodId> {
        self.newcomers.of.get(namespace).copied()
    }
}

fn party(relation: &podgate_analysis::Relation, variant: VariantId) -> Option<PartyId> {
    // Parties are in the world's order, so that those of one family are sorted.
    let pods = relation.parties.partition_point(|party| matches!(party.kind, PartyKind::Pods(_)));
    let found = relation.parties[..pods].binary_search_by_key(&variant, |party| match party.kind {
        PartyKind::Pods(variant) => variant,
        _ => VariantId(u32::MAX),
    });
    found.ok().map(|at| PartyId(at as u32))
}
