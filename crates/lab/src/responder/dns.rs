//! Cluster DNS: names of Services and pods, as the Kubernetes DNS specification gives them.
//!
//! `<service>.<namespace>.svc.cluster.local` has the cluster IPs, or the pods' addresses when the Service is
//! headless; `<pod>.<service>.<namespace>.svc.cluster.local` is one pod of a headless Service. Other names
//! don't exist, those outside of the cluster neither: a lab asks nobody.

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
        let found = self.addresses.get(name);
        let exists = found.is_some() || self.inner.contains(name);
        let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        (code, found.into_iter().flatten())
    }
}
