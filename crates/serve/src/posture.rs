//! How much is protected, what is open, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet};

use podgate_analysis::exposure::{Entry, Outside};
use podgate_flow::{Filter, FlowRecord, FlowVerdict, Protocol};
use podgate_lint::Severity;

use crate::ask::Ask;
use crate::fault::Fault;
use crate::flows::{count, is_staged_denial, losses, records, seen};
use crate::map::protection;
use crate::matrix::{disagreements, tries, was_cut};
use crate::model::{
    DenialLine, Denials, Exposed, FindingCounts, NamespacePosture, Place, Posture, StagedPosture,
};
use crate::places::Namer;
use crate::policies::Hits;
use crate::table::Party;

/// Lines of denials.
const MOST_DENIALS: usize = 20;
/// Disagreements.
const MOST_DISAGREEMENTS: usize = 100;
/// Findings.
const MOST_FINDINGS: usize = 10;

/// Answers /posture.
pub fn posture(ask: &Ask) -> Result<Posture, Fault> {
    let (snapshot, window) = (&ask.snapshot, ask.window()?);
    let records = match ask.server.is_watched() {
        true => records(&ask.server, window, Filter::default())?,
        false => Vec::new(),
    };
    let mut namer = Namer::new(snapshot.places());
    let pairs = seen::pairs(&ask.server, window, &records, &mut namer);
    let tries = tries(ask, &mut namer);
    let mut disagreements = disagreements(ask, &pairs, &namer, &tries);
    let disagreement_count = disagreements.len() as u64;
    disagreements.truncate(MOST_DISAGREEMENTS);
    let denials = denials(&records, &pairs, &mut namer);
    let findings = snapshot.findings();
    let of_severity = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (total, namespaces) = namespaces(ask, &records, &mut namer);
    Ok(Posture {
        revision: snapshot.revision(),
        total,
        namespaces,
        exposed: exposed(ask),
        denials,
        findings: FindingCounts {
            error: of_severity(Severity::Error),
            warning: of_severity(Severity::Warning),
            info: of_severity(Severity::Info),
        },
        worst: findings.iter().take(MOST_FINDINGS).cloned().collect(),
        disagreements,
        disagreement_count,
        staged: StagedPosture {
            policies: snapshot.staged().len(),
            would_deny: records.iter().filter(|record| is_staged_denial(record)).count() as u64,
        },
        unused_rules: ask.server.is_watched().then(|| Hits::new(&records).unused(snapshot)),
        losses: losses(&ask.server),
    })
}

fn namespaces(
    ask: &Ask,
    records: &[std::sync::Arc<FlowRecord>],
    namer: &mut Namer<'_>,
) -> (NamespacePosture, Vec<NamespacePosture>) {
    let snapshot = &ask.snapshot;
    let (world, table) = (snapshot.world(), snapshot.table());
    let mut by_name: BTreeMap<&str, NamespacePosture> = BTreeMap::new();
    for (at, party) in table.parties.iter().enumerate() {
        let Party::Workload(id) = party else { continue };
        let workload = world.workload(*id);
        let posture = by_name.entry(&workload.namespace).or_insert_with(|| NamespacePosture {
            namespace: workload.namespace.clone(),
            ..NamespacePosture::default()
        });
        if workload.host_network {
            continue;
        }
        let (ingress, egress) = protection(world, id.0 as usize);
        let internet = |from: usize, to: usize| usize::from(!table.between(from, to).is_empty());
        posture.workloads += 1;
        posture.ingress += usize::from(ingress);
        posture.egress += usize::from(egress);
        if let Some(outside) = table.internet {
            posture.from_internet += internet(outside, at);
            posture.to_internet += internet(at, outside);
        }
    }
    let mut denied: BTreeMap<String, u64> = BTreeMap::new();
    let mut all_denied = 0;
    for record in records.iter().filter(|record| record.verdict == FlowVerdict::Denied) {
        let ends = [&record.source, &record.destination].map(|end| namer.endpoint(end));
        let within: BTreeSet<&str> = ends.iter().map(|at| namer.get(*at).namespace.as_str()).collect();
        for namespace in within {
            *denied.entry(namespace.to_owned()).or_default() += count(record);
        }
        all_denied += count(record);
    }
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in snapshot.findings() {
        *found.entry(&finding.object.namespace).or_default() += 1;
    }
    let mut total =
        NamespacePosture { denied: all_denied, findings: snapshot.findings().len(), ..Default::default() };
    let mut namespaces: Vec<NamespacePosture> = by_name.into_values().collect();
    for posture in &mut namespaces {
        posture.denied = denied.get(&posture.namespace).copied().unwrap_or_default();
        posture.findings = found.get(posture.namespace.as_str()).copied().unwrap_or_default();
        total.workloads += posture.workloads;
        total.ingress += posture.ingress;
        total.egress += posture.egress;
        total.from_internet += posture.from_internet;
        total.to_internet += posture.to_internet;
    }
    (total, namespaces)
}

/// What the internet reaches by something that leads there or by policy alone, and who reaches the internet.
fn exposed(ask: &Ask) -> Vec<Exposed> {
    let places = ask.snapshot.places();
    let exposure = ask.snapshot.exposure();
    let place = |title: &str| -> Option<Place> {
        // Pods of one workload that policy tells apart have their names after its own.
        let id = title.split_once(" (").map_or(title, |(id, _)| id);
        places.find(id).map(|at| places.get(at).clone())
    };
    let mut exposed = Vec::new();
    let mut entered: BTreeSet<String> = BTreeSet::new();
    for entry in exposure.entries.iter().filter(|entry| entry.is_open()) {
        let Some(workload) = place(&entry.workload) else { continue };
        entered.insert(workload.id.clone());
        let Entry { ports, through, clients, .. } = entry.clone();
        exposed.push(Exposed {
            workload,
            direction: "ingress".to_owned(),
            ports,
            through,
            addresses: clients,
        });
    }
    for openness in &exposure.workloads {
        let Some(workload) = place(&openness.workload).filter(|_| !openness.host_network) else { continue };
        let sides = [("ingress", &openness.ingress.outside), ("egress", &openness.egress.outside)];
        for (direction, outside) in sides {
            if direction == "ingress" && entered.contains(&workload.id) {
                continue;
            }
            for Outside { addresses, ports, .. } in outside.iter().filter(|outside| outside.internet) {
                exposed.push(Exposed {
                    workload: workload.clone(),
                    direction: direction.to_owned(),
                    ports: ports.to_string(),
                    through: String::new(),
                    addresses: addresses.clone(),
                });
            }
        }
    }
    exposed
}

/// What worked before comes first: of all that is denied it is the likeliest to be missed.
fn denials(records: &[std::sync::Arc<FlowRecord>], pairs: &seen::Pairs, namer: &mut Namer<'_>) -> Denials {
    struct Line<'a> {
        count: u64,
        before: u64,
        last: &'a FlowRecord,
    }
    let mut lines: BTreeMap<(usize, usize, Protocol, u16), Line<'_>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.verdict == FlowVerdict::Denied) {
        let ends = (namer.endpoint(&record.source), namer.endpoint(&record.destination));
        let key = (ends.0, ends.1, record.protocol, record.destination.port);
        let before = || {
            let on = pairs.get(&ends)?.ports.get(&(record.protocol, record.destination.port))?;
            was_cut(on).then_some(on.allowed)
        };
        let line = lines.entry(key).or_insert_with(|| Line {
            count: 0,
            before: before().unwrap_or_default(),
            last: record,
        });
        line.count += count(record);
        line.last = record;
    }
    let all: u64 = lines.values().map(|line| line.count).sum();
    let mut lines: Vec<_> = lines.into_iter().collect();
    let newest = |line: &Line<'_>| (line.before > 0, line.count, line.last.time);
    lines.sort_by(|(a, line_a), (b, line_b)| newest(line_b).cmp(&newest(line_a)).then_with(|| a.cmp(b)));
    let top = lines.iter().take(MOST_DENIALS).map(|((from, to, protocol, port), line)| DenialLine {
        from: namer.get(*from).clone(),
        to: namer.get(*to).clone(),
        protocol: protocol.to_string(),
        port: *port,
        count: line.count,
        before: line.before,
        by: denied_by(line.last),
        last: line.last.time,
        record: if line.last.id.is_unset() { String::new() } else { line.last.id.to_string() },
    });
    Denials { count: all, top: top.collect() }
}

/// What denied a connection, in words.
fn denied_by(record: &FlowRecord) -> String {
    let sides = [&record.egress, &record.ingress].into_iter().flatten();
    let denied: Vec<String> = sides
        .filter(|side| side.verdict == podgate_policy::Verdict::Denied)
        .map(|side| side.reason.to_string())
        .collect();
    denied.join("; ")
}
