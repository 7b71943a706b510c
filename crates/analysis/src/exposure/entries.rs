//! Ways in from outside: Services that answer there, Ingresses, and Gateways with their routes. A way is
//! open when something leads to a pod's port and policy lets its clients in.

use std::collections::{BTreeMap, BTreeSet};

use podgate_api::{Backend, ExternalTrafficPolicy, Meta, Service, ServiceType};
use serde::Serialize;

use super::{Columns, hypotheses, in_words, is_any};
use crate::diff::place;
use crate::ip::IpSet;
use crate::joint::{End, EndId, Joint};
use crate::ports::PortSet;
use crate::reach::names::{Namer, joined};
use crate::world::{Family, HypothesisNamespaces, VariantId, World};

/// A way in from outside to pods of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The workload: `namespace/name[Kind]`.
    pub workload: String,
    /// The ports of its pods.
    pub ports: String,
    /// What leads there: `Ingress shop/web -> Service shop/web`.
    pub through: String,
    /// Where that is written.
    pub source: String,
    /// Clients that policy lets in, by their addresses; empty: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<String>,
    /// For an Ingress or a Gateway: pods that policy lets in, of which its controller has to be one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub controllers: Vec<String>,
    /// Connections that come by way of another node have that node's address: whether policy lets those in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_nodes: Option<bool>,
    /// What a reader should know about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Entry {
    /// Whether policy lets anybody in that way.
    pub fn is_open(&self) -> bool {
        !self.clients.is_empty() || !self.controllers.is_empty() || self.by_nodes == Some(true)
    }
}

/// All ways in, open or not, sorted. Those of Ingresses and Gateways need a world with hypotheses.
pub fn entries(world: &World) -> Vec<Entry> {
    if world.ingresses.is_empty() && world.routes.is_empty() && !world.services.iter().any(leads_outside) {
        return Vec::new();
    }
    let mut joint = Joint::new(world);
    let columns = Columns::new(&mut joint);
    let finder = Finder { world, joint, columns, namer: Namer::new(world) };
    let mut entries: BTreeSet<Entry> = BTreeSet::new();
    for service in world.services.iter().filter(|service| leads_outside(service)) {
        entries.extend(finder.of_service(service));
    }
    for ingress in &world.ingresses {
        entries.extend(finder.of_backends(&format!("Ingress {}", name(&ingress.meta)), &ingress.backends));
    }
    for route in &world.routes {
        for parent in &route.parents {
            let through = format!(
                "Gateway {}/{} -> {} {}",
                parent.namespace,
                parent.name,
                route.kind.as_str(),
                name(&route.meta)
            );
            let known = world.gateways.iter().any(|gateway| {
                gateway.meta.namespace == parent.namespace && gateway.meta.name == parent.name
            });
            entries.extend(finder.of_backends(&through, &route.backends).into_iter().map(|mut entry| {
                if !known {
                    entry.notes.push("the Gateway is not in the input".to_owned());
                }
                entry
            }));
        }
    }
    entries.into_iter().collect()
}

fn name(meta: &Meta) -> String {
    format!("{}/{}", meta.namespace, meta.name)
}

/// Whether a Service can be reached from outside.
fn leads_outside(service: &Service) -> bool {
    matches!(service.kind, ServiceType::LoadBalancer | ServiceType::NodePort)
        || !service.external_ips.is_empty()
}

struct Finder<'a> {
    world: &'a World,
    joint: Joint,
    columns: Columns,
    namer: Namer,
}

impl Finder<'_> {
    fn of_service(&self, service: &Service) -> Vec<Entry> {
        let mut found = Vec::new();
        let sources: Vec<IpSet> = match &service.source_ranges[..] {
            _ if service.internal_load_balancer => {
                [Family::V4, Family::V6].map(|f| IpSet::all(f).difference(&IpSet::public(f))).into()
            }
            [] => vec![IpSet::all(Family::V4), IpSet::all(Family::V6)],
            ranges => joined(ranges.iter().map(|net| IpSet::net(*net)).collect()),
        };
        for (variant, ports) in self.behind(service) {
            let clients = self.clients(variant, &ports, &sources);
            let is_whole = self.namer.addresses(&clients) == self.namer.addresses(&self.in_use(&sources));
            let hides = service.external_traffic_policy == ExternalTrafficPolicy::Cluster;
            let by_nodes = (hides && !is_whole).then(|| self.lets_nodes_in(variant, &ports)).flatten();
            let mut notes = Vec::new();
            if hides && !is_whole {
                notes.push(
                    "externalTrafficPolicy Cluster: pods on another node see that node's address instead of the \
                     client's, so ipBlock rules for clients fail there"
                        .to_owned(),
                );
            }
            if service.internal_load_balancer {
                notes.push("an internal load balancer, by its annotation".to_owned());
            }
            found.push(Entry {
                workload: self.world.variant_title(variant),
                ports: ports.to_string(),
                through: format!("Service {} ({})", name(&service.meta), kind(service)),
                source: place(&service.meta.source),
                clients: self.namer.addresses(&clients),
                controllers: Vec::new(),
                by_nodes,
                notes,
            });
        }
        found
    }

    fn in_use(&self, sources: &[IpSet]) -> Vec<IpSet> {
        sources.iter().filter(|set| self.world.families.contains(&set.family())).cloned().collect()
    }

    /// The variants behind a Service, with the ports that it leads to.
    fn behind(&self, service: &Service) -> BTreeMap<VariantId, PortSet> {
        let mut variants: BTreeMap<VariantId, PortSet> = BTreeMap::new();
        for port in &service.ports {
            for (pod, ports) in self.world.behind_port(service, port) {
                let known = variants.entry(self.world.variant_of(pod)).or_default();
                *known = known.union(&ports);
            }
        }
        variants
    }

    fn of_backends(&self, through: &str, backends: &[Backend]) -> Vec<Entry> {
        let mut found = Vec::new();
        for backend in backends {
            let mut variants: BTreeMap<VariantId, PortSet> = BTreeMap::new();
            for (pod, ports) in self.world.behind_backend(backend) {
                let known = variants.entry(self.world.variant_of(pod)).or_default();
                *known = known.union(&ports);
            }
            for (variant, ports) in variants {
                found.push(Entry {
                    workload: self.world.variant_title(variant),
                    ports: ports.to_string(),
                    through: format!("{through} -> Service {}/{}", backend.namespace, backend.service),
                    source: place(&backend.source),
                    clients: Vec::new(),
                    controllers: self.controllers(variant, &ports),
                    by_nodes: None,
                    notes: Vec::new(),
                });
            }
        }
        found
    }

    /// Of some addresses those that policy lets in to all these ports.
    fn clients(&self, variant: VariantId, ports: &PortSet, sources: &[IpSet]) -> Vec<IpSet> {
        let mut open: Vec<IpSet> = Vec::new();
        for (number, end) in self.joint.ends.iter().enumerate() {
            let End::Outside(set) = end else { continue };
            let cell = self.columns.cell(&self.joint, EndId(number as u32), EndId(variant.0));
            if !ports.intersection(self.joint.family_ports(cell, set.family())).is_empty() {
                open.extend(sources.iter().map(|s| s.intersection(set)).filter(|both| !both.is_empty()));
            }
        }
        joined(open)
    }

    /// Whether policy lets in what comes from nodes' addresses; `None` where no node is known.
    fn lets_nodes_in(&self, variant: VariantId, ports: &PortSet) -> Option<bool> {
        let mut addresses = self.world.nodes.iter().flat_map(|node| &node.addresses).peekable();
        addresses.peek()?;
        Some(addresses.any(|address| {
            let holds = |end: &End| matches!(end, End::Outside(set) if set.contains(*address));
            self.joint.ends.iter().position(holds).is_some_and(|at| {
                let cell = self.columns.cell(&self.joint, EndId(at as u32), EndId(variant.0));
                !ports.intersection(self.joint.family_ports(cell, Family::of(*address))).is_empty()
            })
        }))
    }

    /// Pods of other namespaces that policy lets in to these ports. Nobody knows which of them serve Ingresses.
    fn controllers(&self, variant: VariantId, ports: &PortSet) -> Vec<String> {
        let reaches = |from: VariantId| {
            let cell = self.columns.cell(&self.joint, EndId(from.0), EndId(variant.0));
            !ports.intersection(&self.joint.any_ports(cell)).is_empty()
        };
        let own = &self.world.workload(self.world.variant(variant).workload).namespace;
        let guesses = hypotheses(self.world);
        if guesses.iter().any(|(guess, hypothesis)| is_any(hypothesis) && reaches(*guess)) {
            return vec!["any pod".to_owned()];
        }
        let real = (0..self.world.variants.len() as u32).map(VariantId).filter(|id| {
            let workload = self.world.workload(self.world.variant(*id).workload);
            workload.hypothesis.is_none() && workload.namespace != *own && reaches(*id)
        });
        let mut found: Vec<String> = real.map(|id| self.world.variant_title(id)).collect();
        let elsewhere = |namespaces: &HypothesisNamespaces| !matches!(namespaces, HypothesisNamespaces::Named(name) if name == own);
        let guesses = guesses.into_iter().filter(|(guess, hypothesis)| {
            elsewhere(&hypothesis.namespaces) && !super::exists(self.world, hypothesis) && reaches(*guess)
        });
        found.extend(guesses.map(|(_, hypothesis)| in_words(hypothesis)));
        found
    }
}

fn kind(service: &Service) -> String {
    let node_ports: Vec<String> =
        service.ports.iter().filter_map(|port| port.node_port).map(|port| port.to_string()).collect();
    let mut kinds = Vec::new();
    match service.kind {
        ServiceType::LoadBalancer => kinds.push("LoadBalancer".to_owned()),
        ServiceType::NodePort if node_ports.is_empty() => kinds.push("NodePort".to_owned()),
        ServiceType::NodePort => kinds.push(format!("NodePort {}", node_ports.join(","))),
        ServiceType::ClusterIp | ServiceType::ExternalName => {}
    }
    if !service.external_ips.is_empty() {
        let ips: Vec<String> = service.external_ips.iter().map(ToString::to_string).collect();
        kinds.push(format!("externalIPs {}", ips.join(",")));
    }
    kinds.join(", ")
}
