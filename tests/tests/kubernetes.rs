//! Policies of a real Kubernetes cluster, enforced on real packets between its nodes: workloads come, change
//! and go as they do in life, and no packet goes wrong meanwhile. Cases 4, 23, 25, 28 and 29. Needs root.

use std::net::IpAddr;
use std::time::Duration;

use podgate_flow::ServiceName;
use podgate_lab_kubernetes::{Cluster, Part, Room};
use podgate_tests::kubernetes::{Asking, flows, logs, says, start, wait_until};

const PROCESS: &str = env!("CARGO_BIN_EXE_cluster-process");

fn workload(kind: &str, name: &str, replicas: usize, more: &str) -> String {
    let service = if kind == "StatefulSet" { format!("  serviceName: {name}\n") } else { String::new() };
    format!(
        "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  replicas: {replicas}\n{service}\
         \x20 selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n{more}\
         \x20     containers: [{{name: c, image: \"i:1\", ports: [{{containerPort: 8080}}]}}]\n---\n"
    )
}

/// Pods of one workload go to different nodes.
const SPREAD: &str = "      topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}]\n";

fn pod(namespace: &str, name: &str, node: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}}}\n\
         spec: {{nodeName: node-{node}, containers: [{{name: c, image: i, ports: [{{containerPort: 8080}}]}}]}}\n---\n"
    )
}

fn namespace(name: &str, labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n---\n")
}

/// Lets in only pods with this label.
fn ingress(app: &str, from: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {app}, namespace: shop}}\n\
         spec: {{podSelector: {{matchLabels: {{app: {app}}}}}, ingress: [{{from: [{from}]}}]}}\n---\n"
    )
}

const FRIEND: &str = "{podSelector: {matchLabels: {app: friend}}}";

/// Addresses of all pods of the workload that have a network.
fn addresses(cluster: &Cluster, workload: &str) -> Vec<IpAddr> {
    let pods = cluster.pods().into_iter().filter(|(_, pod)| pod.name.starts_with(&format!("{workload}-")));
    pods.flat_map(|(_, pod)| pod.ips).collect()
}

/// Asks for help when something fails: the agents' logs tell why.
#[track_caller]
fn check(cluster: &Cluster, from: &str, to: IpAddr, expected: &str) {
    wait_until(&format!("{to} says {expected:?}"), || says(from, to, 8080).starts_with(expected));
    let heard = says(from, to, 8080);
    assert!(heard.starts_with(expected), "{to} says {heard:?} instead of {expected:?}\n{}", logs(cluster));
}

#[test]
fn what_kubectl_applies_is_scheduled_wired_and_enforced() {
    let cluster = start(PROCESS, "apply", Room::Usual);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n\
                   spec: {ipFamilyPolicy: PreferDualStack, selector: {app: web}, ports: [{port: 8080}]}\n---\n";
    cluster
        .apply(
            &[
                namespace("shop", ""),
                pod("shop", "friend", 1),
                pod("shop", "stranger", 2),
                workload("Deployment", "web", 4, SPREAD),
                service.to_owned(),
                ingress("web", FRIEND),
            ]
            .concat(),
        )
        .unwrap();
    cluster.wait_ready("shop", "deployment/web").unwrap();
    for name in ["pod/friend", "pod/stranger"] {
        cluster.wait_ready("shop", name).unwrap();
    }
    let (friend, stranger) =
        (cluster.pod("shop", "friend").unwrap(), cluster.pod("shop", "stranger").unwrap());
    let web = addresses(&cluster, "web");
    assert_eq!(web.len(), 8, "four pods with two addresses each: {web:?}");
    let nodes: Vec<String> = cluster
        .pods()
        .into_iter()
        .filter(|(_, p)| p.name.starts_with("web-"))
        .map(|(node, _)| node)
        .collect();
    assert!(nodes.contains(&"node-1".to_owned()) && nodes.contains(&"node-2".to_owned()), "{nodes:?}");
    for to in &web {
        check(&cluster, &friend.netns, *to, "shop/web-");
        assert_eq!(says(&stranger.netns, *to, 8080), "silent", "{to}\n{}", logs(&cluster));
    }
    let ips = cluster
        .kubectl(&["-n", "shop", "get", "service", "web", "-o", "jsonpath={.spec.clusterIPs[*]}"])
        .unwrap();
    let ips: Vec<IpAddr> = ips.split_whitespace().map(|ip| ip.parse().unwrap()).collect();
    assert_eq!(ips.len(), 2, "{ips:?}");
    for ip in &ips {
        check(&cluster, &friend.netns, *ip, "shop/web-");
        assert_eq!(says(&stranger.netns, *ip, 8080), "silent", "through the Service's {ip}");
    }
    // The agents' records have what was asked for, and what of it answered.
    for (node, client) in [(1, "shop/friend"), (2, "shop/stranger")] {
        wait_until(&format!("node-{node} tells of the Service"), || {
            let flows = flows(&cluster, node);
            ips.iter().all(|ip| {
                flows.iter().any(|flow| {
                    let is_service =
                        |service: &ServiceName| (&*service.namespace, &*service.name) == ("shop", "web");
                    flow.asked == Some((*ip, 8080).into())
                        && flow.service.as_deref().is_some_and(is_service)
                        && flow.source.party.to_string() == client
                        && flow.destination.party.to_string().starts_with("shop/web-")
                })
            })
        });
    }
    // What nobody isolates answers everybody.
    check(&cluster, &stranger.netns, friend.ips[0], "shop/friend");
}

#[test]
fn a_pod_starts_when_its_node_s_agent_has_its_policies_in_force() {
    let cluster = start(PROCESS, "closed", Room::Usual);
    let gated = "      readinessGates: [{conditionType: podgate.dev/in-force}]\n      nodeName: node-2\n";
    cluster
        .apply(
            &[
                namespace("shop", ""),
                pod("shop", "friend", 1),
                pod("shop", "stranger", 1),
                ingress("web", FRIEND),
                workload("Deployment", "web", 2, gated),
            ]
            .concat(),
        )
        .unwrap();
    for name in ["pod/friend", "pod/stranger", "deployment/web"] {
        cluster.wait_ready("shop", name).unwrap();
    }
    let (friend, stranger) =
        (cluster.pod("shop", "friend").unwrap().netns, cluster.pod("shop", "stranger").unwrap().netns);
    let before = addresses(&cluster, "web");
    cluster.kill(Part::Agent(2)).unwrap();
    cluster.kubectl(&["-n", "shop", "scale", "deployment/web", "--replicas=3"]).unwrap();
    let events =
        ["-n", "shop", "get", "events", "--field-selector=reason=FailedCreatePodSandBox", "-o", "name"];
    wait_until("a pod is refused a network", || !cluster.kubectl(&events).unwrap().is_empty());
    assert_eq!(addresses(&cluster, "web"), before, "no pod starts unguarded");
    // Those that run are guarded still.
    for to in &before {
        assert_eq!(says(&stranger, *to, 8080), "silent");
        assert!(says(&friend, *to, 8080).starts_with("shop/web-"), "{to}\n{}", logs(&cluster));
    }
    cluster.start_part(Part::Agent(2)).unwrap();
    cluster.wait_ready("shop", "deployment/web").unwrap();
    let after = addresses(&cluster, "web");
    assert_eq!(after.len(), 6, "{after:?}");
    for to in &after {
        check(&cluster, &friend, *to, "shop/web-");
        assert_eq!(says(&stranger, *to, 8080), "silent", "{to}\n{}", logs(&cluster));
    }
}

#[test]
fn a_rolling_update_leaks_nothing_and_loses_no_ready_pod() {
    let cluster = start(PROCESS, "rolling", Room::Usual);
    cluster
        .apply(
            &[
                namespace("shop", ""),
                pod("shop", "friend", 1),
                pod("shop", "stranger", 2),
                ingress("web", FRIEND),
                workload("Deployment", "web", 4, SPREAD),
            ]
            .concat(),
        )
        .unwrap();
    cluster.wait_ready("shop", "pod/stranger").unwrap();
    cluster.wait_ready("shop", "pod/friend").unwrap();
    let stranger = cluster.pod("shop", "stranger").unwrap().netns;
    let friend = cluster.pod("shop", "friend").unwrap().netns;
    cluster.wait_ready("shop", "deployment/web").unwrap();
    let before = addresses(&cluster, "web");
    let asking = Asking::of(before.clone());
    std::thread::scope(|scope| {
        let stopper = asking.stopper();
        let stranger = scope.spawn(|| asking.run(&stranger));
        scope.spawn(|| {
            while !asking.is_stopped() {
                *asking.addresses.lock().unwrap() = addresses(&cluster, "web");
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        for image in ["image=i:2", "image=i:3"] {
            let image = format!("c={}", image.trim_start_matches("image="));
            cluster.kubectl(&["-n", "shop", "set", "image", "deployment/web", &image]).unwrap();
            cluster.wait_ready("shop", "deployment/web").unwrap();
            for to in addresses(&cluster, "web") {
                // Those on their way out may be gone by now.
                let heard = says(&friend, to, 8080);
                let is_there = addresses(&cluster, "web").contains(&to);
                assert!(
                    !is_there || heard.starts_with("shop/web-"),
                    "{to} says {heard:?}\n{}",
                    logs(&cluster)
                );
            }
        }
        let last = addresses(&cluster, "web");
        wait_until("every pod is asked", || {
            let asked = asking.asked();
            before.iter().chain(&last).all(|ip| asked.contains_key(ip))
        });
        drop(stopper);
        let answers = stranger.join().unwrap();
        assert_eq!(answers, [], "leaked to the stranger, of {:?}\n{}", asking.asked(), logs(&cluster));
    });
    let after = addresses(&cluster, "web");
    assert!(after.iter().all(|ip| !before.contains(ip)), "all pods are new: {before:?} {after:?}");
}

#[test]
fn addresses_that_change_hands_take_no_rights_with_them() {
    let cluster = start(PROCESS, "reuse", Room::Scarce);
    let on_node = "      nodeName: node-2\n";
    cluster
        .apply(
            &[
                namespace("shop", ""),
                pod("shop", "friend", 1),
                pod("shop", "stranger", 1),
                ingress("closed", FRIEND),
                workload("StatefulSet", "open", 3, on_node),
                workload("StatefulSet", "closed", 3, on_node),
            ]
            .concat(),
        )
        .unwrap();
    for name in ["pod/friend", "pod/stranger", "statefulset/open", "statefulset/closed"] {
        cluster.wait_ready("shop", name).unwrap();
    }
    let (friend, stranger) =
        (cluster.pod("shop", "friend").unwrap().netns, cluster.pod("shop", "stranger").unwrap().netns);
    // All addresses that the node has for pods.
    let node = &cluster.pod("shop", "open-0").unwrap().ips;
    let cidr: ipnet::IpNet = format!("{}/28", node[0]).parse().unwrap();
    let asking = Asking::of(cidr.hosts());
    std::thread::scope(|scope| {
        let stopper = asking.stopper();
        let of_friend = scope.spawn(|| asking.run(&friend));
        let of_stranger = scope.spawn(|| asking.run(&stranger));
        for round in 0..6 {
            let names = if round % 2 == 0 {
                ["closed-0", "closed-1", "open-0"]
            } else {
                ["open-1", "open-2", "closed-2"]
            };
            cluster.kubectl(&["-n", "shop", "delete", "pod", names[0], names[1], names[2]]).unwrap();
            for name in ["statefulset/open", "statefulset/closed"] {
                cluster.wait_ready("shop", name).unwrap();
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        drop(stopper);
        let (friend, stranger) = (of_friend.join().unwrap(), of_stranger.join().unwrap());
        let asked = asking.asked();
        let leaked: Vec<_> =
            stranger.iter().filter(|answer| answer.who.starts_with("shop/closed-")).collect();
        assert!(leaked.is_empty(), "of {asked:?}: {leaked:?}\n{}", logs(&cluster));
        let open = |answer: &&podgate_tests::kubernetes::Answer| answer.who.starts_with("shop/open-");
        let handed_on = stranger.iter().filter(open).filter(|answer| {
            friend.iter().any(|one| one.address == answer.address && one.who.starts_with("shop/closed-"))
        });
        assert!(handed_on.count() > 0, "no address was open and closed in turn: {friend:?}");
    });
}

#[test]
fn a_namespace_s_labels_take_effect_at_once() {
    let cluster = start(PROCESS, "relabel", Room::Usual);
    let from = "{namespaceSelector: {matchLabels: {team: a}}}";
    cluster
        .apply(
            &[
                namespace("shop", ""),
                namespace("visitors", "team: b"),
                pod("shop", "server", 1),
                pod("visitors", "near", 1),
                pod("visitors", "far", 2),
                ingress("server", from),
            ]
            .concat(),
        )
        .unwrap();
    cluster.wait_ready("shop", "pod/server").unwrap();
    let server = cluster.pod("shop", "server").unwrap();
    for name in ["near", "far"] {
        cluster.wait_ready("visitors", &format!("pod/{name}")).unwrap();
    }
    for round in 0..4 {
        let team = if round % 2 == 0 { "team=a" } else { "team=b" };
        cluster.kubectl(&["label", "--overwrite", "namespace", "visitors", team]).unwrap();
        for name in ["near", "far"] {
            let netns = cluster.pod("visitors", name).unwrap().netns;
            for ip in &server.ips {
                check(&cluster, &netns, *ip, if round % 2 == 0 { "shop/server" } else { "silent" });
            }
        }
    }
}
