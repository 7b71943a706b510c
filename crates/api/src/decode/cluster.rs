//! Namespaces, nodes and Services.

use ipnet::IpNet;

use crate::cursor::{Cursor, Value};
use crate::syntax::{is_dns_label, parse_cidr, port_name_fault};
use crate::tree::shorten;
use crate::{
    ExternalTrafficPolicy, Labels, Meta, NAMESPACE_NAME_LABEL, Namespace, Node, Protocol, Service,
    ServicePort, ServiceType, TargetPort,
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

fn network(field: &Cursor<'_>) -> Option<IpNet> {
    match parse_cidr(field.text()?.trim()) {
        Ok(network) => Some(network.net),
        Err((message, help)) => {
            field.error(message, help);
            None
        }
    }
}

/// Annotations by which clouds keep a load balancer out of the internet, with the values that do so. `*`:
/// any value but the empty one.
const INTERNAL: [(&str, &[&str]); 18] = [
    // Alibaba Cloud, by its present and its former name.
    ("service.beta.kubernetes.io/alibaba-cloud-loadbalancer-address-type", &["intranet"]),
    ("service.beta.kubernetes.io/alicloud-loadbalancer-address-type", &["intranet"]),
    // Amazon; `0.0.0.0/0` was the only value at first.
    ("service.beta.kubernetes.io/aws-load-balancer-internal", &["true", "0.0.0.0/0"]),
    ("service.beta.kubernetes.io/aws-load-balancer-scheme", &["internal"]),
    // Azure.
    ("service.beta.kubernetes.io/azure-load-balancer-internal", &["true"]),
    // Baidu.
    ("service.beta.kubernetes.io/cce-load-balancer-internal-vpc", &["true"]),
    // DigitalOcean.
    ("service.beta.kubernetes.io/do-loadbalancer-network", &["internal"]),
    // Google, now and formerly.
    ("networking.gke.io/load-balancer-type", &["internal"]),
    ("cloud.google.com/load-balancer-type", &["internal"]),
    // Hetzner.
    ("load-balancer.hetzner.cloud/disable-public-network", &["true"]),
    // IBM.
    ("service.kubernetes.io/ibm-load-balancer-cloud-provider-ip-type", &["private"]),
    // OpenStack.
    ("service.beta.kubernetes.io/openstack-internal-load-balancer", &["true"]),
    // Oracle: load balancers and network load balancers.
    ("service.beta.kubernetes.io/oci-load-balancer-internal", &["true"]),
    ("oci-network-load-balancer.oraclecloud.com/internal", &["true"]),
    // Outscale.
    ("service.beta.kubernetes.io/osc-load-balancer-internal", &["true"]),
    // Scaleway.
    ("service.beta.kubernetes.io/scw-loadbalancer-private", &["true"]),
    // Tencent: the subnet to be in.
    ("service.kubernetes.io/qcloud-loadbalancer-internal-subnetid", &["*"]),
    // Yandex Cloud.
    ("yandex.cloud/load-balancer-type", &["internal"]),
];

fn is_internal(annotations: &Labels) -> bool {
    INTERNAL.iter().any(|(name, values)| {
        let value = annotations.get(*name).map(|value| value.trim());
        value.is_some_and(|value| match values {
            ["*"] => !value.is_empty(),
            values => values.iter().any(|internal| internal.eq_ignore_ascii_case(value)),
        })
    })
}

pub(super) fn service(root: &Cursor<'_>, meta: Meta) -> Service {
    let mut service = Service { meta, ..Service::default() };
    service.internal_load_balancer = is_internal(&service.meta.annotations);
    if let Some(status) = root.field("status")
        && let Some(balancer) = status.field("loadBalancer")
        && let Some(list) = balancer.list("ingress")
    {
        service.load_balancer_ips = list.items().filter_map(|item| address(&item.field("ip")?)).collect();
    }
    let Some(spec) = root.mapping("spec") else { return service };
    if let Some(list) = spec.list("externalIPs") {
        service.external_ips = list.items().filter_map(|item| address(&item)).collect();
    }
    if let Some(list) = spec.list("loadBalancerSourceRanges") {
        service.source_ranges = list.items().filter_map(|item| network(&item)).collect();
    }
    if let Some(name) = spec.field("externalName").and_then(|field| field.text()) {
        service.external_name = name.to_owned();
    }
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
