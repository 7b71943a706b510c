#![doc = include_str!("../../../../docs/book/src/checks/internet-exposed.md")]

use std::collections::BTreeMap;

use podgate_analysis::{IpSet, PodId, WorkloadId};
use podgate_api::Labels;
use podgate_policy::{Direction, PortKey};

use crate::context::{Context, Entry, Way, data_store, targets};
use crate::finding::ObjectRef;
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "internet-exposed",
    severity: Severity::Info,
    title: "A workload that is reachable from outside, and policy allows it",
    why: "This is how the outside comes in. For a web front it is meant; a database or an admin port is found by \
          scanners within minutes.",
    page: include_str!("../../../../docs/book/src/checks/internet-exposed.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    let proxies: Vec<PodId> = proxies(context);
    for entry in &context.entries {
        let facts = &context.services[entry.service];
        let mut by_workload: BTreeMap<WorkloadId, Vec<(u16, PodId)>> = BTreeMap::new();
        for pod in facts.pods.iter().copied() {
            let workload = context.world.pod(pod).workload;
            if context.is_system(&context.world.workload(workload).namespace) {
                continue;
            }
            for at in &entry.ports {
                let port = &facts.object.ports[*at];
                for target in targets(context.world, port, pod) {
                    let key = PortKey::new(port.protocol.number(), target);
                    if is_open(context, entry, pod, key, &proxies) {
                        by_workload.entry(workload).or_default().push((target, pod));
                    }
                }
            }
        }
        for (workload, mut ports) in by_workload {
            ports.sort_unstable();
            ports.dedup_by_key(|(port, _)| *port);
            tell(context, findings, entry, workload, &ports);
        }
    }
}

/// Pods that stand for ingress controllers and gateways: those in the input, or pods that don't exist yet.
fn proxies(context: &Context<'_>) -> Vec<PodId> {
    let is_proxy = |labels: &Labels| {
        const NAMES: [&str; 10] = [
            "ingress-nginx",
            "nginx-ingress",
            "traefik",
            "contour",
            "envoy",
            "haproxy-ingress",
            "kong",
            "istio-ingressgateway",
            "nginx-gateway-fabric",
            "kubernetes-ingress",
        ];
        ["app.kubernetes.io/name", "app", "name"]
            .iter()
            .any(|key| labels.get(*key).is_some_and(|v| NAMES.contains(&v.as_str())))
    };
    let of = |guesses: bool| -> Vec<PodId> {
        let workloads = context.world.workloads.iter().filter(|w| w.hypothesis.is_some() == guesses);
        workloads.filter(|w| guesses || is_proxy(&w.labels)).filter_map(|w| w.pods.first().copied()).collect()
    };
    let real = of(false);
    if real.is_empty() { of(true) } else { real }
}

fn is_open(context: &Context<'_>, entry: &Entry, pod: PodId, key: PortKey, proxies: &[PodId]) -> bool {
    if context.is_host(pod) {
        return entry.way != Way::Limited;
    }
    match entry.way {
        Way::Limited => false,
        Way::Direct => context.outside.iter().any(|outside| {
            let public = IpSet::public(outside.ips.family());
            !outside.ips.intersection(&public).is_empty()
                && context.with_outside(pod, Direction::Ingress, outside).contains(key)
        }),
        Way::Proxy => proxies.iter().any(|proxy| context.reaches(*proxy, pod).contains(key)),
    }
}

fn tell(
    context: &Context<'_>,
    findings: &mut Findings<'_>,
    entry: &Entry,
    workload: WorkloadId,
    ports: &[(u16, PodId)],
) {
    let facts = &context.services[entry.service];
    let of = context.world.workload(workload);
    let object = ObjectRef { kind: of.kind.clone(), namespace: of.namespace.clone(), name: of.name.clone() };
    let numbers: Vec<String> = ports.iter().map(|(port, _)| port.to_string()).collect();
    let store = ports.iter().find_map(|(port, _)| data_store(podgate_api::Protocol::Tcp, *port));
    let protected = ports.iter().all(|(_, pod)| context.is_isolated(*pod, Direction::Ingress));
    let message = format!(
        "{}/{} is reachable from outside on port {} through {}{}{}",
        of.namespace,
        of.name,
        text::list(&numbers),
        entry.name,
        store.map(|what| format!(" ({what})")).unwrap_or_default(),
        if protected { ", as policy allows" } else { ", and no policy isolates it" },
    );
    let source = context.key_of(&entry.source, if entry.way == Way::Proxy { "name" } else { "type" });
    let finding = findings.report(&source, object, message);
    finding
        .related(&facts.object.meta.source, "this Service leads to the pods")
        .related(&of.source, "the workload");
    if store.is_some() {
        finding
            .severity(Severity::Warning)
            .advice("make the Service a ClusterIP, and let in only the pods that use it");
    } else {
        finding.advice("nothing to do where this is meant; otherwise make the Service a ClusterIP or narrow the ingress rule");
    }
}
