//! The engine and the naive evaluator give the same verdicts for the same reasons, on clusters made
//! to provoke corner cases: every pair of addresses, every interesting port, every protocol.
//!
//! `PODGATE_SEEDS=1000` tries more clusters, `PODGATE_SEEDS=7..8` a certain one.

use std::net::IpAddr;

use Action::{Accept, Deny, Pass};
use podgate_api::{
    Action, ClusterPeer, ClusterPolicy, ClusterPortMatch, ClusterRule, ClusterSubject, ClusterTier, Object,
    PortMatch, Protocol, Source,
};
use podgate_bench::{Shape, random_names, random_small};
use podgate_tests::compare::{Interesting, agree, agree_on_hairpin, caught, engine, seeds, shrink_and_panic};
use podgate_tests::naive::{Answer, Why, World};

type Names = [(&'static str, Vec<IpAddr>)];

fn difference(objects: &[Object], names: &Names, icmp_echo: bool) -> Option<String> {
    caught(|| {
        let mut cluster = engine(objects, icmp_echo);
        let mut world = World::of(objects);
        world.icmp_echo = icmp_echo;
        for (name, addresses) in names {
            world.bind(name, addresses);
            cluster.bind(name, addresses);
        }
        cluster.commit();
        let interesting = Interesting::of(objects).and(names.iter().flat_map(|(_, ips)| ips).copied());
        interesting.all().try_for_each(|question| agree(&world, &cluster, &question))?;
        interesting.pods.iter().try_for_each(|pod| {
            let mut ports = interesting.ports.iter();
            ports.try_for_each(|(protocol, port)| agree_on_hairpin(&world, &cluster, *pod, *protocol, *port))
        })
    })
}

#[test]
fn on_random_small_clusters() {
    for seed in seeds(300) {
        let (objects, names) = (random_small(seed), random_names(seed));
        let icmp_echo = seed % 2 == 1;
        if difference(&objects, &names, icmp_echo).is_some() {
            let what = format!("seed {seed}, {names:?}");
            shrink_and_panic(&what, objects, |objects| difference(objects, &names, icmp_echo));
        }
    }
}

#[test]
fn on_a_middle_sized_cluster() {
    let shape = Shape { namespaces: 12, pods: 6, policies: 4, nodes: 3, label_values: 3, ..Shape::default() };
    let objects = shape.generate();
    let cluster = engine(&objects, false);
    let world = World::of(&objects);
    let mut rng = podgate_bench::Rng::new(7);
    for question in Interesting::of(&objects).some(&mut rng, 20_000) {
        agree(&world, &cluster, &question).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn the_questions_meet_every_kind_of_answer() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let objects = random_small(seed);
        let mut world = World::of(&objects);
        world.icmp_echo = true;
        let mut rng = podgate_bench::Rng::new(seed);
        for question in Interesting::of(&objects).some(&mut rng, 2_000) {
            let (egress, ingress) = world.answer(&question);
            for (direction, answer) in [("egress", egress), ("ingress", ingress)] {
                let (name, tier) = match answer.why {
                    Why::Rule { tier, .. } => ("Rule".to_owned(), tier),
                    other => {
                        let text = format!("{other:?}");
                        (text.split('(').next().unwrap_or_default().to_owned(), None)
                    }
                };
                seen.insert((direction, name, tier, answer.allowed));
            }
        }
    }
    // Rules of NetworkPolicies allow; those of the two other tiers allow and deny.
    assert_eq!(seen.len(), 22, "six reasons and five rules, in two directions: {seen:?}");
}

/// What clusters would decide if a part of cluster-scoped policies meant something else.
#[test]
fn every_part_of_a_cluster_policy_changes_some_answer() {
    type Misread = fn(&mut ClusterPolicy);
    fn rules(policy: &mut ClusterPolicy) -> impl Iterator<Item = &mut ClusterRule> {
        policy.ingress.iter_mut().chain(&mut policy.egress)
    }
    fn peers(policy: &mut ClusterPolicy) -> impl Iterator<Item = &mut Vec<ClusterPeer>> {
        rules(policy).map(|rule| &mut rule.peers)
    }
    let parts: [(&str, Misread); 16] = [
        ("the tier", |policy| policy.tier = ClusterTier::Admin),
        ("the priority", |policy| policy.priority = 7),
        ("a tie's winner", |policy| policy.meta.name = format!("z{}", 9 - policy.meta.name.len())),
        ("the order of rules", |policy| policy.ingress.reverse()),
        ("Pass", |policy| rules(policy).for_each(|rule| replace(&mut rule.action, Pass, Accept))),
        ("Deny", |policy| rules(policy).for_each(|rule| replace(&mut rule.action, Deny, Pass))),
        ("Accept", |policy| rules(policy).for_each(|rule| replace(&mut rule.action, Accept, Pass))),
        ("rules without peers", |policy| {
            policy.egress.retain(|rule| !rule.peers.is_empty());
            policy.ingress.iter_mut().filter(|rule| rule.peers.is_empty()).for_each(|rule| {
                rule.peers.push(ClusterPeer::Unknown(Source::default()));
            });
        }),
        ("an unknown subject", |policy| {
            if policy.subject == ClusterSubject::Unknown {
                policy.ingress.clear();
            }
        }),
        ("unknown peers", |policy| {
            peers(policy).for_each(|peers| peers.retain(|peer| !matches!(peer, ClusterPeer::Unknown(_))));
        }),
        ("unknown ports", |policy| {
            rules(policy).for_each(|rule| {
                rule.ports.iter_mut().flatten().for_each(|port| {
                    if port.matches == ClusterPortMatch::Unknown {
                        port.matches = ClusterPortMatch::Named("none".to_owned());
                    }
                });
            });
        }),
        ("named ports", |policy| {
            rules(policy).for_each(|rule| {
                rule.ports.iter_mut().flatten().for_each(|port| {
                    if matches!(port.matches, ClusterPortMatch::Named(_)) {
                        port.matches = ClusterPortMatch::Port(Protocol::Tcp, PortMatch::All);
                    }
                });
            });
        }),
        ("rules without ports", |policy| {
            rules(policy).filter(|rule| rule.ports.is_none()).for_each(|rule| rule.ports = Some(Vec::new()));
        }),
        ("Nodes", |policy| {
            peers(policy).for_each(|peers| peers.retain(|peer| !matches!(peer, ClusterPeer::Nodes { .. })));
        }),
        ("Networks", |policy| {
            peers(policy)
                .for_each(|peers| peers.retain(|peer| !matches!(peer, ClusterPeer::Networks { .. })));
        }),
        ("Domains", |policy| {
            peers(policy).for_each(|peers| peers.retain(|peer| !matches!(peer, ClusterPeer::Domains { .. })));
        }),
    ];
    for (part, misread) in parts {
        let matters = (0..200).any(|seed| {
            let objects = random_small(seed);
            let mut misunderstood = objects.clone();
            for object in &mut misunderstood {
                if let Object::ClusterPolicy(policy) = object {
                    misread(policy);
                }
            }
            if misunderstood == objects {
                return false;
            }
            let (mut world, mut other) = (World::of(&objects), World::of(&misunderstood));
            for (name, addresses) in random_names(seed) {
                world.bind(name, &addresses);
                other.bind(name, &addresses);
            }
            let mut rng = podgate_bench::Rng::new(seed);
            let mut questions = Interesting::of(&objects).some(&mut rng, 1_000).into_iter();
            let allowed = |(egress, ingress): (Answer, Answer)| (egress.allowed, ingress.allowed);
            questions.any(|question| allowed(world.answer(&question)) != allowed(other.answer(&question)))
        });
        assert!(matters, "{part} could mean anything: no question shows it");
    }
}

fn replace(action: &mut Action, what: Action, by: Action) {
    if *action == what {
        *action = by;
    }
}
