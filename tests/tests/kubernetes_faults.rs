//! Agents are killed, the API server restarts, policies and pods come in storms: under steady traffic no packet
//! goes wrong, either way. Cases 29, 30 and 32. Needs root.

use std::time::Duration;

use podgate_lab_kubernetes::{Cluster, Edit, Part, Room};
use podgate_tests::kubernetes::{logs, says, start_with, wait_until};
use podgate_tests::traffic::{FlowSpec, Traffic};
use serde_json::json;

const PROCESS: &str = env!("CARGO_BIN_EXE_cluster-process");

/// A server on either node that lets in the friend on node 1, and a stranger on node 2.
const PODS: [(&str, usize); 4] = [("friend", 1), ("stranger", 2), ("near", 1), ("far", 2)];

fn cluster(test: &str, agent_arguments: &[&str]) -> (Cluster, Traffic) {
    let cluster = start_with(PROCESS, test, Room::Usual, agent_arguments);
    let mut manifests = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n".to_owned();
    for (name, node) in PODS {
        manifests += &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\n\
             spec: {{nodeName: node-{node}, containers: [{{name: c, image: i, ports: [{{containerPort: 8080}}]}}]}}\n---\n"
        );
    }
    for server in ["near", "far"] {
        manifests += &format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {server}, namespace: shop}}\n\
             spec: {{podSelector: {{matchLabels: {{app: {server}}}}}, \
             ingress: [{{from: [{{podSelector: {{matchLabels: {{app: friend}}}}}}]}}]}}\n---\n"
        );
    }
    cluster.apply(&manifests).unwrap();
    for (name, _) in PODS {
        cluster.wait_ready("shop", &format!("pod/{name}")).unwrap();
    }
    let place = |name: &str| cluster.pod("shop", name).unwrap();
    let mut flows = Vec::new();
    for server in ["near", "far"] {
        for is_v4 in [true, false] {
            let to = (place(server).netns, place(server).ip(is_v4).unwrap());
            wait_until(&format!("{} answers the friend", to.1), || {
                says(&place("friend").netns, to.1, 8080).starts_with("shop/")
            });
            for (from, verb) in [("friend", "always"), ("stranger", "never")] {
                flows.push(FlowSpec {
                    name: format!("{verb} {server} {is_v4}"),
                    from: place(from).netns,
                    to: to.clone(),
                    every: Duration::from_millis(1),
                });
            }
        }
    }
    let traffic = Traffic::start(flows);
    (cluster, traffic)
}

/// Stops the traffic, and finds no packet that went wrong.
#[track_caller]
#[expect(clippy::print_stderr, reason = "shown with --nocapture, for whoever wants the number")]
fn check(cluster: &Cluster, mut traffic: Traffic) {
    traffic.stop();
    let mut sent = 0;
    for flow in traffic.flows() {
        let (name, record) = (&flow.spec.name, flow.record());
        let arrived = record.iter().filter(|datagram| datagram.arrived).count();
        let expected = if name.starts_with("always") { record.len() } else { 0 };
        assert_eq!(arrived, expected, "{name}: arrived of {}\n{}", record.len(), logs(cluster));
        assert!(record.len() > 100, "{name}: only {} datagrams", record.len());
        sent += record.len();
    }
    eprintln!("{}: {sent} datagrams, none wrong", cluster.site().name());
}

#[test]
fn agents_killed_at_random_moments_make_no_wrong_packet() {
    kill_agents("agents", "bpf");
}

#[test]
fn agents_on_nftables_killed_at_random_moments_make_no_wrong_packet() {
    kill_agents("nft", "nft");
}

fn kill_agents(test: &str, backend: &str) {
    let (cluster, traffic) = cluster(test, &["--backend", backend]);
    // Any sequence without rhythm will do, the same in each run.
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for round in 0..number("PODGATE_TEST_KILLS", 10) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(random >> 54));
        let part = Part::Agent(1 + round % 2);
        // One that could not start has not been there to be killed.
        cluster.kill(part).unwrap_or_else(|error| panic!("{error}\n{}", logs(&cluster)));
        // In the middle of a change, for some.
        let edit = policy_edit(round % 3, round / 3 % 2 == 0);
        cluster.edit(&[edit], Duration::ZERO).unwrap();
        cluster.start_part(part).unwrap();
    }
    // They do work again: what is applied now is enforced.
    let stranger = cluster.pod("shop", "stranger").unwrap().netns;
    let friend = cluster.pod("shop", "friend").unwrap();
    close_friend(&cluster);
    for ip in &friend.ips {
        wait_until(&format!("{ip} is closed"), || says(&stranger, *ip, 8080) == "silent");
    }
    check(&cluster, traffic);
}

#[test]
fn a_restart_of_the_api_server_changes_no_packet() {
    let (cluster, traffic) = cluster("apiserver", &[]);
    cluster.kill(Part::ApiServer).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    cluster.start_part(Part::ApiServer).unwrap();
    wait_until("the API server is back", || cluster.kubectl(&["get", "--raw", "/readyz"]).is_ok());
    // The agents hear again, also of what the store alone knew.
    let (stranger, friend) =
        (cluster.pod("shop", "stranger").unwrap().netns, cluster.pod("shop", "friend").unwrap());
    close_friend(&cluster);
    for ip in &friend.ips {
        wait_until(&format!("{ip} is closed"), || says(&stranger, *ip, 8080) == "silent");
    }
    check(&cluster, traffic);
}

#[test]
fn agents_started_while_the_api_server_is_away_keep_what_is_in_force() {
    let (cluster, traffic) = cluster("away", &[]);
    cluster.kill(Part::ApiServer).unwrap();
    for node in [1, 2] {
        cluster.restart(Part::Agent(node)).unwrap();
    }
    std::thread::sleep(Duration::from_secs(2));
    cluster.start_part(Part::ApiServer).unwrap();
    wait_until("the API server is back", || cluster.kubectl(&["get", "--raw", "/readyz"]).is_ok());
    for node in [1, 2] {
        // One that has given up is started again, as by a DaemonSet.
        if cluster.process(Part::Agent(node)).is_none() {
            cluster.start_part(Part::Agent(node)).unwrap();
        }
    }
    let (stranger, friend) =
        (cluster.pod("shop", "stranger").unwrap().netns, cluster.pod("shop", "friend").unwrap());
    close_friend(&cluster);
    for ip in &friend.ips {
        wait_until(&format!("{ip} is closed"), || says(&stranger, *ip, 8080) == "silent");
    }
    check(&cluster, traffic);
}

#[test]
fn an_edit_made_while_an_agent_is_dead_is_enforced_once_it_is_back() {
    let (cluster, traffic) = cluster("dead", &[]);
    let (stranger, friend) =
        (cluster.pod("shop", "stranger").unwrap().netns, cluster.pod("shop", "friend").unwrap());
    let ip = friend.ips[0];
    assert!(says(&stranger, ip, 8080).starts_with("shop/friend"), "nobody isolates the friend yet");
    cluster.kill(Part::Agent(1)).unwrap();
    close_friend(&cluster);
    std::thread::sleep(Duration::from_millis(500));
    assert!(says(&stranger, ip, 8080).starts_with("shop/friend"), "the last state stays");
    cluster.start_part(Part::Agent(1)).unwrap();
    wait_until(&format!("{ip} is closed"), || says(&stranger, ip, 8080) == "silent");
    check(&cluster, traffic);
}

#[test]
fn an_agent_waits_for_its_predecessor_to_end() {
    wait_for_predecessor("waits", "bpf");
}

#[test]
fn an_agent_on_nftables_waits_for_its_predecessor_to_end() {
    wait_for_predecessor("waits-nft", "nft");
}

fn wait_for_predecessor(test: &str, backend: &str) {
    let (cluster, traffic) = cluster(test, &["--backend", backend]);
    let first = cluster.process(Part::Agent(1)).unwrap();
    cluster.start_part(Part::Agent(1)).unwrap();
    let log = Part::Agent(1).log(cluster.site());
    wait_until("the second agent says that it waits", || {
        std::fs::read_to_string(&log).unwrap().contains("waiting for it to end")
    });
    // Far longer than an agent takes to end: the second one is still there afterwards.
    std::thread::sleep(Duration::from_secs(4));
    let killed = std::process::Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap();
    assert!(killed.success());
    close_friend(&cluster);
    let (stranger, friend) =
        (cluster.pod("shop", "stranger").unwrap().netns, cluster.pod("shop", "friend").unwrap());
    for ip in &friend.ips {
        wait_until(&format!("{ip} is closed"), || says(&stranger, *ip, 8080) == "silent");
    }
    check(&cluster, traffic);
}

/// From now on nobody reaches the friend.
fn close_friend(cluster: &Cluster) {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "friend", "namespace": "shop" },
        "spec": { "podSelector": { "matchLabels": { "app": "friend" } }, "policyTypes": ["Ingress"] },
    });
    let path = format!("{POLICIES}/friend");
    cluster.edit(&[Edit::Apply { path, object }], Duration::ZERO).unwrap();
}

const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies";

/// An edit of one of 20 policies that select both servers, and let in nobody who is there.
fn policy_edit(number: usize, exists: bool) -> Edit {
    let name = format!("storm-{}", number % 20);
    let path = format!("{POLICIES}/{name}");
    if !exists {
        return Edit::Delete { path };
    }
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": {
            "podSelector": { "matchExpressions": [
                { "key": "app", "operator": "In", "values": ["near", "far"] },
            ]},
            "ingress": [{
                "from": [
                    { "podSelector": { "matchLabels": { "round": format!("r{number}") } } },
                    { "ipBlock": { "cidr": format!("192.0.2.{}/32", number % 250) } },
                ],
                "ports": [{ "port": 1024 + number % 1000 }],
            }],
        },
    });
    Edit::Apply { path, object }
}

#[test]
fn a_storm_of_policy_edits_makes_no_wrong_packet() {
    let (cluster, traffic) = cluster("storm", &[]);
    // A hundred a second for ten seconds; those that delete come after those that make.
    let edits: Vec<Edit> = (0..1000).map(|number| policy_edit(number, number / 20 % 4 != 3)).collect();
    cluster.edit(&edits, Duration::from_millis(10)).unwrap();
    // And one that tells when all of them have been heard of.
    let (stranger, friend) =
        (cluster.pod("shop", "stranger").unwrap().netns, cluster.pod("shop", "friend").unwrap());
    close_friend(&cluster);
    wait_until("the last edit is enforced", || says(&stranger, friend.ips[0], 8080) == "silent");
    check(&cluster, traffic);
}

/// A number that somebody in a hurry, or with time to spare, may change.
fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn pods_that_come_and_go_in_crowds_change_nothing_for_the_others() {
    let (cluster, traffic) = cluster("churn", &[]);
    const CROWD: usize = 40;
    cluster
        .apply(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: crowd, namespace: shop}\n\
             spec:\n  replicas: 0\n  selector: {matchLabels: {app: crowd}}\n  template:\n    metadata: {labels: {app: crowd}}\n\
             \x20   spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}\n---\n\
             apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: crowd, namespace: shop}\n\
             spec: {podSelector: {matchLabels: {app: crowd}}, ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}]}]}\n",
        )
        .unwrap();
    let scale = |replicas: usize| {
        let replicas = format!("--replicas={replicas}");
        cluster.kubectl(&["-n", "shop", "scale", "deployment/crowd", &replicas]).unwrap();
        cluster.wait_ready("shop", "deployment/crowd").unwrap();
    };
    let crowd = || cluster.pods().into_iter().filter(|(_, pod)| pod.name.starts_with("crowd-"));
    let (friend, stranger) =
        (cluster.pod("shop", "friend").unwrap().netns, cluster.pod("shop", "stranger").unwrap().netns);
    let mut come = 0;
    while come < number("PODGATE_TEST_PODS", 1000) {
        scale(CROWD);
        come += CROWD;
        let (_, one) = crowd().nth(come % CROWD).unwrap();
        let said = says(&friend, one.ips[0], 8080);
        assert!(said.starts_with("shop/crowd-"), "{} says {said:?}\n{}", one.name, logs(&cluster));
        assert_eq!(says(&stranger, one.ips[0], 8080), "silent", "{}\n{}", one.name, logs(&cluster));
        scale(0);
        wait_until("all of them are gone", || crowd().count() == 0);
    }
    check(&cluster, traffic);
    // Nothing of them is left.
    let namespaces = podgate_lab::netns::list(&format!("pg-{}-p", cluster.site().lab()));
    assert_eq!(namespaces.len(), PODS.len(), "{namespaces:?}");
}
