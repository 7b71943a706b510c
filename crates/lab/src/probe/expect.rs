//! What policy says of every attempt.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podgate_flow::Decision;
use podgate_policy::Verdict;
use serde::{Deserialize, Serialize};

use super::Wire;
use super::matrix::{Matrix, Route, Trial};
use super::report::{Expected, Possible};
use crate::error::{Error, Result};
use crate::plan::{Plan, PodPlan};

/// A question to the engine: a connection with the addresses that policy sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Query {
    /// Source.
    pub from: IpAddr,
    /// Destination, after Service translation.
    pub to: IpAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// Destination port; the message type for ICMP and ICMPv6.
    pub port: u16,
}

/// The engine's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// Allowed or denied.
    pub verdict: Verdict,
    /// What the source's policies say.
    pub egress: Decision,
    /// What the destination's policies say.
    pub ingress: Decision,
}

/// The expectation for each trial of the matrix, in its order.
pub(super) fn expectations(
    plan: &Plan,
    matrix: &Matrix,
    judge: impl FnOnce(&[Query]) -> Result<Vec<Ruling>>,
) -> Result<Vec<Expected>> {
    let pods = plan.pods_by_index();
    // Each question once: backends are asked about through Services, node ports and directly.
    let mut places: BTreeMap<Query, usize> = BTreeMap::new();
    let mut queries = Vec::new();
    let mut ways: Vec<Vec<(usize, String)>> = Vec::with_capacity(matrix.trials.len());
    for trial in &matrix.trials {
        let of_trial = ways_of(plan, &pods, matrix, trial);
        let placed = of_trial.into_iter().map(|(query, answers)| {
            let at = *places.entry(query).or_insert_with(|| {
                queries.push(query);
                queries.len() - 1
            });
            (at, answers)
        });
        ways.push(placed.collect());
    }
    let rulings = judge(&queries)?;
    if rulings.len() != queries.len() {
        return Err(Error::message(format!(
            "the engine gave {} answers to {} questions",
            rulings.len(),
            queries.len()
        )));
    }
    let possible = |(at, answers): (usize, String)| {
        let Ruling { verdict, egress, ingress } = rulings[at].clone();
        Possible { answers, verdict, egress, ingress }
    };
    Ok(ways.into_iter().map(|ways| Expected::new(ways.into_iter().map(possible).collect())).collect())
}

/// Every connection that an attempt can become, with the name of who would answer.
fn ways_of(
    plan: &Plan,
    pods: &BTreeMap<u32, &PodPlan>,
    matrix: &Matrix,
    trial: &Trial,
) -> Vec<(Query, String)> {
    let aim = &matrix.targets[trial.to];
    let is_v4 = trial.target_ip.is_ipv4();
    let protocol = aim.target.wire.number(is_v4);
    let (service, port, through) = match aim.route {
        Route::Direct => {
            let port = if aim.target.wire == Wire::Echo { echo_type(is_v4) } else { aim.target.port };
            let query = Query { from: trial.source_ip, to: trial.target_ip, protocol, port };
            return vec![(query, aim.target.name.clone())];
        }
        Route::ClusterIp { service, port } => (service, port, None),
        Route::NodePort { service, port, node } => (service, port, Some(node)),
    };
    let service = &plan.services[service];
    let backends = service.ports[port].backends.iter().filter_map(|(index, port)| {
        let pod = pods.get(index)?;
        let to = *pod.ips.iter().find(|ip| ip.is_ipv4() == is_v4)?;
        let from = match through {
            // A node that passes a connection on to another one puts its own address in, so that the
            // answer comes back through it.
            Some(node) if pod.node != node && service.external_local => return None,
            Some(node) if pod.node != node => {
                *plan.nodes[node].addresses.iter().find(|ip| ip.is_ipv4() == is_v4)?
            }
            _ => trial.source_ip,
        };
        Some((Query { from, to, protocol, port: *port }, pod.key()))
    });
    backends.collect()
}

/// Type of an echo request (RFC 792, RFC 4443).
const fn echo_type(is_v4: bool) -> u16 {
    if is_v4 { 8 } else { 128 }
}
