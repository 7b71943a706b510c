//! Questions to small clusters, with every part of their answers.

use podgate_api::load_text;

use super::*;
use crate::world::WorldOptions;

const SHOP: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, tier: front}}
    spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, ports: [{name: grpc, containerPort: 9000}]}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, ports: [{name: pg, containerPort: 5432}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{port: 80, targetPort: grpc}]}
---
apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: ops, labels: {app: probe}}
spec: {containers: [{name: a}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: api}}}]
    ports: [{port: 5432}]
";

fn world(more: &str) -> World {
    let loaded = load_text("shop.yaml", &format!("{SHOP}{more}"));
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    World::new(loaded.objects, &WorldOptions::default())
}

fn ask(world: &World, from: &str, to: &str, port: &str) -> Result<Answer, EndError> {
    world.can(&Question {
        from: End::parse(from, Some("shop"))?,
        to: End::parse(to, Some("shop"))?,
        port: if port.is_empty() { None } else { Some(PortSpec::parse(port)?) },
    })
}

#[track_caller]
fn answer(more: &str, from: &str, to: &str, port: &str) -> Answer {
    ask(&world(more), from, to, port).unwrap()
}

fn policy(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"
    )
}

#[test]
fn a_rule_that_allows_is_named() {
    let answer = answer("", "api", "db", "5432");
    assert_eq!(answer.answer, Short::Yes);
    let [explained] = &answer.explanations[..] else { panic!("{answer:?}") };
    assert_eq!(explained.egress.reason, "no policy selects shop/api-0 for egress");
    assert_eq!(explained.ingress.reason, "shop/db ingress[0] allows it");
    let rule = &explained.ingress.policies[0].rules[0];
    assert_eq!(rule.at, "shop.yaml:46");
    assert_eq!((rule.says.as_str(), rule.decides), ("from pods with app=api: TCP/5432", true));
    assert!(explained.change.is_none() && explained.near.is_empty());
}

#[test]
fn a_denial_names_what_isolates_the_nearest_rule_and_the_change() {
    let answer = answer("", "web", "db", "5432");
    assert_eq!(answer.answer, Short::No);
    let explained = &answer.explanations[0];
    assert_eq!(explained.ingress.reason, "isolated for ingress by shop/db, and no rule of it allows it");
    assert_eq!(
        explained.near[0].why,
        "the port matches; it wants pods with app=api, and shop/web-0 has app=web"
    );
    let change = explained.change.as_ref().unwrap();
    assert_eq!(change.edits[0].what, "add to spec.ingress[0].from");
    assert_eq!(change.edits[0].yaml, "- podSelector:\n    matchLabels:\n      app: web\n");
    assert!(change.also_opens.is_empty(), "{change:?}");
}

#[test]
fn a_missing_port_is_added_to_the_rule_that_has_the_peer() {
    let answer = answer("", "api", "db", "9187");
    let explained = &answer.explanations[0];
    assert_eq!(explained.near[0].why, "the peer matches; its ports are TCP/5432, not TCP/9187");
    let change = explained.change.as_ref().unwrap();
    assert_eq!(change.edits[0].what, "add to spec.ingress[0].ports");
    assert_eq!(change.edits[0].yaml, "- protocol: TCP\n  port: 9187\n");
}

#[test]
fn another_namespace_is_named_in_the_change() {
    let answer = answer("", "ops/probe", "db", "5432");
    let explained = &answer.explanations[0];
    assert!(
        explained.near[0].why.contains(
            "it means pods of its own namespace shop (no namespaceSelector), and ops/probe is in ops"
        ),
        "{:?}",
        explained.near
    );
    let yaml = &explained.change.as_ref().unwrap().edits[0].yaml;
    assert!(yaml.contains("kubernetes.io/metadata.name: ops") && yaml.contains("app: probe"), "{yaml}");
}

#[test]
fn both_sides_are_changed_where_both_deny() {
    let closed = policy("web-egress", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}");
    let answer = answer(&closed, "web", "db", "5432");
    let change = answer.explanations[0].change.as_ref().unwrap();
    assert_eq!(change.edits.len(), 2, "{change:?}");
    assert_eq!(change.edits[0].what, "add to spec.egress");
    assert!(change.also_opens.is_empty());
}

#[test]
fn the_service_port_in_a_rule_is_a_hint() {
    let wrong = policy(
        "api",
        "{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}]}",
    );
    let answer = answer(&wrong, "web", "svc/api", "80");
    assert_eq!(answer.answer, Short::No);
    let hints = answer.explanations[0].hints.join("\n");
    assert!(
        hints.contains(
            "names port 80, which is the port of Service shop/api; policy sees the pods' port 9000"
        ),
        "{hints}"
    );
    let change = answer.explanations[0].change.as_ref().unwrap();
    assert_eq!(change.edits[0].yaml, "- protocol: TCP\n  port: 9000\n");
    let straight = ask(&world(&wrong), "web", "api", "80").unwrap();
    assert!(
        straight.notes.iter().any(|note| note.contains("ask for that, or for shop/svc/api 80")),
        "{straight:?}"
    );
}

#[test]
fn a_policy_that_almost_selects_is_a_hint() {
    let slip = policy("apis", "{podSelector: {matchLabels: {app: apis}}, ingress: [{}]}");
    let closed = policy("closed", "{podSelector: {}}");
    let answer = answer(&format!("{slip}{closed}"), "web", "api", "9000");
    assert_eq!(
        answer.explanations[0].hints,
        [
            "an ingress rule of shop/apis (shop.yaml:49) is about this, but the policy only almost selects shop/api-0: it wants pods with app=apis, and shop/api-0 has app=api"
        ]
    );
}

#[test]
fn names_need_dns() {
    let no_dns = policy(
        "web-egress",
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: api}}}]}]}",
    );
    let without = answer(&no_dns, "web", "svc/api", "80");
    assert_eq!(without.answer, Short::Yes);
    assert!(without.explanations[0].hints[0].contains("can't look the Service's name up"), "{without:?}");
    let dns = policy(
        "dns",
        "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}",
    );
    let with = answer(&format!("{no_dns}{dns}"), "web", "svc/api", "80");
    assert!(with.explanations[0].hints.is_empty(), "{:?}", with.explanations[0].hints);
}

#[test]
fn policy_types_that_are_not_what_was_meant_are_hints() {
    let egress_only = policy(
        "out",
        "{podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress, Egress], egress: [{}]}",
    );
    let denied = answer(&egress_only, "web", "api", "9000");
    assert!(
        denied.explanations[0].hints[0].contains("has egress rules only, and isolates for ingress as well"),
        "{denied:?}"
    );
    let ignored = policy(
        "in",
        "{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [{}], ingress: [{}]}",
    );
    let allowed = answer(&ignored, "web", "api", "9000");
    assert!(allowed.explanations[0].hints[0].contains("the ingress rules of shop/in"), "{allowed:?}");
}

#[test]
fn what_is_alike_stands_together() {
    let answer = answer("", "all", "db", "5432");
    assert_eq!(answer.answer, Short::Partly);
    let lines: Vec<String> = answer
        .connections
        .iter()
        .map(|group| {
            format!("{} {} -> {}", group.answer.as_str(), group.from.join(", "), group.to.join(", "))
        })
        .collect();
    assert_eq!(
        lines,
        [
            "no ops/probe[Pod], shop/db[StatefulSet], shop/web[Deployment], anywhere outside -> shop/db[StatefulSet]",
            "yes shop/api[Deployment] -> shop/db[StatefulSet]",
        ]
    );
    assert_eq!(answer.explanations.len(), 2);
}

#[test]
fn without_a_port_any_will_do() {
    let yes = answer("", "api", "db", "");
    assert_eq!((yes.answer, yes.connections[0].allowed.as_str()), (Short::Yes, "TCP 5432"));
    let no = answer("", "web", "db", "");
    assert_eq!((no.answer, no.connections[0].allowed.as_str()), (Short::No, "none"));
    let range = answer("", "api", "db", "TCP/5000-6000");
    assert_eq!((range.answer, range.connections[0].allowed.as_str()), (Short::Partly, "TCP 5432"));
}

#[test]
fn addresses_outside_get_blocks() {
    let to_db = answer("", "192.0.2.7", "db", "5432");
    let yaml = &to_db.explanations[0].change.as_ref().unwrap().edits[0].yaml;
    assert_eq!(yaml, "- ipBlock:\n    cidr: 192.0.2.7/32\n");
    let closed = policy(
        "web-egress",
        "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 443}]}]}",
    );
    let hole = answer(&closed, "web", "10.1.2.3", "443");
    assert_eq!(
        hole.explanations[0].near[0].why,
        "the port matches; its block 10.0.0.0/8 leaves out 10.1.0.0/16, which holds 10.1.2.3"
    );
}

#[test]
fn an_admin_denial_names_the_rule_that_has_to_change() {
    let admin = "---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: keep-out}
spec:
  priority: 5
  subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}
  ingress:
  - {name: no-ops, action: Deny, from: [{namespaces: {matchLabels: {kubernetes.io/metadata.name: ops}}}]}
";
    let answer = answer(admin, "ops/probe", "web", "8080");
    let explained = &answer.explanations[0];
    assert!(explained.change.is_none());
    assert!(
        explained.forbidden[0].contains("AdminNetworkPolicy keep-out ingress[0] \"no-ops\" (shop.yaml:"),
        "{explained:?}"
    );
    let step = &explained.ingress.policies[0];
    assert_eq!((step.priority, step.rules[0].effect), (Some(5), "deny"));
}

#[test]
fn a_pod_and_itself_a_node_and_its_pods() {
    let itself = answer("", "db", "db", "5432");
    assert_eq!(itself.answer, Short::Yes, "one pod");
    assert!(itself.explanations[0].ingress.reason.contains("same pod"));
    let two = policy("web", "{podSelector: {matchLabels: {app: web}}}");
    assert_eq!(answer(&two, "web", "web", "8080").answer, Short::No, "two pods");
    let node = "---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: here, namespace: ops, labels: {app: probed}}
spec: {nodeName: n1, containers: [{name: a}]}
---
apiVersion: v1
kind: Pod
metadata: {name: there, namespace: ops, labels: {app: probed}}
spec: {nodeName: n2, containers: [{name: a}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed, namespace: ops}
spec: {podSelector: {}}
";
    let own = answer(node, "172.18.0.2", "ops/app=probed", "80");
    assert_eq!(own.answer, Short::Partly);
    let lines: Vec<String> = own
        .connections
        .iter()
        .map(|group| format!("{} {}", group.answer.as_str(), group.to.join(", ")))
        .collect();
    assert_eq!(lines, ["yes ops/here[Pod]", "no ops/there[Pod]"]);
    assert!(
        own.explanations[0].hints[0].contains("always reaches the pods that run on it; ops/there runs on n2")
    );
}

#[test]
fn answers_about_nothing_are_errors() {
    let v6 = ask(&world(""), "web", "2001:db8::1", "80").unwrap_err();
    assert!(v6.message.contains("has IPv4") && v6.message.contains("has IPv6"), "{v6}");
}
