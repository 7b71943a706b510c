use std::sync::Arc;

use podgate_flow::FlowVerdict;

use crate::support::{Served, flow, now, pod};

fn denied(number: u64) -> podgate_flow::FlowRecord {
    let (from, to) = (pod("ops", "stranger", "10.244.0.13", 50_000), pod("shop", "db", "10.244.0.12", 22));
    flow(0, number, FlowVerdict::Denied, from, to)
}

#[test]
fn flows_come_as_they_are_seen() {
    let served = Served::new();
    let mut all = served.events("/flows/stream");
    let mut some = served.events("/flows/stream?verdict=allowed");
    let web = flow(
        0,
        3,
        FlowVerdict::Allowed,
        pod("shop", "web", "10.244.0.11", 1),
        pod("shop", "db", "10.244.0.12", 5432),
    );
    served.history.push(now(), [denied(1), denied(2), web].map(Arc::new));
    for verdict in ["denied", "denied", "allowed"] {
        let (name, record) = all.next().expect("an event");
        assert_eq!((name.as_str(), &record["verdict"]), ("flow", &serde_json::json!(verdict)));
    }
    assert_eq!(some.next().expect("an event").1["verdict"], "allowed", "what doesn't fit stays away");
    served.stop();
    assert!(all.ends(), "streams end with the server");
}

#[test]
fn the_status_comes_again_when_it_changes() {
    let served = Served::new();
    let mut events = served.events("/events");
    let (name, first) = events.next().expect("the status as it is");
    assert_eq!((name.as_str(), &first["revision"]), ("status", &serde_json::json!(1)));
    served.renew(2);
    let (_, second) = events.next().expect("the next status");
    assert_eq!(second["revision"], 2);
    crate::schema::check("get", "/status", &second);
}

#[test]
fn answers_are_about_the_objects_of_their_revision() {
    let served = Served::new();
    let path = served.dir.path().join("shop.yaml");
    let opened = crate::support::CLUSTER
        .replace("port: 5432\n---\napiVersion: networking", "port: 5433\n---\napiVersion: networking");
    assert_ne!(opened, crate::support::CLUSTER);
    std::fs::write(path, opened).unwrap();
    served.renew(2);
    let why = served.get("/why?from=shop/web&to=shop/db&port=5432");
    assert_eq!(why["answer"], "no");
    assert_eq!(served.get("/policies")["revision"], 2);
}

#[test]
fn an_answer_that_is_known_is_not_sent_again() {
    let served = Served::new();
    let first = served.ask("GET", "/api/v1/policies", &[], "");
    let etag = first.header("etag").expect("an etag");
    let again = served.ask("GET", "/api/v1/policies", &[("If-None-Match", etag)], "");
    assert_eq!((again.status, again.text.as_str()), (304, ""));
}
