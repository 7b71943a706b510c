//! What candidate policies would do to flows that were seen.

use podgate_advise::{Judge, Replay};
use podgate_flow::{FlowVerdict, Party, Protocol};

use crate::support::*;

const WEB: (&str, &str) = ("shop/Deployment/web", "10.1.0.11");
const API: (&str, &str, u16) = ("shop/Deployment/api", "10.1.0.12", 9000);

const ONLY_WEB: &str = "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  podSelector: {matchLabels: {app: api}}
  ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 9000}]}]
";

fn replay(recorder: &Recorder, text: &str) -> Replay {
    let objects = objects(text);
    let seen = recorder.seen(&objects);
    Replay::new(&seen, &mut Judge::new(objects, Default::default(), &seen))
}

fn lines(replay: &Replay) -> Vec<String> {
    let line = |word: &str, change: &podgate_advise::Change| {
        let flow = &change.flow;
        format!(
            "{word} {} -> {} {}/{} x{} by {}; {}",
            flow.from,
            flow.to,
            flow.protocol,
            flow.port,
            flow.connections,
            change.egress.by,
            change.ingress.by
        )
    };
    let cut = replay.cut.iter().map(|change| line("cut", change));
    let opened = replay.opened.iter().map(|change| line("opened", change));
    let unjudged = replay
        .unjudged
        .iter()
        .map(|one| format!("unjudged {} -> {}: {}", one.flow.from, one.flow.to, one.why));
    cut.chain(opened).chain(unjudged).collect()
}

#[test]
fn what_is_cut_and_opened_comes_with_the_rules_of_both_sides() {
    let mut recorder = Recorder::default();
    recorder.tcp(WEB, API);
    recorder.tcp(("data/StatefulSet/db", "10.1.0.13"), API);
    recorder.tcp(("data/StatefulSet/db", "10.1.0.13"), API);
    recorder.one(WEB, API, Protocol::TCP, FlowVerdict::Denied).suppressed = 4;
    let replay = replay(&recorder, &format!("{SHOP}{ONLY_WEB}"));
    assert_eq!(
        lines(&replay),
        [
            "cut data/db[StatefulSet] -> shop/api[Deployment] TCP/9000 x2 by not isolated; isolated by shop/api",
            "opened shop/web[Deployment] -> shop/api[Deployment] TCP/9000 x5 by not isolated; shop/api ingress[0]",
        ]
    );
    assert_eq!((replay.kept.allowed, replay.kept.denied), (1, 0));
    assert_eq!((replay.records, replay.lost.suppressed), (4, 4));
}

#[test]
fn a_change_is_not_blamed_for_what_the_policies_of_today_deny_anyway() {
    let mut recorder = Recorder::default();
    recorder.tcp(WEB, API);
    // Let through in its time.
    recorder.tcp(("data/StatefulSet/db", "10.1.0.13"), API);
    let today = objects(&format!("{SHOP}{ONLY_WEB}"));
    let judge = |objects| Judge::new(objects, Default::default(), &recorder.seen(&today));
    let seen = recorder.seen(&today).under(&mut judge(today.clone()));
    let same = Replay::new(&seen, &mut judge(today.clone()));
    assert_eq!((lines(&same), same.kept.allowed, same.kept.denied), (vec![], 1, 1));
    let without = Replay::new(&seen, &mut judge(objects(SHOP)));
    assert_eq!(
        lines(&without),
        ["opened data/db[StatefulSet] -> shop/api[Deployment] TCP/9000 x1 by not isolated; not isolated"]
    );
}

#[test]
fn pods_that_are_gone_are_judged_by_their_workload_or_their_labels() {
    let mut recorder = Recorder::default();
    // Not in the input at all, but the record has its labels.
    recorder.tcp(("shop/Deployment/old", "10.1.0.40"), API);
    // Not in the input, and nothing is known of it.
    let record = recorder.tcp(("shop/Deployment/older", "10.1.0.41"), API);
    let Party::Pod { labels, .. } = std::sync::Arc::make_mut(&mut record.source.party) else {
        unreachable!()
    };
    labels.clear();
    assert_eq!(
        lines(&replay(&recorder, &format!("{SHOP}{ONLY_WEB}"))),
        [
            "cut shop/old[Deployment] -> shop/api[Deployment] TCP/9000 x1 by not isolated; isolated by shop/api",
            "unjudged shop/older[Deployment] -> shop/api[Deployment]: the pod is gone: its workload is not in the \
             input, and the record has no labels",
        ]
    );
}

#[test]
fn an_address_that_another_pod_has_now_is_judged_as_the_one_it_was() {
    let pod = r#"
---
apiVersion: v1
kind: Pod
metadata: {name: now, namespace: shop, labels: {app: now}}
spec: {containers: [{name: c, image: i}]}
status: {podIP: 10.1.0.11}
"#;
    let mut recorder = Recorder::default();
    recorder.tcp(WEB, API);
    let mut from = end("shop/Pod/now", WEB.1, 40_000);
    from.party = std::sync::Arc::new(Party::Pod {
        namespace: "shop".into(),
        pod: "now".into(),
        owner: None,
        node: None,
        labels: labels(&[("app", "now")]),
    });
    recorder.add(from, end(API.0, API.1, 9000), Protocol::TCP, FlowVerdict::Allowed);
    recorder.tcp(("out:", WEB.1), API);
    let found = lines(&replay(&recorder, &format!("{SHOP}{ONLY_WEB}{pod}")));
    assert_eq!(
        found,
        [
            "cut shop/now[Pod] -> shop/api[Deployment] TCP/9000 x1 by not isolated; isolated by shop/api",
            "unjudged outside -> shop/api[Deployment]: the address is in the pods' network, and no pod is known to have had it",
        ]
    );
}

#[test]
fn names_of_ports_are_not_guessed_for_pods_that_are_gone() {
    let named = "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: named, namespace: shop}
spec:
  podSelector: {}
  ingress: [{from: [{podSelector: {}}], ports: [{port: http}]}]
";
    let mut recorder = Recorder::default();
    recorder.tcp(WEB, ("shop/Deployment/gone", "10.1.0.50", 8080));
    recorder.tcp(("shop/Deployment/api", "10.1.0.12"), ("shop/Deployment/web", "10.1.0.11", 8080));
    let replay = replay(&recorder, &format!("{SHOP}{named}"));
    assert_eq!(
        lines(&replay),
        [
            "unjudged shop/web[Deployment] -> shop/gone[Deployment]: a rule names the port by its name, and the ports of a \
          pod that is gone are not known"
        ]
    );
    assert_eq!(replay.kept.allowed, 1, "the template has the port's name");
}

#[test]
fn what_one_node_did_not_tell_is_told_apart() {
    let mut recorder = Recorder::default();
    recorder.one(WEB, API, Protocol::TCP, FlowVerdict::Unknown);
    assert_eq!(
        lines(&replay(&recorder, SHOP)),
        [
            "unjudged shop/web[Deployment] -> shop/api[Deployment]: one node let it through, and the other was not heard"
        ]
    );
}

#[test]
fn a_pods_own_node_is_never_cut() {
    let deny = "
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
";
    let mut recorder = Recorder::default();
    // Probes come from the address of the bridge, which no Node object has.
    recorder.tcp(("node:n1", "10.1.0.1"), ("shop/Deployment/web", "10.1.0.11", 8080));
    let replay = replay(&recorder, &format!("{SHOP}{deny}"));
    assert_eq!((lines(&replay), replay.kept.allowed), (Vec::<String>::new(), 1));
}

#[test]
fn staged_policies_do_not_decide() {
    let staged = ONLY_WEB.replace("{name: api,", "{name: api, annotations: {podgate.dev/mode: staged},");
    let kept = podgate_advise::without_staged(objects(&format!("{SHOP}{staged}")));
    assert!(!kept.iter().any(|object| matches!(object, podgate_api::Object::NetworkPolicy(_))));
    assert_eq!(kept.len(), objects(SHOP).len());
}

#[test]
fn both_directions_of_one_connection_are_one() {
    let mut recorder = Recorder::default();
    let first = recorder.tcp(WEB, API).clone();
    recorder.records.push(podgate_flow::FlowRecord { node: "n2".into(), ..first });
    recorder.tcp(WEB, API);
    let replay = replay(&recorder, SHOP);
    assert_eq!((replay.kept.allowed, replay.records), (2, 2));
}
