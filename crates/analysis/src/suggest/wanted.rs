//! The connections that manifests say are needed.

use std::collections::{BTreeMap, BTreeSet};

use podgate_api::{Backend, Mention, Protocol, Service, ServiceType};

use super::place;
use crate::ports::PortSet;
use crate::world::{PodId, WorkloadId, World};

/// Who is to be able to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum From {
    Workload(WorkloadId),
    /// Any pod: what connects is not in the input.
    AnyPod,
    /// Anybody.
    Anyone,
}

/// To whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum To {
    Workload(WorkloadId),
    /// Public addresses.
    Outside,
}

/// What is wanted between two ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Want {
    pub ports: PortSet,
    /// Where it comes from, a line each.
    pub why: BTreeSet<String>,
}

/// All that is wanted.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub connections: BTreeMap<(From, To), Want>,
    /// The cluster's DNS, where the input has it: its workloads and their ports.
    pub dns: BTreeMap<WorkloadId, PortSet>,
}

/// Who runs Ingresses and Gateways, by the labels of their pods.
const CONTROLLERS: [&str; 11] = [
    "cilium-envoy",
    "contour",
    "envoy",
    "haproxy-ingress",
    "ingress-nginx",
    "istio-ingressgateway",
    "kong",
    "kubernetes-ingress",
    "nginx-gateway",
    "nginx-ingress",
    "traefik",
];

struct Collector<'a> {
    world: &'a World,
    covered: &'a BTreeSet<String>,
    notes: &'a mut BTreeSet<String>,
    wanted: Wanted,
    /// Services that somebody was seen to use.
    used: BTreeSet<(String, String)>,
}

/// Reads what is wanted from all manifests of a world.
pub(super) fn collect(world: &World, covered: &BTreeSet<String>, notes: &mut BTreeSet<String>) -> Wanted {
    let mut collector = Collector { world, covered, notes, wanted: Wanted::default(), used: BTreeSet::new() };
    collector.mentions();
    collector.entries();
    collector.open_services();
    collector.dns();
    collector.say_what_is_unknown();
    collector.wanted
}

impl Collector<'_> {
    fn want(&mut self, from: From, to: To, ports: &PortSet, why: String) {
        let want = self.wanted.connections.entry((from, to)).or_default();
        want.ports = want.ports.union(ports);
        want.why.insert(why);
    }

    /// What containers are told of.
    fn mentions(&mut self) {
        let world = self.world;
        for (number, workload) in world.workloads.iter().enumerate() {
            if workload.hypothesis.is_some() || workload.host_network {
                continue;
            }
            let mentions: BTreeSet<&Mention> =
                workload.pods.iter().flat_map(|pod| &world.pod_object(*pod).mentions).collect();
            for mention in mentions {
                self.mention(WorkloadId(number as u32), mention);
            }
        }
    }

    fn mention(&mut self, id: WorkloadId, mention: &Mention) {
        let world = self.world;
        let workload = world.workload(id);
        let host = mention.host().trim_end_matches('.');
        let says = format!("{}: {} names {}", place(&mention.source), workload.title(), mention.text);
        match service_of(world, host, &workload.namespace) {
            Some(service) => self.mentioned_service(id, service, mention.port(), &says),
            None => self.mentioned_stranger(id, host, mention.port(), &says),
        }
    }

    fn mentioned_service(&mut self, id: WorkloadId, service: &Service, port: Option<u16>, says: &str) {
        let name = title(service);
        self.used.insert((service.meta.namespace.clone(), service.meta.name.clone()));
        if service.kind == ServiceType::ExternalName {
            self.note(format!(
                "{says}, and Service {name} is a name for something outside: allow its addresses yourself"
            ));
            return;
        }
        if service.selector.is_none() {
            self.note(format!(
                "{says}, and Service {name} has no selector: allow the addresses behind it yourself"
            ));
            return;
        }
        let ports: Vec<_> =
            service.ports.iter().filter(|of| port.is_none_or(|port| port == of.port)).cloned().collect();
        let mut targets: Vec<(PodId, PortSet, String)> = Vec::new();
        for of in &ports {
            let through = format!("Service {name} port {}", of.port);
            targets.extend(
                self.world.behind_port(service, of).into_iter().map(|(pod, set)| (pod, set, through.clone())),
            );
        }
        if let (true, Some(port)) = (ports.is_empty(), port) {
            if !service.headless {
                let has: Vec<String> = service.ports.iter().map(|of| of.port.to_string()).collect();
                self.note(format!(
                    "{says}, but Service {name} has the port {}: nothing is allowed for it",
                    has.join(", ")
                ));
                return;
            }
            // DNS answers with the pods themselves: any of their ports will do.
            let set = PortSet::port(Protocol::Tcp, port);
            let through = format!("headless Service {name}");
            targets.extend(
                self.world.selected_by(service).into_iter().map(|pod| (pod, set.clone(), through.clone())),
            );
        }
        if targets.is_empty() {
            self.note(format!("{says}, but Service {name} leads to no pod of the input"));
        }
        for (pod, set, through) in targets {
            let to = self.world.pod(pod).workload;
            self.want(From::Workload(id), To::Workload(to), &set, format!("{says} ({through})"));
        }
    }

    /// A host that is no Service of the input.
    fn mentioned_stranger(&mut self, id: WorkloadId, host: &str, port: Option<u16>, says: &str) {
        if matches!(host, "kubernetes" | "kubernetes.default") || host.starts_with("kubernetes.default.svc") {
            self.note(format!(
                "{says}: allow egress to your API server's addresses yourself, manifests don't have them"
            ));
            return;
        }
        let parts: Vec<&str> = host.split('.').collect();
        let namespace = parts.get(1).copied().unwrap_or_default();
        let in_cluster = parts.len() == 1
            || parts.contains(&"svc")
            || host.ends_with(".cluster.local")
            || (parts.len() == 2 && self.world.namespace_labels(namespace).is_some());
        if in_cluster {
            self.note(format!("{says}, which is no Service of the input: nothing is allowed for it"));
            return;
        }
        match port {
            Some(port) => {
                let set = PortSet::port(Protocol::Tcp, port);
                let why =
                    format!("{says}; NetworkPolicies know no names, so every public address is allowed");
                self.want(From::Workload(id), To::Outside, &set, why);
            }
            None => self.note(format!("{says} without a port: nothing is allowed for it")),
        }
    }

    /// Ingresses and routes.
    fn entries(&mut self) {
        let world = self.world;
        let mut backends: Vec<(String, &Backend)> = Vec::new();
        for ingress in &world.ingresses {
            let name = format!("Ingress {}/{}", ingress.meta.namespace, ingress.meta.name);
            backends.extend(ingress.backends.iter().map(|backend| (name.clone(), backend)));
        }
        for route in &world.routes {
            let name = format!("{} {}/{}", route.kind.as_str(), route.meta.namespace, route.meta.name);
            backends.extend(route.backends.iter().map(|backend| (name.clone(), backend)));
        }
        if backends.is_empty() {
            return;
        }
        let controllers = controllers(world);
        for (name, backend) in backends {
            let at = place(&backend.source);
            let target = format!("{}/{}", backend.namespace, backend.service);
            self.used.insert((backend.namespace.clone(), backend.service.clone()));
            let pods = world.behind_backend(backend);
            if pods.is_empty() {
                self.note(format!(
                    "{at}: {name} leads to Service {target}, which leads to no pod of the input"
                ));
            }
            for (pod, set) in pods {
                let to = To::Workload(world.pod(pod).workload);
                let why = format!("{at}: {name} leads to Service {target}");
                for controller in &controllers {
                    self.want(From::Workload(*controller), to, &set, why.clone());
                }
                if controllers.is_empty() {
                    let why = format!(
                        "{why}; the controller's pods are not in the input, so any pod may: narrow it to the controller's namespace"
                    );
                    self.want(From::AnyPod, to, &set, why);
                }
            }
        }
    }

    /// Services that let the outside in.
    fn open_services(&mut self) {
        let world = self.world;
        for service in &world.services {
            let kind = match service.kind {
                ServiceType::LoadBalancer => "LoadBalancer",
                ServiceType::NodePort => "NodePort",
                ServiceType::ClusterIp | ServiceType::ExternalName => continue,
            };
            self.used.insert((service.meta.namespace.clone(), service.meta.name.clone()));
            for port in &service.ports {
                for (pod, set) in world.behind_port(service, port) {
                    let why = format!(
                        "{}: Service {} is of type {kind}: its port {} is open to everybody",
                        place(&service.meta.source),
                        title(service),
                        port.port
                    );
                    self.want(From::Anyone, To::Workload(world.pod(pod).workload), &set, why);
                }
            }
        }
    }

    /// The cluster's DNS, as far as the input has it.
    fn dns(&mut self) {
        let world = self.world;
        for service in world.services.iter().filter(|service| service.meta.namespace == "kube-system") {
            for port in service.ports.iter().filter(|port| port.port == 53) {
                for (pod, set) in world.behind_port(service, port) {
                    let known = self.wanted.dns.entry(world.pod(pod).workload).or_default();
                    *known = known.union(&set);
                    self.used.insert((service.meta.namespace.clone(), service.meta.name.clone()));
                }
            }
        }
        let dns: Vec<(WorkloadId, PortSet)> = self.wanted.dns.clone().into_iter().collect();
        for (id, set) in dns {
            let why = format!("{}: the cluster's DNS serves all pods", place(&world.workload(id).source));
            if self.covered.contains(&world.workload(id).namespace) {
                self.want(From::AnyPod, To::Workload(id), &set, why);
            }
        }
    }

    /// What a reader should know before applying this.
    fn say_what_is_unknown(&mut self) {
        let world = self.world;
        for service in &world.services {
            let key = (service.meta.namespace.clone(), service.meta.name.clone());
            if self.covered.contains(&key.0) && !self.used.contains(&key) && service.selector.is_some() {
                self.note(format!(
                    "{}: nothing in the input names Service {}: who uses it is unknown, and nobody is allowed to",
                    place(&service.meta.source),
                    title(service)
                ));
            }
        }
        let froms: BTreeSet<From> = self.wanted.connections.keys().map(|(from, _)| *from).collect();
        for (number, workload) in world.workloads.iter().enumerate() {
            if workload.hypothesis.is_some() || !self.covered.contains(&workload.namespace) {
                continue;
            }
            let at = place(&workload.source);
            if workload.host_network {
                self.note(format!(
                    "{at}: {} shares its node's network: policies can't select it",
                    workload.title()
                ));
                continue;
            }
            if !froms.contains(&From::Workload(WorkloadId(number as u32))) {
                self.note(format!(
                    "{at}: nothing tells what {} connects to: it may only ask DNS",
                    workload.title()
                ));
            }
            let scraped = workload.pods.iter().any(|pod| {
                let annotations = &world.pod_object(*pod).meta.annotations;
                annotations.get("prometheus.io/scrape").is_some_and(|value| value == "true")
            });
            if scraped {
                self.note(format!(
                    "{at}: {} is annotated for Prometheus: allow your monitoring",
                    workload.title()
                ));
            }
        }
    }

    fn note(&mut self, note: String) {
        self.notes.insert(note);
    }
}

/// The Service that a host name means to pods of a namespace.
fn service_of<'w>(world: &'w World, host: &str, namespace: &str) -> Option<&'w Service> {
    let parts: Vec<&str> = host.split('.').collect();
    match parts[..] {
        [name] => world.service_named(namespace, name),
        [name, of] => world
            .service_named(of, name)
            // A pod of a headless Service.
            .or_else(|| world.service_named(namespace, of).filter(|service| service.headless)),
        [name, of, "svc", ..] => world.service_named(of, name),
        [_, name, of, "svc", ..] => world.service_named(of, name).filter(|service| service.headless),
        _ => None,
    }
}

/// The workloads that run Ingresses and Gateways.
fn controllers(world: &World) -> Vec<WorkloadId> {
    const KEYS: [&str; 4] = ["app.kubernetes.io/name", "app", "k8s-app", "name"];
    let runs = |labels: &podgate_api::Labels| {
        KEYS.iter().filter_map(|key| labels.get(*key)).any(|value| CONTROLLERS.contains(&value.as_str()))
    };
    let numbered = world.workloads.iter().enumerate();
    numbered
        .filter(|(_, workload)| {
            workload.hypothesis.is_none() && !workload.host_network && runs(&workload.labels)
        })
        .map(|(number, _)| WorkloadId(number as u32))
        .collect()
}

fn title(service: &Service) -> String {
    format!("{}/{}", service.meta.namespace, service.meta.name)
}
