//! Changes between worlds, and what caused them.

use podgate_api::{Object, load_text};
use podgate_bench::random_small;

use super::*;
use crate::joint::EndId;
use crate::world::WorldOptions;

fn world(file: &str, text: &str) -> World {
    let loaded = load_text(file, text);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    World::new(loaded.objects, &WorldOptions { hypotheses: true, ..WorldOptions::default() })
}

fn pods(names: &[&str]) -> String {
    let pod = |name: &&str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\n\
             spec: {{containers: [{{name: c, image: c, ports: [{{containerPort: 80}}]}}]}}\n"
        )
    };
    names.iter().map(pod).collect()
}

fn policy(name: &str, rules: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{podSelector: {{matchLabels: {{app: db}}}}, ingress: [{rules}]}}\n"
    )
}

fn lines(diff: &Diff) -> Vec<String> {
    let cause = |cause: &Cause| {
        format!(
            "{:?} {} {:?} {}",
            cause.effect,
            cause.policies.join(","),
            cause.state,
            cause.sources.join(",")
        )
    };
    let line = |c: &Changed| {
        let causes: Vec<String> = c.causes.iter().map(cause).collect();
        format!(
            "{:?} {} -> {}: {} => {} because {}",
            c.kind,
            c.from.text(9),
            c.to.text(9),
            c.before,
            c.after,
            causes.join("; ")
        )
    };
    diff.connections.iter().map(line).collect()
}

#[test]
fn a_policy_that_comes_closes_and_names_itself() {
    let old = world("old.yaml", &pods(&["web", "db"]));
    let from_web = "{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}";
    let new = world("new.yaml", &(pods(&["web", "db"]) + &policy("db", from_web)));
    let diff = Diff::new(&old, &new);
    assert_eq!(
        lines(&diff),
        [
            "Closed anywhere -> shop/db[Pod]: all => none because Isolated shop/db New new.yaml:12",
            "Closed shop/web[Pod] -> shop/db[Pod]: all => TCP 5432 because Isolated shop/db New new.yaml:12",
        ]
    );
    assert!(diff.exposed.is_empty());
}

#[test]
fn rules_that_come_and_go_are_named_with_their_places() {
    let web = "{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}";
    let ops = "{from: [{podSelector: {matchLabels: {app: ops}}}], ports: [{port: 22}]}";
    let old = world("old.yaml", &(pods(&["web", "db", "ops"]) + &policy("db", web)));
    let new = world("new.yaml", &(pods(&["web", "db", "ops"]) + &policy("db", ops)));
    assert_eq!(
        lines(&Diff::new(&old, &new)),
        [
            "Opened shop/ops[Pod] -> shop/db[Pod]: none => TCP 22 because RuleAllows shop/db Changed new.yaml:20",
            "Closed shop/web[Pod] -> shop/db[Pod]: TCP 5432 => none because RuleAllowed shop/db Changed old.yaml:20",
        ]
    );
}

#[test]
fn workloads_that_come_and_go_are_told() {
    let old = world("old.yaml", &pods(&["web", "db"]));
    let new = world("new.yaml", &pods(&["web", "cache"]));
    let diff = Diff::new(&old, &new);
    let titles = |list: &[WorkloadChange]| list.iter().map(|w| w.workload.clone()).collect::<Vec<_>>();
    assert_eq!(titles(&diff.workloads_added), ["shop/cache[Pod]"]);
    assert_eq!(titles(&diff.workloads_removed), ["shop/db[Pod]"]);
    assert!(diff.connections.iter().all(|change| change.workload_changed));
    let kinds: Vec<ChangeKind> = diff.connections.iter().map(|change| change.kind).collect();
    assert!(kinds.contains(&ChangeKind::Opened) && kinds.contains(&ChangeKind::Closed));
}

#[test]
fn an_isolation_that_goes_is_an_exposure() {
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\n\
                   spec: {type: LoadBalancer, selector: {app: db}, ports: [{port: 80}]}\n";
    let old = world("old.yaml", &(pods(&["web", "db"]) + service + &policy("db", "")));
    let new = world("new.yaml", &(pods(&["web", "db"]) + service));
    let diff = Diff::new(&old, &new);
    let found: Vec<String> =
        diff.exposed.iter().map(|e| format!("{} {} [{}]", e.workload, e.ports, e.through)).collect();
    assert_eq!(found, ["shop/db[Pod] TCP 80 [Service shop/db (LoadBalancer)]"]);
    assert!(
        lines(&diff).iter().all(|line| line.contains("NoLongerIsolated shop/db Gone old.yaml:")),
        "{:?}",
        lines(&diff)
    );
}

#[test]
fn nothing_changes_between_equal_worlds() {
    let text = pods(&["web", "db"]) + &policy("db", "{}");
    assert!(Diff::new(&world("a.yaml", &text), &world("b.yaml", &text)).is_empty());
}

/// Every pair of ends: what it had before, with what opened and without what closed, is what it has now.
#[test]
fn a_diff_leads_from_the_old_relation_to_the_new_one() {
    let is_policy = |object: &Object| matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_));
    let (mut changed, mut explained) = (0, 0);
    for seed in 0..40 {
        let objects = random_small(seed);
        // The same pods under other policies: half of the policies go, and another cluster's come.
        let mut other: Vec<Object> = objects.iter().filter(|object| !is_policy(object)).cloned().collect();
        other.extend(objects.iter().filter(|object| is_policy(object)).step_by(2).cloned());
        other.extend(random_small(seed + 1000).into_iter().filter(is_policy).take(3));
        let old = World::new(objects, &WorldOptions::default());
        let new = World::new(other, &WorldOptions::default());
        let mut matched = Matched::new(&old, &new);
        let changes = matched.changes();
        let ends = matched.ends.clone();
        for to in &ends {
            let columns = |joint: &mut crate::joint::Joint, end: Option<EndId>| {
                end.map(|end| joint.column(joint.receiver_of(end)))
            };
            let before = columns(&mut matched.old_joint, to.old);
            let after = columns(&mut matched.new_joint, to.new);
            for from in &ends {
                if from == to || (from.kind != DiffEndKind::Pods && to.kind != DiffEndKind::Pods) {
                    continue;
                }
                let cell =
                    |column: &Option<Vec<CellId>>, joint: &crate::joint::Joint, end: Option<EndId>| match (
                        column, end,
                    ) {
                        (Some(column), Some(end)) => column[joint.sender_of(end)],
                        _ => CellId::NONE,
                    };
                let then = cell(&before, &matched.old_joint, from.old);
                let now = cell(&after, &matched.new_joint, from.new);
                let of_pair: Vec<&Change> =
                    changes.iter().filter(|c| c.from.contains(from) && c.to.contains(to)).collect();
                assert!(of_pair.len() < 2, "seed {seed}: a pair is in one change at most");
                for family in [Family::V4, Family::V6] {
                    let then = matched.old_joint.family_ports(then, family);
                    let now = matched.new_joint.family_ports(now, family);
                    let applied = match of_pair.first() {
                        None => then.clone(),
                        Some(change) => {
                            changed += 1;
                            let before = matched.old_joint.family_ports(change.before, family);
                            let after = matched.new_joint.family_ports(change.after, family);
                            then.union(&after.difference(before)).difference(&before.difference(after))
                        }
                    };
                    assert_eq!(applied, *now, "seed {seed}: {from:?} -> {to:?}");
                }
            }
        }
        // A node and its pods reach each other whatever policy says, so the engine can't tell why for those.
        let is_plain = |end: &DiffEnd| match (&end.kind, end.old_variant(), end.new_variant()) {
            (DiffEndKind::Pods, Some(then), Some(now)) => {
                let plain = |world: &World, id| {
                    let variant = world.variant(id);
                    let addresses = |pod: &crate::PodId| &world.pod(*pod).ips;
                    let owned = variant.pods.iter().all(|pod| {
                        let name = &*world.pod(*pod).name;
                        let owner = |ip: &std::net::IpAddr| {
                            world.cluster.pod_at(*ip).is_some_and(|owner| owner.name() == name)
                        };
                        addresses(pod).iter().all(owner)
                    });
                    owned && !world.workload(variant.workload).host_network
                };
                plain(&old, then) && plain(&new, now)
            }
            _ => false,
        };
        let finder = causes::Finder::new(&old, &new);
        for change in changes.iter().filter(|change| change.from.iter().chain(&change.to).all(is_plain)) {
            for (family, before, after) in by_family(&matched, change) {
                let (opened, closed) = (after.difference(&before), before.difference(&after));
                assert_ne!(finder.of(change, family, &opened, &closed), [], "seed {seed}: {change:?}");
                explained += 1;
            }
        }
    }
    assert!(changed > 1000 && explained > 20, "{changed} {explained}");
}
