//! What the engine tells of its verdicts holds: the rules that it names lead to the verdict, and what it calls
//! not needed can go.

use podgate_api::{Object, ObjectKey};
use podgate_bench::{Rng, random_small};
use podgate_policy::{
    Cluster, Connection, Direction, Effect, PolicyTrace, PolicyUse, Reason, RuleRef, Tier, Verdict,
};
use podgate_tests::compare::{Interesting, connection, engine, seeds};

/// The verdict that the named rules make, by the order of tiers alone.
fn verdict_of(policies: &[PolicyTrace]) -> (Verdict, Option<RuleRef>) {
    let asked = |tier: Tier| {
        let rules =
            policies.iter().filter(move |policy| policy.tier == tier).flat_map(|policy| &policy.rules);
        rules.filter(|rule| rule.matches)
    };
    let final_of = |tier: Tier| match asked(tier).next() {
        Some(rule) if rule.effect == Effect::Allow => Some((Verdict::Allowed, Some(rule.rule.clone()))),
        Some(rule) if rule.effect == Effect::Deny => Some((Verdict::Denied, Some(rule.rule.clone()))),
        _ => None,
    };
    if let Some(decided) = final_of(Tier::Admin) {
        return decided;
    }
    if policies.iter().any(|policy| policy.tier == Tier::NetworkPolicy) {
        return final_of(Tier::NetworkPolicy).unwrap_or((Verdict::Denied, None));
    }
    final_of(Tier::Baseline).unwrap_or((Verdict::Allowed, None))
}

#[test]
fn explanations_lead_to_the_verdict() {
    for seed in seeds(60) {
        let objects = random_small(seed);
        let cluster = engine(&objects, false);
        let mut rng = Rng::new(seed);
        for question in Interesting::of(&objects).some(&mut rng, 1_000).iter().map(connection) {
            let explanation = cluster.explain(&question);
            assert_eq!(explanation.decision, cluster.evaluate(&question));
            let decision = &explanation.decision;
            for (side, trace) in
                [(&decision.egress, &explanation.egress), (&decision.ingress, &explanation.ingress)]
            {
                if matches!(side.reason, Reason::OwnNode | Reason::Itself | Reason::NotAPod) {
                    assert!(trace.is_empty());
                    continue;
                }
                let (verdict, rule) = verdict_of(trace);
                assert_eq!(verdict, side.verdict, "seed {seed}: {question:?}: {trace:#?}");
                if let Reason::Rule(named) = &side.reason {
                    let named_first = rule.as_ref() == Some(named);
                    // A rule that could not be understood denies everything, and says so by its own match.
                    assert!(named_first, "seed {seed}: {question:?}: {named} is not {rule:?}");
                }
            }
        }
    }
}

fn questions(objects: &[Object], seed: u64) -> Vec<Connection> {
    Interesting::of(objects).some(&mut Rng::new(seed), 3_000).iter().map(connection).collect()
}

fn verdicts(cluster: &Cluster, questions: &[Connection]) -> Vec<Verdict> {
    questions.iter().map(|question| cluster.evaluate(question).verdict).collect()
}

/// The objects without these policies.
fn without_policies(objects: &[Object], gone: &[&PolicyUse]) -> Vec<Object> {
    let is_gone = |key: &ObjectKey| {
        gone.iter().any(|policy| {
            let policy = &policy.policy;
            (policy.kind.as_str(), &policy.namespace, &policy.name) == (key.kind, &key.namespace, &key.name)
        })
    };
    objects.iter().filter(|object| !is_gone(&object.key())).cloned().collect()
}

/// The objects without these rules; the policies keep their isolation.
fn without_rules(objects: &[Object], gone: &[&RuleRef]) -> Vec<Object> {
    let mut objects = objects.to_vec();
    let keep = |key: &ObjectKey, direction: Direction, index: usize| {
        !gone.iter().any(|rule| {
            let policy = &rule.policy;
            (policy.kind.as_str(), &policy.namespace, &policy.name) == (key.kind, &key.namespace, &key.name)
                && (rule.direction, rule.index as usize) == (direction, index)
        })
    };
    fn retain<T>(rules: &mut Vec<T>, keep: impl Fn(usize) -> bool) {
        let mut index = 0;
        rules.retain(|_| {
            index += 1;
            keep(index - 1)
        });
    }
    for object in &mut objects {
        let key = object.key();
        match object {
            Object::NetworkPolicy(policy) => {
                retain(&mut policy.ingress, |index| keep(&key, Direction::Ingress, index));
                retain(&mut policy.egress, |index| keep(&key, Direction::Egress, index));
            }
            Object::ClusterPolicy(policy) => {
                retain(&mut policy.ingress, |index| keep(&key, Direction::Ingress, index));
                retain(&mut policy.egress, |index| keep(&key, Direction::Egress, index));
            }
            _ => {}
        }
    }
    objects
}

#[test]
fn what_is_not_needed_can_go_all_at_once() {
    let mut removed = 0;
    for seed in seeds(120) {
        let objects = random_small(seed);
        let cluster = engine(&objects, false);
        let questions = questions(&objects, seed);
        let before = verdicts(&cluster, &questions);
        let uses = cluster.redundancies();
        let idle: Vec<&PolicyUse> = uses.iter().filter(|policy| policy.selects && !policy.needed).collect();
        let after = engine(&without_policies(&objects, &idle), false);
        assert_eq!(before, verdicts(&after, &questions), "seed {seed}: policies {idle:#?}");
        let rules = uses.iter().filter(|policy| policy.selects).flat_map(|policy| &policy.rules);
        let idle_rules: Vec<&RuleRef> = rules.filter(|rule| !rule.needed).map(|rule| &rule.rule).collect();
        let after = engine(&without_rules(&objects, &idle_rules), false);
        assert_eq!(before, verdicts(&after, &questions), "seed {seed}: rules {idle_rules:#?}");
        removed += idle.len() + idle_rules.len();
    }
    assert!(removed > 100, "random clusters have things that are not needed: {removed}");
}

#[test]
fn what_is_needed_changes_something() {
    let (mut seen, mut of) = (0, 0);
    for seed in seeds(40) {
        let objects = random_small(seed);
        let cluster = engine(&objects, false);
        let questions: Vec<Connection> =
            Interesting::of(&objects).all().map(|question| connection(&question)).collect();
        let before = verdicts(&cluster, &questions);
        for policy in cluster.redundancies().iter().filter(|policy| policy.selects && policy.needed) {
            let after = engine(&without_policies(&objects, &[policy]), false);
            of += 1;
            // What is needed may matter only for a pod or an address that isn't there yet.
            seen += usize::from(before != verdicts(&after, &questions));
        }
    }
    assert!(seen * 10 > of * 8, "{seen} of {of} policies that are needed change an answer that can be asked");
}
