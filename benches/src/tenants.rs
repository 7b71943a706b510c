//! Tenants under ten policies each: tables of any size around two pods whose own policies never change.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use podgate_api::{
    IpBlock, LabelSelector, NAMESPACE_NAME_LABEL, NetworkPolicy, Object, Peer, Pod, PolicyPort, PortMatch,
    Protocol, Rule, Source,
};

use crate::large::{label_in, meta, namespace, node, pod, pods, rule, tcp};

/// Namespaces of front ends and back ends; as many of the first ones as there are policies for have ten
/// policies each. [`Tenants::client`] may open connections to [`Tenants::server`] on [`Tenants::PORT`],
/// and both are isolated in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Tenants {
    /// Namespaces.
    pub namespaces: u32,
    /// Pods in each namespace: one half front ends, the other back ends.
    pub pods: u32,
    /// Policies in all, in tens.
    pub policies: u32,
    /// Nodes that the pods are spread over; client and server are on the first.
    pub nodes: u32,
}

impl Tenants {
    /// The TCP and UDP port of back ends that their front ends may call.
    pub const PORT: u16 = 5432;
    /// Back ends take these TCP ports from their front ends; no front end may call them.
    pub const INNER: (u16, u16) = (7000, 7999);
    /// Policies of a namespace.
    pub const EACH: u32 = 10;
    /// The namespace of client and server.
    pub const NAMESPACE: &str = "ns-0";
    /// The node of client and server.
    pub const NODE: &str = "node-0";

    /// The cluster's objects.
    pub fn generate(&self) -> Vec<Object> {
        let mut objects: Vec<Object> = (0..self.nodes).map(|i| Object::Node(node(i))).collect();
        for ns in 0..self.namespaces {
            let purpose = match ns % 100 {
                98 => "system",
                99 => "monitoring",
                _ => "tenant",
            };
            objects.push(namespace(&name(ns), &[("purpose", purpose)]));
            objects.extend((0..self.pods).map(|i| Object::Pod(self.pod(ns, i))));
            if ns < self.policies / Self::EACH {
                objects.extend(policies(ns).into_iter().map(Object::NetworkPolicy));
            }
        }
        objects
    }

    /// The front end that opens connections.
    pub fn client(&self) -> Pod {
        self.pod(0, 0)
    }

    /// The back end that takes them.
    pub fn server(&self) -> Pod {
        self.pod(0, self.pods / 2)
    }

    /// A pod of [`Tenants::NAMESPACE`] that isn't among the objects.
    pub fn extra(name: &str, node: &str, address: Ipv4Addr, labels: &[(&str, &str)]) -> Pod {
        let pod = pod(Self::NAMESPACE, name, 0, 1, labels);
        Pod { ips: vec![address.into()], node: Some(node.to_owned()), ..pod }
    }

    /// A policy of [`Tenants::NAMESPACE`] that lets front ends call pods with these labels on a TCP port.
    pub fn may_call(name: &str, to: &[(&str, &str)], port: u16) -> NetworkPolicy {
        let rule = rule(Some(vec![pods(None, Some(label_in(to)))]), Some(vec![tcp(port)]));
        egress(Self::NAMESPACE, name, app("front"), vec![rule])
    }

    fn pod(&self, ns: u32, i: u32) -> Pod {
        let app = if i < self.pods / 2 { "front" } else { "back" };
        let index = ns * self.pods + i;
        let mut pod = pod(&name(ns), &format!("{app}-{i}"), index, self.nodes, &[("app", app)]);
        if ns == 0 && i == self.pods / 2 {
            pod.node = Some(Self::NODE.to_owned());
        }
        pod
    }
}

fn name(ns: u32) -> String {
    format!("ns-{ns}")
}

fn app(value: &str) -> LabelSelector {
    label_in(&[("app", value)])
}

fn range(protocol: Protocol, (lo, hi): (u16, u16)) -> PolicyPort {
    PolicyPort { protocol, port: PortMatch::Range(lo, hi), source: Source::default() }
}

fn block(cidr: Ipv4Net, except: Option<Ipv4Net>) -> Peer {
    let except = except.into_iter().map(IpNet::V4).collect();
    Peer::IpBlock(IpBlock { cidr: IpNet::V4(cidr), except, source: Source::default() })
}

fn net(address: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(address.into(), length).trunc()
}

fn egress(ns: &str, name: &str, subjects: LabelSelector, egress: Vec<Rule>) -> NetworkPolicy {
    let meta = meta(ns, name, &[]);
    NetworkPolicy { meta, pod_selector: subjects, egress_in_force: true, egress, ..NetworkPolicy::default() }
}

fn ingress(ns: &str, name: &str, subjects: LabelSelector, ingress: Vec<Rule>) -> NetworkPolicy {
    let meta = meta(ns, name, &[]);
    NetworkPolicy {
        meta,
        pod_selector: subjects,
        ingress_in_force: true,
        ingress,
        ..NetworkPolicy::default()
    }
}

fn policies(index: u32) -> [NetworkPolicy; Tenants::EACH as usize] {
    let ns = name(index);
    let ns = ns.as_str();
    let own = |selector: LabelSelector| Some(vec![pods(None, Some(selector))]);
    let of_purpose = |purpose: &str| Some(vec![pods(Some(label_in(&[("purpose", purpose)])), None)]);
    let everything = LabelSelector::default;
    let main = |protocol| range(protocol, (Tenants::PORT, Tenants::PORT));
    let dns = |protocol| range(protocol, (53, 53));
    let [_, _, high, low] = index.to_be_bytes();
    let partner = format!("ns-{}", index + 1);
    let partner = pods(Some(label_in(&[(NAMESPACE_NAME_LABEL, &partner)])), Some(app("front")));
    let outside = block(net([172, 20 + high, low, 0], 24), Some(net([172, 20 + high, low, 240], 28)));
    let admins = block(net([172, 16, 0, 0], 16), None);
    let back_ports = vec![main(Protocol::Tcp), main(Protocol::Udp), range(Protocol::Tcp, Tenants::INNER)];
    let deny = NetworkPolicy {
        meta: meta(ns, "deny", &[]),
        ingress_in_force: true,
        egress_in_force: true,
        ..NetworkPolicy::default()
    };
    [
        deny,
        ingress(ns, "web", app("front"), vec![rule(None, Some(vec![tcp(80), tcp(443)]))]),
        ingress(ns, "monitoring", everything(), vec![rule(of_purpose("monitoring"), Some(vec![tcp(9090)]))]),
        ingress(ns, "partner", app("back"), vec![rule(Some(vec![partner]), Some(vec![tcp(8443)]))]),
        ingress(ns, "admins", app("back"), vec![rule(Some(vec![admins]), Some(vec![tcp(22)]))]),
        ingress(ns, "back", app("back"), vec![rule(own(app("front")), Some(back_ports))]),
        egress(
            ns,
            "dns",
            everything(),
            vec![rule(of_purpose("system"), Some(vec![dns(Protocol::Udp), dns(Protocol::Tcp)]))],
        ),
        egress(ns, "outside", app("front"), vec![rule(Some(vec![outside]), Some(vec![tcp(443)]))]),
        egress(
            ns,
            "gossip",
            app("front"),
            vec![rule(own(everything()), Some(vec![range(Protocol::Tcp, (30_000, 30_100))]))],
        ),
        egress(
            ns,
            "front-back",
            app("front"),
            vec![rule(own(app("back")), Some(vec![main(Protocol::Tcp), main(Protocol::Udp)]))],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use podgate_policy::{Cluster, Connection, Settings, Verdict};

    use super::*;

    #[test]
    fn the_client_may_call_the_server_on_the_port_alone_whatever_the_size() {
        for policies in [10, 200] {
            let tenants = Tenants { namespaces: 20, pods: 4, policies, nodes: 3 };
            let mut cluster = Cluster::new(Settings::default());
            tenants.generate().into_iter().for_each(|object| cluster.apply(object));
            cluster.commit();
            let (client, server) = (tenants.client(), tenants.server());
            let verdict = |port, protocol| {
                let connection = Connection { from: client.ips[0], to: server.ips[0], protocol, port };
                cluster.evaluate(&connection).verdict
            };
            assert_eq!(cluster.size().policies, policies as usize);
            assert_eq!(verdict(Tenants::PORT, 6), Verdict::Allowed);
            assert_eq!(verdict(Tenants::PORT, 17), Verdict::Allowed);
            assert_eq!(verdict(Tenants::INNER.0, 6), Verdict::Denied);
            assert_eq!([client.node.as_deref(), server.node.as_deref()], [Some(Tenants::NODE); 2]);
        }
    }
}
