//! The truth table: expected by policy, measured by probes, observed by flows.

use std::collections::BTreeMap;

use podgate_analysis::reach::NamedPorts;
use podgate_flow::{Filter, PolicyVersion, Protocol};
use podgate_policy::{PortKey, Verdict};

use crate::ask::{Ask, Window};
use crate::fault::Fault;
use crate::flows::records;
use crate::flows::seen::{OnPort, Pairs, pairs};
use crate::model::{Cell, Disagreement, MatrixParty, MatrixVerdict, MatrixView, Observed, Probed};
use crate::places::Namer;
use crate::source::Try;
use crate::table::{Party, Ports, Table};

/// Answers /matrix.
pub fn matrix(ask: &Ask) -> Result<MatrixView, Fault> {
    let (snapshot, window) = (&ask.snapshot, ask.window()?);
    let (world, table, places) = (snapshot.world(), snapshot.table(), snapshot.places());
    let namespaces = ask.all("namespace");
    let wanted: Vec<usize> = (0..table.parties.len())
        .filter(|at| {
            let namespace = places.get(*at).namespace.as_str();
            namespaces.is_empty() || namespace.is_empty() || namespaces.contains(&namespace)
        })
        .collect();
    let place_of: BTreeMap<usize, u32> =
        wanted.iter().enumerate().map(|(at, party)| (*party, at as u32)).collect();
    let (rows, row_classes) = renumbered(wanted.iter().map(|at| table.rows[*at]));
    let (columns, column_classes) = renumbered(wanted.iter().map(|at| Some(table.columns[*at])));
    let mut verdicts = vec![verdict(&table.ports[0])];
    let mut of_ports: BTreeMap<u32, u32> = BTreeMap::from([(0, 0)]);
    let runs = row_classes
        .iter()
        .map(|row| {
            let cell = |column: &u32| {
                let ports = table.cells[*row as usize][*column as usize];
                *of_ports.entry(ports).or_insert_with(|| {
                    verdicts.push(verdict(&table.ports[ports as usize]));
                    verdicts.len() as u32 - 1
                })
            };
            runs(column_classes.iter().map(cell))
        })
        .collect();
    let mut namer = Namer::new(places);
    let pairs = seen(ask, window, &mut namer)?;
    let cell = |from: usize, to: usize| Some(Cell { from: *place_of.get(&from)?, to: *place_of.get(&to)? });
    let mut observed = Vec::new();
    for ((from, to), pair) in &pairs {
        let Some(cell) = cell(*from, *to) else { continue };
        observed.extend(pair.ports.iter().map(|((protocol, port), on)| Observed {
            cell,
            protocol: protocol.to_string(),
            port: *port,
            allowed: on.allowed,
            denied: on.denied,
        }));
    }
    let tries = tries(ask, &mut namer);
    let mut measured: BTreeMap<(Cell, Protocol, u16), [u64; 2]> = BTreeMap::new();
    for (from, to, one) in &tries {
        let Some(cell) = cell(*from, *to) else { continue };
        measured.entry((cell, one.protocol, one.port)).or_default()[usize::from(one.allowed)] += 1;
    }
    let measured = measured.into_iter().map(|((cell, protocol, port), [denied, allowed])| Probed {
        cell,
        protocol: protocol.to_string(),
        port,
        allowed,
        denied,
    });
    let within = |disagreement: &Disagreement| {
        let named = |namespace: &str| namespaces.contains(&namespace);
        namespaces.is_empty() || named(&disagreement.from.namespace) || named(&disagreement.to.namespace)
    };
    let mut disagreements = disagreements(ask, &pairs, &namer, &tries);
    disagreements.retain(within);
    Ok(MatrixView {
        revision: snapshot.revision(),
        parties: wanted
            .iter()
            .map(|at| {
                let pods = match &table.parties[*at] {
                    Party::Workload(id) => world.workload(*id).pods.len(),
                    _ => 0,
                };
                MatrixParty { place: places.get(*at).clone(), pods }
            })
            .collect(),
        rows,
        columns: columns.into_iter().flatten().collect(),
        measured: measured.collect(),
        verdicts,
        runs,
        observed,
        disagreements,
    })
}

/// Numbers in the order of their first use, and what they stood for.
fn renumbered(of: impl Iterator<Item = Option<u32>>) -> (Vec<Option<u32>>, Vec<u32>) {
    let mut known: BTreeMap<u32, u32> = BTreeMap::new();
    let mut order = Vec::new();
    let numbers = of.map(|number| {
        number.map(|number| {
            *known.entry(number).or_insert_with(|| {
                order.push(number);
                order.len() as u32 - 1
            })
        })
    });
    (numbers.collect(), order)
}

/// A value and how often it comes in a row, and so on.
fn runs(values: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut runs: Vec<u32> = Vec::new();
    for value in values {
        match runs.last_chunk_mut() {
            Some([last, length]) if *last == value => *length += 1,
            _ => runs.extend([value, 1]),
        }
    }
    runs
}

fn verdict(ports: &Ports) -> MatrixVerdict {
    let [v4, v6] = &ports.families;
    MatrixVerdict {
        ports: v4.to_string(),
        named: NamedPorts(v4.clone()),
        ipv6: (v4 != v6).then(|| v6.to_string()),
        partly: ports.partly,
    }
}

/// What was seen in a window, by pairs of places; nothing where nothing is watched.
pub fn seen(ask: &Ask, window: Window, namer: &mut Namer<'_>) -> Result<Pairs, Fault> {
    if !ask.server.is_watched() {
        return Ok(Pairs::new());
    }
    let records = records(&ask.server, window, Filter::default())?;
    Ok(pairs(&ask.server, window, &records, namer))
}

/// Whether most connections on a port came through in the window, and the last didn't.
pub fn was_cut(on: &OnPort) -> bool {
    on.last.is_some_and(|(_, verdict, _)| verdict == Verdict::Denied) && on.allowed >= on.denied.max(1)
}

/// The connections of the last probe, with their ends as places of the objects.
pub fn tries(ask: &Ask, namer: &mut Namer<'_>) -> Vec<(usize, usize, Try)> {
    let Some(probes) = &ask.server.source.probes else { return Vec::new() };
    let probes = probes.borrow().clone();
    let places = ask.snapshot.places();
    let mut end = |text: &str| -> Option<usize> {
        if let Ok(ip) = text.parse() {
            return places.of_address(ip).map(|at| at as usize);
        }
        let (namespace, pod) = text.split_once('/')?;
        match places.workload_of(namespace, pod) {
            Some(workload) => Some(workload as usize),
            None => Some(namer.place(crate::places::of_pod(namespace, pod))),
        }
    };
    let ends = |one: &Try| Some((end(&one.from)?, end(&one.to)?, one.clone()));
    probes.tries.iter().filter_map(ends).collect()
}

/// Where expected, measured and observed are not the same, by their ends.
pub fn disagreements(
    ask: &Ask,
    pairs: &Pairs,
    namer: &Namer<'_>,
    tries: &[(usize, usize, Try)],
) -> Vec<Disagreement> {
    let snapshot = &ask.snapshot;
    let (table, version) = (snapshot.table(), PolicyVersion(snapshot.world().cluster.policy_version()));
    #[derive(Default)]
    struct Found {
        /// What the connections of some pods came to; those of others may have come to the contrary.
        measured: Vec<Verdict>,
        observed: Option<Verdict>,
    }
    let mut found: BTreeMap<(usize, usize, Protocol, u16), Found> = BTreeMap::new();
    for ((from, to), pair) in pairs {
        for ((protocol, port), on) in &pair.ports {
            let Some((time, verdict, under)) = on.last else { continue };
            // What was seen under other policies says nothing about these.
            let is_current = match under.is_unknown() {
                true => snapshot.changed.is_none_or(|changed| time >= changed),
                false => under == version,
            };
            if is_current {
                found.entry((*from, *to, *protocol, *port)).or_default().observed = Some(verdict);
            }
        }
    }
    for (from, to, one) in tries {
        let verdict = if one.allowed { Verdict::Allowed } else { Verdict::Denied };
        found.entry((*from, *to, one.protocol, one.port)).or_default().measured.push(verdict);
    }
    let mut all = Vec::new();
    for ((from, to, protocol, port), Found { measured, observed }) in found {
        let Some(expected) = expected(table, from, to, protocol, port, ask) else { continue };
        // One pod that differs is enough.
        let measured =
            measured.iter().find(|verdict| **verdict != expected).or_else(|| measured.first()).copied();
        if [measured, observed].into_iter().flatten().all(|verdict| verdict == expected) {
            continue;
        }
        let text = text(expected, measured, observed);
        all.push(Disagreement {
            from: namer.get(from).clone(),
            to: namer.get(to).clone(),
            protocol: protocol.to_string(),
            port,
            expected,
            measured,
            observed,
            text,
        });
    }
    all
}

fn expected(
    table: &Table,
    from: usize,
    to: usize,
    protocol: Protocol,
    port: u16,
    ask: &Ask,
) -> Option<Verdict> {
    let has_ports = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
    let parties = table.parties.len();
    if !has_ports.contains(&protocol) || from >= parties || to >= parties {
        return None;
    }
    // Nodes reach their own pods, and a pod itself, whatever policy says.
    let is_outside = |at: usize| !matches!(table.parties[at], Party::Workload(_));
    if from == to || (is_outside(from) && is_outside(to)) {
        return None;
    }
    let on_host = |at: usize| match &table.parties[at] {
        Party::Workload(id) => ask.snapshot.world().workload(*id).host_network,
        _ => false,
    };
    if on_host(from) || on_host(to) {
        return None;
    }
    table.expected(from, to, PortKey::new(protocol.0, port))
}

fn text(expected: Verdict, measured: Option<Verdict>, observed: Option<Verdict>) -> String {
    let word = |verdict: Verdict| match verdict {
        Verdict::Allowed => "let through",
        Verdict::Denied => "denied",
    };
    let policy = match expected {
        Verdict::Allowed => "policy allows it",
        Verdict::Denied => "policy denies it",
    };
    let told = [(measured, "a probe was"), (observed, "the last flow was")];
    let told =
        told.iter().filter_map(|(verdict, who)| verdict.map(|verdict| format!("{who} {}", word(verdict))));
    let told: Vec<String> = told.collect();
    let help = match (expected, measured.or(observed)) {
        (Verdict::Denied, Some(Verdict::Allowed)) => {
            "does the node enforce, and does anything else answer there?"
        }
        _ => "does something else filter, or is nothing listening?",
    };
    format!("{policy}, and {}: {help}", told.join(" and "))
}
