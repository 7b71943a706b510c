//! Pods and pod templates.

use std::net::IpAddr;

use crate::cursor::Cursor;
use crate::syntax::port_name_fault;
use crate::tree::shorten;
use crate::{ContainerPort, Meta, Owner, Pod, PodPhase, PodTemplate};

use super::environment::{ConfigRef, mentions};
use super::meta::labels_of;
use super::network_policy::protocol;

pub(super) fn pod(root: &Cursor<'_>, meta: Meta, owner: Option<Owner>, refs: &mut Vec<ConfigRef>) -> Pod {
    let owner = owner.map(|owner| deployment_of(&meta, owner));
    let mut pod = Pod { meta, owner, ..Pod::default() };
    if let Some(root) = root.mapping("spec") {
        let spec = pod_spec(&root, refs);
        (pod.node, pod.host_network) = (spec.node, spec.host_network);
        (pod.ports, pod.mentions) = (spec.ports, spec.mentions);
        if let Some(gates) = root.list("readinessGates") {
            let condition = |gate: Cursor<'_>| Some(gate.field("conditionType")?.text()?.to_owned());
            pod.readiness_gates = gates.items().filter_map(condition).collect();
        }
    }
    if let Some(status) = root.mapping("status") {
        if let Some(list) = status.list("podIPs") {
            pod.ips = list.items().filter_map(|item| address(&item.field("ip")?)).collect();
        }
        if pod.ips.is_empty() {
            pod.ips.extend(status.field("podIP").and_then(|field| address(&field)));
        }
        if let Some(phase) = status.field("phase") {
            pod.phase = match phase.text() {
                Some("Pending") => PodPhase::Pending,
                Some("Succeeded") => PodPhase::Succeeded,
                Some("Failed") => PodPhase::Failed,
                Some("Unknown") => PodPhase::Unknown,
                Some("Running") | None => PodPhase::Running,
                Some(other) => {
                    phase.error(
                        format!("unknown phase `{}`", shorten(other)),
                        "phases are `Pending`, `Running`, `Succeeded`, `Failed` and `Unknown`",
                    );
                    PodPhase::Running
                }
            };
        }
    }
    pod
}

/// A ReplicaSet named `<deployment>-<pod-template-hash>` belongs to that Deployment.
fn deployment_of(meta: &Meta, owner: Owner) -> Owner {
    if owner.kind == "ReplicaSet"
        && let Some(hash) = meta.labels.get("pod-template-hash")
        && let Some(name) = owner.name.strip_suffix(hash.as_str()).and_then(|rest| rest.strip_suffix('-'))
        && !name.is_empty()
    {
        return Owner { kind: "Deployment".to_owned(), name: name.to_owned() };
    }
    owner
}

pub(super) fn address(field: &Cursor<'_>) -> Option<IpAddr> {
    let text = field.text()?;
    let parsed = text.parse().ok();
    if parsed.is_none() && !text.is_empty() {
        field.error(format!("`{}` is no address", shorten(text)), "write an IPv4 or IPv6 address");
    }
    parsed
}

pub(super) fn template(cursor: &Cursor<'_>, refs: &mut Vec<ConfigRef>) -> PodTemplate {
    let mut template = PodTemplate::default();
    if let Some(spec) = cursor.mapping("spec") {
        template = pod_spec(&spec, refs);
    }
    if let Some(metadata) = cursor.mapping("metadata") {
        if let Some(labels) = metadata.mapping("labels") {
            template.labels = labels_of(&labels, true);
        }
        if let Some(annotations) = metadata.mapping("annotations") {
            template.annotations = labels_of(&annotations, false);
        }
    }
    template
}

/// The template's part that `spec` tells.
fn pod_spec(spec: &Cursor<'_>, refs: &mut Vec<ConfigRef>) -> PodTemplate {
    let mut ports = Vec::new();
    if let Some(containers) = spec.list("containers") {
        for container in containers.items().filter(Cursor::expect_mapping) {
            container_ports(&container, &mut ports);
        }
    }
    if let Some(containers) = spec.list("initContainers") {
        for container in containers.items().filter(Cursor::expect_mapping) {
            // Such a container keeps running next to the others; ordinary ones end before these start.
            if container.field("restartPolicy").is_some_and(|policy| policy.raw() == "Always") {
                container_ports(&container, &mut ports);
            }
        }
    }
    PodTemplate {
        node: spec
            .field("nodeName")
            .and_then(|name| name.text())
            .filter(|name| !name.is_empty())
            .map(str::to_owned),
        host_network: spec.field("hostNetwork").and_then(|flag| flag.bool()).unwrap_or_default(),
        ports,
        mentions: mentions(spec, refs),
        ..PodTemplate::default()
    }
}

fn container_ports(container: &Cursor<'_>, ports: &mut Vec<ContainerPort>) {
    let first = ports.len();
    let Some(list) = container.list("ports") else { return };
    for item in list.items().filter(Cursor::expect_mapping) {
        let name = item.field("name").and_then(|field| {
            let name = field.text()?;
            if let Some(fault) = port_name_fault(name) {
                field.error(format!("`{}` is no port name", shorten(name)), fault);
                return None;
            }
            if ports[first..].iter().any(|port| port.name == name) {
                field.error(
                    format!("two ports of one container are named `{name}`"),
                    "give each port a name of its own",
                );
            }
            Some(name.to_owned())
        });
        let number = match item.field("containerPort") {
            Some(field) => field.port(),
            None => {
                item.error("`containerPort` is missing", "name the port, as in `containerPort: 8080`");
                None
            }
        };
        let protocol = protocol(item.field("protocol"));
        if let (Some(port), Some(protocol)) = (number, protocol) {
            ports.push(ContainerPort { name: name.unwrap_or_default(), port, protocol });
        }
    }
}
