//! What policies would do to the flows that were seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use podgate_flow::{Party, Place, Timestamp};
use podgate_policy::{Decision, Verdict};
use serde::Serialize;

use crate::judge::{Judge, Unjudged};
use crate::seen::{Key, Lost, Seen, Tally, Window};

/// The difference between what happened and what candidate policies say.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replay {
    /// The time that the records cover; absent without records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How many records there were.
    pub records: u64,
    /// What is missing in them.
    pub lost: Lost,
    /// Records of packets that answered a connection which is counted already.
    pub replies: u64,
    /// What was let through and would be denied.
    pub cut: Vec<Change>,
    /// What was denied and would be let through.
    pub opened: Vec<Change>,
    /// What stays as it was.
    pub kept: Kept,
    /// The same between whom: what a prediction is scored by.
    pub kept_flows: Vec<KeptFlow>,
    /// What can't be judged.
    pub unjudged: Vec<UnjudgedFlow>,
}

/// Connections that stay as they were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Let through before and after.
    pub allowed: u64,
    /// Denied before and after.
    pub denied: u64,
}

/// Connections that stay as they were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptFlow {
    /// Between whom.
    #[serde(flatten)]
    pub flow: Told,
    /// Allowed or denied, before and after.
    pub verdict: Verdict,
}

/// Connections between two places, what is alike together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Between whom.
    #[serde(flatten)]
    pub flow: Told,
    /// What would decide at the source.
    pub egress: Side,
    /// What would decide at the destination.
    pub ingress: Side,
}

/// Connections that can't be judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnjudgedFlow {
    /// Between whom.
    #[serde(flatten)]
    pub flow: Told,
    /// Why not.
    pub why: &'static str,
}

/// Connections between two places on one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Who opened them: a workload, a node, or addresses outside.
    pub from: String,
    /// Who was reached.
    pub to: String,
    /// The protocol.
    pub protocol: String,
    /// The destination's port after Service translation; the type of message for ICMP; 0 for others without ports.
    pub port: u16,
    /// How many connections.
    pub connections: u64,
    /// When the first was seen.
    pub first: Timestamp,
    /// When the last was seen.
    pub last: Timestamp,
    /// Some of the addresses, where one end is outside of the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_addresses: usize,
}

/// What one side would say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Side {
    /// Allowed or denied.
    pub verdict: Verdict,
    /// Why: `shop/web ingress[0]`, `isolated by shop/deny`.
    pub by: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What becomes one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    from: String,
    to: String,
    protocol: podgate_flow::Protocol,
    port: u16,
}

#[derive(Debug)]
struct Sum {
    connections: u64,
    first: Timestamp,
    last: Timestamp,
    addresses: BTreeSet<IpAddr>,
}

type Sums<T> = BTreeMap<(Line, T), Sum>;

impl Seen {
    /// The same connections as other policies than those of their time treat them: a replay then tells what a change does
    /// to these policies. What can't be judged stays as it was seen.
    pub fn under(mut self, judge: &mut Judge) -> Seen {
        for (key, tally) in &mut self.flows {
            let Ok(decision) = judge.judge(key, tally) else { continue };
            let known = tally.allowed + tally.denied;
            (tally.allowed, tally.denied) = match decision.verdict {
                Verdict::Allowed => (known, 0),
                Verdict::Denied => (0, known),
            };
        }
        self
    }
}

impl Replay {
    /// Asks the judge for every flow.
    pub fn new(seen: &Seen, judge: &mut Judge) -> Replay {
        let mut cut: Sums<(Side, Side)> = BTreeMap::new();
        let mut opened: Sums<(Side, Side)> = BTreeMap::new();
        let mut unjudged: Sums<Unjudged> = BTreeMap::new();
        let mut kept = Kept::default();
        let mut kept_flows: Sums<Verdict> = BTreeMap::new();
        for (key, tally) in &seen.flows {
            add(&mut unjudged, key, tally, tally.unknown, Unjudged::UnknownOutcome);
            match judge.judge(key, tally) {
                Err(why) => add(&mut unjudged, key, tally, tally.allowed + tally.denied, why),
                Ok(decision) => match decision.verdict {
                    Verdict::Allowed => {
                        kept.allowed += tally.allowed;
                        add(&mut kept_flows, key, tally, tally.allowed, decision.verdict);
                        add(&mut opened, key, tally, tally.denied, sides(&decision));
                    }
                    Verdict::Denied => {
                        kept.denied += tally.denied;
                        add(&mut kept_flows, key, tally, tally.denied, decision.verdict);
                        add(&mut cut, key, tally, tally.allowed, sides(&decision));
                    }
                },
            }
        }
        for (key, tally) in &seen.unclear {
            add(&mut unjudged, key, tally, tally.connections(), Unjudged::UnclearBeginning);
        }
        let changes = |sums: Sums<(Side, Side)>| {
            let of = |((line, (egress, ingress)), sum)| Change { flow: told(line, sum), egress, ingress };
            sums.into_iter().map(of).collect()
        };
        Replay {
            window: seen.window,
            records: seen.records,
            lost: seen.lost,
            replies: seen.replies,
            cut: changes(cut),
            opened: changes(opened),
            kept,
            kept_flows: kept_flows
                .into_iter()
                .map(|((line, verdict), sum)| KeptFlow { flow: told(line, sum), verdict })
                .collect(),
            unjudged: unjudged
                .into_iter()
                .map(|((line, why), sum)| UnjudgedFlow { flow: told(line, sum), why: why.as_str() })
                .collect(),
        }
    }

    /// How many connections would be cut.
    pub fn cut_connections(&self) -> u64 {
        self.cut.iter().map(|change| change.flow.connections).sum()
    }

    /// How many connections would be opened.
    pub fn opened_connections(&self) -> u64 {
        self.opened.iter().map(|change| change.flow.connections).sum()
    }
}

fn add<T: Ord>(sums: &mut Sums<T>, key: &Key, tally: &Tally, connections: u64, what: T) {
    if connections == 0 {
        return;
    }
    let line = Line {
        from: place(key.from.ip, &key.from.party),
        to: place(key.to.ip, &key.to.party),
        protocol: key.protocol,
        port: key.port,
    };
    let sum = sums.entry((line, what)).or_insert_with(|| Sum {
        connections: 0,
        first: tally.first,
        last: tally.last,
        addresses: BTreeSet::new(),
    });
    sum.connections += connections;
    sum.first = sum.first.min(tally.first);
    sum.last = sum.last.max(tally.last);
    for end in [&key.from, &key.to] {
        if matches!(*end.party, Party::Outside { .. }) {
            sum.addresses.insert(end.ip);
        }
    }
}

fn told(line: Line, sum: Sum) -> Told {
    /// Addresses that are told one by one.
    const MOST: usize = 5;
    Told {
        from: line.from,
        to: line.to,
        protocol: line.protocol.to_string(),
        port: line.port,
        connections: sum.connections,
        first: sum.first,
        last: sum.last,
        more_addresses: sum.addresses.len().saturating_sub(MOST),
        addresses: sum.addresses.into_iter().take(MOST).collect(),
    }
}

/// What a place is called: addresses without a name are all `outside`.
pub(crate) fn place(ip: IpAddr, party: &Party) -> String {
    match Place::of(ip, party) {
        Place::Outside { name: None, .. } => "outside".to_owned(),
        Place::Workload { namespace, owner } => format!("{namespace}/{}[{}]", owner.name, owner.kind),
        other => other.to_string(),
    }
}

fn sides(decision: &Decision) -> (Side, Side) {
    let side = |side: &podgate_policy::Side| Side { verdict: side.verdict, by: side.reason.to_string() };
    (side(&decision.egress), side(&decision.ingress))
}
