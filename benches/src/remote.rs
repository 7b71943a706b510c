//! A whole cluster as one node's agent sees it: nearly all pods run elsewhere, and no policy of this node names them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podgate_api::{ContainerPort, Meta, Object, Owner, Pod, Protocol};

use crate::large::{ingress_policy, label_in, namespace, node, pods, rule, tcp};

/// Ten pods in each namespace, each with a label set of its own there.
#[derive(Clone, Copy, Debug)]
pub struct Remote {
    /// Namespaces.
    pub namespaces: u32,
    /// Nodes.
    pub nodes: u32,
    /// Pods have an IPv6 address too.
    pub dual_stack: bool,
    /// Label sets are those of one namespace alone; otherwise all namespaces have the same ten.
    pub own_labels: bool,
}

impl Remote {
    /// Pods of a namespace.
    pub const PODS: u32 = 10;

    /// Namespaces, nodes and pods, one after the other, and policies in the first ten namespaces.
    pub fn objects(self) -> impl Iterator<Item = Object> {
        let nodes = (0..self.nodes).map(|i| Object::Node(node(i)));
        let namespaces =
            (0..self.namespaces).map(|ns| namespace(&name(ns), &[("team", &format!("team-{}", ns % 50))]));
        let pods = (0..self.namespaces * Self::PODS).map(move |i| Object::Pod(self.pod(i)));
        nodes.chain(namespaces).chain((0..10).map(policy)).chain(pods)
    }

    fn pod(self, index: u32) -> Pod {
        let (ns, app) = (index / Self::PODS, index % Self::PODS);
        let template = if self.own_labels { index } else { app };
        // As a controller makes them: ten letters for the template, five for the pod.
        let hash = format!("{:010x}", u64::from(template).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24);
        let owner = format!("app-{app}-{hash}");
        let labels = [
            ("app.kubernetes.io/name", format!("app-{app}")),
            ("app.kubernetes.io/part-of", "shop".to_owned()),
            ("pod-template-hash", hash),
        ];
        let mut ips = vec![IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + index))];
        if self.dual_stack {
            ips.push(IpAddr::V6(Ipv6Addr::from((0xfd00_u128 << 112) + u128::from(index) + 1)));
        }
        Pod {
            meta: Meta {
                name: format!("{owner}-{:05x}", index & 0xf_ffff),
                namespace: name(ns),
                uid: format!("{index:08x}-0000-4000-8000-{index:012x}"),
                labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                created: "2026-01-01T00:00:00Z".to_owned(),
                ..Meta::default()
            },
            owner: Some(Owner { kind: "ReplicaSet".to_owned(), name: owner }),
            node: Some(format!("node-{}", index % self.nodes)),
            ips,
            ports: vec![ContainerPort { name: "http".to_owned(), port: 8080, protocol: Protocol::Tcp }],
            ..Pod::default()
        }
    }
}

fn name(ns: u32) -> String {
    format!("tenant-{ns}")
}

fn policy(ns: u32) -> Object {
    let app = |app: &str| label_in(&[("app.kubernetes.io/name", app)]);
    let from = rule(Some(vec![pods(None, Some(app("app-1")))]), Some(vec![tcp(8080)]));
    ingress_policy(&name(ns), "app-0", app("app-0"), vec![from])
}
