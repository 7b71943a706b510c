//! Follows a server through everything that goes wrong between two machines.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use podgate_kube::{News, Pace, Watched};

use crate::followed::*;
use crate::support::{Api, Reply, Step, list, status, write_kubeconfig};

#[test]
fn a_forgotten_version_is_listed_anew() {
    let gone = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"too old resource version: 5 (90)","reason":"Expired","code":410}"#;
    for (name, reply) in [
        ("gone-in-stream", stream([line("ERROR", gone)])),
        ("gone-as-status", Reply::Answer(410, status(410, "too old resource version: 5 (90)"))),
    ] {
        let broken = Reply::Answer(500, status(500, "etcd is away"));
        let api = scripted(
            name,
            vec![
                stream([added("a", 1), list_ends(5), Step::Break]),
                broken,
                reply,
                stream([added("b", 80), list_ends(90), Step::Hold]),
            ],
        );
        let mut followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
        followed.expect(&["listing pods", "applied Pod shop/a 1", "synced pods"]);
        followed.expect_start("interrupted pods: ");
        followed.expect(&[
            "interrupted pods: the server has forgotten what it told (too old resource version: 5 (90)): everything \
             is listed again",
            "listing pods",
            "applied Pod shop/b 80",
            "synced pods",
        ]);
        let asked = paths(&api);
        assert_eq!(asked[2..], ["watch=true&resourceVersion=5", STREAMED], "{name}");
    }
}

#[test]
fn a_server_that_was_set_back_is_listed_anew() {
    let api = scripted(
        "set-back",
        vec![
            stream([added("a", 80), list_ends(90), Step::Break]),
            // What the server is at: it was restored from a backup.
            Reply::Answer(200, list("Pod", "40", "", &[])),
            stream([added("b", 30), list_ends(40), Step::Hold]),
        ],
    );
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    followed.expect(&["listing pods", "applied Pod shop/a 80", "synced pods"]);
    followed.expect_start("interrupted pods: ");
    followed.expect(&["listing pods", "applied Pod shop/b 30", "synced pods"]);
    assert_eq!(paths(&api), [STREAMED, "limit=1", STREAMED]);
}

#[test]
fn a_watch_that_goes_back_in_time_is_listed_anew() {
    let api = scripted(
        "back",
        vec![
            stream([added("a", 80), list_ends(90), line("MODIFIED", &pod("a", 50)), Step::Hold]),
            stream([added("a", 50), list_ends(60), Step::Hold]),
        ],
    );
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    followed.expect(&["listing pods", "applied Pod shop/a 80", "synced pods"]);
    followed.expect(&["listing pods", "applied Pod shop/a 50", "synced pods"]);
}

#[test]
fn a_list_that_breaks_off_begins_again() {
    let api = scripted(
        "broken-list",
        vec![
            stream([added("a", 1), Step::Break]),
            stream([added("a", 1), added("b", 2), list_ends(5), Step::Hold]),
        ],
    );
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    followed.expect(&["listing pods", "applied Pod shop/a 1"]);
    followed.expect_start("interrupted pods: http://127.0.0.1:");
    followed.expect(&["listing pods", "applied Pod shop/a 1", "applied Pod shop/b 2", "synced pods"]);
    assert_eq!(paths(&api), [STREAMED, STREAMED]);
}

#[test]
fn a_connection_that_is_half_open_is_given_up() {
    let api = scripted(
        "half-open",
        vec![
            stream([added("a", 1), list_ends(5), Step::Hold]),
            Reply::Answer(200, list("Pod", "5", "", &[])),
            stream([line("DELETED", &pod("a", 6)), Step::Hold]),
        ],
    );
    let pace = Pace { silence: Duration::from_millis(300), ..PACE };
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], pace);
    let began = Instant::now();
    followed.expect(&["listing pods", "applied Pod shop/a 1", "synced pods"]);
    followed.expect_start("interrupted pods: ");
    assert!(began.elapsed() >= Duration::from_millis(200));
    followed.expect(&["resumed pods", "deleted Pod shop/a u-a"]);
    assert_eq!(paths(&api)[..3], [STREAMED, "limit=1", "watch=true&resourceVersion=5"]);
}

#[test]
fn a_watch_that_goes_on_and_has_nothing_to_tell_has_resumed() {
    let api = scripted(
        "silent",
        vec![
            stream([added("a", 1), list_ends(5), Step::Break]),
            Reply::Answer(200, list("Pod", "5", "", &[])),
            stream([Step::Hold]),
        ],
    );
    let pace = Pace { silence: Duration::from_secs(20), ..PACE };
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], pace);
    followed.expect(&["listing pods", "applied Pod shop/a 1", "synced pods"]);
    followed.expect_start("interrupted pods: ");
    followed.expect(&["resumed pods"]);
}

#[test]
fn a_slow_server_is_waited_for() {
    let whole = format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", pod("a", 1));
    let mut steps = Vec::new();
    for part in whole.as_bytes().chunks(7) {
        steps.push(Step::Send(String::from_utf8(part.to_vec()).unwrap()));
        steps.push(Step::Wait(Duration::from_millis(3)));
    }
    steps.extend([list_ends(2), Step::Hold]);
    let api = scripted("slow", vec![Reply::Stream(steps)]);
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    followed.expect(&["listing pods", "applied Pod shop/a 1", "synced pods"]);
}

#[test]
fn a_huge_object_is_read() {
    let value = "x".repeat(8 * 1024 * 1024);
    let huge = pod("a", 1).replace("\"kubelet\"", &format!("\"{value}\""));
    let api = scripted("huge", vec![stream([line("ADDED", &huge), list_ends(2), Step::Hold])]);
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    followed.expect(&["listing pods", "applied Pod shop/a 1", "synced pods"]);
}

#[test]
fn a_line_that_is_no_event_does_not_stop_the_watch() {
    let garbage = || Step::Send("<html>proxy error</html>\n".to_owned());
    let api = scripted(
        "garbage",
        vec![
            stream([added("a", 1), list_ends(5), added("b", 6), garbage(), Step::Hold]),
            stream([garbage()]),
            stream([garbage()]),
            stream([added("c", 7), list_ends(8), Step::Hold]),
        ],
    );
    let mut followed = follow(&api.kubeconfig, &[Watched::Pods], PACE);
    followed.expect(&["listing pods", "applied Pod shop/a 1", "synced pods", "applied Pod shop/b 6"]);
    for _ in 0..3 {
        let said = followed.next();
        assert!(said.contains("a line of the watch of pods is no event"), "{said}");
        assert!(said.contains("<html>proxy error</html>"), "{said}");
    }
    followed.expect(&["listing pods", "applied Pod shop/c 7", "synced pods"]);
    let asked = paths(&api);
    assert_eq!(asked[1..], ["watch=true&resourceVersion=6", "watch=true&resourceVersion=6", STREAMED]);
}

#[test]
fn an_object_that_can_not_be_read_is_told_and_the_watch_goes_on() {
    let policy = |name: &str, version: u64, spec: &str| {
        let object = format!(
            r#"{{"kind":"NetworkPolicy","apiVersion":"networking.k8s.io/v1","metadata":{{"name":"{name}","namespace":"shop","resourceVersion":"{version}","generation":4}},"spec":{spec}}}"#
        );
        line("ADDED", &object)
    };
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let api = scripted(
        "unreadable",
        vec![stream([
            policy("a", 1, r#"{"podSelector":{},"ingress":[{"from":[{"ipBlock":{"cidr":"10.0.0.0/33"}}]}]}"#),
            policy("b", 2, &deep),
            policy("c", 3, r#"{"podSelector":{}}"#),
            list_ends(5),
            Step::Hold,
        ])],
    );
    let mut followed = follow(&api.kubeconfig, &[Watched::NetworkPolicies], PACE);
    followed.expect(&["listing networkpolicies", "applied NetworkPolicy shop/a 1"]);
    followed.expect_start("unreadable NetworkPolicy shop/a: spec.ingress[0].from[0].ipBlock.cidr: ");
    followed.expect_start("unreadable NetworkPolicy shop/b: ");
    followed.expect(&["applied NetworkPolicy shop/c 3", "synced networkpolicies"]);
    assert_eq!(api.asked().len(), 1);
}

#[test]
fn a_kind_that_is_forbidden_says_what_to_grant_and_is_tried_again() {
    let tries = AtomicUsize::new(0);
    let api = Api::new("forbidden", move |asked| match asked.resource() {
        "/api/v1/nodes" if tries.fetch_add(1, Ordering::Relaxed) < 3 => {
            Reply::Answer(403, status(403, "nodes is forbidden: User u cannot watch resource nodes"))
        }
        _ => stream([list_ends(5), Step::Hold]),
    });
    let mut followed = follow(&api.kubeconfig, &[Watched::Nodes], PACE);
    for _ in 0..3 {
        followed.expect(&[
            "interrupted nodes: nodes may not be listed and watched: nodes is forbidden: User u cannot watch \
             resource nodes: grant the verbs list and watch on nodes",
        ]);
    }
    followed.expect(&["listing nodes", "synced nodes"]);
}

#[test]
fn a_token_that_was_replaced_is_read_again() {
    let token =
        std::env::temp_dir().join(format!("podgate-kube-service-account-token-{}", std::process::id()));
    std::fs::write(&token, "first").unwrap();
    let valid = Arc::new(Mutex::new("first".to_owned()));
    let (now, step) = (valid.clone(), AtomicUsize::new(0));
    let api = Api::new("token", move |asked| {
        if asked.token != *now.lock().unwrap() {
            return Reply::Answer(401, status(401, "Unauthorized"));
        }
        if asked.query("limit").is_some() {
            return Reply::Answer(200, list("Pod", "5", "", &[]));
        }
        match step.fetch_add(1, Ordering::Relaxed) {
            0 => stream([added("a", 1), list_ends(5), Step::Wait(Duration::from_millis(300)), Step::Break]),
            _ => stream([line("DELETED", &pod("a", 6)), Step::Hold]),
        }
    });
    let user = format!("tokenFile: {}", token.display());
    let kubeconfig = write_kubeconfig("token-file", &format!("http://{}", api.address), &user);
    let mut followed = follow(&kubeconfig, &[Watched::Pods], PACE);
    followed.expect(&["listing pods", "applied Pod shop/a 1", "synced pods"]);
    *valid.lock().unwrap() = "second".to_owned();
    std::thread::sleep(Duration::from_millis(350));
    // The new token comes late: the server says no for a while.
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(&token, "second").unwrap();
    followed.until("deleted Pod shop/a u-a");
    let tokens: Vec<String> = api.asked().into_iter().map(|asked| asked.token).collect();
    assert!(tokens.contains(&"second".to_owned()), "{tokens:?}");
    std::fs::remove_file(&token).unwrap();
    std::fs::remove_file(&kubeconfig).unwrap();
}

#[test]
fn a_server_that_is_away_is_waited_for_and_delays_grow() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let kubeconfig = write_kubeconfig("away", &format!("http://{address}"), "token: secret");
    let followed = follow(&kubeconfig, &[Watched::Pods], PACE);
    let mut delays = Vec::new();
    while delays.len() < 6 {
        for news in followed.news.recv_timeout(Duration::from_secs(20)).unwrap() {
            let News::Interrupted { why, retry_in, .. } = news else { panic!("{news:?}") };
            assert!(
                why.starts_with(&format!("http://{address}: pods: ")) && why.contains("refused"),
                "{why}"
            );
            delays.push(retry_in);
        }
    }
    assert!(delays[0] < Duration::from_millis(50) && delays[5] >= Duration::from_millis(90), "{delays:?}");
    assert!(delays.iter().all(|delay| *delay <= PACE.last_retry), "{delays:?}");
    std::fs::remove_file(&kubeconfig).unwrap();
}

#[test]
fn a_busy_server_says_when_to_come_back() {
    let busy =
        r#"{"kind":"Status","message":"too many requests","code":429,"details":{"retryAfterSeconds":1}}"#;
    let api = scripted(
        "busy",
        vec![Reply::Answer(429, busy.to_owned()), stream([added("a", 1), list_ends(5), Step::Hold])],
    );
    let pace = Pace { last_retry: Duration::from_secs(30), ..PACE };
    let followed = follow(&api.kubeconfig, &[Watched::Pods], pace);
    let batch = followed.news.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(
        matches!(&batch[..], [News::Interrupted { retry_in, .. }] if *retry_in == Duration::from_secs(1)),
        "{batch:?}"
    );
}
