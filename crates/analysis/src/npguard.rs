//! Connections as np-guard's netpol-analyzer and roxctl list them: a line for each pair of workloads, IPv4
//! only, and nothing but TCP, UDP and SCTP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use podgate_api::{LabelSelector, Operator, Protocol};
use serde::Serialize;

use crate::exposure::Exposure;
use crate::ip::IpSet;
use crate::joint::{CellId, End, EndId, Joint};
use crate::ports::PortSet;
use crate::reach::{Question, Selection, is_wanted};
use crate::world::{Family, Hypothesis, HypothesisNamespaces, VariantId, World};

/// The source that stands for whatever serves Ingress objects.
pub const INGRESS_CONTROLLER: &str = "{ingress-controller}";

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Line {
    /// Source.
    pub src: String,
    /// Destination.
    pub dst: String,
    /// Ports.
    pub conn: String,
}

/// All lines, sorted. Ingress objects make lines of their own where the world has pods that don't exist yet.
pub fn lines(world: &World, question: &Question) -> Vec<Line> {
    let mut joint = Joint::of_families(world, &[Family::V4]);
    let names = Names::new(world);
    let mut lines = Vec::new();
    // Address ranges that a workload treats alike are one.
    let mut to_outside: BTreeMap<(String, String), IpSet> = BTreeMap::new();
    let mut from_outside: BTreeMap<(String, String), IpSet> = BTreeMap::new();
    let senders: Vec<Vec<EndId>> = joint.senders().map(<[EndId]>::to_vec).collect();
    let receivers: Vec<Vec<EndId>> = joint.receivers().map(<[EndId]>::to_vec).collect();
    for (receiver, members) in receivers.iter().enumerate() {
        let column = joint.column(receiver);
        for to in members.iter().filter(|to| is_wanted(world, joint.end(**to), &question.to)) {
            for (from, cell) in senders.iter().zip(&column) {
                if *cell == CellId::NONE {
                    continue;
                }
                let ports = joint.family_ports(*cell, Family::V4);
                let Some(conn) = connections(&match &question.ports {
                    Some(limit) => ports.intersection(&limit.at(joint.end(*to))),
                    None => ports.clone(),
                }) else {
                    continue;
                };
                for from in from.iter().filter(|from| is_wanted(world, joint.end(**from), &question.from)) {
                    match (joint.end(*from), joint.end(*to)) {
                        (End::Pods(from), End::Pods(to)) if from != to => {
                            for (src, dst) in
                                names.of(*from).flat_map(|src| names.of(*to).map(move |dst| (src, dst)))
                            {
                                lines.push(Line { src: src.clone(), dst: dst.clone(), conn: conn.clone() });
                            }
                        }
                        (End::Pods(from), End::Outside(set)) => {
                            names.of(*from).for_each(|name| add(&mut to_outside, name, &conn, set));
                        }
                        (End::Outside(set), End::Pods(to)) => {
                            names.of(*to).for_each(|name| add(&mut from_outside, name, &conn, set));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    let wanted = |set: IpSet, selection: &Option<Selection>| match selection {
        Some(selection) => {
            set.intersection(&selection.addresses_of(Family::V4).cloned().unwrap_or(IpSet::none(Family::V4)))
        }
        None => set,
    };
    for ((name, conn), set) in to_outside {
        let ranges = external(&wanted(set, &question.to));
        lines.extend(ranges.into_iter().map(|dst| Line { src: name.clone(), dst, conn: conn.clone() }));
    }
    for ((name, conn), set) in from_outside {
        let ranges = external(&wanted(set, &question.from));
        lines.extend(ranges.into_iter().map(|src| Line { src, dst: name.clone(), conn: conn.clone() }));
    }
    if question.from.is_none() {
        lines.extend(from_ingress_controller(world, &mut joint, &names, question));
    }
    lines.sort();
    lines
}

fn add(sets: &mut BTreeMap<(String, String), IpSet>, name: &str, conn: &str, set: &IpSet) {
    let known = sets.entry((name.to_owned(), conn.to_owned())).or_insert_with(|| IpSet::none(Family::V4));
    *known = known.union(set);
}

/// `10.0.0.0-10.255.255.255[External]`.
pub fn external(set: &IpSet) -> Vec<String> {
    let text = |(lo, hi): (IpAddr, IpAddr)| format!("{lo}-{hi}[External]");
    set.ranges().map(text).collect()
}

/// `TCP 80,443,UDP 53`, protocols sorted; `None` where nothing is left of TCP, UDP and SCTP.
pub fn connections(ports: &PortSet) -> Option<String> {
    let whole = |ports: &[(u16, u16)]| matches!(ports, [(0 | 1, u16::MAX)]);
    let mut protocols: Vec<(&str, Vec<(u16, u16)>)> = Protocol::ALL
        .into_iter()
        .map(|protocol| (protocol.as_str(), ports.of(protocol)))
        .filter(|(_, ports)| !ports.is_empty())
        .collect();
    if protocols.len() == Protocol::ALL.len() && protocols.iter().all(|(_, ports)| whole(ports)) {
        return Some("All Connections".to_owned());
    }
    protocols.sort_unstable();
    let texts = protocols.into_iter().map(|(protocol, ports)| {
        let ports = ports.into_iter().map(|(lo, hi)| match (lo.max(1), hi) {
            (lo, hi) if lo == hi => lo.to_string(),
            (lo, hi) => format!("{lo}-{hi}"),
        });
        format!("{protocol} {}", ports.collect::<Vec<_>>().join(","))
    });
    Some(texts.collect::<Vec<_>>().join(",")).filter(|text| !text.is_empty())
}

/// What variants are called: a workload by its name, and by its pods where policy tells those apart.
pub struct Names(Vec<Vec<String>>);

impl Names {
    /// For a world's variants.
    pub fn new(world: &World) -> Names {
        let names = world.variants.iter().map(|variant| {
            let workload = world.workload(variant.workload);
            if workload.variants.len() == 1 {
                return vec![workload.title()];
            }
            variant.pods.iter().map(|pod| format!("{}[Pod]", world.pod_name(*pod))).collect()
        });
        Names(names.collect())
    }

    /// The names of a variant.
    pub fn of(&self, variant: VariantId) -> impl Iterator<Item = &String> {
        self.0[variant.0 as usize].iter()
    }
}

/// Ingress objects lead to Services' pods, from a controller that may be any pod of any namespace.
fn from_ingress_controller(
    world: &World,
    joint: &mut Joint,
    names: &Names,
    question: &Question,
) -> Vec<Line> {
    let any = world.workloads.iter().find(|workload| {
        let hypothesis = workload.hypothesis.as_ref();
        hypothesis.is_some_and(|h| h.pods.is_none() && h.namespaces == HypothesisNamespaces::Any)
    });
    let Some(any) = any else { return Vec::new() };
    let sender = joint.sender_of(EndId(any.variants[0].0));
    let mut allowed: BTreeMap<VariantId, PortSet> = BTreeMap::new();
    let receivers: Vec<Vec<EndId>> = joint.receivers().map(<[EndId]>::to_vec).collect();
    for (receiver, members) in receivers.iter().enumerate() {
        let cell = joint.column(receiver)[sender];
        for to in members.iter().filter(|to| is_wanted(world, joint.end(**to), &question.to)) {
            if let End::Pods(variant) = joint.end(*to) {
                allowed.insert(*variant, joint.family_ports(cell, Family::V4).clone());
            }
        }
    }
    let mut ports: BTreeMap<String, PortSet> = BTreeMap::new();
    for backend in world.ingresses.iter().flat_map(|ingress| &ingress.backends) {
        for (pod, set) in world.behind_backend(backend) {
            let variant = world.variant_of(pod);
            let Some(allowed) = allowed.get(&variant) else { continue };
            for name in names.of(variant) {
                let known = ports.entry(name.clone()).or_default();
                *known = known.union(&set.intersection(allowed));
            }
        }
    }
    let line = |(dst, ports): (String, PortSet)| {
        let conn = connections(&ports)?;
        Some(Line { src: INGRESS_CONTROLLER.to_owned(), dst, conn })
    };
    ports.into_iter().filter_map(line).collect()
}

/// All workloads' names.
pub fn names(world: &World) -> BTreeSet<String> {
    let names = Names::new(world);
    let real = (0..world.variants.len() as u32).map(VariantId).filter(|id| {
        let workload = world.workload(world.variant(*id).workload);
        workload.hypothesis.is_none()
    });
    real.flat_map(|id| names.of(id).cloned().collect::<Vec<_>>()).collect()
}

/// A pair of ends in two worlds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineChange {
    /// What became of it.
    pub kind: LineChangeKind,
    /// Source.
    pub src: String,
    /// Destination.
    pub dst: String,
    /// Ports before, or `No Connections`.
    pub before: String,
    /// Ports now, or `No Connections`.
    pub after: String,
    /// Which of the two are workloads that came or went.
    pub workloads: Vec<String>,
}

/// What became of a pair of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineChangeKind {
    /// There was nothing.
    Added,
    /// There is nothing.
    Removed,
    /// Other ports.
    Changed,
    /// The same ports.
    Unchanged,
}

/// Ranges with their ports by the other end and the direction.
type Ranges = BTreeMap<(String, bool), Vec<(IpSet, String)>>;

/// What becomes of lines between two worlds whose workloads have these names; address ranges are cut to
/// common pieces.
pub fn changes(
    old: &[Line],
    new: &[Line],
    old_names: &BTreeSet<String>,
    new_names: &BTreeSet<String>,
) -> Vec<LineChange> {
    let nothing = || "No Connections".to_owned();
    let mut pairs: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    let (mut before, mut after) = (Ranges::new(), Ranges::new());
    for (lines, ranges, is_new) in [(old, &mut before, false), (new, &mut after, true)] {
        for line in lines {
            let outside = |name: &str| name.strip_suffix("[External]").and_then(range);
            match (outside(&line.src), outside(&line.dst)) {
                (Some(set), _) => {
                    ranges.entry((line.dst.clone(), true)).or_default().push((set, line.conn.clone()))
                }
                (_, Some(set)) => {
                    ranges.entry((line.src.clone(), false)).or_default().push((set, line.conn.clone()))
                }
                (None, None) => {
                    let key = (line.src.clone(), line.dst.clone());
                    let pair = pairs.entry(key).or_insert_with(|| (nothing(), nothing()));
                    *(if is_new { &mut pair.1 } else { &mut pair.0 }) = line.conn.clone();
                }
            }
        }
    }
    let keys: BTreeSet<(String, bool)> = before.keys().chain(after.keys()).cloned().collect();
    for key in keys {
        let with_rest = |ranges: &Ranges| {
            let mut of_key = ranges.get(&key).cloned().unwrap_or_default();
            let held = of_key.iter().fold(IpSet::none(Family::V4), |all, (set, _)| all.union(set));
            of_key.push((IpSet::all(Family::V4).difference(&held), nothing()));
            of_key
        };
        for (then, before) in with_rest(&before) {
            for (now, after) in with_rest(&after) {
                for piece in external(&then.intersection(&now)) {
                    let ends = if key.1 { (piece, key.0.clone()) } else { (key.0.clone(), piece) };
                    pairs.insert(ends, (before.clone(), after.clone()));
                }
            }
        }
    }
    let change = |((src, dst), (before, after)): ((String, String), (String, String))| {
        let kind = match (before == nothing(), after == nothing()) {
            (true, true) => return None,
            (true, false) => LineChangeKind::Added,
            (false, true) => LineChangeKind::Removed,
            (false, false) if before == after => LineChangeKind::Unchanged,
            (false, false) => LineChangeKind::Changed,
        };
        let came_or_went = |name: &&String| old_names.contains(*name) != new_names.contains(*name);
        let workloads = [&src, &dst].into_iter().filter(came_or_went).cloned().collect();
        Some(LineChange { kind, src, dst, before, after, workloads })
    };
    pairs.into_iter().filter_map(change).collect()
}

/// `10.0.0.0-10.255.255.255`.
fn range(text: &str) -> Option<IpSet> {
    let (lo, hi) = text.split_once('-')?;
    let number = |text: &str| Some(u128::from(u32::from(text.parse::<std::net::Ipv4Addr>().ok()?)));
    Some(IpSet::from_ranges(Family::V4, vec![(number(lo)?, number(hi)?)]))
}

/// What np-guard calls exposure: connections with pods that are not in the input, and with addresses.
#[derive(Debug, Default)]
pub struct Exposed {
    /// From workloads, sorted.
    pub egress: Vec<Line>,
    /// To workloads, sorted by destination.
    pub ingress: Vec<Line>,
    /// Workloads without policy in a direction.
    pub unprotected: Vec<String>,
}

/// Exposure by np-guard's rules: what rules name and the input has is left out.
pub fn exposure(exposure: &Exposure, lines: &[Line]) -> Exposed {
    let mut exposed = Exposed::default();
    for workload in &exposure.workloads {
        for (side, is_ingress) in [(&workload.ingress, true), (&workload.egress, false)] {
            let line = |other: String, conn: String| match is_ingress {
                true => Line { src: other, dst: workload.workload.clone(), conn },
                false => Line { src: workload.workload.clone(), dst: other, conn },
            };
            let mut found: Vec<Line> = Vec::new();
            found.extend(connections(&side.cluster.0).map(|conn| line("entire-cluster".to_owned(), conn)));
            for selected in side.selected.iter().filter(|s| !s.exists || s.hypothesis.pods.is_none()) {
                found.extend(
                    connections(&selected.ports.0)
                        .map(|conn| line(representative(&selected.hypothesis), conn)),
                );
            }
            let outside = |line: &&Line| match is_ingress {
                true => line.dst == workload.workload && line.src.ends_with("[External]"),
                false => line.src == workload.workload && line.dst.ends_with("[External]"),
            };
            found.extend(lines.iter().filter(outside).cloned());
            let direction = if is_ingress { "Ingress" } else { "Egress" };
            if !side.protected {
                exposed.unprotected.push(format!("{} is not protected on {direction}", workload.workload));
            }
            if is_ingress { exposed.ingress.extend(found) } else { exposed.egress.extend(found) }
        }
    }
    exposed.egress.sort();
    exposed.ingress.sort_by(|a, b| (&a.dst, &a.src).cmp(&(&b.dst, &b.src)));
    exposed.unprotected.sort();
    exposed
}

/// `[namespace with {team=a}]/[pod with {app=web}]`.
fn representative(hypothesis: &Hypothesis) -> String {
    let namespace = match &hypothesis.namespaces {
        HypothesisNamespaces::Named(name) => name.clone(),
        HypothesisNamespaces::Any => "[all namespaces]".to_owned(),
        HypothesisNamespaces::Selected(selector) => format!("[namespace with {{{}}}]", labels(selector)),
    };
    match &hypothesis.pods {
        None => format!("{namespace}/[all pods]"),
        Some(selector) => format!("{namespace}/[pod with {{{}}}]", labels(selector)),
    }
}

fn labels(selector: &LabelSelector) -> String {
    let mut equal: Vec<String> = Vec::new();
    let mut others: Vec<String> = Vec::new();
    for requirement in selector.requirements() {
        let (key, values) = (&requirement.key, requirement.values.join(" "));
        let operator = match (requirement.operator, requirement.values.len()) {
            (Operator::In, 1) => {
                equal.push(format!("{key}={values}"));
                continue;
            }
            (Operator::In, _) => "In",
            (Operator::NotIn, _) => "NotIn",
            (Operator::Exists, _) => "Exists",
            (Operator::DoesNotExist, _) => "DoesNotExist",
        };
        others.push(format!("{{Key:{key},Operator:{operator},Values:[{values}],}}"));
    }
    equal.sort();
    others.sort();
    equal.extend(others);
    equal.join(",")
}
