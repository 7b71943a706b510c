//! Writes a generated cluster as manifests, for measuring whole commands.
//!
//! `generate SHAPE NUMBER FILE`: `applications` with a number of workloads; `monitored`, `antrea`, `same-block`, `own-blocks` or `tenants` with a number of
//! namespaces; `select-all` with a number of pods and policies; `mixed` with a number of namespaces of ten pods and ten policies;
//! `real`: 604 namespaces, 5,413 pods and 13,678 policies, the size of a cluster that somebody runs. A FILE
//! that ends in `.json` gets a JSON list, one in `.policies.yaml` the policies alone, one in `.traffic.json` a
//! question for each pair of pods in the form of cyclonus, otherwise YAML documents.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use podgate_api::{
    ContainerPort, LabelSelector, NetworkPolicy, Object, Operator, Peer, Pod, PortMatch, Rule, Workload,
};
use podgate_bench::{
    Holes, Shape, Tenants, antrea_like_of, applications, blocked_of, monitored_of, select_all_of,
};
use serde_json::{Map, Value, json};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [shape, number, file] = &arguments[..] else {
        return usage("three arguments are needed");
    };
    let Ok(number) = number.parse::<u32>() else { return usage("NUMBER is a number") };
    let Some(objects) = objects(shape, number) else { return usage("no such SHAPE") };
    match write(&objects, file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => usage(&format!("{file}: {error}")),
    }
}

fn write(objects: &[Object], file: &str) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    if file.ends_with(".traffic.json") {
        serde_json::to_writer(&mut out, &traffic(objects))?;
        return out.flush();
    }
    let policies_alone = file.ends_with(".policies.yaml");
    let wanted = |object: &&Object| !policies_alone || matches!(object, Object::NetworkPolicy(_));
    let manifests = objects.iter().filter(wanted).filter_map(manifest);
    if file.ends_with(".json") {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests.collect::<Vec<_>>()});
        serde_json::to_writer_pretty(&mut out, &list)?;
    } else {
        for manifest in manifests {
            writeln!(out, "---")?;
            yaml(&mut out, &manifest, 0)?;
        }
    }
    out.flush()
}

/// Block style, as people and tools write manifests.
fn yaml(out: &mut impl Write, value: &Value, indent: usize) -> io::Result<()> {
    match value {
        Value::Object(fields) => {
            for (i, (key, value)) in fields.iter().enumerate() {
                // The first field stands behind the dash of its list item.
                let lead = if i == 0 && indent % 2 == 1 { 0 } else { indent.next_multiple_of(2) };
                write!(out, "{:lead$}{key}:", "")?;
                nested(out, value, indent.next_multiple_of(2))?;
            }
            Ok(())
        }
        other => writeln!(out, "{other}"),
    }
}

fn nested(out: &mut impl Write, value: &Value, indent: usize) -> io::Result<()> {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            writeln!(out)?;
            yaml(out, value, indent + 2)
        }
        Value::Array(items) if !items.is_empty() => {
            writeln!(out)?;
            for item in items {
                write!(out, "{:indent$}- ", "")?;
                yaml(out, item, indent + 1)?;
            }
            Ok(())
        }
        other => writeln!(out, " {other}"),
    }
}

fn usage(why: &str) -> ExitCode {
    let _ = writeln!(
        io::stderr(),
        "{why}: generate applications|monitored|antrea|same-block|own-blocks|tenants|select-all|mixed|real NUMBER FILE"
    );
    ExitCode::from(2)
}

fn objects(shape: &str, number: u32) -> Option<Vec<Object>> {
    Some(match shape {
        "applications" => applications(number as usize),
        "monitored" => monitored_of(number),
        "antrea" => antrea_like_of(number),
        "same-block" => blocked_of(number, Holes::Same),
        "own-blocks" => blocked_of(number, Holes::Own),
        "select-all" => select_all_of(number, 1),
        "tenants" => {
            Tenants { namespaces: number, pods: 10, policies: number * Tenants::EACH, nodes: 10 }.generate()
        }
        "mixed" => {
            Shape { namespaces: number, pods: 10, policies: 10, dual_stack: false, ..Shape::default() }
                .generate()
        }
        "real" => real(),
        _ => return None,
    })
}

/// 604 namespaces with 9 pods and 22 policies each, and a few more of both in the first ones.
fn real() -> Vec<Object> {
    let shape =
        Shape { namespaces: 604, pods: 9, policies: 23, nodes: 60, dual_stack: false, ..Shape::default() };
    let (mut pods, mut policies) = (0, 0);
    let mut objects = shape.generate();
    objects.retain(|object| match object {
        Object::Pod(_) => {
            pods += 1;
            pods <= 5_413
        }
        Object::NetworkPolicy(_) => {
            policies += 1;
            policies <= 13_678
        }
        _ => true,
    });
    objects
}

/// TCP 80 from every pod to every other, as `cyclonus analyze --mode query-traffic` reads it.
fn traffic(objects: &[Object]) -> Value {
    let labels = |name: &str| {
        let namespace = objects.iter().find_map(|object| match object {
            Object::Namespace(namespace) if namespace.meta.name == name => Some(&namespace.meta.labels),
            _ => None,
        });
        json!(namespace)
    };
    let end = |pod: &Pod| {
        let namespace = &pod.meta.namespace;
        let pod_and_namespace = json!({"PodLabels": pod.meta.labels, "NamespaceLabels": labels(namespace), "Namespace": namespace});
        json!({"Internal": pod_and_namespace, "IP": pod.ips.first()})
    };
    let pods = objects.iter().filter_map(|object| match object {
        Object::Pod(pod) => Some(end(pod)),
        _ => None,
    });
    let ends: Vec<Value> = pods.collect();
    let pairs = ends.iter().enumerate().flat_map(|(i, from)| {
        let others = ends.iter().enumerate().filter(move |(j, _)| i != *j);
        others.map(
            move |(_, to)| json!({"Source": from, "Destination": to, "ResolvedPort": 80, "Protocol": "TCP"}),
        )
    });
    Value::Array(pairs.collect())
}

fn manifest(object: &Object) -> Option<Value> {
    let (api, kind, spec, status) = match object {
        Object::Namespace(_) => ("v1", "Namespace", None, None),
        Object::Node(node) => {
            let address = |ip| json!({"type": "InternalIP", "address": ip});
            let addresses: Vec<Value> = node.addresses.iter().map(address).collect();
            ("v1", "Node", None, Some(json!({"addresses": addresses})))
        }
        Object::Pod(pod) => ("v1", "Pod", Some(pod_spec(pod)), Some(pod_status(pod))),
        Object::Workload(workload) => {
            ("apps/v1", workload.kind.as_str(), Some(workload_spec(workload)), None)
        }
        Object::NetworkPolicy(policy) => {
            ("networking.k8s.io/v1", "NetworkPolicy", Some(policy_spec(policy)), None)
        }
        _ => return None,
    };
    let meta = object.meta();
    let mut metadata = Map::from_iter([("name".to_owned(), json!(meta.name))]);
    if !meta.namespace.is_empty() {
        metadata.insert("namespace".to_owned(), json!(meta.namespace));
    }
    if !meta.labels.is_empty() {
        metadata.insert("labels".to_owned(), json!(meta.labels));
    }
    let mut fields = Map::from_iter([
        ("apiVersion".to_owned(), json!(api)),
        ("kind".to_owned(), json!(kind)),
        ("metadata".to_owned(), Value::Object(metadata)),
    ]);
    fields.extend(spec.map(|spec| ("spec".to_owned(), spec)));
    fields.extend(status.map(|status| ("status".to_owned(), status)));
    Some(Value::Object(fields))
}

fn pod_spec(pod: &Pod) -> Value {
    json!({"nodeName": pod.node, "containers": containers(&pod.ports)})
}

fn containers(ports: &[ContainerPort]) -> Value {
    let port = |port: &ContainerPort| json!({"name": port.name, "containerPort": port.port, "protocol": port.protocol.as_str()});
    let ports: Vec<Value> = ports.iter().map(port).collect();
    json!([{"name": "main", "image": "example.org/main:1", "ports": ports}])
}

fn workload_spec(workload: &Workload) -> Value {
    let template = &workload.template;
    json!({
        "replicas": workload.replicas,
        "selector": workload.selector.as_ref().map(selector),
        "template": {"metadata": {"labels": template.labels}, "spec": {"containers": containers(&template.ports)}},
    })
}

fn pod_status(pod: &Pod) -> Value {
    let ips: Vec<Value> = pod.ips.iter().map(|ip| json!({"ip": ip})).collect();
    json!({"phase": "Running", "podIP": pod.ips.first(), "podIPs": ips})
}

fn policy_spec(policy: &NetworkPolicy) -> Value {
    let rules =
        |rules: &[Rule], peers: &str| -> Vec<Value> { rules.iter().map(|r| rule(r, peers)).collect() };
    let mut types: Vec<&str> = Vec::new();
    let mut fields = Map::from_iter([("podSelector".to_owned(), selector(&policy.pod_selector))]);
    if policy.ingress_in_force {
        types.push("Ingress");
        fields.insert("ingress".to_owned(), json!(rules(&policy.ingress, "from")));
    }
    if policy.egress_in_force {
        types.push("Egress");
        fields.insert("egress".to_owned(), json!(rules(&policy.egress, "to")));
    }
    fields.insert("policyTypes".to_owned(), json!(types));
    Value::Object(fields)
}

fn rule(rule: &Rule, peers: &str) -> Value {
    let mut fields = Map::new();
    if let Some(list) = &rule.peers {
        fields.insert(peers.to_owned(), list.iter().map(peer).collect());
    }
    if let Some(ports) = &rule.ports {
        let port = |port: &podgate_api::PolicyPort| match &port.port {
            PortMatch::All => json!({"protocol": port.protocol.as_str()}),
            PortMatch::Named(name) => json!({"protocol": port.protocol.as_str(), "port": name}),
            PortMatch::Range(lo, hi) if lo == hi => json!({"protocol": port.protocol.as_str(), "port": lo}),
            PortMatch::Range(lo, hi) => {
                json!({"protocol": port.protocol.as_str(), "port": lo, "endPort": hi})
            }
        };
        fields.insert("ports".to_owned(), ports.iter().map(port).collect());
    }
    Value::Object(fields)
}

fn peer(peer: &Peer) -> Value {
    match peer {
        Peer::IpBlock(block) if block.except.is_empty() => json!({"ipBlock": {"cidr": block.cidr}}),
        Peer::IpBlock(block) => json!({"ipBlock": {"cidr": block.cidr, "except": block.except}}),
        Peer::Pods(peer) => {
            let namespaces = peer.namespaces.iter().map(|s| ("namespaceSelector".to_owned(), selector(s)));
            let pods = peer.pods.iter().map(|s| ("podSelector".to_owned(), selector(s)));
            Value::Object(namespaces.chain(pods).collect())
        }
    }
}

fn selector(selector: &LabelSelector) -> Value {
    let mut labels = Map::new();
    let mut expressions: Vec<Value> = Vec::new();
    for requirement in selector.requirements() {
        let operator = match requirement.operator {
            Operator::In if requirement.values.len() == 1 => {
                labels.insert(requirement.key.clone(), json!(requirement.values[0]));
                continue;
            }
            Operator::In => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
        };
        expressions.push(json!({"key": requirement.key, "operator": operator, "values": requirement.values}));
    }
    let mut fields = Map::new();
    if !labels.is_empty() {
        fields.insert("matchLabels".to_owned(), Value::Object(labels));
    }
    if !expressions.is_empty() {
        fields.insert("matchExpressions".to_owned(), json!(expressions));
    }
    Value::Object(fields)
}
