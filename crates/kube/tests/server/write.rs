//! What an agent writes, as the server gets it.

use std::time::{Duration, SystemTime};

use podgate_kube::{Client, Condition, Error, EventAbout, EventKind, Options, Watched};
use serde_json::{Value, json};

use crate::support::{Api, Asked, Reply, status};

fn with<T>(api: &Api, ask: impl AsyncFnOnce(Client) -> T) -> T {
    let options = Options { kubeconfig: Some(api.kubeconfig.clone()), context: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { ask(Client::connect(&options).await.unwrap()).await })
}

fn body(asked: &Asked) -> Value {
    serde_json::from_str(&asked.body).unwrap()
}

fn condition() -> Condition {
    Condition {
        kind: "podgate.dev/enforced".to_owned(),
        status: true,
        reason: "InForce".to_owned(),
        message: "3 policies".to_owned(),
        since: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_900),
    }
}

fn written() -> Value {
    json!({
        "type": "podgate.dev/enforced",
        "status": "True",
        "reason": "InForce",
        "message": "3 policies",
        "lastTransitionTime": "2026-11-18T11:06:40Z",
    })
}

#[test]
fn a_condition_of_a_pod_is_merged_and_guarded_by_its_uid() {
    let api = Api::new("pod-condition", |asked| match body(asked)["metadata"]["uid"].as_str() {
        Some("u-1") => Reply::Answer(200, "{}".to_owned()),
        _ => Reply::Answer(422, status(422, "metadata.uid: field is immutable")),
    });
    with(&api, async |client| {
        client.set_pod_condition("shop", "web", "u-1", &condition()).await.unwrap();
        let error =
            client.set_pod_condition("shop", "web", "u-2", &condition()).await.expect_err("another pod");
        assert_eq!(error.status(), Some(422));
        assert_eq!(
            error.to_string(),
            "context dev: the server refuses to set the condition podgate.dev/enforced of pod shop/web (422): \
             metadata.uid: field is immutable"
        );
    });
    let asked = &api.asked()[0];
    assert_eq!((&*asked.method, &*asked.path), ("PATCH", "/api/v1/namespaces/shop/pods/web/status"));
    assert_eq!(asked.content_type, "application/strategic-merge-patch+json");
    assert_eq!(body(asked), json!({"metadata": {"uid": "u-1"}, "status": {"conditions": [written()]}}));
}

#[test]
fn a_condition_of_a_policy_is_applied_by_its_own_manager_in_the_served_version() {
    let api = Api::new("policy-condition", |asked| match asked.path.as_str() {
        "/apis/policy.networking.k8s.io" => {
            Reply::Answer(200, r#"{"versions":[{"version":"v1alpha2"}]}"#.to_owned())
        }
        "/apis/policy.networking.k8s.io/v1alpha2" => {
            Reply::Answer(200, r#"{"resources":[{"name":"clusternetworkpolicies"}]}"#.to_owned())
        }
        _ if asked.method == "PATCH" => Reply::Answer(200, "{}".to_owned()),
        _ => Reply::Answer(404, String::new()),
    });
    with(&api, async |client| {
        for _ in 0..2 {
            let what = Watched::ClusterNetworkPolicies;
            client.set_policy_condition(what, "deny", 7, "podgate-n 1", &condition()).await.unwrap();
        }
        let what = Watched::AdminNetworkPolicies;
        let error = client.set_policy_condition(what, "deny", 7, "podgate-n1", &condition()).await;
        let error = error.expect_err("no such kind");
        assert_eq!(error.status(), Some(404));
        assert!(error.to_string().contains("the server has no adminnetworkpolicies"), "{error}");
    });
    let patches: Vec<Asked> = api.asked().into_iter().filter(|asked| asked.method == "PATCH").collect();
    assert_eq!(patches.len(), 2);
    assert_eq!(
        patches[0].path,
        "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies/deny/status?fieldManager=podgate-n%201&force=true"
    );
    assert_eq!(patches[0].content_type, "application/apply-patch+yaml");
    let mut written = written();
    written["observedGeneration"] = 7.into();
    assert_eq!(
        body(&patches[0]),
        json!({
            "apiVersion": "policy.networking.k8s.io/v1alpha2",
            "kind": "ClusterNetworkPolicy",
            "metadata": {"name": "deny"},
            "status": {"conditions": [written]},
        })
    );
    let lookups = api.asked().iter().filter(|asked| asked.path.ends_with("/v1alpha2")).count();
    assert_eq!(lookups, 2, "once for each kind");
}

fn about(namespace: &str) -> EventAbout {
    EventAbout {
        api_version: "networking.k8s.io/v1".to_owned(),
        kind: "NetworkPolicy".to_owned(),
        namespace: namespace.to_owned(),
        name: "web".to_owned(),
        uid: "u-1".to_owned(),
        reporter: "n1".to_owned(),
    }
}

#[test]
fn the_same_event_is_a_series() {
    let api = Api::new("series", |asked| match asked.method.as_str() {
        // The third time somebody has deleted it.
        "PATCH" if body(asked)["series"]["count"] == 4 => Reply::Answer(404, status(404, "not found")),
        _ => Reply::Answer(201, "{}".to_owned()),
    });
    let note = "é".repeat(1000);
    with(&api, async |client| {
        for _ in 0..4 {
            client.tell_event(&about("shop"), "Unreadable", &note, EventKind::Warning).await.unwrap();
        }
        client.tell_event(&about("shop"), "Unreadable", "another", EventKind::Warning).await.unwrap();
        client.tell_event(&about(""), "Unreadable", "another", EventKind::Normal).await.unwrap();
    });
    let asked = api.asked();
    let methods: Vec<&str> = asked.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(methods, ["POST", "PATCH", "PATCH", "PATCH", "POST", "POST", "POST"]);
    let first = body(&asked[0]);
    assert_eq!(asked[0].path, "/apis/events.k8s.io/v1/namespaces/shop/events");
    assert_eq!(asked[0].content_type, "application/json");
    let name = first["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("web."), "{name}");
    let note = first["note"].as_str().unwrap();
    assert!(note.len() <= 1024 && note.len() > 1018 && note.ends_with('…'), "{}", note.len());
    let time = first["eventTime"].as_str().unwrap();
    assert!(time.len() == "2026-11-18T11:06:40.123456Z".len() && time.ends_with('Z'), "{time}");
    assert_eq!(
        (&first["type"], &first["reason"], &first["reportingInstance"], &first["reportingController"]),
        (&json!("Warning"), &json!("Unreadable"), &json!("n1"), &json!("podgate.dev/agent"))
    );
    assert_eq!(
        first["regarding"],
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "name": "web", "namespace": "shop", "uid": "u-1"})
    );
    assert_eq!(asked[1].path, format!("/apis/events.k8s.io/v1/namespaces/shop/events/{name}"));
    assert_eq!(
        (&asked[1].content_type[..], &body(&asked[1])["series"]["count"]),
        ("application/merge-patch+json", &json!(2))
    );
    assert_eq!(body(&asked[2])["series"]["count"], 3);
    let anew = body(&asked[4]);
    assert_ne!(anew["metadata"]["name"], first["metadata"]["name"]);
    let cluster_scoped = body(&asked[6]);
    assert_eq!(asked[6].path, "/apis/events.k8s.io/v1/namespaces/default/events");
    assert_eq!(cluster_scoped["regarding"]["namespace"], Value::Null);
}

#[test]
fn who_may_read_is_asked_from_the_server() {
    let api = Api::new("may-get", |asked| {
        let question = body(asked);
        let status = match asked.path.as_str() {
            "/apis/authentication.k8s.io/v1/tokenreviews" => match question["spec"]["token"].as_str() {
                Some("good") => json!({
                    "authenticated": true,
                    "user": {"username": "ann", "uid": "7", "groups": ["dev"], "extra": {"scopes": ["x"]}},
                }),
                Some("poor") => json!({"authenticated": true, "user": {"username": "bob"}}),
                _ => json!({"user": {}, "error": "unknown"}),
            },
            "/apis/authorization.k8s.io/v1/subjectaccessreviews" => {
                assert_eq!(
                    question["spec"]["nonResourceAttributes"],
                    json!({"path": "/flows", "verb": "get"})
                );
                let good = json!({"user": "ann", "uid": "7", "groups": ["dev"], "extra": {"scopes": ["x"]}});
                let same = |field: &str| question["spec"][field] == good[field];
                let allowed = ["user", "uid", "groups", "extra"].into_iter().all(same);
                json!({"allowed": allowed})
            }
            other => panic!("{other}"),
        };
        Reply::Answer(201, json!({"status": status}).to_string())
    });
    with(&api, async |client| {
        for (token, may) in [("good", true), ("poor", false), ("bad", false)] {
            assert_eq!(client.may_get(token, "/flows").await.unwrap(), may, "{token}");
        }
    });
    assert_eq!(api.asked().len(), 5, "nobody is asked what an unknown token may");
}

#[test]
fn what_may_not_be_written_says_what_to_do() {
    let api = Api::new("refused", |_| Reply::Answer(403, status(403, "events is forbidden")));
    let error = with(&api, async |client| {
        client.tell_event(&about("shop"), "Unreadable", "note", EventKind::Normal).await
    })
    .expect_err("forbidden");
    assert!(matches!(error, Error::Refused { code: 403, .. }));
    assert_eq!(
        error.to_string(),
        "context dev: the server refuses to tell an Event about NetworkPolicy web (403): events is forbidden: bind \
         the ClusterRole of podgate's agent to its service account"
    );
}
