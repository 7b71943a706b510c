//! `podgate lab probe --tests`: connectivity tests on real packets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use podgate_analysis::expectations::{CaseReport, CaseResult, Expanded, TestReport};
use podgate_analysis::why::{Group, Short};
use podgate_analysis::{Family, PodId, PortSet, World, WorldOptions};
use podgate_api::{Expect, Input, Object, Protocol};
use podgate_lab::plan::is_policy;
use podgate_lab::probe::{self, Cell, Families, Measured, ProbeReport, Wanted, Wire};
use podgate_lab::up::load;
use podgate_lab::{Lab, Plan};
use podgate_policy::PortKey;

use super::name_option;
use crate::outcome::Failure;
use crate::style;

/// More single ports than this are a range: what listens there is tried, and one port where nothing does.
const FEW_PORTS: u32 = 8;

/// Tries every connection that the tests name, as far as the lab has it.
pub fn run(
    lab: &Lab,
    files: &[PathBuf],
    families: Families,
    timeout: Duration,
) -> Result<TestReport, Failure> {
    let (Some(spec), Some(plan)) = (lab.spec()?, lab.plan()?) else {
        let option = name_option(lab.name());
        return Err(Failure::bad(format!(
            "lab {0} is not up; bring it up with `podgate lab up{option} DIR`",
            lab.name()
        )));
    };
    let mut objects = load(&spec).objects;
    if !spec.policies {
        objects.retain(|object| !is_policy(object));
    }
    let world = world(&plan, objects, files)?;
    let offline = world.run_tests();
    let tests = world.tests.iter().flat_map(|test| test.cases.iter().map(move |case| (test, case)));
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut places: BTreeMap<Wanted, usize> = BTreeMap::new();
    let mut cases: Vec<(CaseReport, Vec<usize>)> = Vec::new();
    for ((test, case), report) in tests.zip(offline.cases) {
        let attempts = match world.expand_case(test, case) {
            Ok(expanded) => attempts(&world, &plan, &expanded, families),
            Err(_) => Vec::new(),
        };
        let at = attempts.into_iter().map(|one| {
            *places.entry(one).or_insert_with(|| {
                wanted.push(one);
                wanted.len() - 1
            })
        });
        cases.push((report, at.collect()));
    }
    if wanted.is_empty() {
        return Err(Failure::bad(
            "nothing to try: no pod or address that the tests name is in the lab; `podgate lab status` lists what is",
        ));
    }
    let measured = probe::attempts(lab, &wanted, timeout)?;
    let cases: Vec<CaseReport> = cases.into_iter().map(|(case, at)| result(case, &at, &measured)).collect();
    let count = |wanted: CaseResult| cases.iter().filter(|case| case.result == wanted).count();
    Ok(TestReport {
        passed: count(CaseResult::Passed),
        failed: count(CaseResult::Failed),
        errors: count(CaseResult::Error),
        cases,
    })
}

/// The lab as the engine sees it, with the tests of the files.
fn world(plan: &Plan, objects: Vec<Object>, files: &[PathBuf]) -> Result<World, Failure> {
    let inputs: Vec<Input> = files.iter().map(|file| Input::Path(file.clone())).collect();
    let loaded = podgate_api::load(&inputs);
    for diagnostic in &loaded.diagnostics {
        style::diagnostic(&diagnostic.to_string());
    }
    if loaded.has_errors() {
        return Err(Failure::bad("the test files have errors: mend them first"));
    }
    let mut all = plan.objects(&objects);
    all.extend(objects.into_iter().filter(|object| matches!(object, Object::Service(_))));
    let before = all.len();
    all.extend(loaded.objects.into_iter().filter(|object| matches!(object, Object::ConnectivityTest(_))));
    if all.len() == before {
        return Err(Failure::bad("--tests: no ConnectivityTest in these files"));
    }
    // The lab's staged policies decide nothing in it.
    Ok(World::new(podgate_advise::without_staged(all), &WorldOptions::default()))
}

/// An end of attempts.
#[derive(Clone, Debug)]
struct Place {
    ips: Vec<IpAddr>,
    /// A pod with a network namespace of its own.
    is_pod: bool,
    /// The node that it is or runs on; `None` outside.
    node: Option<usize>,
    ports: PortSet,
    listens: Vec<(Protocol, u16)>,
}

/// The connections of a case that exist in the lab.
fn attempts(world: &World, plan: &Plan, expanded: &Expanded, families: Families) -> Vec<Wanted> {
    let sources =
        places(world, plan, &expanded.from.pods, |ip| expanded.from.outside(Family::of(ip)).contains(ip));
    let mut targets =
        places(world, plan, &expanded.to.pods, |ip| expanded.to.outside(Family::of(ip)).contains(ip));
    for target in &mut targets {
        target.1.ports = match target.0 {
            Some(pod) => expanded.ports.at(pod),
            None => expanded.ports.outside.clone(),
        };
    }
    let mut found: Vec<Wanted> = Vec::new();
    let mut own: Vec<Wanted> = Vec::new();
    for (_, source) in &sources {
        for (_, target) in &targets {
            // Without a pod at one end no policy has a say.
            if !(source.is_pod || target.is_pod) || source.ips == target.ips {
                continue;
            }
            let is_own_node =
                source.is_pod != target.is_pod && source.node.is_some() && source.node == target.node;
            for to in target.ips.iter().copied().filter(|ip| families.has(*ip)) {
                let Some(from) = source.ips.iter().copied().find(|ip| ip.is_ipv4() == to.is_ipv4()) else {
                    continue;
                };
                let list = if is_own_node { &mut own } else { &mut found };
                list.extend(wires(target, to.is_ipv4()).into_iter().map(|(wire, port)| Wanted {
                    from,
                    to,
                    wire,
                    port,
                }));
            }
        }
    }
    // A node and its own pods always reach each other: who says `all` means the others.
    if found.is_empty() { own } else { found }
}

/// The pods, nodes and outside addresses of the lab that an end names.
fn places(
    world: &World,
    plan: &Plan,
    pods: &[PodId],
    outside: impl Fn(IpAddr) -> bool,
) -> Vec<(Option<PodId>, Place)> {
    let mut places: Vec<(Option<PodId>, Place)> = Vec::new();
    for id in pods {
        let name = world.pod_name(*id);
        let Some(pod) = plan.pods.iter().find(|pod| pod.key() == name) else { continue };
        places.push((
            Some(*id),
            Place {
                ips: pod.ips.clone(),
                is_pod: !pod.host_network,
                node: Some(pod.node),
                ports: PortSet::none(),
                listens: pod.listen.clone(),
            },
        ));
    }
    let place = |ip: IpAddr, node: Option<usize>, listens: &[(Protocol, u16)]| Place {
        ips: vec![ip],
        is_pod: false,
        node,
        ports: PortSet::none(),
        listens: listens.to_vec(),
    };
    for (at, node) in plan.nodes.iter().enumerate() {
        let named = node.addresses.iter().copied().filter(|ip| outside(*ip));
        places.extend(named.map(|ip| (None, place(ip, Some(at), &[]))));
    }
    let named = plan.outside.addresses.iter().copied().filter(|ip| outside(*ip));
    places.extend(named.map(|ip| (None, place(ip, None, &plan.outside.listen))));
    places
}

/// What to try at a target: each port of a few; of many those that something listens on, and one more.
fn wires(target: &Place, is_v4: bool) -> Vec<(Wire, u16)> {
    let mut wires: BTreeSet<(Wire, u16)> = BTreeSet::new();
    for (protocol, wire) in
        [(Protocol::Tcp, Wire::Tcp), (Protocol::Udp, Wire::Udp), (Protocol::Sctp, Wire::Sctp)]
    {
        let ranges = target.ports.of(protocol);
        let size: u32 = ranges.iter().map(|(first, last)| u32::from(last - first) + 1).sum();
        let ports = || ranges.iter().flat_map(|(first, last)| (*first).max(1)..=*last);
        if size <= FEW_PORTS {
            wires.extend(ports().map(|port| (wire, port)));
            continue;
        }
        let open: BTreeSet<u16> =
            target.listens.iter().filter(|(known, _)| *known == protocol).map(|(_, port)| *port).collect();
        wires.extend(ports().filter(|port| open.contains(port)).map(|port| (wire, port)));
        // TCP only: a closed UDP port answers by ICMP errors, which kernels send at a limited rate.
        if protocol == Protocol::Tcp {
            wires.extend(ports().find(|port| !open.contains(port)).map(|port| (wire, port)));
        }
    }
    let echo = if is_v4 { PortKey::new(1, 8) } else { PortKey::new(58, 128) };
    if target.ports.contains(echo) {
        wires.insert((Wire::Echo, 0));
    }
    wires.into_iter().collect()
}

/// A case with what was measured in place of what policy says.
fn result(mut case: CaseReport, at: &[usize], measured: &ProbeReport) -> CaseReport {
    if case.error.is_some() {
        return case;
    }
    case.connections.clear();
    case.more_connections = 0;
    case.pairs = at.len();
    case.wrong = 0;
    if at.is_empty() {
        case.result = CaseResult::Error;
        case.explanations.clear();
        case.error = Some("no connection of it exists in the lab: its addresses are not there".to_owned());
        return case;
    }
    let as_expected = |cell: &Cell| match case.expect {
        Expect::Allowed => matches!(cell.measured, Measured::Reached { .. }),
        Expect::Denied => cell.measured == Measured::Dropped,
    };
    let cells = || at.iter().map(|at| &measured.cells[*at]);
    let mut wrong: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for cell in cells().filter(|cell| !as_expected(cell)) {
        case.wrong += 1;
        let target = &measured.targets[cell.to];
        let to = format!("{} ({})", target.name, cell.target_ip);
        wrong.entry((to, target.port_text())).or_default().insert(measured.sources[cell.from].name.clone());
        if let Measured::Failed { error } = &cell.measured {
            let note = format!("{} could not be tried: {error}", target.name);
            if !case.notes.contains(&note) {
                case.notes.push(note);
            }
        }
    }
    let others = cells().filter(|cell| !cell.agrees()).count();
    if others > 0 {
        case.notes.push(format!(
            "{others} of these attempts went otherwise than policy says: `podgate lab probe` lists them"
        ));
    }
    let (answer, denied) = match case.expect {
        Expect::Allowed => (Short::No, true),
        Expect::Denied => (Short::Yes, false),
    };
    case.connections = wrong
        .into_iter()
        .map(|((to, port), from)| Group {
            family: None,
            from: from.into_iter().collect(),
            more_from: 0,
            to: vec![to],
            more_to: 0,
            answer,
            allowed: if denied { "none".to_owned() } else { port.clone() },
            denied: if denied { port } else { "none".to_owned() },
        })
        .collect();
    case.result = if case.wrong == 0 { CaseResult::Passed } else { CaseResult::Failed };
    if case.wrong == 0 {
        case.explanations.clear();
    }
    case
}
