//! Plans of small inputs, as tables.

use podgate_api::{Protocol, load_text};

use super::*;

fn objects(yaml: &str) -> Vec<Object> {
    let loaded = load_text("test.yaml", yaml);
    assert_eq!(loaded.diagnostics, [], "the test's own manifests are sound");
    loaded.objects
}

fn plan(yaml: &str, nodes: usize) -> Plan {
    Plan::new("t", &objects(yaml), nodes, None).unwrap()
}

fn replan(yaml: &str, nodes: usize, previous: &Plan) -> Plan {
    Plan::new("t", &objects(yaml), nodes, Some(previous)).unwrap()
}

fn deployment(name: &str, replicas: usize) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{ name: {name}, namespace: shop }}\nspec:\n  \
         replicas: {replicas}\n  selector: {{ matchLabels: {{ app: {name} }} }}\n  template:\n    \
         metadata: {{ labels: {{ app: {name} }} }}\n    spec:\n      containers:\n        - name: c\n          \
         image: example/c\n          ports: [{{ name: http, containerPort: 8080 }}]\n---\n"
    )
}

fn service(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, namespace: shop }}\nspec: {{ {spec} }}\n---\n"
    )
}

fn policy(egress: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{ name: p, namespace: shop }}\n\
         spec: {{ podSelector: {{}}, policyTypes: [Egress], egress: [{egress}] }}\n---\n"
    )
}

fn cluster_policy(egress: &str) -> String {
    format!(
        "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {{ name: guard }}\n\
         spec: {{ tier: Admin, priority: 1, subject: {{ namespaces: {{}} }}, egress: [{egress}] }}\n---\n"
    )
}

fn pods(plan: &Plan) -> Vec<String> {
    plan.pods.iter().map(|pod| format!("{} {} {}", pod.name, plan.nodes[pod.node].name, pod.ips[0])).collect()
}

#[track_caller]
fn check_pods(yaml: &str, nodes: usize, expected: &[&str]) {
    assert_eq!(pods(&plan(yaml, nodes)), expected);
}

#[test]
fn pods_are_spread_over_the_nodes() {
    let expected = ["web-0 node-1 10.244.0.2", "web-1 node-2 10.244.1.2", "web-2 node-1 10.244.0.3"];
    check_pods(&deployment("web", 3), 2, &expected);
}

#[test]
fn a_pod_that_names_its_node_runs_there() {
    let pinned = "apiVersion: v1\nkind: Pod\nmetadata: { name: a, namespace: shop }\n\
                  spec: { nodeName: east, containers: [{ name: c, image: i }] }\n---\n";
    check_pods(
        &format!("{pinned}{}", deployment("web", 2)),
        2,
        &["a east 10.244.0.2", "web-0 node-1 10.244.1.2", "web-1 east 10.244.0.3"],
    );
}

#[test]
fn a_daemon_set_has_a_pod_on_every_node() {
    let set = deployment("log", 1).replace("Deployment", "DaemonSet").replace("  replicas: 1\n", "");
    check_pods(&set, 2, &["log-node-1 node-1 10.244.0.2", "log-node-2 node-2 10.244.1.2"]);
}

#[test]
fn pods_that_ended_are_left_out() {
    let ended = "apiVersion: v1\nkind: Pod\nmetadata: { name: a, namespace: shop }\n\
                 spec: { containers: [{ name: c, image: i }] }\nstatus: { phase: PHASE }\n---\n";
    for (phase, count) in [("Pending", 1), ("Running", 1), ("Succeeded", 0), ("Failed", 0)] {
        assert_eq!(plan(&ended.replace("PHASE", phase), 1).pods.len(), count, "{phase}");
    }
}

#[test]
fn a_pod_in_the_host_network_has_its_nodes_addresses_and_namespace() {
    let yaml = deployment("web", 1)
        .replace("spec:\n      containers", "spec:\n      hostNetwork: true\n      containers");
    let plan = plan(&yaml, 1);
    assert_eq!(plan.pods[0].ips, plan.nodes[0].addresses);
    assert_eq!(plan.pods[0].netns, "pg-t-n0");
    assert_eq!(plan.netns_names(), ["pg-t-net", "pg-t-out", "pg-t-n0"]);
}

#[test]
fn what_stays_keeps_its_addresses() {
    let before = plan(
        &format!(
            "{}{}",
            deployment("web", 3),
            service("web", "selector: { app: web }, ports: [{ port: 80 }]")
        ),
        2,
    );
    let yaml = format!(
        "{}{}{}{}",
        deployment("api", 2),
        deployment("web", 2),
        service("api", "selector: { app: api }, ports: [{ port: 80 }]"),
        service("web", "selector: { app: web }, ports: [{ port: 80 }]")
    );
    let after = replan(&yaml, 0, &before);
    for pod in after.pods.iter().filter(|pod| pod.labels["app"] == "web") {
        let old = before.pods.iter().find(|old| old.name == pod.name).unwrap();
        assert_eq!((pod.index, &pod.ips, &pod.netns), (old.index, &old.ips, &old.netns));
    }
    assert_eq!(after.services[1].cluster_ips, before.services[0].cluster_ips);
    let indices: std::collections::BTreeSet<u32> = after.pods.iter().map(|pod| pod.index).collect();
    assert_eq!(indices.len(), after.pods.len());
    assert!(indices.iter().all(|i| *i != 2), "the index of the pod that went is free only in the plan after");
}

#[test]
fn a_pod_made_anew_under_its_name_is_another_pod() {
    let pod = |uid: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: a, namespace: shop, uid: {uid} }}\n\
                 spec: {{ containers: [{{ name: c, image: i }}] }}\n"
        )
    };
    let before = plan(&pod("one"), 1);
    assert_eq!(replan(&pod("one"), 0, &before).pods[0].index, before.pods[0].index);
    assert_ne!(replan(&pod("two"), 0, &before).pods[0].index, before.pods[0].index);
}

#[test]
fn an_address_rests_for_one_plan_before_it_changes_hands() {
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: {name}, namespace: shop }}\n\
             spec: {{ containers: [{{ name: c, image: i }}] }}\n"
        )
    };
    let before = plan(&pod("a"), 1);
    let swapped = replan(&pod("b"), 0, &before);
    assert!(swapped.pods[0].ips.iter().all(|ip| !before.pods[0].ips.contains(ip)));
    assert_eq!(replan(&pod("c"), 0, &swapped).pods[0].ips, before.pods[0].ips);
}

#[test]
fn five_hundred_pods_fit_on_one_node() {
    let plan = plan(&deployment("web", 500), 1);
    let distinct: std::collections::BTreeSet<_> = plan.pods.iter().flat_map(|pod| &pod.ips).collect();
    assert_eq!(distinct.len(), 1000);
    let cidrs: Vec<String> = plan.nodes[0].pod_cidrs.iter().map(ToString::to_string).collect();
    assert_eq!(cidrs, ["10.244.0.0/24", "10.244.255.0/24", "fd00:10:244::/64"]);
    for pod in &plan.pods {
        assert!(pod.ips.iter().all(|ip| plan.nodes[0].pod_cidrs.iter().any(|cidr| cidr.contains(ip))));
    }
    // A node that comes later finds its own block free, and what was there keeps its addresses.
    let more = replan(&deployment("web", 501), 2, &plan);
    let kept =
        more.pods.iter().filter(|pod| plan.pods.iter().any(|old| old.name == pod.name && old.ips == pod.ips));
    assert_eq!(kept.count(), 500);
    assert_eq!(more.nodes[1].pod_cidrs[0].to_string(), "10.244.1.0/24");
}

#[test]
fn a_workload_that_no_memory_could_hold_is_refused_before_it_is_expanded() {
    let error = Plan::new("t", &objects(&deployment("web", 2_000_000_000)), 1, None).unwrap_err();
    assert!(error.to_string().starts_with("Deployment shop/web makes 2000000000 pods ("), "{error}");
}

#[test]
fn more_pods_than_addresses_is_an_error_with_a_name() {
    let error = Plan::new("t", &objects(&deployment("web", 64_001)), 1, None).unwrap_err();
    assert!(matches!(&error, PlanError::PodsExhausted { pod } if pod.starts_with("shop/web-")), "{error}");
}

#[test]
fn a_service_keeps_the_cluster_ip_that_it_asks_for_when_it_can() {
    for (asked, got, noted) in [
        ("10.96.3.4", "10.96.3.4", false),
        ("10.100.0.9", "10.100.0.9", false),
        ("10.244.0.9", "10.96.0.32", true),
        ("172.30.0.9", "10.96.0.32", true),
    ] {
        let yaml = service("web", &format!("clusterIP: {asked}, ports: [{{ port: 80 }}]"));
        let plan = plan(&yaml, 1);
        assert_eq!(plan.services[0].cluster_ips[0].to_string(), got, "asked for {asked}");
        assert_eq!(plan.services[0].cluster_ips.len(), 2);
        assert_eq!(!plan.notes.is_empty(), noted, "asked for {asked}: {:?}", plan.notes);
    }
}

#[test]
fn claims_that_collide_are_errors_with_both_names() {
    let cluster_ip = "clusterIP: 10.96.0.50, ports: [{ port: 80 }]";
    let node_port = "type: NodePort, ports: [{ port: 80, nodePort: 30080 }]";
    for (spec, expected) in [
        (cluster_ip, "services shop/a and shop/b both ask for cluster IP 10.96.0.50; change one of them"),
        (node_port, "services shop/a and shop/b both ask for node port 30080/TCP; change one of them"),
    ] {
        let yaml = service("a", spec) + &service("b", spec);
        assert_eq!(Plan::new("t", &objects(&yaml), 1, None).unwrap_err().to_string(), expected);
    }
}

#[test]
fn backends_are_the_selected_pods_with_the_target_port() {
    for (spec, expected) in [
        ("ports: [{ port: 80 }], selector: { app: web }", vec![(0, 80), (1, 80)]),
        ("ports: [{ port: 80, targetPort: 9 }], selector: { app: web }", vec![(0, 9), (1, 9)]),
        ("ports: [{ port: 80, targetPort: http }], selector: { app: web }", vec![(0, 8080), (1, 8080)]),
        ("ports: [{ port: 80, targetPort: nope }], selector: { app: web }", vec![]),
        ("ports: [{ port: 80, targetPort: http, protocol: UDP }], selector: { app: web }", vec![]),
        ("ports: [{ port: 80 }], selector: { app: other }", vec![]),
        ("ports: [{ port: 80 }]", vec![]),
    ] {
        let plan = plan(&format!("{}{}", deployment("web", 2), service("web", spec)), 1);
        assert_eq!(plan.services[0].ports[0].backends, expected, "{spec}");
    }
}

#[test]
fn pods_answer_on_declared_ports_and_on_targets_of_their_services() {
    let target =
        service("web", "selector: { app: web }, ports: [{ port: 80, targetPort: 9000, protocol: UDP }]");
    let plan = plan(&format!("{}{target}", deployment("web", 1)), 1);
    assert_eq!(plan.pods[0].listen, [(Protocol::Tcp, 8080), (Protocol::Udp, 9000)]);
    assert_eq!(plan.pods[0].ports.len(), 1, "what is declared stays what named ports resolve to");
}

#[test]
fn node_ports_are_kept_or_handed_out() {
    let yaml = service("a", "type: NodePort, ports: [{ port: 80 }]")
        + &service("b", "type: LoadBalancer, ports: [{ port: 80, nodePort: 30000 }]")
        + &service("c", "ports: [{ port: 80 }]");
    let ports = |plan: &Plan| plan.services.iter().map(|s| s.ports[0].node_port).collect::<Vec<_>>();
    let before = plan(&yaml, 1);
    assert_eq!(ports(&before), [Some(30001), Some(30000), None]);
    let freed = service("a", "type: NodePort, ports: [{ port: 80 }]");
    assert_eq!(ports(&replan(&freed, 0, &before)), [Some(30001)]);
}

#[test]
fn the_clusters_dns_has_its_usual_address() {
    let yaml = "apiVersion: v1\nkind: Service\nmetadata: { name: kube-dns, namespace: kube-system }\n\
                spec: { ports: [{ port: 53, protocol: UDP }] }\n";
    assert_eq!(plan(yaml, 1).services[0].cluster_ips[0].to_string(), "10.96.0.10");
}

#[test]
fn the_outside_has_an_address_in_every_block_and_hole() {
    for (blocks, expected) in [
        ("", vec![]),
        ("ipBlock: { cidr: 0.0.0.0/0 }", vec![]),
        ("ipBlock: { cidr: 203.0.113.0/24 }", vec!["203.0.113.10"]),
        ("ipBlock: { cidr: 203.0.113.7/32 }", vec!["203.0.113.7"]),
        (
            "ipBlock: { cidr: 203.0.113.0/24, except: [203.0.113.0/25] }",
            vec!["203.0.113.137", "203.0.113.10"],
        ),
        ("ipBlock: { cidr: 0.0.0.0/0, except: [169.254.169.254/32] }", vec!["169.254.169.254"]),
        ("ipBlock: { cidr: 10.0.0.0/8 }", vec!["10.0.0.10"]),
        ("ipBlock: { cidr: 10.244.0.0/16 }", vec![]),
        ("ipBlock: { cidr: 10.96.0.0/16 }", vec![]),
        ("ipBlock: { cidr: 2001:db8:1::/48 }", vec!["2001:db8:1::a"]),
        ("ipBlock: { cidr: 127.0.0.0/8 }", vec![]),
    ] {
        let egress = if blocks.is_empty() { String::new() } else { format!("{{ to: [{{ {blocks} }}] }}") };
        let addresses = plan(&policy(&egress), 1).outside.addresses;
        let extra: Vec<String> = addresses[2..].iter().map(ToString::to_string).collect();
        assert_eq!(extra, expected, "{blocks}");
    }
}

#[test]
fn the_outside_answers_on_the_ports_that_blocks_are_allowed_on() {
    let rules = "{ to: [{ ipBlock: { cidr: 203.0.113.0/24 } }], ports: [{ port: 8443 }, { port: 9000, endPort: 9100, protocol: UDP }] }";
    let listen = plan(&policy(rules), 1).outside.listen;
    for port in [(Protocol::Tcp, 8443), (Protocol::Udp, 9000), (Protocol::Udp, 9100), (Protocol::Tcp, 443)] {
        assert!(listen.contains(&port), "{port:?}");
    }
    let inside = "{ to: [{ podSelector: {} }], ports: [{ port: 7777 }] }";
    assert!(!plan(&policy(inside), 1).outside.listen.contains(&(Protocol::Tcp, 7777)));
}

#[test]
fn the_outside_can_show_what_cluster_policies_say_of_networks() {
    let rules = "{ action: Accept, to: [{ networks: [203.0.113.0/25, 192.0.2.9/32] }], \
                 protocols: [{ tcp: { destinationPort: { number: 8443 } } }] }, \
                 { action: Deny, to: [{ networks: [203.0.113.0/24, '2001:db8:1::/48'] }], \
                 protocols: [{ udp: { destinationPort: { range: { start: 9000, end: 9100 } } } }] }";
    let outside = plan(&cluster_policy(rules), 1).outside;
    let extra: Vec<String> = outside.addresses[2..].iter().map(ToString::to_string).collect();
    // One in the denied network that isn't in the accepted one.
    assert_eq!(extra, ["203.0.113.10", "192.0.2.9", "203.0.113.137", "2001:db8:1::a"]);
    for port in [(Protocol::Tcp, 8443), (Protocol::Udp, 9000), (Protocol::Udp, 9100), (Protocol::Tcp, 443)] {
        assert!(outside.listen.contains(&port), "{port:?}");
    }
    let inside = "{ action: Accept, to: [{ namespaces: {} }], \
                  protocols: [{ tcp: { destinationPort: { number: 7777 } } }] }";
    assert!(!plan(&cluster_policy(inside), 1).outside.listen.contains(&(Protocol::Tcp, 7777)));
}

#[test]
fn the_number_of_nodes_follows_flag_then_earlier_plan_then_input() {
    let node = |name: &str| format!("apiVersion: v1\nkind: Node\nmetadata: {{ name: {name} }}\n---\n");
    let two = node("a") + &node("b");
    let names = |plan: &Plan| plan.nodes.iter().map(|n| n.name.clone()).collect::<Vec<_>>().join(" ");
    assert_eq!(names(&plan(&two, 0)), "a b");
    assert_eq!(names(&plan(&two, 1)), "a");
    assert_eq!(names(&plan(&two, 3)), "a b node-1");
    assert_eq!(names(&plan("", 0)), "node-1");
    assert_eq!(names(&replan("", 0, &plan(&two, 3))), "a b node-1");
    assert!(matches!(Plan::new("t", &[], 201, None), Err(PlanError::TooManyNodes { asked: 201 })));
}

#[test]
fn the_engine_gets_pods_and_nodes_with_addresses_and_the_policies_as_written() {
    let zone = "apiVersion: v1\nkind: Node\nmetadata: { name: node-1, labels: { zone: z } }\n---\n";
    let yaml = [zone, &deployment("web", 1), &policy("{}"), &cluster_policy("")].concat();
    let input = objects(&yaml);
    let plan = Plan::new("t", &input, 1, None).unwrap();
    let told = plan.objects(&input);
    let kinds: Vec<String> = told.iter().map(|object| object.key().to_string()).collect();
    let expected = ["NetworkPolicy shop/p", "ClusterNetworkPolicy guard", "Node node-1", "Pod shop/web-0"];
    assert_eq!(kinds, expected);
    let Object::Node(node) = &told[2] else { panic!("the node is third") };
    assert_eq!((&node.addresses, node.meta.labels["zone"].as_str()), (&plan.nodes[0].addresses, "z"));
    let Some(Object::Pod(pod)) = plan.objects(&input).pop() else { panic!("the pod is last") };
    assert_eq!(pod.ips, plan.pods[0].ips);
    assert_eq!(pod.node.as_deref(), Some("node-1"));
    assert_eq!(pod.owner.map(|owner| owner.name).as_deref(), Some("web"));
}

#[test]
fn a_stored_plan_reads_back_as_it_was() {
    let yaml = deployment("web", 2)
        + &service("web", "selector: { app: web }, ports: [{ port: 80 }]")
        + &policy("{}");
    let plan = plan(&yaml, 2);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}
