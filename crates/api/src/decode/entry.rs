//! Ingress and the Gateway API: read as far as they say who is reachable through them. Most of their fields
//! (certificates, paths, filters) decide nothing here, so that unknown fields are left alone.

use crate::cursor::{Cursor, Value};
use crate::{Backend, BackendPort, Gateway, Ingress, Listener, Meta, ParentRef, Route, RouteKind, Severity};

/// The annotation that named the class before the field did.
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

pub(super) fn ingress(root: &Cursor<'_>, meta: Meta) -> Ingress {
    let mut ingress = Ingress { meta, ..Ingress::default() };
    ingress.class = ingress.meta.annotations.get(OLD_CLASS).cloned().unwrap_or_default();
    let Some(spec) = root.mapping("spec") else { return ingress };
    if let Some(class) = text_of(&spec, "ingressClassName") {
        ingress.class = class;
    }
    let namespace = ingress.meta.namespace.as_str();
    let mut backends = Vec::new();
    if let Some(rules) = spec.list("rules") {
        for rule in rules.items().filter(Cursor::expect_mapping) {
            let hosts: Vec<String> = text_of(&rule, "host").into_iter().collect();
            let Some(http) = rule.mapping("http") else { continue };
            let Some(paths) = http.list("paths") else { continue };
            for path in paths.items().filter(Cursor::expect_mapping) {
                match path.mapping("backend") {
                    Some(backend) => backends.extend(ingress_backend(&backend, namespace, &hosts)),
                    None if path.field("backend").is_none() => path.missing(
                        Severity::Error,
                        "backend",
                        "`backend` is missing",
                        "name a Service, as in `backend: {service: {name: web, port: {number: 80}}}`",
                    ),
                    None => {}
                }
            }
        }
    }
    // `backend` is what v1beta1 called it.
    for name in ["defaultBackend", "backend"] {
        if let Some(backend) = spec.mapping(name) {
            backends.extend(ingress_backend(&backend, namespace, &[]));
        }
    }
    ingress.backends = backends;
    ingress
}

fn text_of(parent: &Cursor<'_>, name: &str) -> Option<String> {
    let text = parent.field(name)?.text()?;
    (!text.is_empty()).then(|| text.to_owned())
}

fn ingress_backend(backend: &Cursor<'_>, namespace: &str, hosts: &[String]) -> Option<Backend> {
    let (service, port) = if let Some(service) = backend.mapping("service") {
        let Some(name) = text_of(&service, "name") else {
            service.missing(Severity::Error, "name", "`name` is missing", "name the Service");
            return None;
        };
        let port = service.mapping("port").and_then(|port| {
            let number = port.field("number").and_then(|number| number.port()).map(BackendPort::Number);
            number.or_else(|| text_of(&port, "name").map(BackendPort::Name))
        });
        (name, port)
    } else if let Some(name) = text_of(backend, "serviceName") {
        // v1beta1, which also wrote numbers as text.
        let port = backend.field("servicePort").and_then(|port| match port.int_or_text()? {
            Value::Int(_) => port.port().map(BackendPort::Number),
            Value::Text(text) => Some(match text.parse() {
                Ok(number) => BackendPort::Number(number),
                Err(_) => BackendPort::Name(text.to_owned()),
            }),
        });
        (name, port)
    } else {
        // A `resource` is served by the controller itself, without a pod of its own.
        if backend.field("resource").is_none() && backend.field("service").is_none() {
            let help = "name a Service, as in `service: {name: web, port: {number: 80}}`";
            backend.error("a backend with nothing set", help);
        }
        return None;
    };
    Some(Backend {
        namespace: namespace.to_owned(),
        service,
        port: port.unwrap_or(BackendPort::Any),
        hosts: hosts.to_vec(),
        source: backend.source(),
    })
}

pub(super) fn gateway(root: &Cursor<'_>, meta: Meta) -> Gateway {
    let mut gateway = Gateway { meta, ..Gateway::default() };
    let Some(spec) = root.mapping("spec") else { return gateway };
    gateway.class = text_of(&spec, "gatewayClassName").unwrap_or_default();
    if let Some(list) = spec.list("listeners") {
        for item in list.items().filter(Cursor::expect_mapping) {
            let Some(port) = item.field("port") else {
                let help = "name the port on which the listener is reached, as in `port: 443`";
                item.missing(Severity::Error, "port", "`port` is missing", help);
                continue;
            };
            gateway.listeners.extend(port.port().map(|port| Listener {
                name: text_of(&item, "name").unwrap_or_default(),
                port,
                protocol: text_of(&item, "protocol").unwrap_or_default(),
                hostname: text_of(&item, "hostname").unwrap_or_default(),
            }));
        }
    }
    gateway
}

pub(super) fn route(root: &Cursor<'_>, meta: Meta, kind: RouteKind) -> Route {
    let mut route = Route { meta, kind, parents: Vec::new(), backends: Vec::new() };
    let Some(spec) = root.mapping("spec") else { return route };
    let namespace = route.meta.namespace.as_str();
    if let Some(list) = spec.list("parentRefs") {
        let parents = list.items().filter(Cursor::expect_mapping);
        route.parents = parents.filter_map(|item| parent(&item, namespace)).collect();
    }
    let hosts: Vec<String> = match spec.list("hostnames") {
        Some(list) => list.items().filter_map(|host| host.text().map(str::to_owned)).collect(),
        None => Vec::new(),
    };
    let mut backends = Vec::new();
    if let Some(rules) = spec.list("rules") {
        for rule in rules.items().filter(Cursor::expect_mapping) {
            mirrors(&rule, namespace, &hosts, &mut backends);
            let Some(list) = rule.list("backendRefs") else { continue };
            for item in list.items().filter(Cursor::expect_mapping) {
                // Nothing is sent to a backend of this weight, nor through its filters.
                if item.field("weight").is_some_and(|weight| weight.raw() == "0") {
                    continue;
                }
                backends.extend(route_backend(&item, namespace, &hosts));
                mirrors(&item, namespace, &hosts, &mut backends);
            }
        }
    }
    route.backends = backends;
    route
}

/// A reference's group and kind, with what they are when absent.
fn refers_to(item: &Cursor<'_>, group: &str, kind: &str) -> bool {
    item.field("group").map_or(group, |field| field.raw()) == group
        && item.field("kind").map_or(kind, |field| field.raw()) == kind
}

fn parent(item: &Cursor<'_>, namespace: &str) -> Option<ParentRef> {
    if !refers_to(item, "gateway.networking.k8s.io", "Gateway") {
        return None;
    }
    let Some(name) = text_of(item, "name") else {
        item.missing(Severity::Error, "name", "`name` is missing", "name the Gateway");
        return None;
    };
    Some(ParentRef {
        namespace: text_of(item, "namespace").unwrap_or_else(|| namespace.to_owned()),
        name,
        section: text_of(item, "sectionName").unwrap_or_default(),
    })
}

fn route_backend(item: &Cursor<'_>, namespace: &str, hosts: &[String]) -> Option<Backend> {
    if !refers_to(item, "", "Service") {
        return None;
    }
    let Some(service) = text_of(item, "name") else {
        item.missing(Severity::Error, "name", "`name` is missing", "name the Service");
        return None;
    };
    Some(Backend {
        namespace: text_of(item, "namespace").unwrap_or_else(|| namespace.to_owned()),
        service,
        port: item.field("port").and_then(|port| port.port()).map_or(BackendPort::Any, BackendPort::Number),
        hosts: hosts.to_vec(),
        source: item.source(),
    })
}

/// Services that get a copy of the traffic.
fn mirrors(parent: &Cursor<'_>, namespace: &str, hosts: &[String], backends: &mut Vec<Backend>) {
    let Some(filters) = parent.list("filters") else { return };
    for filter in filters.items() {
        if let Some(mirror) = filter.field("requestMirror")
            && let Some(backend) = mirror.field("backendRef")
        {
            backends.extend(route_backend(&backend, namespace, hosts));
        }
    }
}
