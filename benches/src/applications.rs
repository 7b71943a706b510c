//! A cluster as teams make them: applications that call each other, a few hubs that everybody calls, and a pair of
//! policies for most of them. The same as the one that the page's load test writes (`web/e2e/support/large.ts`).

use podgate_api::{
    ContainerPort, LabelSelector, NAMESPACE_NAME_LABEL, NetworkPolicy, Object, Peer, PodTemplate, PolicyPort,
    PortMatch, Protocol, Rule, Source, Workload, WorkloadKind,
};

use crate::large::{label_in, meta, namespace, pods, rule, tcp};

/// Workloads in each namespace.
const EACH: usize = 12;

/// So many Deployments with about five times as many edges; a tenth of them has no policies.
pub fn applications(workloads: usize) -> Vec<Object> {
    let (callees, callers) = calls(workloads);
    let mut objects = Vec::new();
    for at in 0..workloads {
        let (of, app) = (team(at), app(at));
        if at % EACH == 0 {
            objects.push(namespace(&of, &[]));
        }
        objects.push(deployment(at));
        if at % 10 == 9 || at == 0 {
            continue;
        }
        let selected = || label_in(&[("app", &app)]);
        if !callers[at].is_empty() {
            let from = callers[at].iter().map(|caller| peer(*caller)).collect();
            objects.push(Object::NetworkPolicy(NetworkPolicy {
                meta: meta(&of, &format!("to-{app}"), &[]),
                pod_selector: selected(),
                ingress_in_force: true,
                ingress: vec![rule(Some(from), Some(vec![tcp(port(at))]))],
                ..NetworkPolicy::default()
            }));
        }
        let dns =
            PolicyPort { protocol: Protocol::Udp, port: PortMatch::Range(53, 53), source: Source::default() };
        let mut egress: Vec<Rule> = vec![rule(Some(vec![peer(0)]), Some(vec![dns]))];
        egress.extend(callees[at].iter().map(|to| rule(Some(vec![peer(*to)]), Some(vec![tcp(port(*to))]))));
        objects.push(Object::NetworkPolicy(NetworkPolicy {
            meta: meta(&of, &format!("from-{app}"), &[]),
            pod_selector: selected(),
            egress_in_force: true,
            egress,
            ..NetworkPolicy::default()
        }));
    }
    objects
}

/// Whom each workload calls, and who calls it.
fn calls(workloads: usize) -> (Vec<Vec<usize>>, Vec<Vec<usize>>) {
    let (mut callees, mut callers) = (vec![Vec::new(); workloads], vec![Vec::new(); workloads]);
    let mut dice = Dice(42);
    let mut call = |from: usize, to: usize| {
        let known: &mut Vec<usize> = &mut callees[from];
        if from != to && !known.contains(&to) {
            known.push(to);
            callers[to].push(from);
        }
    };
    for from in 1..workloads {
        for _ in 0..3 {
            call(from, (workloads - 1).min(from - from % EACH + dice.roll(EACH)));
        }
        for _ in 0..2 {
            call(from, 1 + dice.roll(workloads - 1));
        }
        // Monitoring scrapes most, and a gateway is in front of some.
        if dice.roll(10) < 7 {
            call(1, from);
        }
        if dice.roll(10) < 2 {
            call(2, from);
        }
    }
    (callees, callers)
}

/// xorshift32, as the load test has it.
struct Dice(u32);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % below
    }
}

fn team(at: usize) -> String {
    format!("team-{:03}", at / EACH)
}

fn app(at: usize) -> String {
    format!("app-{:02}", at % EACH)
}

fn port(at: usize) -> u16 {
    8000 + (at % 7) as u16
}

fn peer(at: usize) -> Peer {
    pods(Some(label_in(&[(NAMESPACE_NAME_LABEL, &team(at))])), Some(label_in(&[("app", &app(at))])))
}

fn deployment(at: usize) -> Object {
    let name = app(at);
    let selector: LabelSelector = label_in(&[("app", &name)]);
    let http = ContainerPort { name: "http".to_owned(), port: port(at), protocol: Protocol::Tcp };
    let template = PodTemplate {
        labels: [("app".to_owned(), name.clone())].into_iter().collect(),
        ports: vec![http],
        ..PodTemplate::default()
    };
    Object::Workload(Workload {
        meta: meta(&team(at), &name, &[]),
        kind: WorkloadKind::Deployment,
        replicas: 1 + (at % 3) as u32,
        selector: Some(selector),
        template,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `docs/benchmarks.md` says of the load test's.
    #[test]
    fn a_thousand_workloads_are_those_of_the_load_test() {
        let objects = applications(1000);
        let of = |kind: &str| objects.iter().filter(|object| object.key().kind == kind).count();
        assert_eq!((of("Deployment"), of("Namespace"), of("NetworkPolicy")), (1000, 84, 1798));
        let Some(Object::NetworkPolicy(first)) =
            objects.iter().find(|object| object.key().name == "from-app-01")
        else {
            panic!("a policy")
        };
        assert!(first.egress.len() > 600, "monitoring scrapes most: {}", first.egress.len());
    }
}
