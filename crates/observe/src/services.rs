//! Which Service a client asked for, by the address that it called.
//!
//! Kept small, because a cluster has tens of thousands of Services of which a node's pods call a few: one text for each
//! Service, and where it is found. The form that records have is made for those that are called.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use podgate_api::Service;
use podgate_flow::{Protocol, ServiceName};
use rustc_hash::FxHashMap;

/// A port that clients call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Port {
    /// `None`: that of any node.
    ip: Option<IpAddr>,
    number: u16,
    protocol: Protocol,
}

#[derive(Debug)]
struct Record {
    ports: Box<[Port]>,
    /// The list that named it last.
    list: u32,
}

/// The cluster's Services.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// By namespace and name, with a slash between them.
    records: FxHashMap<Arc<str>, Record>,
    at: FxHashMap<Port, Arc<str>>,
    list: u32,
}

impl Services {
    /// Adds or replaces a Service. `true`: an address leads elsewhere now.
    pub(crate) fn apply(&mut self, service: &Service) -> bool {
        let ports = ports_of(service);
        let key = key(&service.meta.namespace, &service.meta.name);
        if let Some(known) = self.records.get_mut(key.as_str()) {
            known.list = self.list;
            if known.ports == ports {
                return false;
            }
        }
        self.remove(&key);
        if ports.is_empty() {
            return true;
        }
        let key: Arc<str> = key.into();
        self.at.extend(ports.iter().map(|port| (*port, key.clone())));
        self.records.insert(key, Record { ports, list: self.list });
        true
    }

    /// Removes a Service. `true`: there was one that has addresses.
    pub(crate) fn delete(&mut self, namespace: &str, name: &str) -> bool {
        self.remove(&key(namespace, name))
    }

    /// A list begins.
    pub(crate) fn list(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// A list is complete: what it hasn't named is gone. `true`: something was.
    pub(crate) fn sweep(&mut self) -> bool {
        let list = self.list;
        let is_gone = |(_, record): &(&Arc<str>, &Record)| record.list != list;
        let gone: Vec<Arc<str>> = self.records.iter().filter(is_gone).map(|(key, _)| key.clone()).collect();
        for key in &gone {
            self.remove(key);
        }
        self.records.shrink_to_fit();
        self.at.shrink_to_fit();
        !gone.is_empty()
    }

    /// Whose port it is. `is_node`: the address is a node's.
    pub(crate) fn find(&self, at: SocketAddr, protocol: Protocol, is_node: bool) -> Option<ServiceName> {
        let own = self.at.get(&Port { ip: Some(at.ip()), number: at.port(), protocol });
        let of_nodes = || self.at.get(&Port { ip: None, number: at.port(), protocol });
        let key = own.or_else(|| if is_node { of_nodes() } else { None })?;
        let (namespace, name) = key.split_once('/')?;
        Some(ServiceName { namespace: namespace.to_owned(), name: name.to_owned(), port: at.port() })
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some(Record { ports, .. }) = self.records.remove(key) else { return false };
        for port in &ports {
            // Two Services may share an external address; the later one has it.
            if self.at.get(port).is_some_and(|owner| **owner == *key) {
                self.at.remove(port);
            }
        }
        true
    }
}

fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn ports_of(service: &Service) -> Box<[Port]> {
    let ips = [&service.cluster_ips, &service.external_ips, &service.load_balancer_ips];
    let ips: Vec<IpAddr> = ips.into_iter().flatten().copied().collect();
    let mut ports = Vec::new();
    for port in &service.ports {
        let protocol = Protocol(port.protocol.number());
        ports.extend(ips.iter().map(|ip| Port { ip: Some(*ip), number: port.port, protocol }));
        ports.extend(port.node_port.map(|number| Port { ip: None, number, protocol }));
    }
    ports.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    use podgate_api::Object;

    const TCP: Protocol = Protocol(6);

    fn service(text: &str) -> Service {
        let loaded = podgate_api::load_text("s.yaml", text);
        assert_eq!(loaded.diagnostics, []);
        match loaded.objects.into_iter().next() {
            Some(Object::Service(service)) => service,
            other => panic!("{other:?}"),
        }
    }

    fn web(spec: &str) -> Service {
        service(&format!(
            "{{kind: Service, apiVersion: v1, metadata: {{name: web, namespace: shop}}, spec: {spec}}}"
        ))
    }

    #[track_caller]
    fn check(services: &Services, at: &str, is_node: bool, expected: &str) {
        let found = services.find(at.parse().unwrap(), TCP, is_node);
        let found = found.map(|service| format!("{}/{}:{}", service.namespace, service.name, service.port));
        assert_eq!(found.unwrap_or_default(), expected, "{at}");
    }

    #[test]
    fn a_service_is_found_at_all_of_its_addresses_and_by_its_protocol_alone() {
        let mut services = Services::default();
        services.apply(&web(
            "{type: NodePort, clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1, 'fd00::1'], externalIPs: [192.0.2.1],
              ports: [{name: http, port: 80, nodePort: 30080}, {name: dns, port: 53, protocol: UDP}]}",
        ));
        check(&services, "10.96.0.1:80", false, "shop/web:80");
        check(&services, "[fd00::1]:80", false, "shop/web:80");
        check(&services, "192.0.2.1:80", false, "shop/web:80");
        check(&services, "10.96.0.1:81", false, "");
        check(&services, "10.96.0.1:53", false, "");
        check(&services, "172.16.0.1:30080", true, "shop/web:30080");
        check(&services, "172.16.0.1:30080", false, "");
        check(&services, "172.16.0.1:80", true, "");
    }

    #[test]
    fn an_edited_service_is_no_longer_found_where_it_was() {
        let mut services = Services::default();
        let first = web("{clusterIP: 10.96.0.1, ports: [{port: 80}]}");
        assert!(services.apply(&first));
        assert!(!services.apply(&first));
        assert!(services.apply(&web("{clusterIP: 10.96.0.1, ports: [{port: 81}]}")));
        check(&services, "10.96.0.1:80", false, "");
        check(&services, "10.96.0.1:81", false, "shop/web:81");
        assert!(services.apply(&web("{clusterIP: None, ports: [{port: 81}]}")));
        check(&services, "10.96.0.1:81", false, "");
        assert!(!services.delete("shop", "web"));
    }

    #[test]
    fn what_a_complete_list_does_not_name_is_gone_and_what_half_a_list_does_not_name_stays() {
        let mut services = Services::default();
        services.list();
        services.apply(&web("{clusterIP: 10.96.0.1, ports: [{port: 80}]}"));
        services.sweep();
        services.list();
        check(&services, "10.96.0.1:80", false, "shop/web:80");
        services.list();
        assert!(services.sweep());
        check(&services, "10.96.0.1:80", false, "");
    }

    #[test]
    fn an_address_that_two_services_share_stays_with_the_one_that_is_left() {
        let shared = "{externalIPs: [192.0.2.1], ports: [{port: 80}]}";
        let mut services = Services::default();
        services.apply(&web(shared));
        let other = "{kind: Service, apiVersion: v1, metadata: {name: other, namespace: shop}, spec: ";
        services.apply(&service(&format!("{other}{shared}}}")));
        services.delete("shop", "web");
        check(&services, "192.0.2.1:80", false, "shop/other:80");
    }
}
