//! Cluster DNS: names of Services and pods, as the Kubernetes DNS specification gives them.
//!
//! `<service>.<namespace>.svc.cluster.local` has the cluster IPs, or the pods' addresses when the Service is
//! headless; `<pod>.<service>.<namespace>.svc.cluster.local` is one pod of a headless Service. Domain names that
//! policies name have addresses of the lab's outside, and so has every name that a wildcard stands for. Other names
//! don't exist: a lab asks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};

use crate::plan::Plan;

/// Ending of all names of the cluster.
pub(crate) const DOMAIN: &str = "cluster.local";

/// Seconds for which an answer may be kept: short, since edits change the lab at once.
const TTL: u32 = 5;

/// Everything that the cluster's DNS knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Addresses by lower-case name without final dot.
    addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Names above others, which exist without having addresses.
    inner: BTreeSet<String>,
    /// Addresses of all names below others.
    wildcards: BTreeMap<String, BTreeSet<IpAddr>>,
}

impl Names {
    pub fn new(plan: &Plan) -> Names {
        let mut names = Names::default();
        let pods = plan.pods_by_index();
        for service in &plan.services {
            let name = format!("{}.{}.svc.{DOMAIN}", service.name, service.namespace).to_ascii_lowercase();
            if !service.headless {
                names.add(&name, &service.cluster_ips);
                continue;
            }
            names.add(&name, &[]);
            for pod in service.endpoints.iter().filter_map(|index| pods.get(index)) {
                names.add(&name, &pod.ips);
                names.add(&format!("{}.{name}", pod.name.to_ascii_lowercase()), &pod.ips);
            }
        }
        for (name, ips) in &plan.outside.names {
            match name.strip_prefix("*.") {
                Some(above) => drop(names.wildcards.insert(above.to_owned(), ips.iter().copied().collect())),
                None => names.add(name, ips),
            }
        }
        names
    }

    fn add(&mut self, name: &str, ips: &[IpAddr]) {
        self.addresses.entry(name.to_owned()).or_default().extend(ips);
        let mut rest = name;
        while let Some((_, above)) = rest.split_once('.') {
            self.inner.insert(above.to_owned());
            rest = above;
        }
    }

    /// The answer to a DNS query, in wire format; `None` when the bytes are none.
    pub fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        if query.metadata.message_type != MessageType::Query || query.queries.is_empty() {
            return None;
        }
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.metadata.recursion_desired = query.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        let question = query.queries[0].clone();
        answer.metadata.response_code = match query.metadata.op_code {
            OpCode::Query => {
                let name = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
                let (code, ips) = self.look_up(&name);
                for ip in ips {
                    let data = match (ip, question.query_type()) {
                        (IpAddr::V4(ip), RecordType::A) => RData::A(A(*ip)),
                        (IpAddr::V6(ip), RecordType::AAAA) => RData::AAAA(AAAA(*ip)),
                        _ => continue,
                    };
                    answer.answers.push(Record::from_rdata(question.name().clone(), TTL, data));
                }
                answer.metadata.authoritative = true;
                code
            }
            _ => ResponseCode::NotImp,
        };
        answer.queries.push(question);
        answer.to_vec().ok()
    }

    fn look_up(&self, name: &str) -> (ResponseCode, impl Iterator<Item = &IpAddr>) {
        let mut above = name;
        let wildcard = std::iter::from_fn(|| {
            (_, above) = above.split_once('.')?;
            Some(self.wildcards.get(above))
        });
        let found = self.addresses.get(name).or_else(|| wildcard.flatten().next());
        let exists = found.is_some() || self.inner.contains(name);
        let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        (code, found.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Query;
    use hickory_proto::rr::Name;
    use podgate_api::load_text;

    use super::*;

    fn ask(names: &Names, name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
        let mut query = Message::query();
        query.queries.push(Query::query(Name::from_ascii(name).unwrap(), kind));
        let answer = Message::from_vec(&names.answer(&query.to_vec().unwrap()).unwrap()).unwrap();
        assert_eq!(answer.metadata.id, query.metadata.id);
        let data = answer.answers.iter().map(|record| record.data.to_string()).collect();
        (answer.metadata.response_code, data)
    }

    #[test]
    fn services_and_their_pods_have_names() {
        let manifests = "apiVersion: v1\nkind: Pod\nmetadata: { name: db-0, namespace: shop, labels: { app: db } }\n\
                         spec: { containers: [{ name: c, image: i }] }\n---\n\
                         apiVersion: v1\nkind: Service\nmetadata: { name: db, namespace: shop }\n\
                         spec: { clusterIP: None, selector: { app: db }, ports: [{ port: 1 }] }\n---\n\
                         apiVersion: v1\nkind: Service\nmetadata: { name: web, namespace: shop }\n\
                         spec: { selector: { app: db }, ports: [{ port: 1 }] }\n";
        let plan = Plan::new("t", &load_text("test.yaml", manifests).objects, 1, None).unwrap();
        let names = Names::new(&plan);
        for (name, kind, code, addresses) in [
            ("web.shop.svc.cluster.local.", RecordType::A, ResponseCode::NoError, vec!["10.96.0.32"]),
            ("WEB.shop.SVC.cluster.local.", RecordType::A, ResponseCode::NoError, vec!["10.96.0.32"]),
            ("web.shop.svc.cluster.local.", RecordType::AAAA, ResponseCode::NoError, vec!["fd00:10:96::20"]),
            ("web.shop.svc.cluster.local.", RecordType::TXT, ResponseCode::NoError, vec![]),
            ("db.shop.svc.cluster.local.", RecordType::A, ResponseCode::NoError, vec!["10.244.0.2"]),
            ("db-0.db.shop.svc.cluster.local.", RecordType::A, ResponseCode::NoError, vec!["10.244.0.2"]),
            ("shop.svc.cluster.local.", RecordType::A, ResponseCode::NoError, vec![]),
            ("db-1.db.shop.svc.cluster.local.", RecordType::A, ResponseCode::NXDomain, vec![]),
            ("web.other.svc.cluster.local.", RecordType::A, ResponseCode::NXDomain, vec![]),
            ("example.com.", RecordType::A, ResponseCode::NXDomain, vec![]),
        ] {
            let expected = (code, addresses.into_iter().map(str::to_owned).collect());
            assert_eq!(ask(&names, name, kind), expected, "{name} {kind}");
        }
    }

    #[test]
    fn names_that_policies_name_are_outside() {
        let policy = "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: { name: p }\n\
                      spec:\n  tier: Admin\n  priority: 1\n  subject: { namespaces: {} }\n  egress:\n  \
                      - { action: Accept, to: [{ domainNames: [Api.example.com, '*.example.org'] }] }\n";
        let plan = Plan::new("t", &load_text("test.yaml", policy).objects, 1, None).unwrap();
        let names = Names::new(&plan);
        let has = |name: &str, of: &str| {
            let [v4, v6] = &plan.outside.names[of][..] else { panic!("{:?}", plan.outside.names) };
            assert!(plan.outside.addresses.contains(v4) && plan.outside.addresses.contains(v6));
            assert_eq!(
                ask(&names, name, RecordType::A),
                (ResponseCode::NoError, vec![v4.to_string()]),
                "{name}"
            );
            assert_eq!(
                ask(&names, name, RecordType::AAAA),
                (ResponseCode::NoError, vec![v6.to_string()]),
                "{name}"
            );
        };
        has("API.example.com.", "api.example.com");
        has("www.example.org.", "*.example.org");
        has("a.b.example.org.", "*.example.org");
        for name in ["example.org.", "www.example.net.", "xexample.org."] {
            assert_eq!(ask(&names, name, RecordType::A).0, ResponseCode::NXDomain, "{name}");
        }
    }

    #[test]
    fn what_is_no_query_gets_no_answer() {
        let names = Names::default();
        let response = Message::response(7, OpCode::Query).to_vec().unwrap();
        for bytes in [&b"podgate?\n"[..], b"", &response, &[0; 12]] {
            assert_eq!(names.answer(bytes), None, "{bytes:?}");
        }
    }
}
