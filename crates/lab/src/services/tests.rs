//! Generated rules, and what nft says of them.

use podgate_api::load_text;

use super::*;

fn plan(services: &str) -> Plan {
    let pods = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web, namespace: shop }\nspec:\n  replicas: 2\n  \
                selector: { matchLabels: { app: web } }\n  template:\n    metadata: { labels: { app: web } }\n    \
                spec: { containers: [{ name: c, image: i }] }\n---\n";
    let loaded = load_text("test.yaml", &format!("{pods}{services}"));
    assert_eq!(loaded.diagnostics, []);
    Plan::new("t", &loaded.objects, 2, None).unwrap()
}

fn service(spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: web, namespace: shop }}\nspec: {{ {spec} }}\n---\n"
    )
}

/// The rules of a chain, without its title.
fn chain(script: &str, name: &str) -> Vec<String> {
    let mut lines = script.lines().skip_while(|line| line.trim() != format!("chain {name} {{")).skip(2);
    lines.by_ref().take_while(|line| line.trim() != "}").map(|line| line.trim().to_owned()).collect()
}

#[test]
fn a_cluster_ip_leads_to_one_of_the_pods_at_random() {
    let plan = plan(&service("selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }]"));
    let script = ruleset(&plan, 0);
    assert!(script.contains("elements = { 10.96.0.32 . tcp . 80 : goto service4-0 };"), "{script}");
    assert_eq!(
        chain(&script, "service4-0"),
        [
            "meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.244.0.2 . 8080, 1 : 10.244.1.2 . 8080 }"
        ]
    );
    assert_eq!(
        chain(&script, "service6-0"),
        [
            "meta l4proto tcp dnat ip6 to numgen random mod 2 map { 0 : fd00:10:244::2 . 8080, 1 : fd00:10:244:1::2 . 8080 }"
        ]
    );
}

#[test]
fn a_node_port_hides_the_client_unless_its_policy_is_local() {
    let spec = "type: NodePort, selector: { app: web }, ports: [{ port: 80, nodePort: 30080 }]";
    let anywhere = ruleset(&plan(&service(spec)), 0);
    assert_eq!(chain(&anywhere, "node-port4-0"), ["meta mark set meta mark | 0x4000 goto service4-0"]);
    let local = ruleset(&plan(&service(&format!("externalTrafficPolicy: Local, {spec}"))), 1);
    assert_eq!(
        chain(&local, "node-port4-0"),
        [
            "ip saddr 10.244.0.0/16 goto service4-0",
            "fib saddr type local meta mark set meta mark | 0x4000 goto service4-0",
            "meta l4proto tcp dnat ip to 10.244.1.2:80",
        ]
    );
}

#[test]
fn a_service_without_pods_is_rejected_and_not_translated() {
    let script = ruleset(
        &plan(&service("type: NodePort, selector: { app: x }, ports: [{ port: 80, nodePort: 30080 }]")),
        0,
    );
    assert!(script.contains("set no-endpoints4 { type ipv4_addr . inet_proto . inet_service; elements = { 10.96.0.32 . tcp . 80 }; }"));
    assert!(
        script.contains(
            "set no-node-endpoints4 { type inet_proto . inet_service; elements = { tcp . 30080 }; }"
        )
    );
    assert!(!script.contains(" dnat ip to "));
}

#[test]
fn a_headless_service_has_no_rules() {
    let script =
        ruleset(&plan(&service("clusterIP: None, selector: { app: web }, ports: [{ port: 80 }]")), 0);
    assert!(!script.contains(" dnat ip to "));
    assert!(!script.contains("10.96.0.32"));
}
