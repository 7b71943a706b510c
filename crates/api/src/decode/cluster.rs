//! Namespaces, nodes and Services.

use crate::cursor::{Cursor, Value};
use crate::syntax::{is_dns_label, parse_cidr, port_name_fault};
use crate::tree::shorten;
use crate::{
    ExternalTrafficPolicy, Meta, NAMESPACE_NAME_LABEL, Namespace, Node, Protocol, Service, ServicePort,
    ServiceType, TargetPort,
};

use super::meta::labels_of;
use super::network_policy::protocol;
use super::pod::address;

pub(super) fn namespace(root: &Cursor<'_>, mut meta: Meta) -> Namespace {
    if let Some(metadata) = root.field("metadata")
        && let Some(labels) = metadata.field("labels")
        && let Some(label) = labels.field(NAMESPACE_NAME_LABEL)
        && label.raw() != meta.name
    {
        label.warning(
            format!("the API server sets this label to `{}`", shorten(&meta.name)),
            "remove the label: every namespace has it",
        );
    }
    meta.labels.insert(NAMESPACE_NAME_LABEL.to_owned(), meta.name.clone());
    Namespace { meta }
}

pub(super) fn node(root: &Cursor<'_>, meta: Meta) -> Node {
    let mut node = Node { meta, ..Node::default() };
    if let Some(spec) = root.mapping("spec") {
        let network = |field: &Cursor<'_>| {
            let text = field.text()?;
            match parse_cidr(text) {
                Ok(network) => Some(network.net),
                Err((message, help)) => {
                    field.error(message, help);
                    None
                }
            }
        };
        if let Some(list) = spec.list("podCIDRs") {
            node.pod_cidrs = list.items().filter_map(|item| network(&item)).collect();
        }
        if node.pod_cidrs.is_empty() {
            node.pod_cidrs
                .extend(spec.field("podCIDR").filter(|f| !f.raw().is_empty()).and_then(|f| network(&f)));
        }
    }
    if let Some(status) = root.mapping("status")
        && let Some(list) = status.list("addresses")
    {
        for item in list.items() {
            let is_ip = item.field("type").is_some_and(|t| matches!(t.raw(), "InternalIP" | "ExternalIP"));
            if is_ip && let Some(field) = item.field("address") {
                node.addresses.extend(address(&field));
            }
        }
    }
    node
}

pub(super) fn service(root: &Cursor<'_>, meta: Meta) -> Service {
    let mut service = Service { meta, ..Service::default() };
    let Some(spec) = root.mapping("spec") else { return service };
    service.selector =
        spec.mapping("selector").map(|map| labels_of(&map, true)).filter(|selector| !selector.is_empty());
    if let Some(field) = spec.field("type") {
        service.kind = match field.text() {
            Some("ClusterIP" | "") | None => ServiceType::ClusterIp,
            Some("NodePort") => ServiceType::NodePort,
            Some("LoadBalancer") => ServiceType::LoadBalancer,
            Some("ExternalName") => ServiceType::ExternalName,
            Some(other) => {
                let help = "types are `ClusterIP`, `NodePort`, `LoadBalancer` and `ExternalName`";
                field.error(format!("unknown Service type `{}`", shorten(other)), help);
                ServiceType::ClusterIp
            }
        };
    }
    if let Some(field) = spec.field("externalTrafficPolicy") {
        service.external_traffic_policy = match field.text() {
            Some("Local") => ExternalTrafficPolicy::Local,
            Some("Cluster" | "") | None => ExternalTrafficPolicy::Cluster,
            Some(other) => {
                field.error(
                    format!("unknown traffic policy `{}`", shorten(other)),
                    "write `Cluster` or `Local`",
                );
                ExternalTrafficPolicy::Cluster
            }
        };
    }
    let own = spec.field("clusterIP");
    service.headless = own.as_ref().is_some_and(|ip| ip.raw() == "None");
    if !service.headless {
        if let Some(list) = spec.list("clusterIPs") {
            service.headless = list.items().any(|item| item.raw() == "None");
            let addresses = list.items().filter(|item| !matches!(item.raw(), "" | "None"));
            service.cluster_ips = addresses.filter_map(|item| address(&item)).collect();
        }
        if service.cluster_ips.is_empty()
            && let Some(ip) = own.filter(|ip| !ip.raw().is_empty())
        {
            service.cluster_ips.extend(address(&ip));
        }
    }
    service.ports = ports(&spec, service.headless || service.kind == ServiceType::ExternalName);
    service
}

fn ports(spec: &Cursor<'_>, may_be_empty: bool) -> Vec<ServicePort> {
    let mut ports: Vec<ServicePort> = Vec::new();
    let list = spec.list("ports");
    let Some(list) = list.filter(|list| !list.is_empty()) else {
        if !may_be_empty && spec.field("ports").is_none_or(|ports| ports.is_empty()) {
            spec.missing(
                crate::Severity::Error,
                "ports",
                "a Service needs ports",
                "write `ports: [{port: 80}]`, or `clusterIP: None`",
            );
        }
        return ports;
    };
    let several = list.items().len() > 1;
    for item in list.items().filter(Cursor::expect_mapping) {
        let Some(port) = port(&item) else { continue };
        if several && port.name.is_empty() {
            item.error("one of several ports has no name", "give each port of the Service a `name`");
        }
        if !port.name.is_empty() && ports.iter().any(|other| other.name == port.name) {
            item.error(
                format!("two ports are named `{}`", shorten(&port.name)),
                "give each port a name of its own",
            );
        }
        let same = |other: &ServicePort| (other.port, other.protocol) == (port.port, port.protocol);
        if ports.iter().any(same) {
            item.error(
                format!("port {}/{} is already there", port.port, port.protocol),
                "remove one of the two",
            );
            continue;
        }
        ports.push(port);
    }
    ports
}

fn port(item: &Cursor<'_>) -> Option<ServicePort> {
    let name = item.field("name").and_then(|field| {
        let name = field.text()?;
        if !name.is_empty() && !is_dns_label(name) {
            field.error(
                format!("`{}` is no port name", shorten(name)),
                "write lower-case letters, digits and `-`",
            );
        }
        Some(name.to_owned())
    });
    let protocol: Option<Protocol> = protocol(item.field("protocol"));
    let number = match item.field("port") {
        Some(field) => field.port(),
        None => {
            item.error("`port` is missing", "name the port, as in `port: 80`");
            None
        }
    };
    let target = match item.field("targetPort") {
        None => number.map(TargetPort::Number),
        Some(field) => match field.int_or_text() {
            None => None,
            Some(Value::Int(0) | Value::Text("")) => number.map(TargetPort::Number),
            Some(Value::Int(_)) => field.port().map(TargetPort::Number),
            Some(Value::Text(text)) => match port_name_fault(text) {
                None => Some(TargetPort::Name(text.to_owned())),
                Some(fault) => {
                    let help = match text.parse::<u16>() {
                        Ok(number) => format!("remove the quotes: {number}"),
                        Err(_) => fault.to_owned(),
                    };
                    field.error(format!("`{}` is no port", shorten(text)), help);
                    None
                }
            },
        },
    };
    let node_port = item.field("nodePort").filter(|field| field.raw() != "0").and_then(|field| field.port());
    Some(ServicePort {
        name: name.unwrap_or_default(),
        protocol: protocol?,
        port: number?,
        target: target?,
        node_port,
    })
}
