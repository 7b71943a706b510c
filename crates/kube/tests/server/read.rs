//! Reads from a server made for the test: pages, refusals, absent kinds, expired lists.

use std::collections::BTreeMap;
use std::net::TcpListener;

use crate::support::{Api, Reply, status, write_kubeconfig};
use podgate_api::{LoadOptions, Object};
use podgate_kube::{Error, Options, Snapshot, read};

/// An API server as far as lists go. It answers what `answers` says for a path with its query, and an empty
/// list for any other path of a kind that every server has.
struct Fake(Api);

impl Fake {
    fn new(name: &str, answers: &[(&str, u16, &str)]) -> Fake {
        let answers: BTreeMap<String, (u16, String)> =
            answers.iter().map(|(path, code, body)| (path.to_string(), (*code, body.to_string()))).collect();
        Fake(Api::new(name, move |asked| {
            assert_eq!((&*asked.method, &*asked.body), ("GET", ""), "only reading is allowed");
            let path = asked.path.as_str();
            let (code, body) = match answers.get(path) {
                _ if asked.token != "secret" => (401, status(401, "Unauthorized")),
                Some(answer) => answer.clone(),
                None if path.starts_with("/apis/policy.") || path.starts_with("/apis/gateway.") => {
                    (404, "404 page not found\n".to_owned())
                }
                None if path.ends_with("?limit=500") => (200, list("Any", "", &[])),
                None => (404, status(404, "the server could not find the requested resource")),
            };
            Reply::Answer(code, body)
        }))
    }

    fn read(&self) -> Result<Snapshot, Error> {
        let options = Options { kubeconfig: Some(self.0.kubeconfig.clone()), context: None };
        read(&options, &LoadOptions::default(), &|_, _| {})
    }

    /// Requests for a path, in order.
    fn asked(&self, path: &str) -> Vec<String> {
        self.0.asked().into_iter().filter(|asked| asked.resource() == path).map(|asked| asked.path).collect()
    }
}

fn list(kind: &str, next: &str, items: &[String]) -> String {
    crate::support::list(kind, "7", next, items)
}

fn pod(name: &str) -> String {
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"shop","managedFields":[{{"manager":"kubelet"}}]}},"spec":{{"containers":[{{"name":"c","ports":[{{"containerPort":80}}]}}]}},"status":{{"phase":"Running","podIP":"10.0.0.1","podIPs":[{{"ip":"10.0.0.1"}}]}}}}"#
    )
}

fn names(snapshot: &Snapshot) -> Vec<String> {
    snapshot.loaded.objects.iter().map(|object| object.key().to_string()).collect()
}

fn diagnostics(snapshot: &Snapshot) -> Vec<String> {
    snapshot.loaded.diagnostics.iter().map(ToString::to_string).collect()
}

const PODS: &str = "/api/v1/pods?limit=500";

#[test]
fn pages_are_followed_to_the_end() {
    let pages = [
        (PODS, 200, &*list("Pod", "a+/=", &[pod("one"), pod("two")])),
        ("/api/v1/pods?limit=500&continue=a%2B%2F%3D", 200, &*list("Pod", "b", &[pod("three")])),
        ("/api/v1/pods?limit=500&continue=b", 200, &*list("Pod", "", &[pod("four")])),
    ];
    let fake = Fake::new("pages", &pages);
    let snapshot = fake.read().unwrap();
    assert_eq!(names(&snapshot), ["Pod shop/one", "Pod shop/two", "Pod shop/three", "Pod shop/four"]);
    assert_eq!(snapshot.context, "dev");
    assert_eq!(diagnostics(&snapshot), [""; 0], "absent kinds are no news");
    let Object::Pod(first) = &snapshot.loaded.objects[0] else { panic!("a pod") };
    assert_eq!(first.meta.source.to_string(), "dev:pods/shop/one");
    assert_eq!((first.ports[0].port, first.ips[0].to_string()), (80, "10.0.0.1".to_owned()));
}

#[test]
fn objects_are_validated_as_in_files() {
    let policy = r#"{"metadata":{"name":"web","namespace":"shop"},"spec":{"podSelector":{},"ingress":[{"from":[{"ipBlock":{"cidr":"10.0.0.0/33"}}]}]}}"#;
    let path = "/apis/networking.k8s.io/v1/networkpolicies?limit=500";
    let answer = list("NetworkPolicy", "", &[policy.to_owned()]);
    let snapshot = Fake::new("validated", &[(path, 200, &answer)]).read().unwrap();
    assert_eq!(names(&snapshot), ["NetworkPolicy shop/web"], "kept, allowing no more than was written");
    assert!(
        diagnostics(&snapshot)[0]
            .starts_with("dev:networkpolicies/shop/web: error: spec.ingress[0].from[0].ipBlock.cidr"),
        "{:?}",
        diagnostics(&snapshot)
    );
}

#[test]
fn kinds_that_may_not_be_read_are_named() {
    let said = status(403, "nodes is forbidden: User u cannot list resource nodes");
    let snapshot = Fake::new("nodes", &[("/api/v1/nodes?limit=500", 403, &said)]).read().unwrap();
    assert_eq!(
        diagnostics(&snapshot),
        [
            "dev:nodes: warning: may not be listed, so the answer goes on without them: nodes is forbidden: User u \
          cannot list resource nodes\n  help: grant the verb `list` on `nodes`: kubectl create clusterrole NAME \
          --verb=list --resource=nodes"
        ]
    );
}

#[test]
fn without_pods_namespaces_or_policies_there_is_no_answer() {
    let policies = "/apis/networking.k8s.io/v1/networkpolicies?limit=500";
    for (path, resource) in [
        (PODS, "pods"),
        ("/api/v1/namespaces?limit=500", "namespaces"),
        (policies, "networkpolicies.networking.k8s.io"),
    ] {
        let fake = Fake::new("essential", &[(path, 403, &status(403, "forbidden"))]);
        let error = fake.read().expect_err(resource).to_string();
        assert!(error.contains(&format!("{resource} may not be listed")), "{error}");
        assert!(error.contains(&format!("--verb=list --resource={resource}")), "{error}");
    }
}

const GROUP: &str = r#"{"kind":"APIGroup","versions":[{"version":"v1alpha1"},{"version":"v1alpha2"}]}"#;

#[test]
fn optional_kinds_are_read_in_the_newest_version_that_is_known() {
    let policy = r#"{"apiVersion":"policy.networking.k8s.io/v1alpha2","kind":"ClusterNetworkPolicy","metadata":{"name":"deny"},"spec":{"tier":"Admin","priority":1,"subject":{"namespaces":{}},"ingress":[{"action":"Deny","from":[{"namespaces":{}}]}]}}"#;
    let answers = [
        ("/apis/policy.networking.k8s.io", 200, GROUP),
        (
            "/apis/policy.networking.k8s.io/v1alpha1",
            200,
            r#"{"resources":[{"name":"adminnetworkpolicies"}]}"#,
        ),
        (
            "/apis/policy.networking.k8s.io/v1alpha2",
            200,
            r#"{"resources":[{"name":"clusternetworkpolicies"},{"name":"clusternetworkpolicies/status"}]}"#,
        ),
        (
            "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies?limit=500",
            200,
            &list("ClusterNetworkPolicy", "", &[policy.to_owned()]),
        ),
        (
            "/apis/policy.networking.k8s.io/v1alpha1/adminnetworkpolicies?limit=500",
            200,
            &list("AdminNetworkPolicy", "", &[]),
        ),
    ];
    let fake = Fake::new("optional", &answers);
    let snapshot = fake.read().unwrap();
    assert_eq!(names(&snapshot), ["ClusterNetworkPolicy deny"]);
    assert_eq!(diagnostics(&snapshot), [""; 0]);
    assert_eq!(fake.asked("/apis/policy.networking.k8s.io/v1alpha1/baselineadminnetworkpolicies"), [""; 0]);
}

#[test]
fn a_version_from_the_future_is_no_silence() {
    let answers = [
        ("/apis/policy.networking.k8s.io", 200, r#"{"versions":[{"version":"v9"}]}"#),
        ("/apis/policy.networking.k8s.io/v9", 200, r#"{"resources":[{"name":"clusternetworkpolicies"}]}"#),
    ];
    let snapshot = Fake::new("future", &answers).read().unwrap();
    let found = diagnostics(&snapshot);
    assert!(
        found[0].contains("served as policy.networking.k8s.io/v9 only, which podgate does not read"),
        "{found:?}"
    );
}

#[test]
fn an_expired_list_starts_over_and_is_taken_whole_in_the_end() {
    let gone = status(410, "The provided continue parameter is too old");
    let answers = [
        (PODS, 200, &*list("Pod", "old", &[pod("one")])),
        ("/api/v1/pods?limit=500&continue=old", 410, &*gone),
        ("/api/v1/pods", 200, &*list("Pod", "", &[pod("one"), pod("two")])),
    ];
    let fake = Fake::new("expired", &answers);
    let snapshot = fake.read().unwrap();
    assert_eq!(names(&snapshot), ["Pod shop/one", "Pod shop/two"], "nothing twice");
    assert_eq!(fake.asked("/api/v1/pods").len(), 7);
}

#[test]
fn bad_credentials_and_wrong_contexts_say_what_to_do() {
    let fake = Fake::new("credentials", &[(PODS, 401, &status(401, "Unauthorized"))]);
    let error = fake.read().expect_err("unauthorized").to_string();
    assert_eq!(
        error,
        "context dev: the server does not accept the credentials (Unauthorized): log in again and retry"
    );
    let options =
        Options { kubeconfig: Some(fake.0.kubeconfig.clone()), context: Some("staging".to_owned()) };
    let error = read(&options, &LoadOptions::default(), &|_, _| {}).expect_err("no such context").to_string();
    assert_eq!(error, "the kubeconfig has no context staging: name one with --context: dev, prod");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let path = write_kubeconfig("absent", &format!("http://{address}"), "token: secret");
    let options = Options { kubeconfig: Some(path.clone()), context: None };
    let error = read(&options, &LoadOptions::default(), &|_, _| {}).expect_err("nobody there").to_string();
    std::fs::remove_file(&path).unwrap();
    assert!(error.starts_with(&format!("context dev: http://{address} can't be reached: ")), "{error}");
    assert!(error.contains("refused") && !error.contains('\n'), "{error}");
}

#[test]
fn what_is_no_api_server_is_recognized() {
    let fake = Fake::new("strange", &[("/api/v1/namespaces?limit=500", 200, "<html>hello</html>")]);
    let error = fake.read().expect_err("html").to_string();
    assert!(error.contains("namespaces: its answer is not what an API server writes"), "{error}");
}
