//! Whose answers are believed.

use std::net::IpAddr;

use ipnet::IpNet;
use podgate_policy::Cluster;

/// The name servers whose answers open addresses. An answer of any other opens nothing: whoever lets a pod ask a server
/// of its choice would let it open what it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Resolvers {
    /// The cluster's: pods of `kube-system` with the label `k8s-app: kube-dns`, and whatever answers on nodes, their
    /// link-local addresses included (a cache on each node has one).
    #[default]
    Cluster,
    /// Those in these networks; addresses after Service DNAT.
    Networks(Vec<IpNet>),
    /// All that policies let pods ask.
    Any,
}

impl Resolvers {
    /// Whether a name server is one of them.
    pub fn has(&self, server: IpAddr, cluster: &Cluster) -> bool {
        match self {
            Resolvers::Any => true,
            Resolvers::Networks(networks) => networks.iter().any(|network| network.contains(&server)),
            Resolvers::Cluster => match cluster.pod_at(server) {
                Some(pod) => {
                    pod.namespace() == "kube-system"
                        && pod.labels().iter().any(|label| label == ("k8s-app", "kube-dns"))
                }
                None => cluster.node_at(server).is_some() || is_link_local(server),
            },
        }
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use podgate_policy::Settings;

    use super::*;

    #[test]
    fn the_cluster_s_name_servers_are_known_by_their_label_or_as_nodes() {
        let objects = r#"
{kind: Node, apiVersion: v1, metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}}
---
{kind: Pod, apiVersion: v1, metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}, spec: {containers: [{name: c, image: i}]}, status: {podIPs: [{ip: 10.0.0.1}]}}
---
{kind: Pod, apiVersion: v1, metadata: {name: fake, namespace: shop, labels: {k8s-app: kube-dns}}, spec: {containers: [{name: c, image: i}]}, status: {podIPs: [{ip: 10.0.0.2}]}}
---
{kind: Pod, apiVersion: v1, metadata: {name: proxy, namespace: kube-system, labels: {k8s-app: other}}, spec: {containers: [{name: c, image: i}]}, status: {podIPs: [{ip: 10.0.0.3}]}}
"#;
        let mut cluster = Cluster::new(Settings::default());
        podgate_api::load_text("o.yaml", objects)
            .objects
            .into_iter()
            .for_each(|object| cluster.apply(object));
        cluster.commit();
        let outside = Resolvers::Networks(vec!["192.0.2.0/24".parse().unwrap()]);
        for (server, of_cluster, of_network) in [
            ("10.0.0.1", true, false),
            ("10.0.0.2", false, false),
            ("10.0.0.3", false, false),
            ("172.18.0.2", true, false),
            ("169.254.20.10", true, false),
            ("192.0.2.53", false, true),
        ] {
            let server = server.parse().unwrap();
            assert_eq!(Resolvers::Cluster.has(server, &cluster), of_cluster, "{server}");
            assert_eq!(outside.has(server, &cluster), of_network, "{server}");
            assert!(Resolvers::Any.has(server, &cluster));
        }
    }
}
