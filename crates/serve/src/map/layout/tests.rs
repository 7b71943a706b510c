use proptest::prelude::*;

use super::*;

fn item(group: usize) -> Item {
    Item { group: Some(group), width: 100.0, hub: false }
}

fn overlap(a: &Rect, b: &Rect) -> bool {
    a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
}

#[test]
fn callers_stand_to_the_left_of_what_they_call() {
    let items = [item(0), item(0), item(0), item(0)];
    // The database is first by name, and last to be called.
    let laid = lay_out(&items, &[3], &[(3, 2), (2, 0), (3, 0)], None);
    let x: Vec<f64> = laid.nodes.iter().map(|node| node.x).collect();
    assert!(x[3] < x[2] && x[2] < x[0], "{x:?}");
    assert!(x[1] > x[0], "who has no edge stands apart: {x:?}");
}

#[test]
fn boxes_are_read_from_where_connections_come_from_to_where_they_end() {
    // By name: data, shop, spare, web, and what is outside; the shop connects to the outside again.
    let items = [item(0), item(1), item(2), item(3), item(4)];
    let edges = [(4, 3), (3, 1), (1, 0), (1, 4)];
    let laid = lay_out(&items, &[1, 3, 0, 2, 2], &edges, Some(4));
    let mut order = vec![0, 1, 2, 3, 4];
    order.sort_by(|a: &usize, b: &usize| {
        let at = |group: usize| (laid.groups[group].y, laid.groups[group].x);
        at(*a).partial_cmp(&at(*b)).unwrap()
    });
    assert_eq!(order, [4, 3, 1, 0, 2]);
}

#[test]
fn a_circle_has_places_all_the_same() {
    let items = [item(0), item(0), item(0)];
    let laid = lay_out(&items, &[3], &[(0, 1), (1, 2), (2, 0)], None);
    let x: Vec<f64> = laid.nodes.iter().map(|node| node.x).collect();
    assert!(x[0] < x[1] && x[1] < x[2], "{x:?}");
}

#[test]
fn one_more_workload_without_edges_moves_nobody() {
    let mut items = vec![item(0), item(0), item(0), item(1), item(1), item(2)];
    let edges = [(0, 1), (1, 2), (3, 4), (2, 3)];
    let before = lay_out(&items, &[3, 2, 0], &edges, None);
    // By name it is the last of the last namespace.
    items.push(item(2));
    let after = lay_out(&items, &[3, 2, 0], &edges, None);
    assert_eq!(before.nodes[..], after.nodes[..before.nodes.len()]);
    assert_eq!(before.groups, after.groups);
}

#[test]
fn a_thousand_workloads_are_wider_than_high_but_not_much() {
    let items: Vec<Item> = (0..1000).map(|at| item(at / 12)).collect();
    let edges: Vec<(usize, usize)> = (0..5000).map(|at| (at * 7 % 1000, at * 13 % 1000)).collect();
    let laid = lay_out(&items, &vec![10; 84], &edges, None);
    let aspect = laid.width / laid.height;
    assert!((1.0..3.0).contains(&aspect), "{} x {}", laid.width, laid.height);
}

proptest! {
    #[test]
    fn nothing_overlaps_and_all_are_in_their_boxes(
        shape in prop::collection::vec((0..6_usize, 5..13_u8, prop::bool::weighted(0.1)), 1..60),
        edges in prop::collection::vec((0..60_usize, 0..60_usize), 0..120),
        weights in prop::collection::vec(0..1000_u64, 6),
        grouped: bool,
    ) {
        let mut items: Vec<Item> = shape
            .iter()
            .map(|(group, width, hub)| Item {
                group: grouped.then_some(*group),
                width: f64::from(*width) * 20.0,
                hub: *hub,
            })
            .collect();
        items.sort_by_key(|item| item.group);
        let weights = if grouped { weights } else { Vec::new() };
        let edges: Vec<(usize, usize)> =
            edges.into_iter().map(|(a, b)| (a % items.len(), b % items.len())).collect();
        let laid = lay_out(&items, &weights, &edges, None);
        for (at, node) in laid.nodes.iter().enumerate() {
            for other in &laid.nodes[..at] {
                prop_assert!(!overlap(node, other), "{node:?} and {other:?}");
            }
            prop_assert!(node.x >= 0.0 && node.x + node.w <= laid.width, "{node:?}");
            prop_assert!(node.y >= 0.0 && node.y + node.h <= laid.height, "{node:?}");
            if let Some(group) = items[at].group {
                let area = laid.groups[group];
                prop_assert!(node.x >= area.x && node.x + node.w <= area.x + area.w, "{node:?} in {area:?}");
                prop_assert!(node.y >= area.y && node.y + node.h <= area.y + area.h, "{node:?} in {area:?}");
            }
        }
        for (at, area) in laid.groups.iter().enumerate() {
            for other in &laid.groups[..at] {
                prop_assert!(!overlap(area, other), "{area:?} and {other:?}");
            }
        }
        prop_assert_eq!(&laid, &lay_out(&items, &weights, &edges, None));
    }
}
