//! Ends and ports as people write them, well and badly.

use podgate_api::load_text;

use super::*;
use crate::world::{World, WorldOptions};

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
metadata: {name: db, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, ports: [{name: pg, containerPort: 5432}]}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db, tier: back}}
    spec: {containers: [{name: db, ports: [{name: pg, containerPort: 5433}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: other, labels: {app: web}}
spec: {containers: [{name: a}]}
status: {podIP: 10.0.0.7}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web, namespace: other}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {hostNetwork: true, containers: [{name: a}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  clusterIP: 10.96.0.10
  ports: [{name: www, port: 80, targetPort: http}, {name: dead, port: 81, targetPort: nothing}]
---
apiVersion: v1
kind: Service
metadata: {name: pg, namespace: shop}
spec:
  selector: {app: db}
  ports: [{port: 5432, targetPort: pg}]
---
apiVersion: v1
kind: Service
metadata: {name: lost, namespace: shop}
spec:
  selector: {app: web, tier: frnt}
  ports: [{port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: pods, namespace: shop}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: manual, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: example.com}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}
";

fn world() -> World {
    let loaded = load_text("shop.yaml", SHOP);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    World::new(loaded.objects, &WorldOptions::default())
}

fn resolve(text: &str) -> Result<String, EndError> {
    let world = world();
    let resolved = world.resolve(&End::parse(text, Some("shop"))?)?;
    let mut parts: Vec<String> = resolved.pods.iter().map(|pod| world.pod_name(*pod)).collect();
    parts.extend(resolved.outside.iter().map(ToString::to_string));
    Ok(format!("{} = {}", resolved.title, parts.join(" ")))
}

#[track_caller]
fn is(text: &str, expected: &str) {
    assert_eq!(resolve(text).unwrap(), expected, "{text}");
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    assert_eq!(resolve(text).unwrap_err().to_string(), expected, "{text}");
}

#[test]
fn names_are_pods_and_workloads() {
    is("shop/web-0", "shop/web-0[Pod] = shop/web-0");
    is("shop/web", "shop/web[Deployment] = shop/web-0 shop/web-1");
    is("web", "shop/web[Deployment] = shop/web-0 shop/web-1");
    is("deploy/web", "shop/web[Deployment] = shop/web-0 shop/web-1");
    is("shop/Deployment/web", "shop/web[Deployment] = shop/web-0 shop/web-1");
    is("shop/sts/db", "shop/db[StatefulSet] = shop/db-0");
    is("other/web", "other/web[Pod] = other/web");
    is("other/ds/web", "other/web[DaemonSet] = other/web-n1");
    is("shop/*", "shop/* = shop/db-deployment-0 shop/db-deployment-1 shop/db-0 shop/web-0 shop/web-1");
    is("shop/svc/web", "shop/svc/web = shop/web-0 shop/web-1");
}

#[test]
fn a_pod_and_a_workload_of_one_name_are_explained() {
    let world = world();
    let resolved = world.resolve(&End::parse("other/web", None).unwrap()).unwrap();
    assert_eq!(
        resolved.notes,
        ["other/web is a pod, and a DaemonSet as well: the pod is meant; write other/ds/web for the other"]
    );
    fails("shop/db", "shop/db can mean 2 workloads; write shop/deploy/db or shop/sts/db");
}

#[test]
fn names_that_do_not_exist_come_with_the_nearest() {
    fails("shpo/web", "no namespace shpo; did you mean shop?");
    fails("elsewhere/web", "no namespace elsewhere; namespaces are other, shop");
    fails("shop/wbe", "no pod or workload wbe in namespace shop; did you mean shop/web?");
    fails("shop/queue", "no pod or workload queue in namespace shop; the namespace has db, web");
    fails("shop/sts/web", "no StatefulSet web in namespace shop; there is shop/deploy/web");
    fails("shop/svc/wb", "no Service wb in namespace shop; did you mean shop/svc/web?");
    fails(
        "shop/pg",
        "no pod or workload pg in namespace shop; there is a Service of that name: write shop/svc/pg for its pods",
    );
    let anywhere = |text: &str| world().resolve(&End::parse(text, None).unwrap()).unwrap_err().to_string();
    assert_eq!(anywhere("web"), "web is in 2 namespaces; write other/web or shop/web");
    assert_eq!(
        anywhere("wbe"),
        "nothing is called wbe in any namespace; did you mean other/web or other/web or shop/web?"
    );
}

#[test]
fn services_without_pods_say_why() {
    fails(
        "shop/svc/lost",
        "shop/svc/lost selects no pod (its selector is app=web,tier=frnt); shop/web[Deployment] comes nearest, and has tier=front",
    );
    fails(
        "shop/svc/manual",
        "shop/svc/manual has no selector, so its endpoints are not in the input; ask about the endpoints' addresses",
    );
    fails(
        "shop/svc/alias",
        "shop/svc/alias is a DNS alias (ExternalName): no traffic goes to it; ask about the address that the name stands for",
    );
}

#[test]
fn selectors_are_as_kubectl_writes_them() {
    is("app=web", "pods with app=web = other/web shop/web-0 shop/web-1");
    is("shop/app=web,tier!=db", "shop/* with app=web, tier!=db = shop/web-0 shop/web-1");
    is(
        "app in (db, web),!tier",
        "pods with app in (db, web), !tier = other/web shop/db-deployment-0 shop/db-deployment-1",
    );
    fails("shop/app=wbe", "no pod in namespace shop has the labels app=wbe; the label app is db, web there");
    fails("shop/zone=a", "no pod in namespace shop has the labels zone=a; no pod there has a label zone");
    let parsed = End::parse("app.kubernetes.io/name=web", Some("shop")).unwrap();
    assert!(matches!(parsed.kind, EndKind::Selected { namespace: None, .. }));
    let parsed = End::parse("shop/app.kubernetes.io/name=web", None).unwrap();
    let EndKind::Selected { namespace, selector } = parsed.kind else { panic!("{parsed:?}") };
    assert_eq!(
        (namespace.as_deref(), selector.requirements()[0].key.as_str()),
        (Some("shop"), "app.kubernetes.io/name")
    );
    for bad in ["shop/app=we b", "app in web", "app=web,,x=y", "shop/=web"] {
        assert!(End::parse(bad, None).is_err(), "{bad}");
    }
}

#[test]
fn addresses_say_whose_they_are() {
    is("10.0.0.7", "10.0.0.7 (other/web) = other/web");
    is("172.18.0.2", "172.18.0.2 (node n1) = 172.18.0.2");
    is("10.96.0.10", "10.96.0.10 (shop/svc/web) = shop/web-0 shop/web-1");
    is("192.0.2.1", "192.0.2.1 = 192.0.2.1");
    is("10.0.0.5/24", "10.0.0.0/24 = other/web 10.0.0.0/24");
    is("10.0.0.7/32", "10.0.0.7 (other/web) = other/web");
    assert!(resolve("internet").unwrap().starts_with("internet = 1.0.0.0-9.255.255.255"));
    assert!(resolve("all").unwrap().ends_with("shop/web-1 0.0.0.0/0"));
    fails(
        "10.0.0.0/33",
        "10.0.0.0/33 is neither an address nor a CIDR; write an address such as 10.0.0.5 or fd00::5, or a CIDR such as 10.0.0.0/8",
    );
    let made_up = world().resolve(&End::parse("10.244.0.0/16", None).unwrap()).unwrap();
    assert!(made_up.pods.is_empty() && made_up.notes[0].contains("made up"), "{made_up:?}");
}

#[test]
fn what_is_no_end_is_refused() {
    for bad in ["", "*", "Shop/web", "shop/web/x/y", "shop/", "/web", "sh op/web"] {
        assert!(End::parse(bad, None).is_err(), "{bad:?}");
    }
}

#[test]
fn sums_and_differences_of_ends() {
    let world = world();
    let end = |text: &str| world.resolve(&End::parse(text, None).unwrap()).unwrap();
    let mut all = end("all");
    all.remove(&end("shop/*"));
    all.remove(&end("10.0.0.0/8"));
    let names: Vec<String> = all.pods.iter().map(|pod| world.pod_name(*pod)).collect();
    assert_eq!(names, ["other/web-n1"], "10.0.0.0/8 holds other/web");
    assert!(!all.outside[0].contains("10.1.2.3".parse().unwrap()));
    all.add(&end("shop/web"));
    all.add(&end("10.0.0.0/8"));
    assert_eq!(all.pods.len(), 4);
    assert!(all.outside[0].is_all());
}

#[track_caller]
fn port(text: &str, shown: &str) {
    assert_eq!(PortSpec::parse(text).unwrap().to_string(), shown, "{text}");
}

#[test]
fn ports_as_written() {
    for (text, shown) in [
        ("80", "TCP/80"),
        ("tcp/80", "TCP/80"),
        ("80/UDP", "UDP/80"),
        ("TCP/8000-8100", "TCP/8000-8100"),
        ("8000-8100", "TCP/8000-8100"),
        ("UDP", "UDP"),
        ("http", "http"),
        ("UDP/dns-1", "UDP/dns-1"),
        ("icmp", "ICMP"),
    ] {
        port(text, shown);
    }
    for bad in [
        "",
        "0",
        "TCP/0",
        "65536",
        "90-80",
        "TCP/",
        "IP/80",
        "HTTP",
        "8080-",
        "-1",
        "99999999999",
        "80/81",
        "a--b",
    ] {
        assert!(PortSpec::parse(bad).is_err(), "{bad:?}");
    }
    let reversed = PortSpec::parse("90-80").unwrap_err();
    assert!(reversed.help == "write 80-90", "{reversed}");
}

fn ports(to: &str, spec: &str) -> Result<String, EndError> {
    let world = world();
    let to = world.resolve(&End::parse(to, None)?)?;
    let spec = if spec.is_empty() { None } else { Some(PortSpec::parse(spec)?) };
    let ports = world.resolve_ports(&to, spec.as_ref())?;
    let mut shown: Vec<String> = ports.pods.iter().map(|(_, set)| set.to_string()).collect();
    shown.dedup();
    Ok(shown.join("; "))
}

#[test]
fn a_services_port_leads_to_each_pods_own() {
    assert_eq!(ports("shop/svc/web", "80").unwrap(), "TCP 8080");
    assert_eq!(ports("shop/svc/web", "www").unwrap(), "TCP 8080");
    assert_eq!(ports("shop/svc/web", "").unwrap(), "TCP 8080");
    assert_eq!(ports("shop/svc/pods", "8080").unwrap(), "TCP 8080", "headless: nothing is translated");
    let hint = ports("shop/svc/web", "8080").unwrap_err().to_string();
    assert!(hint.contains("has no port TCP/8080: its ports are www TCP/80 (targetPort http)"), "{hint}");
    assert!(hint.contains("write 80 to go through the Service"), "{hint}");
    assert!(ports("shop/svc/web", "http").unwrap_err().help.contains("write 80"));
    let nowhere = ports("shop/svc/web", "dead").unwrap_err().to_string();
    assert!(nowhere.starts_with("port 81 of shop/svc/web leads nowhere"), "{nowhere}");
    assert!(ports("shop/svc/web", "ICMP").is_err());
}

#[test]
fn names_of_ports_are_the_pods_own() {
    assert_eq!(ports("shop/sts/db", "pg").unwrap(), "TCP 5433");
    assert_eq!(ports("shop/web", "TCP/http").unwrap(), "TCP 8080");
    assert_eq!(
        ports("shop/web", "htpt").unwrap_err().to_string(),
        "no pod of shop/web[Deployment] has a port called htpt; did you mean http?"
    );
    assert_eq!(
        ports("shop/web", "UDP/http").unwrap_err().to_string(),
        "no pod of shop/web[Deployment] has a UDP port called http; declared are http (TCP/8080)"
    );
    assert_eq!(ports("internet", "http").unwrap_err().help, "write the port's number");
}
