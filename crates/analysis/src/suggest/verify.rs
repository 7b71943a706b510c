//! Asks the engine whether the suggested policies allow what was wanted, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use podgate_api::{Object, Protocol, load_text};
use rustc_hash::FxHashMap;

use super::Suggestion;
use super::draft::{DNS_LABEL, DNS_NAMESPACE, Draft, outside};
use super::wanted::{From, To};
use crate::ip::IpSet;
use crate::ports::PortSet;
use crate::relation::{PartyId, PartyKind, Relation};
use crate::world::{VariantId, World, WorldOptions};

/// Where the engine's answer on the manifests with the suggestion differs from what was wanted: a line each.
pub(super) fn differences(
    suggestion: &Suggestion,
    mut objects: Vec<Object>,
    options: &WorldOptions,
    draft: &Draft<'_>,
) -> Vec<String> {
    // What is printed is what is checked.
    let read = load_text("suggestion", &suggestion.to_yaml());
    let mut differences: Vec<String> = read.diagnostics.iter().map(ToString::to_string).collect();
    objects.extend(read.objects);
    let world = World::new(objects, options);
    let expected = Expected::new(&world, draft);
    for family in world.families.clone() {
        let mut relation = Relation::new(&world, family);
        let parties: Vec<PartyId> = (0..relation.parties.len() as u32).map(PartyId).collect();
        for from in &parties {
            for to in &parties {
                let Some(wanted) = expected.between(&world, &relation, *from, *to) else { continue };
                let id = relation.ports(*from, *to);
                let allowed = relation.sets.get(id);
                if *allowed != wanted {
                    differences.push(format!(
                        "{} to {}: wanted {wanted}, allowed {allowed}",
                        name(&world, &relation, *from),
                        name(&world, &relation, *to)
                    ));
                }
            }
        }
    }
    differences
}

fn name(world: &World, relation: &Relation, party: PartyId) -> String {
    match &relation.party(party).kind {
        PartyKind::Pods(variant) => world.variant_title(*variant),
        PartyKind::Outside(set) => {
            set.first().map(|ip| format!("addresses such as {ip}")).unwrap_or_default()
        }
        PartyKind::Domain(name) => name.clone(),
    }
}

/// What is wanted, by variant of the world that has the suggestion in it.
struct Expected {
    /// Between pods.
    between: FxHashMap<(VariantId, VariantId), PortSet>,
    /// From any pod.
    from_pods: FxHashMap<VariantId, PortSet>,
    /// From anybody.
    from_anyone: FxHashMap<VariantId, PortSet>,
    /// To public addresses.
    to_outside: FxHashMap<VariantId, PortSet>,
    /// On DNS pods.
    dns: FxHashMap<VariantId, PortSet>,
    covered: BTreeSet<VariantId>,
    public: Vec<IpSet>,
}

impl Expected {
    fn new(world: &World, draft: &Draft<'_>) -> Expected {
        let mut expected = Expected {
            between: FxHashMap::default(),
            from_pods: FxHashMap::default(),
            from_anyone: FxHashMap::default(),
            to_outside: FxHashMap::default(),
            dns: FxHashMap::default(),
            covered: BTreeSet::new(),
            public: public(draft.world),
        };
        // Pods have the same names in both worlds, and workloads the same numbers: only policies were added.
        let mut variant_of: BTreeMap<(String, String), VariantId> = BTreeMap::new();
        for (number, variant) in world.variants.iter().enumerate() {
            let namespace = &world.workload(variant.workload).namespace;
            let id = VariantId(number as u32);
            for pod in &variant.pods {
                variant_of.insert((namespace.clone(), world.pod(*pod).name.to_string()), id);
            }
            if draft.covered.contains(namespace) {
                expected.covered.insert(id);
            }
            let labels = &world.pod_object(variant.pods[0]).meta.labels;
            if namespace == DNS_NAMESPACE && labels.get(DNS_LABEL.0).is_some_and(|value| value == DNS_LABEL.1)
            {
                let usual = PortSet::port(Protocol::Udp, 53).union(&PortSet::port(Protocol::Tcp, 53));
                add(&mut expected.dns, id, &usual);
            }
        }
        let variants = |workload| -> BTreeSet<VariantId> {
            let chosen = draft.chosen.get(&workload).into_iter().flat_map(|chosen| &chosen.pods);
            let key = |pod: &crate::world::PodId| {
                let of = draft.world.pod(*pod);
                (draft.world.workload(of.workload).namespace.clone(), of.name.to_string())
            };
            chosen.filter_map(|pod| variant_of.get(&key(pod)).copied()).collect()
        };
        for ((from, to), want) in &draft.wanted.connections {
            match (*from, *to) {
                (From::Workload(from), To::Workload(to)) => {
                    for from in variants(from) {
                        for to in variants(to) {
                            add(&mut expected.between, (from, to), &want.ports);
                        }
                    }
                }
                (From::Workload(from), To::Outside) => {
                    variants(from)
                        .into_iter()
                        .for_each(|from| add(&mut expected.to_outside, from, &want.ports));
                }
                (From::AnyPod, To::Workload(to)) => {
                    variants(to).into_iter().for_each(|to| add(&mut expected.from_pods, to, &want.ports));
                }
                (From::Anyone, To::Workload(to)) => {
                    variants(to).into_iter().for_each(|to| add(&mut expected.from_anyone, to, &want.ports));
                }
                (From::AnyPod | From::Anyone, To::Outside) => {}
            }
        }
        for (id, ports) in &draft.wanted.dns {
            variants(*id).into_iter().for_each(|variant| add(&mut expected.dns, variant, ports));
        }
        // Pods with the DNS label share one rule, and with it all ports of any of them.
        let shared: Vec<VariantId> = expected.dns.keys().copied().collect();
        let labelled = |id: &VariantId| {
            let labels = &world.pod_object(world.variant(*id).pods[0]).meta.labels;
            labels.get(DNS_LABEL.0).is_some_and(|value| value == DNS_LABEL.1)
        };
        let all = shared
            .iter()
            .filter(|id| labelled(id))
            .fold(PortSet::none(), |all, id| all.union(&expected.dns[id]));
        for id in shared.iter().filter(|id| labelled(id)) {
            expected.dns.insert(*id, all.clone());
        }
        expected
    }

    /// What is to be allowed between two parties; `None` where policies have no say.
    fn between(&self, world: &World, relation: &Relation, from: PartyId, to: PartyId) -> Option<PortSet> {
        let (from, to) = (&relation.party(from).kind, &relation.party(to).kind);
        let on_node = |id: &VariantId| world.workload(world.variant(*id).workload).host_network;
        let none = PortSet::none();
        let get = |map: &FxHashMap<VariantId, PortSet>, id: &VariantId| map.get(id).unwrap_or(&none).clone();
        match (from, to) {
            (PartyKind::Pods(from), PartyKind::Pods(to)) => {
                if on_node(from) || on_node(to) {
                    return None;
                }
                let between = self.between.get(&(*from, *to)).unwrap_or(&none);
                let egress = match self.covered.contains(from) {
                    true => between.union(&get(&self.dns, to)),
                    false => PortSet::all(),
                };
                let ingress = match self.covered.contains(to) {
                    true => between.union(&get(&self.from_pods, to)).union(&get(&self.from_anyone, to)),
                    false => PortSet::all(),
                };
                Some(egress.intersection(&ingress))
            }
            (PartyKind::Pods(from), PartyKind::Outside(set)) if !on_node(from) => {
                let first = set.first()?;
                let public = self.public.iter().any(|public| public.contains(first));
                Some(match (self.covered.contains(from), public) {
                    (false, _) => PortSet::all(),
                    (true, true) => get(&self.to_outside, from),
                    (true, false) => PortSet::none(),
                })
            }
            (PartyKind::Outside(_), PartyKind::Pods(to)) if !on_node(to) => {
                Some(if self.covered.contains(to) { get(&self.from_anyone, to) } else { PortSet::all() })
            }
            _ => None,
        }
    }
}

fn add<K: std::hash::Hash + Eq>(map: &mut FxHashMap<K, PortSet>, key: K, ports: &PortSet) {
    let known = map.entry(key).or_default();
    *known = known.union(ports);
}

/// The addresses that rules for the outside allow.
fn public(world: &World) -> Vec<IpSet> {
    let net = |text: &str| IpSet::net(text.parse().expect("a network written in this crate"));
    let set = |(network, holes): (String, Vec<String>)| {
        holes.iter().fold(net(&network), |left, hole| left.difference(&net(hole)))
    };
    outside(world).into_iter().map(set).collect()
}
