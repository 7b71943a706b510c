//! Can one end reach another, and why: the chain of policies and rules on both sides, what almost allowed,
//! and what would allow.

mod chain;
pub mod change;
mod hints;
pub mod judge;
pub mod rules;

use podgate_policy::{PortKey, Verdict};
use rustc_hash::FxHashMap;
use serde::Serialize;

pub use chain::{Explained, NearMiss, PolicyStep, RuleStep, SideAnswer};
pub use change::{Change, Edit};

use crate::ends::{End, EndError, PortSpec, Ports, Resolved, Translation};
use crate::ip::IpSet;
use crate::ports::{PortSet, PortSetId};
use crate::why::judge::{Judged, Role, Unit, UnitKind, telling_port};
use crate::world::{Family, World};

/// A question: can `from` reach `to`?
#[derive(Clone, Debug)]
pub struct Question {
    /// Who connects.
    pub from: End,
    /// To whom.
    pub to: End,
    /// On which port; `None`: on any.
    pub port: Option<PortSpec>,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The short of it.
    pub answer: Short,
    /// Who connects.
    pub from: String,
    /// To whom.
    pub to: String,
    /// On which port, as asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// How a Service's ports lead to its pods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_ports: Vec<ServicePortAnswer>,
    /// The connections in question, what is alike together.
    pub connections: Vec<Group>,
    /// How many more groups of connections there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_connections: usize,
    /// Why: for one connection of those that are denied, and for one of those that are allowed.
    pub explanations: Vec<Explained>,
    /// What a reader should know about the ends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Yes, no, or in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Short {
    /// All connections in question are allowed; without a port in question, each pair has one that is.
    Yes,
    /// None is.
    No,
    /// Some are.
    Partly,
}

impl Short {
    /// `yes`, `no`, `partly`.
    pub fn as_str(self) -> &'static str {
        match self {
            Short::Yes => "yes",
            Short::No => "no",
            Short::Partly => "partly",
        }
    }

    fn and(self, other: Short) -> Short {
        if self == other { self } else { Short::Partly }
    }
}

/// Where a port of a Service leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePortAnswer {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// The Service's port.
    pub port: u16,
    /// Its name; empty when it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The pods' ports.
    pub pod_ports: Vec<u16>,
}

impl From<&Translation> for ServicePortAnswer {
    fn from(translation: &Translation) -> Self {
        ServicePortAnswer {
            protocol: translation.protocol.to_string(),
            port: translation.port,
            name: translation.name.clone(),
            pod_ports: translation.targets.clone(),
        }
    }
}

/// Connections with one answer: from each of `from` to each of `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// `IPv4` or `IPv6` where the other family's answer is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<&'static str>,
    /// Sources.
    pub from: Vec<String>,
    /// How many more sources there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_from: usize,
    /// Destinations.
    pub to: Vec<String>,
    /// How many more destinations there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_to: usize,
    /// The answer.
    pub answer: Short,
    /// Ports of those in question that are allowed, as the pods have them: `TCP 8080`, `all`, `none`.
    pub allowed: String,
    /// Ports of those in question that are denied; `none` when all are allowed.
    pub denied: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
pub(crate) fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Groups that an answer tells one by one, and names of each: `reach` is the answer to larger questions.
const MOST_GROUPS: usize = 100;
const MOST_NAMES: usize = 50;

/// `IPv4` or `IPv6`.
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

impl World {
    /// Answers a question.
    ///
    /// # Errors
    /// When an end or the port means nothing here, or the ends have no address family in common.
    pub fn can(&self, question: &Question) -> Result<Answer, EndError> {
        let from = self.resolve(&question.from)?;
        let to = self.resolve(&question.to)?;
        let ports = self.resolve_ports(&to, question.port.as_ref())?;
        let mut answer = self.answer(&from, &to, &ports, question.port.is_some())?;
        answer.port = question.port.as_ref().map(ToString::to_string);
        for (role, resolved) in [("from", &from), ("to", &to)] {
            if resolved.is_empty() {
                return Err(EndError::new(format!("{role}: {} holds nothing", resolved.title), ""));
            }
        }
        if let Some(note) = self.undeclared_port(&to, &ports, question.port.as_ref()) {
            answer.notes.push(note);
        }
        Ok(answer)
    }

    /// The answer between two ends on the ports in question; `exact`: all of them must be allowed for a yes.
    ///
    /// # Errors
    /// When there is no connection to ask about.
    pub fn answer(
        &self,
        from: &Resolved,
        to: &Resolved,
        ports: &Ports,
        exact: bool,
    ) -> Result<Answer, EndError> {
        let families = self.families_of(from, to);
        let judged = Judged::all(self, &families, from, to, ports);
        if judged.is_empty() {
            return Err(no_connection(self, from, to));
        }
        let short = judged.iter().flat_map(|one| one.cells().map(|cell| short(one, cell, exact)));
        let answer = short.reduce(Short::and).expect("what is empty was left out");
        let (connections, more_connections) = self.groups(&judged, exact, |_| true);
        let explanations = self.explanations(&judged, to, ports, exact);
        let mut notes: Vec<String> = Vec::new();
        for note in from.notes.iter().chain(&to.notes).chain(&ports.notes) {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        Ok(Answer {
            answer,
            from: from.title.clone(),
            to: to.title.clone(),
            port: None,
            service_ports: ports.translations.iter().map(ServicePortAnswer::from).collect(),
            connections,
            more_connections,
            explanations,
            notes,
        })
    }

    /// Families in use, and those of addresses that the ends name.
    pub(crate) fn families_of(&self, from: &Resolved, to: &Resolved) -> Vec<Family> {
        let named = from.outside.iter().chain(&to.outside).map(IpSet::family);
        let mut families: Vec<Family> = self.families.iter().copied().chain(named).collect();
        families.sort();
        families.dedup();
        families
    }

    /// What is alike together, as far as it is `wanted`; and how many more groups there are.
    pub(crate) fn groups(
        &self,
        judged: &[Judged],
        exact: bool,
        wanted: impl Fn(Short) -> bool,
    ) -> (Vec<Group>, usize) {
        let mut by_family: Vec<(Family, (Vec<Group>, usize))> =
            judged.iter().map(|one| (one.family, self.groups_of(one, exact, &wanted))).collect();
        let first = by_family[0].1.clone();
        if by_family.iter().all(|(_, groups)| *groups == first) {
            return first;
        }
        let (mut all, mut more) = (Vec::new(), 0);
        for (family, (groups, left_out)) in &mut by_family {
            groups.iter_mut().for_each(|group| group.family = Some(family_name(*family)));
            all.append(groups);
            more += *left_out;
        }
        (all, more)
    }

    fn groups_of(&self, judged: &Judged, exact: bool, wanted: impl Fn(Short) -> bool) -> (Vec<Group>, usize) {
        // Destinations that the same sources reach on the same ports stand together, and so do those sources.
        type Column<'a> = (&'a [Option<PortSetId>], PortSetId);
        let mut known: FxHashMap<Column, usize> = FxHashMap::default();
        let mut columns: Vec<(Column, Vec<usize>)> = Vec::new();
        for (to, allowed) in judged.allowed.iter().enumerate() {
            let column = (&allowed[..], judged.to[to].asked);
            let at = *known.entry(column).or_insert_with(|| {
                columns.push((column, Vec::new()));
                columns.len() - 1
            });
            columns[at].1.push(to);
        }
        let (mut groups, mut more) = (Vec::new(), 0);
        for ((column, asked), places) in columns {
            let mut rows: Vec<(PortSetId, Vec<usize>)> = Vec::new();
            for (from, allowed) in column.iter().enumerate() {
                let Some(allowed) = *allowed else { continue };
                match rows.iter_mut().find(|(known, _)| *known == allowed) {
                    Some((_, places)) => places.push(from),
                    None => rows.push((allowed, vec![from])),
                }
            }
            for (allowed, sources) in rows {
                let (allowed_set, asked_set) = (judged.sets.get(allowed), judged.sets.get(asked));
                let answer = short_of(allowed_set, asked_set, exact);
                if !wanted(answer) {
                    continue;
                }
                if groups.len() == MOST_GROUPS {
                    more += 1;
                    continue;
                }
                let (from, more_from) = self.names(sources.iter().map(|at| &judged.from[*at]));
                let (to, more_to) = self.names(places.iter().map(|at| &judged.to[*at]));
                groups.push(Group {
                    family: None,
                    from,
                    more_from,
                    to,
                    more_to,
                    answer,
                    allowed: ports_text(allowed_set),
                    denied: ports_text(&asked_set.difference(allowed_set)),
                });
            }
        }
        (groups, more)
    }

    /// What people call the units of some roles: workloads where they are whole, otherwise pods; addresses last.
    /// The first of them, and how many more there are.
    fn names<'a>(&self, roles: impl Iterator<Item = &'a Role>) -> (Vec<String>, usize) {
        let units: Vec<&Unit> = roles.flat_map(|role| &role.units).collect();
        let mut pods: Vec<crate::world::PodId> = Vec::new();
        let mut outside: Vec<IpSet> = Vec::new();
        for unit in units {
            match &unit.kind {
                UnitKind::Pods(_, some) => pods.extend(some),
                UnitKind::Outside(set) => match outside.first_mut() {
                    Some(known) => *known = known.union(set),
                    None => outside.push(set.clone()),
                },
            }
        }
        pods.sort_unstable();
        let mut names: Vec<String> = Vec::new();
        for (workload, members) in pods
            .chunk_by(|a, b| self.pod(*a).workload == self.pod(*b).workload)
            .map(|part| (self.workload(self.pod(part[0]).workload), part))
        {
            match members.len() == workload.pods.len() {
                true => names.push(workload.title()),
                false => names.extend(members.iter().map(|pod| format!("{}[Pod]", self.pod_name(*pod)))),
            }
        }
        names.extend(outside.iter().map(address_name));
        let more = names.len().saturating_sub(MOST_NAMES);
        names.truncate(MOST_NAMES);
        (names, more)
    }

    fn explanations(&self, judged: &[Judged], to: &Resolved, ports: &Ports, exact: bool) -> Vec<Explained> {
        let mut explanations = Vec::new();
        for wanted in [Verdict::Denied, Verdict::Allowed] {
            let found = judged.iter().find_map(|one| {
                one.cells().find_map(|(from, target, allowed)| {
                    let asked = one.sets.get(one.to[target].asked);
                    let allowed = one.sets.get(allowed);
                    let set = match wanted {
                        Verdict::Allowed => allowed.clone(),
                        // Without a port in question one that is allowed answers it.
                        Verdict::Denied if !exact && !allowed.is_empty() => PortSet::none(),
                        Verdict::Denied => asked.difference(allowed),
                    };
                    (!set.is_empty()).then_some((one, from, target, set))
                })
            });
            if let Some((one, from, target, set)) = found {
                let (a, _, b, _) = one.example(from, target);
                let key = telling_port(self, b, &set).unwrap_or(PortKey::new(6, 1));
                explanations.push(self.explain_pair(a, b, key, &set, to, ports));
            }
        }
        explanations
    }
}

/// Echo requests read alike in both families.
fn ports_text(set: &PortSet) -> String {
    let echo = [(1, 8), (58, 128)].map(|(protocol, kind)| PortSet::range(protocol, kind, kind));
    if echo.contains(set) { "ICMP echo".to_owned() } else { set.to_string() }
}

fn short(judged: &Judged, (_, to, allowed): (usize, usize, PortSetId), exact: bool) -> Short {
    short_of(judged.sets.get(allowed), judged.sets.get(judged.to[to].asked), exact)
}

fn short_of(allowed: &PortSet, asked: &PortSet, exact: bool) -> Short {
    match (allowed.is_empty(), allowed == asked) {
        (true, _) => Short::No,
        (_, true) => Short::Yes,
        _ if !exact => Short::Yes,
        _ => Short::Partly,
    }
}

/// `internet`, `anywhere outside`, networks, or the first of many ranges.
pub(crate) fn address_name(set: &IpSet) -> String {
    const FEW: usize = 3;
    if set.is_all() {
        return "anywhere outside".to_owned();
    }
    if *set == IpSet::public(set.family()) {
        return "internet".to_owned();
    }
    let rest = IpSet::all(set.family()).difference(set);
    match (set.ranges().count(), rest.ranges().count()) {
        (0..=FEW, _) => set.to_string(),
        (_, 0..=FEW) => format!("anywhere outside but {rest}"),
        (many, _) => {
            let first = IpSet::from_first_ranges(set, FEW - 1);
            format!("{first} and {} more ranges", many - (FEW - 1))
        }
    }
}

fn no_connection(world: &World, from: &Resolved, to: &Resolved) -> EndError {
    let families = |end: &Resolved| {
        let pods = end.pods.iter().flat_map(|pod| &world.pod(*pod).ips).map(|ip| Family::of(*ip));
        let mut all: Vec<Family> = pods.chain(end.outside.iter().map(IpSet::family)).collect();
        all.sort();
        all.dedup();
        all
    };
    let (a, b) = (families(from), families(to));
    if !a.iter().any(|family| b.contains(family)) {
        let words = |families: &[Family]| match families.is_empty() {
            true => "no address".to_owned(),
            false => families.iter().map(|family| family_name(*family)).collect::<Vec<_>>().join(" and "),
        };
        return EndError::new(
            format!("{} has {}, {} has {}: they can't connect", from.title, words(&a), to.title, words(&b)),
            "name ends with an address family in common",
        );
    }
    EndError::new(
        format!("there is no connection from {} to {} on these ports to ask about", from.title, to.title),
        "name another port, or other ends",
    )
}

#[cfg(test)]
mod tests;
