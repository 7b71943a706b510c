//! What people call a set of ends: a workload, all pods of a namespace, the internet.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;
use serde::Serialize;

use crate::ip::IpSet;
use crate::joint::{End, EndId, Joint};
use crate::reach::Selection;
use crate::world::{Family, VariantId, WorkloadId, World};

/// A set of ends by the names that people use.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ends {
    /// All pods of the cluster are in it, but for `except`. Pods in the host network are nodes to policy:
    /// they are among `workloads` if they are in it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all_pods: bool,
    /// Namespaces of which all pods are in it, but for `except`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// Workloads beside those: `namespace/name[Kind]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<String>,
    /// Workloads that are not in it, though their namespace is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Addresses outside: `anywhere`, `internet`, networks and ranges, `anywhere but 10.0.0.0/8`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Domain names whose addresses are not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
}

impl Ends {
    /// One line, with `most` names of a kind at most; those left out are counted.
    pub fn text(&self, most: usize) -> String {
        let mut parts: Vec<String> = Vec::new();
        if self.all_pods {
            parts.push("all pods".to_owned());
        }
        let whole: Vec<String> = self.namespaces.iter().map(|name| format!("{name}/*")).collect();
        shortened(&mut parts, &whole, most, "namespaces");
        if !self.except.is_empty()
            && let Some(last) = parts.last_mut()
        {
            last.push_str(" but ");
            last.push_str(&self.except.join(", "));
        }
        shortened(&mut parts, &self.workloads, most, "workloads");
        shortened(&mut parts, &self.addresses, most, "address ranges");
        shortened(&mut parts, &self.domains, most, "domain names");
        parts.join(", ")
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Ends::default()
    }

    /// Whether it is nothing but addresses outside.
    pub fn is_outside(&self) -> bool {
        !self.addresses.is_empty()
            && !self.all_pods
            && self.namespaces.is_empty()
            && self.workloads.is_empty()
    }
}

/// Whether so few are missing of so many that naming those is shorter.
fn is_nearly_all(missing: usize, of: usize) -> bool {
    missing <= 3 && missing * 8 <= of
}

fn shortened(parts: &mut Vec<String>, names: &[String], most: usize, what: &str) {
    let shown = if names.len() <= most { names.len() } else { most.saturating_sub(1).max(1) };
    parts.extend(names.iter().take(shown).cloned());
    if names.len() > shown {
        parts.push(format!("{} more {what}", names.len() - shown));
    }
}

/// Gives sets of ends their names.
#[derive(Debug)]
pub struct Namer {
    /// Variants of pods that policy can select, by namespace.
    of_namespace: BTreeMap<String, Vec<VariantId>>,
    all: usize,
    public: [IpSet; 2],
}

impl Namer {
    /// For the ends of a world.
    pub fn new(world: &World) -> Namer {
        let mut of_namespace: BTreeMap<String, Vec<VariantId>> = BTreeMap::new();
        for (number, variant) in world.variants.iter().enumerate() {
            let workload = world.workload(variant.workload);
            if workload.host_network || workload.hypothesis.is_some() {
                continue;
            }
            of_namespace.entry(workload.namespace.clone()).or_default().push(VariantId(number as u32));
        }
        let all = of_namespace.values().map(Vec::len).sum();
        Namer { of_namespace, all, public: [IpSet::public(Family::V4), IpSet::public(Family::V6)] }
    }

    /// Names a set. It makes no difference whether `itself`, the other end, is in it. Of addresses outside
    /// only those that were `wanted` are named.
    pub fn name(
        &self,
        world: &World,
        joint: &Joint,
        ends: &[EndId],
        itself: Option<EndId>,
        wanted: Option<&Selection>,
    ) -> Ends {
        let mut variants: Vec<VariantId> = Vec::new();
        let mut outside: Vec<IpSet> = Vec::new();
        let mut domains: Vec<String> = Vec::new();
        for end in ends {
            match joint.end(*end) {
                End::Pods(variant) => variants.push(*variant),
                End::Outside(set) => outside.push(set.clone()),
                End::Domain(name) => domains.push(name.clone()),
            }
        }
        variants.sort_unstable();
        let outside = joined(outside).into_iter();
        let outside: Vec<IpSet> = outside
            .map(|set| match wanted.and_then(|wanted| wanted.addresses_of(set.family())) {
                Some(wanted) => set.intersection(wanted),
                None => set,
            })
            .collect();
        let itself = itself.and_then(|end| match joint.end(end) {
            End::Pods(variant) => Some(*variant),
            End::Outside(_) | End::Domain(_) => None,
        });
        let mut names = self.pods(world, &variants, itself);
        self.add_outside(&mut names, &outside, domains);
        names
    }

    /// Names pods, sorted. It makes no difference whether `itself` is among them.
    pub fn pods(&self, world: &World, variants: &[VariantId], itself: Option<VariantId>) -> Ends {
        let mut names = Ends::default();
        let workload = |variant: &VariantId| world.workload(world.variant(*variant).workload);
        let of_itself = itself.map(|variant| workload(&variant)).filter(|workload| !workload.host_network);
        let variants = variants.iter().copied().filter(|variant| Some(*variant) != itself);
        let (mut rest, pods): (Vec<VariantId>, Vec<VariantId>) =
            variants.partition(|variant| workload(variant).host_network);
        let held: FxHashSet<VariantId> = pods.iter().copied().collect();
        let missing = |members: &[VariantId]| -> Vec<VariantId> {
            members.iter().copied().filter(|v| !held.contains(v) && Some(*v) != itself).collect()
        };
        let all = self.all - usize::from(of_itself.is_some());
        if all > 1 && is_nearly_all(all.saturating_sub(pods.len()), all) {
            names.all_pods = true;
            names.except = titles(world, self.of_namespace.values().flat_map(|members| missing(members)));
            names.workloads = titles(world, rest.into_iter());
            return names;
        }
        let mut excepted: Vec<VariantId> = Vec::new();
        for of_one in pods.chunk_by(|a, b| workload(a).namespace == workload(b).namespace) {
            let namespace = workload(&of_one[0]).namespace.as_str();
            let members = self.of_namespace.get(namespace).map_or(&[][..], Vec::as_slice);
            let others = members.len() - usize::from(of_itself.is_some_and(|w| w.namespace == namespace));
            if of_one.len() > 1 && is_nearly_all(others.saturating_sub(of_one.len()), others) {
                names.namespaces.push(namespace.to_owned());
                excepted.extend(missing(members));
            } else {
                rest.extend(of_one);
            }
        }
        names.workloads = titles(world, rest.into_iter());
        names.except = titles(world, excepted.into_iter());
        names
    }

    /// Names what is outside: one set of addresses a family at most, and domain names.
    pub fn add_outside(&self, names: &mut Ends, outside: &[IpSet], mut domains: Vec<String>) {
        names.addresses = self.addresses(outside);
        // Whoever reaches every address reaches those of any name.
        if !outside.iter().any(IpSet::is_all) {
            domains.sort_unstable();
            names.domains = domains;
        }
    }

    /// Names addresses, one set a family at most.
    pub fn addresses(&self, sets: &[IpSet]) -> Vec<String> {
        let held: Vec<&IpSet> = sets.iter().filter(|set| !set.is_empty()).collect();
        let mut names: Vec<String> = Vec::new();
        for set in held {
            let public = &self.public[usize::from(set.family() == Family::V6)];
            let missing = IpSet::all(set.family()).difference(set);
            let of_family: Vec<String> = if missing.is_empty() {
                vec!["anywhere".to_owned()]
            } else if set == public {
                vec!["internet".to_owned()]
            } else if is_shorter(&missing, set) {
                vec![format!("anywhere but {missing}")]
            } else if public.difference(set).is_empty() {
                let more = set.difference(public);
                std::iter::once("internet".to_owned()).chain(pieces(&more)).collect()
            } else {
                pieces(set)
            };
            for name in of_family {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

/// One set for each family.
pub fn joined(sets: Vec<IpSet>) -> Vec<IpSet> {
    let of = |family| {
        let ranges = sets.iter().filter(|set| set.family() == family);
        ranges.cloned().reduce(|all, set| all.union(&set))
    };
    [of(Family::V4), of(Family::V6)].into_iter().flatten().collect()
}

/// `anywhere but` is for holes in nearly everything.
fn is_shorter(missing: &IpSet, set: &IpSet) -> bool {
    let lengths = |set: &IpSet| set.to_string().len();
    missing.ranges().count() <= 8 && lengths(missing) + 8 < lengths(set)
}

fn pieces(set: &IpSet) -> Vec<String> {
    set.to_string().split(", ").map(str::to_owned).collect()
}

/// A workload whose variants are all there goes by its own name.
fn titles(world: &World, variants: impl Iterator<Item = VariantId>) -> Vec<String> {
    let mut by_workload: BTreeMap<WorkloadId, Vec<VariantId>> = BTreeMap::new();
    for variant in variants {
        by_workload.entry(world.variant(variant).workload).or_default().push(variant);
    }
    let mut titles = Vec::new();
    for (workload, variants) in by_workload {
        let workload = world.workload(workload);
        if workload.variants.len() == variants.len() {
            titles.push(workload.title());
        } else {
            titles.extend(variants.into_iter().map(|variant| world.variant_title(variant)));
        }
    }
    titles
}
