//! Follows a server: lists, watches, kinds that come and go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use podgate_kube::{News, Pace, Watched};

use crate::followed::*;
use crate::support::{Api, Asked, Reply, Step, list, status};

#[test]
fn a_list_is_streamed_and_followed() {
    let api = scripted(
        "streamed",
        vec![stream([
            added("a", 7),
            added("b", 3),
            list_ends(9),
            line("MODIFIED", &pod("a", 10)),
            line("DELETED", &pod("b", 11)),
            bookmark(20),
            Step::Hold,
        ])],
    );
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    followed.expect(&[
        "listing pods",
        "applied Pod shop/a 7",
        "applied Pod shop/b 3",
        "synced pods",
        "applied Pod shop/a 10",
        "deleted Pod shop/b u-b",
    ]);
    let asked = &api.asked()[0];
    assert_eq!((asked.resource(), &*asked.token), ("/api/v1/pods", "secret"));
    assert_eq!(paths(&api), [STREAMED]);
    let seconds: u64 = asked.query("timeoutSeconds").unwrap().parse().unwrap();
    assert!((300..600).contains(&seconds), "{seconds}");
    assert_eq!(asked.query("allowWatchBookmarks"), Some("true"));
}

#[test]
fn a_storm_comes_in_batches() {
    let storm = (0..5_000).map(|i| pod(&format!("p{i}"), i + 1));
    let text: String = storm.map(|pod| format!("{{\"type\":\"ADDED\",\"object\":{pod}}}\n")).collect();
    let api = scripted("storm", vec![stream([Step::Send(text), list_ends(6_000), Step::Hold])]);
    let followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    let (mut batches, mut applied) = (0, Vec::new());
    loop {
        let batch = followed.news.recv_timeout(Duration::from_secs(20)).unwrap();
        batches += 1;
        applied.extend(batch.iter().filter(|news| matches!(news, News::Applied(..))).map(told));
        if batch.contains(&News::Synced(Watched::Pods)) {
            break;
        }
    }
    let expected: Vec<String> = (0..5_000).map(|i| format!("applied Pod shop/p{i} {}", i + 1)).collect();
    assert_eq!(applied, expected, "in order, each once");
    assert!(batches < 500, "{batches} batches");
}

#[test]
fn a_server_that_does_not_stream_lists_is_asked_for_pages() {
    let refused =
        status(422, "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled");
    let bare = |name, version| pod(name, version).replace(r#""kind":"Pod","apiVersion":"v1","#, "");
    let api = scripted(
        "pages",
        vec![
            Reply::Answer(422, refused),
            Reply::Answer(200, list("Pod", "12", "a+/=", &[bare("a", 3), bare("b", 4)])),
            Reply::Answer(200, list("Pod", "12", "", &[bare("c", 5)])),
            stream([line("DELETED", &pod("a", 13)), Step::Break]),
            // What the server is at.
            Reply::Answer(200, list("Pod", "13", "", &[])),
        ],
    );
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    followed.expect(&[
        "listing pods",
        "applied Pod shop/a 3",
        "applied Pod shop/b 4",
        "applied Pod shop/c 5",
        "synced pods",
        "deleted Pod shop/a u-a",
    ]);
    followed.expect_start("interrupted pods: ");
    followed.is_quiet(Duration::from_millis(300));
    assert_eq!(
        paths(&api),
        [
            STREAMED,
            "limit=500",
            "limit=500&continue=a%2B%2F%3D",
            "watch=true&resourceVersion=12",
            "limit=1",
            "watch=true&resourceVersion=13"
        ]
    );
}

#[test]
fn pages_that_expire_begin_again() {
    let api = Api::new("expiring", |asked| match asked.query("continue") {
        _ if is_streamed_list(asked) => Reply::Answer(400, status(400, "unknown parameter")),
        Some(_) => Reply::Answer(410, status(410, "The provided continue parameter is too old")),
        None if asked.query("watch").is_some() => stream([Step::Hold]),
        None if asked.query("limit").is_some() => Reply::Answer(200, list("Pod", "5", "old", &[pod("a", 1)])),
        None => Reply::Answer(200, list("Pod", "6", "", &[pod("a", 1), pod("b", 2)])),
    });
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    for _ in 0..3 {
        followed.expect(&["listing pods", "applied Pod shop/a 1"]);
    }
    followed.expect(&["listing pods", "applied Pod shop/a 1", "applied Pod shop/b 2", "synced pods"]);
}

#[test]
fn a_watch_that_ends_goes_on_from_its_last_bookmark() {
    let settled = Step::Wait(Duration::from_millis(150));
    let api = scripted(
        "bookmark",
        vec![
            stream([added("a", 1), list_ends(5), bookmark(30), settled]),
            stream([line("MODIFIED", &pod("a", 31)), Step::Hold]),
        ],
    );
    // A watch of a tenth of a second counts as one.
    let pace = Pace { silence: Duration::from_millis(100).mul_f64(100.0), ..PACE };
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], pace);
    followed.expect(&["listing pods", "applied Pod shop/a 1", "synced pods"]);
    followed.until("applied Pod shop/a 31");
    assert_eq!(paths(&api)[1], "watch=true&resourceVersion=30");
}

const GROUP: &str = "/apis/policy.networking.k8s.io";

fn policies(asked: &Asked, version: &str) -> Reply {
    let path = asked.resource();
    let resources =
        r#"{"resources":[{"name":"clusternetworkpolicies"},{"name":"clusternetworkpolicies/status"}]}"#;
    if path == GROUP {
        Reply::Answer(200, format!(r#"{{"versions":[{{"version":"v1alpha1"}},{{"version":"{version}"}}]}}"#))
    } else if path == format!("{GROUP}/{version}") {
        Reply::Answer(200, resources.to_owned())
    } else if path == format!("{GROUP}/v1alpha1") {
        Reply::Answer(200, r#"{"resources":[{"name":"adminnetworkpolicies"}]}"#.to_owned())
    } else if path == format!("{GROUP}/{version}/clusternetworkpolicies") {
        let policy = format!(
            r#"{{"apiVersion":"policy.networking.k8s.io/{version}","kind":"ClusterNetworkPolicy","metadata":{{"name":"deny","resourceVersion":"4"}},"spec":{{"tier":"Admin","priority":1,"subject":{{"namespaces":{{}}}},"ingress":[{{"action":"Deny","from":[{{"namespaces":{{}}}}]}}]}}}}"#
        );
        stream([line("ADDED", &policy), list_ends(5), Step::Wait(Duration::from_millis(200))])
    } else {
        Reply::Answer(404, status(404, "the server could not find the requested resource"))
    }
}

#[test]
fn a_custom_kind_is_absent_until_it_is_installed_and_when_it_is_removed() {
    let groups = AtomicUsize::new(0);
    let api = Api::new("absent", move |asked| {
        if asked.resource() == GROUP {
            groups.fetch_add(1, Ordering::Relaxed);
        }
        match groups.load(Ordering::Relaxed) {
            0..3 => Reply::Answer(404, "404 page not found\n".to_owned()),
            3 if !asked.path.contains("resourceVersion=5") => policies(asked, "v1alpha2"),
            3 => Reply::Answer(404, status(404, "the server could not find the requested resource")),
            4 => Reply::Answer(404, "404 page not found\n".to_owned()),
            _ => policies(asked, "v1beta1"),
        }
    });
    let mut followed = follow(&api.kubeconfig, &[Watched::ClusterNetworkPolicies], PACE);
    let told = [
        "listing clusternetworkpolicies",
        "applied ClusterNetworkPolicy deny 4",
        "synced clusternetworkpolicies",
    ];
    followed.expect(&["absent clusternetworkpolicies"]);
    followed.expect(&told);
    followed.until("absent clusternetworkpolicies");
    followed.expect(&told);
    assert!(api.asked().iter().any(|asked| asked.resource().ends_with("/v1beta1/clusternetworkpolicies")));
}

#[test]
fn a_version_from_the_future_is_no_silence() {
    let api = Api::new("future", |asked| policies(asked, "v9"));
    let mut followed = follow(&api.kubeconfig, &[Watched::ClusterNetworkPolicies], PACE);
    followed.expect(&[
        "interrupted clusternetworkpolicies: clusternetworkpolicies are served as policy.networking.k8s.io/v9 only, \
         which podgate does not read: a newer podgate may read them",
    ]);
}

#[test]
fn a_new_list_can_be_asked_for() {
    let api = scripted(
        "resync",
        vec![
            stream([added("a", 1), list_ends(5), Step::Hold]),
            stream([added("b", 6), list_ends(7), Step::Hold]),
        ],
    );
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    followed.expect(&["listing pods", "applied Pod shop/a 1", "synced pods"]);
    followed.watching.resync(Watched::Nodes);
    followed.watching.resync(Watched::Pods);
    followed.expect(&["listing pods", "applied Pod shop/b 6", "synced pods"]);
    assert_eq!(paths(&api), [STREAMED, STREAMED]);
}

#[test]
fn kinds_are_followed_apart_from_each_other() {
    let api = Api::new("apart", |asked| match asked.resource() {
        "/api/v1/pods" => stream([added("a", 1), list_ends(5), Step::Hold]),
        "/api/v1/services" => Reply::Answer(500, status(500, "etcd is away")),
        path if path.starts_with("/apis/policy.") => Reply::Answer(404, String::new()),
        _ => stream([list_ends(5), Step::Hold]),
    });
    let followed = follow(&api.kubeconfig, &Watched::ALL, PACE);
    let mut last: BTreeMap<Watched, String> = BTreeMap::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while last.len() < 8 && Instant::now() < deadline {
        for news in followed.news.recv_timeout(Duration::from_secs(20)).unwrap() {
            match news {
                News::Synced(what) | News::Absent(what) => last.insert(what, told(&news)),
                News::Interrupted { what, ref why, .. } => {
                    assert!(why.contains("the server answers 500: etcd is away"), "{why}");
                    last.insert(what, "interrupted".to_owned())
                }
                _ => None,
            };
        }
    }
    let expected = [
        "synced namespaces",
        "synced nodes",
        "synced pods",
        "interrupted",
        "synced networkpolicies",
        "absent clusternetworkpolicies",
        "absent adminnetworkpolicies",
        "absent baselineadminnetworkpolicies",
    ];
    assert_eq!(last.into_values().collect::<Vec<_>>(), expected);
}

#[test]
fn nothing_is_told_after_the_handle_is_dropped() {
    let api = scripted(
        "dropped",
        vec![stream([
            added("a", 1),
            list_ends(5),
            Step::Wait(Duration::from_millis(300)),
            added("b", 6),
            Step::Hold,
        ])],
    );
    let Followed { news, watching, runtime: _runtime, .. } = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    let first: Vec<String> = std::iter::from_fn(|| news.recv_timeout(Duration::from_millis(150)).ok())
        .flatten()
        .map(|news| told(&news))
        .collect();
    assert_eq!(first, ["listing pods", "applied Pod shop/a 1", "synced pods"]);
    drop(watching);
    assert!(news.recv_timeout(Duration::from_millis(600)).is_err());
}
