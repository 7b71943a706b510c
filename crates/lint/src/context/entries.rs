//! Ways in from outside: Services that nodes and load balancers lead to, Ingresses, routes of the Gateway API.

use podgate_analysis::World;
use podgate_api::{Backend, BackendPort, ServicePort, ServiceType, Source};

use super::services::ServiceFacts;
use super::title;

/// A way in from outside to the pods of a Service.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Place in [`super::Context::services`].
    pub service: usize,
    /// The kind of way.
    pub way: Way,
    /// What it is called, such as `Ingress shop/web`.
    pub name: String,
    /// Where it is written.
    pub source: Source,
    /// The Service's ports that it leads to, as places in its list.
    pub ports: Vec<usize>,
}

/// How traffic from outside comes to pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through a port of a node or a load balancer, straight to the pod.
    Direct,
    /// As [`Way::Direct`], from some networks only.
    Limited,
    /// Through pods of an ingress controller or a gateway.
    Proxy,
}

impl super::Context<'_> {
    /// Whether something leads to a pod from outside.
    pub(crate) fn is_entered(&self, pod: podgate_analysis::PodId) -> bool {
        self.services_of[pod.0 as usize].iter().any(|service| self.entered.contains(&(*service as usize)))
    }
}

pub(super) fn all(world: &World, services: &[ServiceFacts<'_>]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (number, facts) in services.iter().enumerate() {
        let service = facts.object;
        let kind = match service.kind {
            ServiceType::LoadBalancer => "LoadBalancer Service",
            ServiceType::NodePort => "NodePort Service",
            _ if !service.external_ips.is_empty() => "Service with external IPs",
            _ => continue,
        };
        let limited = service.internal_load_balancer || !service.source_ranges.is_empty();
        entries.push(Entry {
            service: number,
            way: if limited { Way::Limited } else { Way::Direct },
            name: format!("{kind} {}", title(&service.meta)),
            source: service.meta.source.clone(),
            ports: (0..service.ports.len()).collect(),
        });
    }
    let mut proxied = |kind: &str, meta: &podgate_api::Meta, backends: &[Backend]| {
        for backend in backends {
            let found = services
                .binary_search_by_key(&(backend.namespace.as_str(), backend.service.as_str()), |facts| {
                    (facts.object.meta.namespace.as_str(), facts.object.meta.name.as_str())
                });
            let Ok(number) = found else { continue };
            let ports = &services[number].object.ports;
            entries.push(Entry {
                service: number,
                way: Way::Proxy,
                name: format!("{kind} {}", title(meta)),
                source: backend.source.clone(),
                ports: (0..ports.len()).filter(|at| is_meant(&backend.port, &ports[*at])).collect(),
            });
        }
    };
    for ingress in &world.ingresses {
        proxied("Ingress", &ingress.meta, &ingress.backends);
    }
    for route in &world.routes {
        proxied(route.kind.as_str(), &route.meta, &route.backends);
    }
    entries
}

fn is_meant(backend: &BackendPort, port: &ServicePort) -> bool {
    match backend {
        BackendPort::Number(number) => port.port == *number,
        BackendPort::Name(name) => port.name == *name,
        BackendPort::Any => true,
    }
}
