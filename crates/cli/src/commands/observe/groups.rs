//! Connections, counted by what they have in common.

use std::collections::BTreeMap;

use clap::ValueEnum;
use podgate_flow::{Endpoint, FlowRecord, FlowVerdict, Party, Protocol, Reason, Timestamp};
use serde::Serialize;

use super::is_denied;
use crate::style;

/// What connections have to have in common to be counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The workloads at both ends.
    Workload,
    /// The namespaces of both ends.
    Namespace,
    /// A policy that decided or isolates, and its rule.
    Policy,
    /// The workloads at both ends, the port and the protocol.
    Edge,
}

impl By {
    /// What groups are told by.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            By::Workload | By::Namespace => &["from", "to"],
            By::Edge => &["from", "to", "port"],
            By::Policy => &["policy", "rule"],
        }
    }
}

/// `443/TCP`, `ICMP`.
pub fn port(protocol: Protocol, port: u16) -> String {
    match port {
        0 => protocol.to_string(),
        port => format!("{port}/{protocol}"),
    }
}

/// Counts of connections.
#[derive(Debug)]
pub struct Groups {
    by: By,
    counts: BTreeMap<Vec<String>, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    allowed: u64,
    denied: u64,
    unknown: u64,
    last: Timestamp,
}

/// A line of the answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// What they have in common, by the names of the columns.
    group: BTreeMap<&'static str, String>,
    connections: u64,
    allowed: u64,
    /// With those that the kernel counted rather than reported.
    denied: u64,
    unknown: u64,
    last: Timestamp,
}

impl Count {
    fn sum(&self) -> u64 {
        self.allowed + self.denied + self.unknown
    }
}

impl Groups {
    pub fn new(by: By) -> Groups {
        Groups { by, counts: BTreeMap::new() }
    }

    /// Counts a connection: once, or once for each policy.
    pub fn add(&mut self, record: &FlowRecord) {
        let (from, to) = (&record.source, &record.destination);
        let keys = match self.by {
            By::Workload => vec![vec![workload(from), workload(to)]],
            By::Namespace => vec![vec![namespace(from), namespace(to)]],
            By::Edge => vec![vec![workload(from), workload(to), port(record.protocol, to.port)]],
            By::Policy => {
                let sides = [&record.egress, &record.ingress].into_iter().flatten();
                policies(sides.map(|decision| &*decision.reason))
            }
        };
        for key in keys {
            let count = self.counts.entry(key).or_default();
            match record.verdict {
                FlowVerdict::Allowed => count.allowed += 1,
                FlowVerdict::Unknown => count.unknown += 1,
                FlowVerdict::Denied => count.denied += 1,
            }
            if is_denied(record) {
                count.denied += record.suppressed;
            }
            count.last = count.last.max(record.time);
        }
    }

    /// The groups with the most connections, the largest first.
    pub fn rows(&self, limit: usize) -> Vec<Row> {
        let row = |(key, count): (&Vec<String>, &Count)| Row {
            group: self.by.columns().iter().copied().zip(key.iter().cloned()).collect(),
            connections: count.sum(),
            allowed: count.allowed,
            denied: count.denied,
            unknown: count.unknown,
            last: count.last,
        };
        self.sorted().take(limit).map(row).collect()
    }

    /// The same as a table for people.
    pub fn print(&self, limit: usize) {
        if self.counts.is_empty() {
            style::note("no connection fits");
            return;
        }
        let heads: Vec<String> = self.by.columns().iter().map(|name| name.to_uppercase()).collect();
        let mut head: Vec<&str> = heads.iter().map(String::as_str).collect();
        head.extend(["CONNECTIONS", "ALLOWED", "DENIED", "UNKNOWN", "LAST"]);
        let row = |(key, count): (&Vec<String>, &Count)| {
            let numbers =
                [count.sum(), count.allowed, count.denied, count.unknown].map(|number| number.to_string());
            key.iter().cloned().chain(numbers).chain([count.last.time_of_day()]).collect()
        };
        let rows: Vec<_> = self.sorted().take(limit).map(row).collect();
        style::table(&head, &rows);
        if self.counts.len() > limit {
            style::note(&format!("and {} more", self.counts.len() - limit));
        }
    }

    fn sorted(&self) -> impl Iterator<Item = (&Vec<String>, &Count)> {
        let mut all: Vec<_> = self.counts.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(count.sum()));
        all.into_iter()
    }
}

fn workload(end: &Endpoint) -> String {
    match &*end.party {
        Party::Pod { namespace, owner: Some(owner), .. } => format!("{namespace}/{}", owner.name),
        Party::Outside { name: None } => match end.dns.as_deref().and_then(|names| names.first()) {
            Some(name) => name.to_string(),
            None => format!("outside {}", end.ip),
        },
        party => party.to_string(),
    }
}

fn namespace(end: &Endpoint) -> String {
    match &*end.party {
        Party::Pod { namespace, .. } => namespace.clone(),
        Party::Node { .. } => "nodes".to_owned(),
        Party::Outside { .. } => "outside".to_owned(),
    }
}

/// A key for each policy that decided or isolates.
pub fn policies<'a>(reasons: impl IntoIterator<Item = &'a Reason>) -> Vec<Vec<String>> {
    let mut keys = Vec::new();
    for reason in reasons {
        match reason {
            Reason::Rule { policy, list, rule, .. } => {
                let list = match list {
                    podgate_policy::Direction::Egress => "egress",
                    podgate_policy::Direction::Ingress => "ingress",
                };
                keys.push(vec![policy.to_string(), format!("{list}[{rule}]")]);
            }
            Reason::Isolated { policies } => {
                keys.extend(policies.iter().map(|policy| vec![policy.to_string(), "isolates".to_owned()]));
            }
            _ => {}
        }
    }
    // Both ends may be isolated by one policy.
    keys.sort();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::observe::fixture::{allowed, denied};

    #[track_caller]
    fn check(by: By, expected: &[(&str, u64, u64)]) {
        let mut groups = Groups::new(by);
        for record in [allowed(), denied(), allowed()] {
            groups.add(&record);
        }
        let rows = groups.rows(usize::MAX);
        let told: Vec<_> = rows
            .iter()
            .map(|row| {
                let group: Vec<_> = groups.by.columns().iter().map(|name| row.group[name].as_str()).collect();
                (group.join(" "), row.allowed, row.denied)
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(key, a, d)| ((*key).to_owned(), *a, *d)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn connections_are_counted_with_those_that_were_not_reported() {
        check(By::Edge, &[("shop/web shop/db 5432/TCP", 2, 37)]);
        check(By::Namespace, &[("shop shop", 2, 37)]);
        check(By::Workload, &[("shop/web shop/db", 2, 37)]);
        check(
            By::Policy,
            &[
                ("shop/web-out egress[1]", 2, 37),
                ("shop/db-in isolates", 0, 37),
                ("shop/default-deny isolates", 0, 37),
                ("shop/db-in ingress[0]", 2, 0),
            ],
        );
    }
}
