//! Exact totals, counted by what connections have in common.

use std::collections::BTreeMap;

use clap::ValueEnum;
use podgate_advise::totals::{Route, Sums, Traffic};
use podgate_flow::{EdgeMinute, Place, Timestamp, Totals};
use podgate_policy::Verdict;
use serde::Serialize;

use super::groups::{By, policies, port};
use crate::style;

/// What the busiest have most of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Connections.
    Connections,
    /// Packets, both ways; exact totals have them.
    Packets,
    /// Bytes, both ways; exact totals have them.
    Bytes,
}

/// A line of the answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// What they have in common, by the names of the columns.
    group: BTreeMap<&'static str, String>,
    connections: u64,
    allowed: u64,
    denied: u64,
    packets: u64,
    bytes: u64,
    reply_packets: u64,
    reply_bytes: u64,
    /// When the last minute of it begins.
    last: Timestamp,
}

/// Totals by group.
#[derive(Debug)]
pub struct Table {
    by: By,
    rows: Vec<(Vec<String>, Traffic)>,
    nodes: Vec<String>,
}

impl Table {
    /// Sums minutes up, the busiest first.
    pub fn new(by: By, sort: Sort, minutes: &[EdgeMinute]) -> Table {
        let mut sums = Sums::new();
        let mut groups: BTreeMap<Vec<String>, Traffic> = BTreeMap::new();
        for minute in minutes {
            sums.add(minute);
            if by == By::Policy {
                // Each direction is decided by one node, and so counted once.
                let reasons = [&minute.edge.egress, &minute.edge.ingress].into_iter().flatten();
                for key in policies(reasons.map(|reason| &**reason)) {
                    let mut traffic = Traffic { last: minute.minute, ..Traffic::default() };
                    match minute.edge.verdict {
                        Verdict::Allowed => traffic.allowed = minute.totals,
                        Verdict::Denied => traffic.denied = minute.totals,
                    }
                    add(groups.entry(key).or_default(), traffic);
                }
            }
        }
        if by != By::Policy {
            for (route, traffic) in sums.routes() {
                add(groups.entry(key(by, route)).or_default(), traffic);
            }
        }
        let mut rows: Vec<_> = groups.into_iter().collect();
        rows.sort_by_key(|(_, traffic)| std::cmp::Reverse(rank(sort, traffic)));
        Table { by, rows, nodes: sums.nodes().map(str::to_owned).collect() }
    }

    /// The busiest as data.
    pub fn rows(&self, limit: usize) -> Vec<Row> {
        let row = |(key, traffic): &(Vec<String>, Traffic)| {
            let all = both(traffic);
            Row {
                group: self.by.columns().iter().copied().zip(key.iter().cloned()).collect(),
                connections: all.connections,
                allowed: traffic.allowed.connections,
                denied: traffic.denied.connections,
                packets: all.packets,
                bytes: all.bytes,
                reply_packets: all.reply_packets,
                reply_bytes: all.reply_bytes,
                last: traffic.last,
            }
        };
        self.rows.iter().take(limit).map(row).collect()
    }

    /// The same as a table for people.
    pub fn print(&self, limit: usize) {
        let heads: Vec<String> = self.by.columns().iter().map(|name| name.to_uppercase()).collect();
        let mut head: Vec<&str> = heads.iter().map(String::as_str).collect();
        head.extend(["CONNECTIONS", "ALLOWED", "DENIED", "PACKETS", "BYTES", "LAST"]);
        let row = |(key, traffic): &(Vec<String>, Traffic)| {
            let all = both(traffic);
            let numbers = [
                all.connections,
                traffic.allowed.connections,
                traffic.denied.connections,
                all.packets + all.reply_packets,
                all.bytes + all.reply_bytes,
            ];
            let minute: String = traffic.last.time_of_day().chars().take("00:00".len()).collect();
            key.iter().cloned().chain(numbers.map(|number| number.to_string())).chain([minute]).collect()
        };
        let rows: Vec<_> = self.rows.iter().take(limit).map(row).collect();
        style::table(&head, &rows);
        if self.rows.len() > limit {
            style::note(&format!("and {} more", self.rows.len() - limit));
        }
        style::note(&format!("exact totals, by the kernel's counters of {}", self.nodes.join(", ")));
    }
}

fn add(sum: &mut Traffic, more: Traffic) {
    sum.allowed.add(more.allowed);
    sum.denied.add(more.denied);
    sum.last = sum.last.max(more.last);
}

fn both(traffic: &Traffic) -> Totals {
    let mut all = traffic.allowed;
    all.add(traffic.denied);
    all
}

fn rank(sort: Sort, traffic: &Traffic) -> u64 {
    let all = both(traffic);
    match sort {
        Sort::Connections => all.connections,
        Sort::Packets => all.packets + all.reply_packets,
        Sort::Bytes => all.bytes + all.reply_bytes,
    }
}

fn key(by: By, route: &Route) -> Vec<String> {
    let (from, to) = (&route.source, &route.destination);
    match by {
        By::Namespace => vec![namespace(from), namespace(to)],
        By::Workload | By::Policy => vec![workload(from), workload(to)],
        By::Edge => vec![workload(from), workload(to), port(route.protocol, route.port)],
    }
}

fn workload(place: &Place) -> String {
    match place {
        Place::Outside { ip, name: None } => format!("outside {ip}"),
        place => place.to_string(),
    }
}

fn namespace(place: &Place) -> String {
    match place {
        Place::Workload { namespace, .. } => namespace.clone(),
        Place::Node { .. } => "nodes".to_owned(),
        Place::Outside { .. } => "outside".to_owned(),
    }
}
