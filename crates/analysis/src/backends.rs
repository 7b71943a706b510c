//! From the backends of Ingresses and routes to pods and their ports.

use podgate_api::{Backend, BackendPort, Service, ServicePort};

use crate::ports::PortSet;
use crate::world::{PodId, World};

impl World {
    /// The Service of a name.
    pub fn service_named(&self, namespace: &str, name: &str) -> Option<&Service> {
        let key = |service: &Service| (service.meta.namespace.clone(), service.meta.name.clone());
        let at = self.services.binary_search_by(|service| {
            (service.meta.namespace.as_str(), service.meta.name.as_str()).cmp(&(namespace, name))
        });
        debug_assert!(self.services.is_sorted_by_key(key));
        at.ok().map(|at| &self.services[at])
    }

    /// The pods behind a Service's port, each with the ports that it leads to there.
    pub fn behind_port(&self, service: &Service, port: &ServicePort) -> Vec<(PodId, PortSet)> {
        let pods = self.selected_by(service).into_iter();
        let with_ports = pods.map(|pod| {
            let targets = self.targets(pod, port).into_iter();
            let sets = targets.map(|number| PortSet::port(port.protocol, number));
            (pod, sets.fold(PortSet::none(), |all, set| all.union(&set)))
        });
        with_ports.filter(|(_, ports)| !ports.is_empty()).collect()
    }

    /// The ports of a Service that a backend names: one, or all where it names none.
    pub fn backend_ports(&self, backend: &Backend) -> Vec<(&Service, &ServicePort)> {
        let Some(service) = self.service_named(&backend.namespace, &backend.service) else {
            return Vec::new();
        };
        let named = |port: &&ServicePort| match &backend.port {
            BackendPort::Number(number) => port.port == *number,
            BackendPort::Name(name) => port.name == *name,
            BackendPort::Any => true,
        };
        service.ports.iter().filter(named).map(|port| (service, port)).collect()
    }

    /// The pods behind a backend, each with the ports that it leads to there.
    pub fn behind_backend(&self, backend: &Backend) -> Vec<(PodId, PortSet)> {
        let ports = self.backend_ports(backend).into_iter();
        ports.flat_map(|(service, port)| self.behind_port(service, port)).collect()
    }
}
