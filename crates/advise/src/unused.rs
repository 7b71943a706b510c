//! Rules of policies that nothing used in the window, and rules that allow more than was used.

use std::collections::{BTreeMap, BTreeSet};

use podgate_api::{NetworkPolicy, Object, PortMatch, Rule};
use podgate_flow::{EdgeMinute, Party, Place, Reason};
use podgate_policy::{Direction, Settings};
use serde::Serialize;

use crate::judge::{Judge, without_staged};
use crate::seen::{Lost, Seen, Window};

/// What a cluster's NetworkPolicies allow, against what was used.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// The time that the records cover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How many records there were.
    pub records: u64,
    /// What is missing in them.
    pub lost: Lost,
    /// Rules that no connection of the window matched.
    pub unused: Vec<RuleUse>,
    /// Rules that allow more than was used.
    pub broad: Vec<RuleUse>,
    /// How many other rules there are.
    pub fitting: usize,
    /// Connections that could not be judged, and so used nothing.
    pub unjudged: u64,
    /// How many minutes of exact totals say which rules decided, beside the records.
    #[serde(skip_serializing_if = "is_zero")]
    pub minutes: u64,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleUse {
    /// `shop/web ingress[0]`.
    pub rule: String,
    /// `file:line` of it, where known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub at: String,
    /// Connections that it matched: by the records, or by the kernel's counters where those have more.
    pub connections: u64,
    /// Workloads, nodes and addresses that used it.
    pub peers: Vec<String>,
    /// Ports that were used, as `TCP/80`.
    pub ports: Vec<String>,
    /// In which ways it allows more than that.
    pub more: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A rule: its policy's namespace and name, its list, its place in it.
type RuleKey = (String, String, Direction, u32);

#[derive(Debug, Default)]
struct Used {
    connections: u64,
    /// By the kernel's counters, of connections that it decided.
    counted: u64,
    peers: BTreeSet<String>,
    ports: BTreeSet<String>,
}

/// More peers than this are told by their number.
const MOST: usize = 8;

impl Usage {
    /// Asks the engine which rules each connection that was seen matches. `minutes` are exact totals of the same time: they
    /// have what no record tells any more, by the rule that decided.
    pub fn new(objects: Vec<Object>, seen: &Seen, minutes: &[EdgeMinute], settings: Settings) -> Usage {
        let objects = without_staged(objects);
        let mut policies: Vec<NetworkPolicy> = objects
            .iter()
            .filter_map(|object| match object {
                Object::NetworkPolicy(policy) => Some(policy.clone()),
                _ => None,
            })
            .collect();
        policies.sort_by(|a, b| (&a.meta.namespace, &a.meta.name).cmp(&(&b.meta.namespace, &b.meta.name)));
        let mut judge = Judge::new(objects, settings, seen);
        let mut used: BTreeMap<RuleKey, Used> = BTreeMap::new();
        let mut unjudged = 0;
        for (key, tally) in &seen.flows {
            let Ok(explanation) = judge.explain(key, tally) else {
                unjudged += tally.connections();
                continue;
            };
            for (direction, traces, other) in [
                (Direction::Egress, &explanation.egress, &key.to),
                (Direction::Ingress, &explanation.ingress, &key.from),
            ] {
                for rule in traces.iter().flat_map(|trace| &trace.rules).filter(|rule| rule.matches) {
                    let policy = &rule.rule.policy;
                    let name = (policy.namespace.clone(), policy.name.clone(), direction, rule.rule.index);
                    let known = used.entry(name).or_default();
                    known.connections += tally.connections();
                    known.peers.insert(Place::of(other.ip, &other.party).to_string());
                    known.ports.insert(format!("{}/{}", key.protocol, key.port));
                    if matches!(*other.party, Party::Outside { .. }) {
                        known.peers.insert(other.ip.to_string());
                    }
                }
            }
        }
        for minute in minutes {
            count(minute, &mut used);
        }
        let mut usage = Usage {
            window: seen.window,
            records: seen.records,
            lost: seen.lost,
            unused: Vec::new(),
            broad: Vec::new(),
            fitting: 0,
            unjudged,
            minutes: minutes.len() as u64,
        };
        for policy in &policies {
            for (direction, word, in_force, rules) in [
                (Direction::Ingress, "ingress", policy.ingress_in_force, &policy.ingress),
                (Direction::Egress, "egress", policy.egress_in_force, &policy.egress),
            ] {
                for (index, rule) in rules.iter().enumerate().filter(|_| in_force) {
                    let key =
                        (policy.meta.namespace.clone(), policy.meta.name.clone(), direction, index as u32);
                    let known = used.remove(&key).unwrap_or_default();
                    let mut peers: Vec<String> = known.peers.into_iter().collect();
                    if peers.len() > MOST {
                        let more = peers.len() - MOST;
                        peers.truncate(MOST);
                        peers.push(format!("{more} more"));
                    }
                    let told = RuleUse {
                        rule: format!("{}/{} {word}[{index}]", policy.meta.namespace, policy.meta.name),
                        at: rule.source.to_string(),
                        connections: known.connections.max(known.counted),
                        more: more(rule, known.ports.len()),
                        peers,
                        ports: known.ports.into_iter().collect(),
                    };
                    match (told.connections, told.more.is_empty()) {
                        (0, _) => usage.unused.push(RuleUse { more: Vec::new(), ..told }),
                        (_, false) => usage.broad.push(told),
                        _ => usage.fitting += 1,
                    }
                }
            }
        }
        usage
    }
}

/// Adds what a minute's rules decided. Each direction is decided by one node, and so counted once.
fn count(minute: &EdgeMinute, used: &mut BTreeMap<RuleKey, Used>) {
    let edge = &minute.edge;
    for (reason, other) in [(&edge.egress, &edge.destination), (&edge.ingress, &edge.source)] {
        let Some(Reason::Rule { policy, list, rule, .. }) = reason.as_deref() else { continue };
        if minute.totals.packets == 0 {
            continue;
        }
        let key = (policy.namespace.clone(), policy.name.clone(), *list, *rule);
        let known = used.entry(key).or_default();
        // Of a connection that is older than the window only packets were counted: it uses the rule as well.
        known.counted += minute.totals.connections;
        known.counted = known.counted.max(1);
        known.peers.insert(other.to_string());
        known.ports.insert(format!("{}/{}", edge.protocol, edge.port));
    }
}

/// In which ways a rule allows more than so many ports and what was seen behind them.
fn more(rule: &Rule, used: usize) -> Vec<String> {
    let mut more = Vec::new();
    match &rule.peers {
        None => more.push("it allows everybody".to_owned()),
        Some(peers) => {
            let everything = |selector: &Option<podgate_api::LabelSelector>| {
                selector.as_ref().is_none_or(podgate_api::LabelSelector::is_everything)
            };
            for peer in peers {
                match peer {
                    podgate_api::Peer::Pods(pods) => match (&pods.namespaces, everything(&pods.pods)) {
                        (Some(namespaces), true) if namespaces.is_everything() => {
                            more.push("it allows every pod of every namespace".to_owned());
                        }
                        (Some(namespaces), true) => {
                            more.push(format!("it allows every pod of namespaces with {namespaces}"));
                        }
                        (None, true) => more.push("it allows every pod of its namespace".to_owned()),
                        _ => {}
                    },
                    podgate_api::Peer::IpBlock(block) if block.cidr.prefix_len() < 8 => {
                        more.push(format!("it allows {}", block.cidr));
                    }
                    podgate_api::Peer::IpBlock(_) => {}
                }
            }
        }
    }
    match &rule.ports {
        None => more.push("it allows all ports".to_owned()),
        Some(ports) => {
            for port in ports {
                match port.port {
                    PortMatch::All => more.push(format!("it allows all {} ports", port.protocol)),
                    PortMatch::Range(first, last) if usize::from(last - first) >= used.max(1) => {
                        more.push(format!(
                            "it allows {} ports, {}/{first}-{last}",
                            last - first + 1,
                            port.protocol
                        ));
                    }
                    PortMatch::Range(..) | PortMatch::Named(_) => {}
                }
            }
        }
    }
    more
}
