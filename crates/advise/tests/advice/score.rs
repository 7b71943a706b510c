//! What a replay predicted, held against what happened since.

use podgate_advise::score::{Outcome, Prediction, Said, Score};
use podgate_advise::{Judge, Replay};
use podgate_flow::{FlowVerdict, Protocol};

use crate::support::*;

const WEB: (&str, &str) = ("shop/Deployment/web", "10.1.0.11");
const API: (&str, &str, u16) = ("shop/Deployment/api", "10.1.0.12", 9000);
const DB: (&str, &str, u16) = ("data/StatefulSet/db", "10.1.0.13", 5432);
const FROM_API: (&str, &str) = ("shop/Deployment/api", "10.1.0.12");

/// Lets nobody but the API reach the database, and nobody else but from outside the front end.
const CANDIDATE: &str = r#"
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: data}
spec:
  podSelector: {}
  ingress:
  - from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: api}}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: web}}}]
"#;

/// The prediction for these flows, through its JSON as users keep it.
fn predicted(recorder: &Recorder) -> Prediction {
    let objects = objects(&format!("{SHOP}{CANDIDATE}"));
    let seen = recorder.seen(&objects);
    let replay = Replay::new(&seen, &mut Judge::new(objects, Default::default(), &seen));
    serde_json::from_str(&serde_json::to_string(&replay).unwrap()).unwrap()
}

fn denied(recorder: &mut Recorder, from: (&str, &str), to: (&str, &str, u16)) {
    recorder.one(from, to, Protocol::TCP, FlowVerdict::Denied);
}

/// Before: web and an address outside reach the database, which the candidate cuts; web reaches the API, which it keeps; an
/// admin's denied attempts on the API would be opened from web's address.
fn before() -> Recorder {
    let mut recorder = Recorder::default();
    recorder.tcp(WEB, DB);
    recorder.tcp(("out:", "203.0.113.9"), DB);
    recorder.tcp(WEB, API);
    recorder.tcp(FROM_API, DB);
    denied(&mut recorder, ("shop/Deployment/cron", "10.1.0.50"), API);
    denied(&mut recorder, WEB, ("shop/Deployment/api", "10.1.0.12", 9001));
    recorder
}

#[track_caller]
fn check(since: &Recorder, expect: &[&str]) -> Score {
    let score = Score::new(&predicted(&before()), &since.seen(&objects(SHOP)));
    let mut told = Vec::new();
    for (word, scored) in [("cut", &score.cut), ("open", &score.opened)] {
        told.extend(scored.iter().map(|one| {
            let line = &one.line;
            format!(
                "{word} {} -> {} {}: {:?} {}/{}",
                line.from, line.to, line.port, one.outcome, one.denied, one.allowed
            )
        }));
    }
    for (word, surprises) in
        [("unpredicted cut", &score.cut_unpredicted), ("unpredicted open", &score.opened_unpredicted)]
    {
        told.extend(surprises.iter().map(|one| {
            let line = &one.line;
            format!("{word} {} -> {} {}: {:?} {}", line.from, line.to, line.port, one.said, one.connections)
        }));
    }
    assert_eq!(told, expect);
    score
}

const WEB_TO_DB: &str = "shop/web[Deployment] -> data/db[StatefulSet] 5432";

#[test]
fn what_goes_as_predicted_is_no_finding() {
    let mut since = Recorder::default();
    denied(&mut since, WEB, DB);
    denied(&mut since, WEB, DB);
    since.tcp(WEB, API);
    // Denied before, and said to stay so.
    denied(&mut since, ("shop/Deployment/cron", "10.1.0.50"), API);
    let score = check(
        &since,
        &[
            "cut outside -> data/db[StatefulSet] 5432: NotTried 0/0",
            &format!("cut {WEB_TO_DB}: Happened 2/0"),
            "open shop/web[Deployment] -> shop/api[Deployment] 9001: NotTried 0/0",
        ],
    );
    assert!(!score.has_missed() && !score.has_surprises());
    assert_eq!(score.cut[1].predicted, 1);
}

#[test]
fn what_was_let_through_although_it_was_to_be_cut_is_missed() {
    let mut since = Recorder::default();
    since.tcp(WEB, DB);
    denied(&mut since, ("out:", "203.0.113.9"), DB);
    since.tcp(("out:", "203.0.113.10"), DB);
    denied(&mut since, WEB, ("shop/Deployment/api", "10.1.0.12", 9001));
    let score = check(
        &since,
        &[
            "cut outside -> data/db[StatefulSet] 5432: Partly 1/1",
            &format!("cut {WEB_TO_DB}: Missed 0/1"),
            "open shop/web[Deployment] -> shop/api[Deployment] 9001: Missed 1/0",
        ],
    );
    assert!(score.has_missed() && !score.has_surprises());
    assert_eq!(score.cut[1].outcome, Outcome::Missed);
}

#[test]
fn what_was_cut_without_being_predicted_says_what_the_replay_knew() {
    let mut since = Recorder::default();
    denied(&mut since, WEB, API);
    denied(&mut since, WEB, ("kube-system/Deployment/coredns", "10.1.0.14", 53));
    since.tcp(("shop/Deployment/cron", "10.1.0.50"), API);
    let score = check(
        &since,
        &[
            "cut outside -> data/db[StatefulSet] 5432: NotTried 0/0",
            &format!("cut {WEB_TO_DB}: NotTried 0/0"),
            "open shop/web[Deployment] -> shop/api[Deployment] 9001: NotTried 0/0",
            "unpredicted cut shop/web[Deployment] -> kube-system/coredns[Deployment] 53: NotSeen 1",
            "unpredicted cut shop/web[Deployment] -> shop/api[Deployment] 9000: Kept 1",
            "unpredicted open shop/cron[Deployment] -> shop/api[Deployment] 9000: Kept 1",
        ],
    );
    assert!(!score.has_missed() && score.has_surprises());
    assert_eq!(score.cut_unpredicted[1].said, Said::Kept);
}
