//! `can` on random clusters: it agrees with the engine, and what it suggests does what it says.

use std::net::IpAddr;

use podgate_analysis::why::{Answer, Edit, Question, Short};
use podgate_analysis::{End, Family, PodId, PortSpec, World, WorldOptions};
use podgate_api::{NetworkPolicy, Object, Protocol, load_text};
use podgate_bench::random_small;
use podgate_policy::{Connection, Verdict};

const PORTS: [(&str, Protocol, u16); 5] = [
    ("TCP/80", Protocol::Tcp, 80),
    ("UDP/53", Protocol::Udp, 53),
    ("TCP/65535", Protocol::Tcp, 65535),
    ("SCTP/81", Protocol::Sctp, 81),
    ("TCP/8080", Protocol::Tcp, 8080),
];
const OUTSIDE: [&str; 4] = ["192.0.2.7", "8.8.8.8", "10.200.3.4", "2001:db8::9"];

fn world(objects: Vec<Object>) -> World {
    World::new(objects, &WorldOptions::default())
}

fn ask(world: &World, from: &str, to: &str, port: &str) -> Option<Answer> {
    let end = |text: &str| End::parse(text, None).unwrap();
    world.can(&Question { from: end(from), to: end(to), port: Some(PortSpec::parse(port).unwrap()) }).ok()
}

/// Every pod and some addresses: the text that names it, and its addresses.
fn ends(world: &World) -> Vec<(String, Vec<IpAddr>)> {
    let pods = (0..world.pods.len() as u32).map(|number| {
        let pod = PodId(number);
        let namespace = &world.workload(world.pod(pod).workload).namespace;
        (format!("{namespace}/pod/{}", world.pod(pod).name), world.pod(pod).ips.clone())
    });
    let outside = OUTSIDE.iter().map(|text| (text.to_string(), vec![text.parse().unwrap()]));
    pods.chain(outside).collect()
}

fn first(ips: &[IpAddr], family: Family) -> Option<IpAddr> {
    ips.iter().copied().find(|ip| Family::of(*ip) == family)
}

/// The engine's answer in each family that both ends have.
fn verdicts(world: &World, from: &[IpAddr], to: &[IpAddr], protocol: Protocol, port: u16) -> Vec<Verdict> {
    [Family::V4, Family::V6]
        .into_iter()
        .filter_map(|family| {
            let connection = Connection {
                from: first(from, family)?,
                to: first(to, family)?,
                protocol: protocol.number(),
                port,
            };
            Some(world.cluster.evaluate(&connection).verdict)
        })
        .collect()
}

#[test]
fn can_agrees_with_the_engine() {
    let mut asked = 0;
    for seed in 0..60 {
        let world = world(random_small(seed));
        let ends = ends(&world);
        for (at, (from, from_ips)) in ends.iter().enumerate() {
            for (other, (to, to_ips)) in ends.iter().enumerate() {
                let (port, protocol, number) = PORTS[(at * 7 + other * 3 + seed as usize) % PORTS.len()];
                let expected = verdicts(&world, from_ips, to_ips, protocol, number);
                let allowed = expected.iter().filter(|verdict| **verdict == Verdict::Allowed).count();
                let Some(answer) = ask(&world, from, to, port) else {
                    assert!(
                        expected.is_empty(),
                        "seed {seed}: {from} -> {to} {port} has no answer: {expected:?}"
                    );
                    continue;
                };
                let short = match allowed {
                    0 => Short::No,
                    all if all == expected.len() => Short::Yes,
                    _ => Short::Partly,
                };
                assert_eq!(answer.answer, short, "seed {seed}: {from} -> {to} {port}: {answer:#?}");
                for explained in &answer.explanations {
                    let side = if explained.egress.verdict == Verdict::Denied {
                        &explained.egress
                    } else {
                        &explained.ingress
                    };
                    let either = explained.egress.verdict == Verdict::Denied
                        || explained.ingress.verdict == Verdict::Denied;
                    assert_eq!(either, explained.verdict == Verdict::Denied, "{answer:#?}");
                    assert!(!side.reason.is_empty());
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 3000, "{asked} questions");
}

#[test]
fn sets_are_what_their_members_are() {
    for seed in 0..60 {
        let world = world(random_small(seed));
        let ends = ends(&world);
        for (to, to_ips) in &ends {
            for (port, protocol, number) in PORTS {
                let Some(answer) = ask(&world, "a/*", to, port) else { continue };
                let members = ends.iter().filter(|(name, ips)| {
                    name.starts_with("a/") && !ips.iter().any(|ip| to_ips.contains(ip))
                });
                let all: Vec<Verdict> =
                    members.flat_map(|(_, ips)| verdicts(&world, ips, to_ips, protocol, number)).collect();
                let allowed = all.iter().filter(|verdict| **verdict == Verdict::Allowed).count();
                // Pods that claim one address are one to policy: only half of the answer is about them.
                if ends.iter().any(|(name, ips)| name != to && ips.iter().any(|ip| to_ips.contains(ip))) {
                    continue;
                }
                // Alone with itself a pod is allowed; that is told by the single question.
                if all.is_empty() {
                    continue;
                }
                let short = match allowed {
                    0 => Short::No,
                    every if every == all.len() => Short::Yes,
                    _ => Short::Partly,
                };
                assert_eq!(answer.answer, short, "seed {seed}: a/* -> {to} {port}: {answer:#?}");
            }
        }
    }
}

/// The objects with an edit made: what a reader of the answer would do.
fn edited(mut objects: Vec<Object>, edit: &Edit) -> Vec<Object> {
    let policy_of = |text: &str| -> NetworkPolicy {
        let loaded = load_text("edit.yaml", text);
        assert!(!loaded.has_errors(), "{:?}\n{text}", loaded.diagnostics);
        match loaded.objects.into_iter().next() {
            Some(Object::NetworkPolicy(policy)) => policy,
            other => panic!("{other:?}"),
        }
    };
    if edit.at.is_none() {
        objects.push(Object::NetworkPolicy(policy_of(&edit.yaml)));
        return objects;
    }
    let (namespace, name) = edit.policy.split_once('/').unwrap();
    let same = |object: &&mut Object| matches!(object, Object::NetworkPolicy(p) if p.meta.namespace == namespace && p.meta.name == name);
    // The last of one name counts.
    let Some(Object::NetworkPolicy(policy)) = objects.iter_mut().rev().find(same) else { panic!("{edit:?}") };
    let path = edit.what.strip_prefix("add to spec.").unwrap();
    let (list, rest) = match path.split_once('[') {
        Some((list, rest)) => (list, Some(rest)),
        None => (path, None),
    };
    let indented: String = edit.yaml.lines().map(|line| format!("    {line}\n")).collect();
    let head = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: e}\nspec:\n  podSelector: {}\n  policyTypes: [Ingress, Egress]\n";
    let (rules, peers) = match list {
        "ingress" => (&mut policy.ingress, "from"),
        "egress" => (&mut policy.egress, "to"),
        other => panic!("{other}"),
    };
    let added = |text: String| {
        let policy = policy_of(&text);
        if list == "ingress" { policy.ingress } else { policy.egress }
    };
    match rest {
        None => rules.extend(added(format!("{head}  {list}:\n{indented}"))),
        Some(rest) => {
            let (index, field) = rest.split_once("].").unwrap();
            let rule = &mut rules[index.parse::<usize>().unwrap()];
            let new = added(format!("{head}  {list}:\n  - {field}:\n{indented}")).remove(0);
            if field == peers {
                rule.peers.as_mut().unwrap().extend(new.peers.unwrap());
            } else {
                rule.ports.as_mut().unwrap().extend(new.ports.unwrap());
            }
        }
    }
    objects
}

#[test]
fn suggested_changes_allow_what_was_asked_and_open_what_they_say() {
    let (mut tried, mut exact) = (0, 0);
    for seed in 0..100 {
        let objects = random_small(seed);
        let before = world(objects.clone());
        let ends = ends(&before);
        for (at, (from, from_ips)) in ends.iter().enumerate() {
            for (other, (to, to_ips)) in ends.iter().enumerate() {
                if !(at + other * 3 + seed as usize).is_multiple_of(4) {
                    continue;
                }
                let (port, protocol, number) = PORTS[(at + other) % PORTS.len()];
                let asked = (protocol, number);
                let Some(answer) = ask(&before, from, to, port) else { continue };
                let Some(explained) = answer.explanations.first() else { continue };
                let Some(change) = &explained.change else { continue };
                tried += 1;
                let all = change.edits.iter().fold(objects.clone(), edited);
                let after = world(all);
                let family = if explained.family == "IPv4" { Family::V4 } else { Family::V6 };
                let (Some(a), Some(b)) = (first(from_ips, family), first(to_ips, family)) else {
                    panic!("seed {seed}: {answer:#?}")
                };
                let verdict = |world: &World, from: IpAddr, to: IpAddr, protocol: Protocol, port: u16| {
                    world
                        .cluster
                        .evaluate(&Connection { from, to, protocol: protocol.number(), port })
                        .verdict
                };
                assert_eq!(
                    verdict(&after, a, b, protocol, number),
                    Verdict::Allowed,
                    "seed {seed}: {from} -> {to} {port}: {answer:#?}"
                );
                exact += u32::from(change.also_opens.is_empty());
                let is_alike = |one: IpAddr, other: IpAddr| {
                    one == other
                        || before
                            .cluster
                            .identity(one)
                            .is_some_and(|id| before.cluster.identity(other) == Some(id))
                };
                for (_, sources) in &ends {
                    for (_, targets) in &ends {
                        for (_, protocol, number) in PORTS {
                            let (Some(x), Some(y)) = (first(sources, family), first(targets, family)) else {
                                continue;
                            };
                            let (old, new) = (
                                verdict(&before, x, y, protocol, number),
                                verdict(&after, x, y, protocol, number),
                            );
                            assert!(
                                old == Verdict::Denied || new == Verdict::Allowed,
                                "seed {seed}: {from} -> {to} {port} closes {x} -> {y}: {answer:#?}"
                            );
                            let is_asked = is_alike(x, a) && is_alike(y, b) && (protocol, number) == asked;
                            assert!(
                                old == new || is_asked || !change.also_opens.is_empty(),
                                "seed {seed}: {from} -> {to} {port} opens {x} -> {y} {protocol}/{number} and does not say so: {answer:#?}"
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(tried > 150 && exact * 2 > tried, "{tried} changes, {exact} that open nothing else");
}
