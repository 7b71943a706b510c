//! A shop, and records of its connections.

use std::collections::BTreeMap;
use std::sync::Arc;

use podgate_advise::recommend::{Options, Recommendation};
use podgate_advise::{Collector, Judge, Lost, Seen};
use podgate_api::{Object, load_text};
use podgate_flow::{
    Endpoint, FlowId, FlowRecord, FlowVerdict, OwnerName, Party, Protocol, ServiceName, TcpFlags, Timestamp,
};

/// A front end that talks to an API, which talks to a database; DNS; a node.
pub const SHOP: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDRs: [10.1.0.0/24]}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}, {type: InternalIP, address: "fd00:18::2"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, app.kubernetes.io/version: "1.2"}}
    spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080, name: http}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: c, image: i, ports: [{containerPort: 9000}]}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: data}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: i, ports: [{containerPort: 5432}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns}}
    spec: {containers: [{name: c, image: i, ports: [{containerPort: 53, protocol: UDP}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, clusterIP: 10.96.0.10, ports: [{port: 80, targetPort: 9000}]}
"#;

pub fn objects(text: &str) -> Vec<Object> {
    let loaded = load_text("objects.yaml", text);
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    loaded.objects
}

/// One end: a pod of a workload, as `shop/Deployment/web` with an address, or with `node:` or `out:` before a name.
pub fn end(name: &str, ip: &str, port: u16) -> Endpoint {
    let party = match name.split_once(':') {
        Some(("node", node)) => Party::Node { node: node.to_owned() },
        Some((_, "")) => Party::Outside { name: None },
        Some((_, name)) => Party::Outside { name: Some(name.to_owned()) },
        None => {
            let parts: Vec<&str> = name.split('/').collect();
            let [namespace, kind, workload] = parts[..] else { panic!("{name} is namespace/kind/name") };
            Party::Pod {
                namespace: namespace.to_owned(),
                pod: format!("{workload}-{}", ip.replace([':', '.'], "-")),
                owner: Some(OwnerName { kind: kind.to_owned(), name: workload.to_owned() }),
                node: Some("n1".to_owned()),
                labels: [
                    ("app".to_owned(), workload.to_owned()),
                    ("pod-template-hash".to_owned(), "6d8f".to_owned()),
                ]
                .into(),
            }
        }
    };
    Endpoint::new(ip.parse().unwrap(), port, party)
}

pub const SYN: TcpFlags = TcpFlags(0x02);
pub const ACK: TcpFlags = TcpFlags(0x10);

/// A recorder of connections, a second apart.
#[derive(Default)]
pub struct Recorder {
    pub records: Vec<FlowRecord>,
    pub lost: u64,
}

impl Recorder {
    /// A connection's first packet.
    pub fn add(
        &mut self,
        from: Endpoint,
        to: Endpoint,
        protocol: Protocol,
        verdict: FlowVerdict,
    ) -> &mut FlowRecord {
        let number = self.records.len() as u64;
        let time = Timestamp((1_700_000_000 + number) * 1_000_000_000);
        let mut record = FlowRecord::new(time, "n1", verdict, protocol, from, to);
        record.id = FlowId(u128::from(number + 1) << 64);
        if protocol == Protocol::TCP {
            record.tcp_flags = SYN;
        }
        self.records.push(record);
        self.records.last_mut().unwrap()
    }

    /// An allowed TCP connection from a client's port.
    pub fn tcp(&mut self, from: (&str, &str), to: (&str, &str, u16)) -> &mut FlowRecord {
        self.one(from, to, Protocol::TCP, FlowVerdict::Allowed)
    }

    /// An allowed exchange of datagrams.
    pub fn udp(&mut self, from: (&str, &str), to: (&str, &str, u16)) -> &mut FlowRecord {
        self.one(from, to, Protocol::UDP, FlowVerdict::Allowed)
    }

    pub fn one(
        &mut self,
        from: (&str, &str),
        to: (&str, &str, u16),
        protocol: Protocol,
        verdict: FlowVerdict,
    ) -> &mut FlowRecord {
        let client = 40_000 + (self.records.len() % 20_000) as u16;
        let (from, to) = (end(from.0, from.1, client), end(to.0, to.1, to.2));
        self.add(from, to, protocol, verdict)
    }

    pub fn seen(&self, objects: &[Object]) -> Seen {
        let mut collector = Collector::new();
        self.records.iter().for_each(|record| collector.take(record));
        collector.lose(Lost { flows: self.lost, ..Lost::default() });
        collector.settle(Judge::serves(objects))
    }

    /// What is recommended for the shop, proved.
    #[track_caller]
    pub fn recommend(&self, text: &str) -> Recommendation {
        self.recommend_with(text, &Options::default())
    }

    #[track_caller]
    pub fn recommend_with(&self, text: &str, options: &Options) -> Recommendation {
        let objects = objects(text);
        let recommendation = Recommendation::new(objects.clone(), &self.seen(&objects), options);
        assert!(recommendation.proof.holds(), "{:#?}\n{}", recommendation.proof, recommendation.to_yaml());
        recommendation
    }
}

/// What asked a Service.
pub fn through(record: &mut FlowRecord, service: &str, at: &str) {
    let (namespace, name) = service.split_once('/').unwrap();
    let asked: std::net::SocketAddr = at.parse().unwrap();
    record.asked = Some(asked);
    record.service = Some(Arc::new(ServiceName {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        port: asked.port(),
    }));
}

/// The policy of a workload as text, without comments.
#[track_caller]
pub fn policy(recommendation: &Recommendation, workload: &str) -> String {
    let found = recommendation.policies.iter().find(|policy| policy.workload.to_string() == workload);
    let found = found.unwrap_or_else(|| panic!("no policy for {workload}:\n{}", recommendation.to_yaml()));
    podgate_analysis::manifest::policy(&found.document.policy)
}

/// The rules of a policy as `ingress: <peers> <ports>`.
#[track_caller]
pub fn rules(recommendation: &Recommendation, workload: &str) -> Vec<String> {
    let found = recommendation.policies.iter().find(|policy| policy.workload.to_string() == workload);
    let found = found.unwrap_or_else(|| panic!("no policy for {workload}:\n{}", recommendation.to_yaml()));
    let policy = &found.document.policy;
    let mut all = Vec::new();
    for (list, rules) in [("ingress", &policy.ingress), ("egress", &policy.egress)] {
        for rule in rules {
            let peers: Vec<String> = rule.peers.iter().flatten().map(peer).collect();
            let ports: Vec<String> = rule
                .ports
                .iter()
                .flatten()
                .map(|port| match port.port {
                    podgate_api::PortMatch::Range(a, b) if a == b => format!("{}/{a}", port.protocol),
                    podgate_api::PortMatch::Range(a, b) => format!("{}/{a}-{b}", port.protocol),
                    _ => panic!("recommended ports are numbers"),
                })
                .collect();
            all.push(format!("{list}: {} {}", peers.join("+"), ports.join(",")));
        }
    }
    all
}

fn peer(peer: &podgate_api::Peer) -> String {
    match peer {
        podgate_api::Peer::IpBlock(block) => block.cidr.to_string(),
        podgate_api::Peer::Pods(pods) => {
            let namespace =
                pods.namespaces.as_ref().map(|selector| format!("{{{selector}}} ")).unwrap_or_default();
            format!("{namespace}{}", pods.pods.as_ref().unwrap())
        }
    }
}

pub fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
