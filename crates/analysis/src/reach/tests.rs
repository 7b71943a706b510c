//! Blocks say what the relation says, and in people's words.

use podgate_api::load_text;

use super::*;
use crate::ends::{End as Written, PortSpec};
use crate::world::WorldOptions;

fn pod(namespace: &str, name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}\n\
         spec: {{containers: [{{name: c, image: c, ports: [{{name: http, containerPort: 8080}}]}}]}}\n"
    )
}

const POLICIES: &str = "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
    ports: [{port: 5432}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Ingress, Egress]
  ingress:
  - ports: [{port: http}]
  egress:
  - to: [{podSelector: {matchLabels: {app: db}}}]
  - to: [{ipBlock: {cidr: 0.0.0.0/0, except: [169.254.169.254/32]}}]
    ports: [{port: 443}]
";

fn world() -> World {
    let pods: String = ["web", "db"].map(|name| pod("shop", name)).concat()
        + &["a", "b", "c"].map(|name| pod("ops", name)).concat();
    World::new(load_text("test.yaml", &(pods + POLICIES)).objects, &WorldOptions::default())
}

fn lines(world: &World, question: &Question, grouping: Grouping) -> Vec<String> {
    let reach = Reach::new(world, question, grouping);
    let line = |c: &Connections| format!("{} -> {}: {}", c.from.text(9), c.to.text(9), c.ports);
    reach.connections.iter().map(line).collect()
}

#[test]
fn destinations_that_the_same_sources_reach_stand_together() {
    let world = world();
    assert_eq!(
        lines(&world, &Question::default(), Grouping::Destination),
        [
            "ops/*, shop/db[Pod] -> anywhere: all",
            "shop/web[Pod] -> anywhere but 169.254.169.254: TCP 443",
            "shop/web[Pod] -> shop/db[Pod]: TCP 5432",
            "all pods, anywhere -> shop/web[Pod]: TCP 8080",
            "shop/web[Pod] -> ops/*: TCP 443",
            "ops/*, shop/db[Pod], anywhere -> ops/*: all",
        ]
    );
}

#[test]
fn sources_that_reach_the_same_destinations_stand_together() {
    let world = world();
    let lines = lines(&world, &Question::default(), Grouping::Source);
    assert_eq!(
        lines,
        [
            "anywhere -> shop/web[Pod]: TCP 8080",
            "anywhere -> ops/*: all",
            "shop/web[Pod] -> shop/db[Pod]: TCP 5432",
            "shop/web[Pod] -> ops/*, anywhere but 169.254.169.254: TCP 443",
            "ops/*, shop/db[Pod] -> ops/*, anywhere: all",
            "all pods -> shop/web[Pod]: TCP 8080",
        ]
    );
}

#[test]
fn a_question_can_name_both_ends_and_the_port() {
    let world = world();
    let select = |text: &str| {
        let end = Written::parse(text, None).unwrap();
        world.resolve(&end).unwrap()
    };
    let to = select("all");
    let port = world.resolve_ports(&to, Some(&PortSpec::parse("http").unwrap())).unwrap();
    let question = Question {
        from: Some(Selection::new(&world, &select("10.0.0.0/8"))),
        to: Some(Selection::new(&world, &to)),
        ports: Some(Limit::new(&world, &port)),
    };
    assert_eq!(
        lines(&world, &question, Grouping::Destination),
        ["10.0.0.0/8 -> ops/*, shop/web[Pod]: TCP 8080"]
    );
}

/// Every pair of ends on every port is in one block exactly when the relation allows it.
#[test]
fn blocks_are_the_relation() {
    let world = world();
    for grouping in [Grouping::Destination, Grouping::Source] {
        let mut joint = Joint::new(&world);
        let blocks = blocks(&world, &mut joint, &Question::default(), grouping);
        let receivers: Vec<Vec<EndId>> = joint.receivers().map(<[EndId]>::to_vec).collect();
        let mut allowed = 0;
        for (receiver, members) in receivers.iter().enumerate() {
            let column = joint.column(receiver);
            for (to, from) in
                members.iter().flat_map(|to| (0..joint.ends.len() as u32).map(move |f| (*to, EndId(f))))
            {
                let cell = column[joint.sender_of(from)];
                let holding: Vec<CellId> = blocks
                    .iter()
                    .filter(|block| block.from.contains(&from) && block.to.contains(&to))
                    .map(|block| block.cell)
                    .collect();
                if from == to {
                    continue;
                }
                let expected: &[CellId] = if cell == CellId::NONE { &[] } else { &[cell] };
                assert_eq!(holding, expected, "{:?} -> {:?}", joint.end(from), joint.end(to));
                allowed += expected.len();
            }
        }
        assert!(allowed > 20, "{allowed}");
    }
}

#[test]
fn families_that_agree_are_one_line_and_others_two() {
    let mut text = pod("shop", "web") + &pod("shop", "db");
    text.push_str(
        "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{ipBlock: {cidr: 0.0.0.0/0}}, {ipBlock: {cidr: 'fd12::/16'}}]
    ports: [{port: 5432}]
",
    );
    let world = World::new(load_text("test.yaml", &text).objects, &WorldOptions::default());
    let reach = Reach::new(&world, &Question::default(), Grouping::Destination);
    assert_eq!(reach.families, ["IPv4", "IPv6"]);
    let lines: Vec<String> = reach
        .connections
        .iter()
        .map(|c| {
            format!("{} -> {}: {} {}", c.from.text(9), c.to.text(9), c.ports, c.family.unwrap_or_default())
        })
        .collect();
    assert_eq!(
        lines,
        [
            "all pods -> anywhere: all ",
            "anywhere, fd12::/16 -> shop/db[Pod]: TCP 5432 ",
            "shop/web[Pod] -> shop/db[Pod]: TCP 5432 IPv4",
            "shop/db[Pod], anywhere -> shop/web[Pod]: all ",
        ]
    );
}
