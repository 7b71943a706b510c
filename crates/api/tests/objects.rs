//! Every kind but NetworkPolicy: what is read, what is defaulted, what is refused.

#[allow(dead_code, reason = "each test file uses its own part of the support")]
mod support;

use podgate_api::{
    ContainerPort, ExternalTrafficPolicy, LoadOptions, Loaded, NAMESPACE_NAME_LABEL, Object, Owner, Pod,
    PodPhase, Protocol, Service, ServicePort, ServiceType, TargetPort, Workload, WorkloadKind, load_text,
    load_with,
};
use support::check;

#[track_caller]
fn pod(sentence: &str, text: &str, expect: &[&str]) -> Pod {
    match check(sentence, text, expect).objects.into_iter().next() {
        Some(Object::Pod(pod)) => pod,
        other => panic!("{sentence}: {other:?}"),
    }
}

#[track_caller]
fn workload(sentence: &str, text: &str, expect: &[&str]) -> Workload {
    match check(sentence, text, expect).objects.into_iter().next() {
        Some(Object::Workload(workload)) => workload,
        other => panic!("{sentence}: {other:?}"),
    }
}

/// A Service whose `spec` starts at line 5.
#[track_caller]
fn service(sentence: &str, spec: &str, expect: &[&str]) -> Service {
    let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec:\n{spec}\n");
    match check(sentence, &text, expect).objects.into_iter().next() {
        Some(Object::Service(service)) => service,
        other => panic!("{sentence}: {other:?}"),
    }
}

fn names(loaded: &Loaded) -> Vec<String> {
    loaded.objects.iter().map(|object| object.key().to_string()).collect()
}

#[test]
fn metadata_is_read_and_the_namespace_defaulted() {
    let found = pod(
        "all of metadata",
        "apiVersion: v1
kind: Pod
metadata:
  name: a.b-1
  uid: 0a1b
  creationTimestamp: 2026-01-02T03:04:05Z
  deletionTimestamp: 2026-01-02T03:04:06Z
  labels: {app: web, x.y/z: \"1\", empty: \"\"}
  annotations: {Any.Thing/Here: \"any text: {{ x }}\"}
",
        &[],
    );
    assert_eq!((found.meta.name.as_str(), found.meta.namespace.as_str()), ("a.b-1", "default"));
    assert_eq!((found.meta.uid.as_str(), found.meta.created.as_str()), ("0a1b", "2026-01-02T03:04:05Z"));
    assert!(found.meta.terminating);
    assert_eq!(found.meta.labels["x.y/z"], "1");
    assert_eq!(found.meta.annotations["Any.Thing/Here"], "any text: {{ x }}");

    let input = podgate_api::Input::Text {
        name: "t".to_owned(),
        text: "{apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: b, namespace: own}}\n---\n{apiVersion: v1, kind: Node, metadata: {name: c}}".to_owned(),
    };
    let loaded = load_with(&[input], &LoadOptions { default_namespace: "shop".to_owned() });
    assert_eq!(names(&loaded), ["Pod shop/a", "Pod own/b", "Node c"]);
}

#[test]
fn metadata_with_mistakes_is_reported_at_its_place() {
    for (sentence, kind, metadata, expect) in [
        ("capitals in a name", "Pod", "{name: Web}", "3:18 error metadata.name: `Web` is no valid name"),
        (
            "an underscore in a name",
            "Node",
            "{name: a_b}",
            "3:18 error metadata.name: `a_b` is no valid name",
        ),
        (
            "a dot in a namespace's name",
            "Namespace",
            "{name: a.b}",
            "3:18 error metadata.name: `a.b` is no valid name",
        ),
        (
            "a number as a name",
            "Pod",
            "{name: 12}",
            "3:18 error metadata.name: expected text, found the number `12`",
        ),
        (
            "yes as a label",
            "Pod",
            "{name: a, labels: {b: yes}}",
            "3:33 error metadata.labels.b: expected text, found the boolean `yes`",
        ),
        (
            "a number as a label",
            "Pod",
            "{name: a, labels: {b: 1}}",
            "3:33 error metadata.labels.b: expected text, found the number `1`",
        ),
        (
            "a label with a space",
            "Pod",
            "{name: a, labels: {b: c d}}",
            "3:33 error metadata.labels.b: `c d` is no valid label value",
        ),
        (
            "a label's key with a space",
            "Pod",
            "{name: a, labels: {b c: d}}",
            "3:35 error metadata.labels[b c]: `b c` is no valid key",
        ),
        (
            "a label's key without a name",
            "Pod",
            "{name: a, labels: {b/: d}}",
            "3:34 error metadata.labels[b/]: `b/` is no valid key",
        ),
        (
            "labels as a list",
            "Pod",
            "{name: a, labels: [b]}",
            "3:29 error metadata.labels: expected a mapping, found a list",
        ),
        (
            "a number as an annotation",
            "Pod",
            "{name: a, annotations: {b: 1}}",
            "3:38 error metadata.annotations.b: expected text, found the number `1`",
        ),
        (
            "a namespace with a dot",
            "Pod",
            "{name: a, namespace: b.c}",
            "3:32 error metadata.namespace: `b.c` is no namespace's name",
        ),
        (
            "a namespace of a cluster-scoped kind",
            "Node",
            "{name: a, namespace: b}",
            "3:32 warning metadata.namespace: this kind belongs to no namespace",
        ),
        (
            "a template in a name",
            "Pod",
            "{name: \"{{ x }}\"}",
            "3:18 error metadata.name: `{{ x }}` is no valid name",
        ),
    ] {
        let text = format!("apiVersion: v1\nkind: {kind}\nmetadata: {metadata}\n");
        let loaded = check(sentence, &text, &[expect]);
        assert_eq!(loaded.objects.len(), 1, "{sentence}: the object is kept");
    }
    for (sentence, metadata, expect) in [
        ("no name", "{}", "3:11 error metadata.name: the object has no name"),
        ("no metadata", "", "1:1 error metadata.name: the object has no name"),
        (
            "a name for the server to make",
            "{generateName: a-}",
            "3:26 error metadata.generateName: only an API server can make a name from `generateName`",
        ),
    ] {
        let loaded =
            check(sentence, &format!("apiVersion: v1\nkind: Pod\nmetadata: {metadata}\n"), &[expect]);
        assert_eq!(loaded.objects, [], "{sentence}");
    }
}

#[test]
fn case_3_namespaces_have_their_name_as_label() {
    let loaded =
        check("added", "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {b: c}}}", &[]);
    assert_eq!(loaded.objects[0].meta().labels[NAMESPACE_NAME_LABEL], "a");
    let loaded = check(
        "not overridden",
        "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {kubernetes.io/metadata.name: b}}}",
        &["1:93 warning metadata.labels[kubernetes.io/metadata.name]: the API server sets this label to `a`"],
    );
    assert_eq!(loaded.objects[0].meta().labels[NAMESPACE_NAME_LABEL], "a");
    assert_eq!(
        (loaded.objects[0].meta().namespace.as_str(), names(&loaded)),
        ("", vec!["Namespace a".to_owned()])
    );
}

#[test]
fn pods_are_read_with_addresses_ports_and_owner() {
    let found = pod(
        "a pod of a cluster",
        "apiVersion: v1
kind: Pod
metadata:
  name: web-5d4f-abcde
  labels: {pod-template-hash: 5d4f}
  ownerReferences:
  - {apiVersion: x/v1, kind: Other, name: o}
  - {apiVersion: apps/v1, kind: ReplicaSet, name: web-5d4f, controller: true}
spec:
  nodeName: node-1
  hostNetwork: true
  readinessGates: [{conditionType: podgate.dev/in-force}, {conditionType: other}]
  initContainers:
  - {name: once, ports: [{containerPort: 1}]}
  - {name: side, restartPolicy: Always, ports: [{containerPort: 2, name: side}]}
  containers:
  - {name: main, ports: [{containerPort: 80, name: http}, {containerPort: 53, protocol: UDP}]}
  - {name: more, ports: [{containerPort: 81, name: http, protocol: SCTP}]}
status:
  phase: Pending
  podIP: 10.0.0.1
  podIPs: [{ip: 10.0.0.1}, {ip: \"fd00::1\"}]
",
        &[],
    );
    assert_eq!(found.owner, Some(Owner { kind: "Deployment".to_owned(), name: "web".to_owned() }));
    assert_eq!(
        (found.node.as_deref(), found.host_network, found.phase),
        (Some("node-1"), true, PodPhase::Pending)
    );
    assert_eq!(found.ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.1", "fd00::1"]);
    assert_eq!(found.readiness_gates, ["podgate.dev/in-force", "other"]);
    let port = |name: &str, port, protocol| ContainerPort { name: name.to_owned(), port, protocol };
    assert_eq!(
        found.ports,
        [
            port("http", 80, Protocol::Tcp),
            port("", 53, Protocol::Udp),
            port("http", 81, Protocol::Sctp),
            port("side", 2, Protocol::Tcp)
        ]
    );
}

#[test]
fn a_pod_needs_no_status() {
    let found = pod("bare", "{apiVersion: v1, kind: Pod, metadata: {name: a}}", &[]);
    assert_eq!((found.phase, found.ips.len(), found.owner, found.node), (PodPhase::Running, 0, None, None));
    let found = pod(
        "podIP alone",
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, status: {podIP: 10.0.0.1}}",
        &[],
    );
    assert_eq!(found.ips.len(), 1);
}

#[test]
fn pods_with_mistakes_are_reported_at_their_place() {
    for (sentence, rest, expect) in [
        (
            "port zero",
            "spec: {containers: [{ports: [{containerPort: 0}]}]}",
            "4:46 error spec.containers[0].ports[0].containerPort: 0 is out of range",
        ),
        (
            "a quoted port",
            "spec: {containers: [{ports: [{containerPort: \"80\"}]}]}",
            "4:46 error spec.containers[0].ports[0].containerPort: expected a whole number, found the text `80`",
        ),
        (
            "no port",
            "spec: {containers: [{ports: [{name: a}]}]}",
            "4:30 error spec.containers[0].ports[0]: `containerPort` is missing",
        ),
        (
            "a bad port name",
            "spec: {containers: [{ports: [{containerPort: 1, name: A}]}]}",
            "4:55 error spec.containers[0].ports[0].name: `A` is no port name",
        ),
        (
            "a name twice",
            "spec: {containers: [{ports: [{containerPort: 1, name: a}, {containerPort: 2, name: a}]}]}",
            "4:84 error spec.containers[0].ports[1].name: two ports of one container are named `a`",
        ),
        (
            "an unknown protocol",
            "spec: {containers: [{ports: [{containerPort: 1, protocol: udp}]}]}",
            "4:59 error spec.containers[0].ports[0].protocol: unknown protocol `udp`",
        ),
        (
            "containers as a mapping",
            "spec: {containers: {}}",
            "4:20 error spec.containers: expected a list, found a mapping",
        ),
        (
            "hostNetwork as text",
            "spec: {hostNetwork: \"true\"}",
            "4:21 error spec.hostNetwork: expected true or false, found the text `true`",
        ),
        ("an unknown phase", "status: {phase: Runing}", "4:17 error status.phase: unknown phase `Runing`"),
        ("a bad address", "status: {podIP: 10.0.0}", "4:17 error status.podIP: `10.0.0` is no address"),
    ] {
        pod(sentence, &format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\n{rest}\n"), &[expect]);
    }
}

const TEMPLATE: &str = "template: {metadata: {labels: {a: b}}, spec: {hostNetwork: true, containers: [{ports: [{containerPort: 80}]}]}}";

#[test]
fn every_kind_that_makes_pods_is_read() {
    let apps = "selector: {matchLabels: {a: b}}";
    for (version, kind, spec, replicas) in [
        ("apps/v1", WorkloadKind::Deployment, format!("{apps}, {TEMPLATE}"), 1),
        ("apps/v1", WorkloadKind::Deployment, format!("replicas: 3, {apps}, {TEMPLATE}"), 3),
        ("apps/v1", WorkloadKind::Deployment, format!("replicas: 0, {apps}, {TEMPLATE}"), 0),
        ("apps/v1", WorkloadKind::ReplicaSet, format!("replicas: 2, {apps}, {TEMPLATE}"), 2),
        ("apps/v1", WorkloadKind::StatefulSet, format!("{apps}, {TEMPLATE}"), 1),
        ("apps/v1", WorkloadKind::DaemonSet, format!("{apps}, {TEMPLATE}"), 1),
        (
            "v1",
            WorkloadKind::ReplicationController,
            format!("replicas: 2, selector: {{a: b}}, {TEMPLATE}"),
            2,
        ),
        ("v1", WorkloadKind::ReplicationController, TEMPLATE.to_owned(), 1),
        ("batch/v1", WorkloadKind::Job, TEMPLATE.to_owned(), 1),
        ("batch/v1", WorkloadKind::Job, format!("parallelism: 4, {TEMPLATE}"), 4),
        ("batch/v1", WorkloadKind::Job, format!("suspend: true, parallelism: 4, {TEMPLATE}"), 0),
        (
            "batch/v1",
            WorkloadKind::CronJob,
            format!("jobTemplate: {{spec: {{parallelism: 2, {TEMPLATE}}}}}"),
            2,
        ),
        (
            "batch/v1",
            WorkloadKind::CronJob,
            format!("suspend: true, jobTemplate: {{spec: {{{TEMPLATE}}}}}"),
            0,
        ),
    ] {
        let text = format!(
            "apiVersion: {version}\nkind: {}\nmetadata: {{name: w}}\nspec: {{{spec}}}\n",
            kind.as_str()
        );
        let found = workload(kind.as_str(), &text, &[]);
        assert_eq!((found.kind, found.replicas), (kind, replicas), "{spec}");
        assert!(found.template.host_network);
        assert_eq!((found.template.labels["a"].as_str(), found.template.ports[0].port), ("b", 80));
    }
}

#[test]
fn retired_versions_are_read_with_a_warning() {
    for (version, kind, release, served) in [
        ("extensions/v1beta1", "Deployment", "1.16", "apps/v1"),
        ("extensions/v1beta1", "DaemonSet", "1.16", "apps/v1"),
        ("apps/v1beta1", "StatefulSet", "1.16", "apps/v1"),
        ("apps/v1beta2", "ReplicaSet", "1.16", "apps/v1"),
    ] {
        let text =
            format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: w}}\nspec: {{{TEMPLATE}}}\n");
        let expect = format!(
            "1:13 warning apiVersion: API servers since {release} do not serve {kind} in `{version}`"
        );
        check("no selector was needed", &text, &[&expect]);
        assert_eq!(load_text("t", &text).diagnostics[0].help, format!("write `apiVersion: {served}`"));
    }
    let text =
        "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}}\n";
    let expect =
        "1:13 warning apiVersion: API servers since 1.16 do not serve NetworkPolicy in `extensions/v1beta1`";
    assert_eq!(names(&check("a policy", text, &[expect])), ["NetworkPolicy default/p"]);
    let text = format!(
        "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {{name: w}}\nspec: {{jobTemplate: {{spec: {{{TEMPLATE}}}}}}}\n"
    );
    check(
        "a CronJob",
        &text,
        &["1:13 warning apiVersion: API servers since 1.25 do not serve CronJob in `batch/v1beta1`"],
    );
}

#[test]
fn workloads_with_mistakes_are_reported_at_their_place() {
    for (sentence, spec, expect) in [
        (
            "a selector that misses the template",
            format!("{{selector: {{matchLabels: {{a: c}}}}, {TEMPLATE}}}"),
            "4:18 error spec.selector: the selector does not select the pods of the template",
        ),
        ("no selector", format!("{{{TEMPLATE}}}"), "4:7 error spec.selector: `selector` is missing"),
        (
            "an empty selector",
            format!("{{selector: {{}}, {TEMPLATE}}}"),
            "4:18 error spec.selector: an empty selector",
        ),
        (
            "negative replicas",
            format!("{{replicas: -1, selector: {{matchLabels: {{a: b}}}}, {TEMPLATE}}}"),
            "4:18 error spec.replicas: -1 is out of range",
        ),
        (
            "no template",
            "{selector: {matchLabels: {a: b}}}".to_owned(),
            "4:7 error spec.template: `template` is missing",
        ),
        ("no spec", String::new(), "1:1 error spec: `spec` is missing"),
    ] {
        let text = format!("apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: w}}\nspec: {spec}\n");
        check(sentence, &text, &[expect]);
    }
}

#[test]
fn pods_know_the_top_of_their_owners_and_owned_workloads_are_not_doubled() {
    let owned = |kind: &str, name: &str, owner: &str, by: &str| {
        format!(
            "metadata: {{name: {name}, ownerReferences: [{{kind: {owner}, name: {by}, controller: true}}]}}\nkind: {kind}\n"
        )
    };
    let text = [
        format!("apiVersion: v1\n{}", owned("Pod", "p", "Job", "c-1")),
        format!("apiVersion: batch/v1\n{}spec: {{{TEMPLATE}}}\n", owned("Job", "c-1", "CronJob", "c")),
        format!("apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: c}}\nspec: {{jobTemplate: {{spec: {{{TEMPLATE}}}}}}}\n"),
        format!("apiVersion: batch/v1\n{}spec: {{{TEMPLATE}}}\n", owned("Job", "other", "Absent", "x")),
    ]
    .join("---\n");
    let loaded = check("an owned Job", &text, &[]);
    assert_eq!(names(&loaded), ["Pod default/p", "CronJob default/c", "Job default/other"]);
    let Object::Pod(pod) = &loaded.objects[0] else { panic!("a pod") };
    assert_eq!(pod.owner, Some(Owner { kind: "CronJob".to_owned(), name: "c".to_owned() }));
}

#[test]
fn services_are_read_and_defaulted() {
    let found = service(
        "all fields",
        "  type: NodePort
  externalTrafficPolicy: Local
  selector: {app: web}
  clusterIP: 10.96.0.1
  clusterIPs: [10.96.0.1, \"fd00:96::1\"]
  ports:
  - {name: a, port: 80, targetPort: http, nodePort: 30080}
  - {name: b, port: 80, protocol: UDP, targetPort: 8080}
  - {name: c, port: 81}",
        &[],
    );
    let port = |name: &str, protocol, port, target, node_port| ServicePort {
        name: name.to_owned(),
        protocol,
        port,
        target,
        node_port,
    };
    assert_eq!(
        found.ports,
        [
            port("a", Protocol::Tcp, 80, TargetPort::Name("http".to_owned()), Some(30080)),
            port("b", Protocol::Udp, 80, TargetPort::Number(8080), None),
            port("c", Protocol::Tcp, 81, TargetPort::Number(81), None),
        ]
    );
    assert_eq!(
        (found.kind, found.external_traffic_policy),
        (ServiceType::NodePort, ExternalTrafficPolicy::Local)
    );
    assert_eq!((found.headless, found.cluster_ips.len()), (false, 2));
    assert!(found.selector.is_some_and(|selector| selector["app"] == "web"));

    let found = service("headless", "  {clusterIP: None, selector: {}}", &[]);
    assert_eq!((found.headless, found.selector, found.kind), (true, None, ServiceType::ClusterIp));
    let found = service("an alias", "  {type: ExternalName, externalName: example.org}", &[]);
    assert_eq!(found.kind, ServiceType::ExternalName);
}

#[test]
fn services_with_mistakes_are_reported_at_their_place() {
    for (sentence, spec, expect) in [
        (
            "a type",
            "  {type: Nodeport, ports: [{port: 1}]}",
            "5:10 error spec.type: unknown Service type `Nodeport`",
        ),
        ("no ports", "  {selector: {a: b}}", "5:3 error spec.ports: a Service needs ports"),
        ("no port", "  {ports: [{name: a}]}", "5:12 error spec.ports[0]: `port` is missing"),
        (
            "port out of range",
            "  {ports: [{port: 65536}]}",
            "5:19 error spec.ports[0].port: 65536 is out of range",
        ),
        (
            "a quoted target",
            "  {ports: [{port: 1, targetPort: \"80\"}]}",
            "5:34 error spec.ports[0].targetPort: `80` is no port",
        ),
        (
            "a bad target",
            "  {ports: [{port: 1, targetPort: 70000}]}",
            "5:34 error spec.ports[0].targetPort: 70000 is out of range",
        ),
        (
            "a port's name",
            "  {ports: [{name: A, port: 1}]}",
            "5:19 error spec.ports[0].name: `A` is no port name",
        ),
        (
            "a name twice",
            "  {ports: [{name: a, port: 1}, {name: a, port: 2}]}",
            "5:32 error spec.ports[1]: two ports are named `a`",
        ),
        (
            "a port twice",
            "  {ports: [{name: a, port: 1}, {name: b, port: 1}]}",
            "5:32 error spec.ports[1]: port 1/TCP is already there",
        ),
        (
            "ports without names",
            "  {ports: [{name: a, port: 1}, {port: 2}]}",
            "5:32 error spec.ports[1]: one of several ports has no name",
        ),
        (
            "a selector of numbers",
            "  {selector: {a: 1}, ports: [{port: 1}]}",
            "5:18 error spec.selector.a: expected text, found the number `1`",
        ),
        (
            "a bad cluster address",
            "  {clusterIP: x, ports: [{port: 1}]}",
            "5:15 error spec.clusterIP: `x` is no address",
        ),
        (
            "a traffic policy",
            "  {externalTrafficPolicy: local, ports: [{port: 1}]}",
            "5:27 error spec.externalTrafficPolicy: unknown traffic policy `local`",
        ),
    ] {
        service(sentence, spec, &[expect]);
    }
}

#[test]
fn nodes_are_read() {
    let text = "apiVersion: v1
kind: Node
metadata: {name: node-1}
spec: {podCIDR: 10.1.0.0/24, podCIDRs: [10.1.0.0/24, \"fd00:1::/64\"]}
status:
  addresses:
  - {type: Hostname, address: node-1}
  - {type: InternalIP, address: 192.0.2.1}
  - {type: ExternalIP, address: \"2001:db8::1\"}
";
    let Object::Node(node) = &check("a node", text, &[]).objects[0] else { panic!("a node") };
    assert_eq!(
        node.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.1", "2001:db8::1"]
    );
    assert_eq!(
        node.pod_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.1.0.0/24", "fd00:1::/64"]
    );
    let text = "{apiVersion: v1, kind: Node, metadata: {name: node-1}, spec: {podCIDR: 10.1.0.0/24}}";
    let Object::Node(node) = &check("podCIDR alone", text, &[]).objects[0] else { panic!("a node") };
    assert_eq!(node.pod_cidrs.len(), 1);
}
