//! What was seen, summed up: who opened connections to whom, on which port, how often, and what came of it.
//!
//! Learners go wrong where a packet's direction is taken for the connection's. A record is a connection's beginning
//! when its packet could begin one; all others are settled when everything has been seen ([`Collector::settle`]): as the
//! reply to a connection whose beginning was seen, by who serves the port, or as not clear.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use podgate_flow::{FlowRecord, FlowVerdict, Party, Protocol, Reason, Timestamp};
use serde::{Deserialize, Serialize};

/// One end of connections: an address, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct End {
    /// Whose it was.
    pub party: Arc<Party>,
    /// The address.
    pub ip: IpAddr,
}

/// What connections have in common to be counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Who opens them.
    pub from: End,
    /// Who is reached, after Service translation.
    pub to: End,
    /// The protocol above IP.
    pub protocol: Protocol,
    /// The destination's port after Service translation; the type of message for ICMP and ICMPv6.
    pub port: u16,
}

impl Key {
    /// The connection that a record is of.
    pub fn of(record: &FlowRecord) -> Key {
        let end = |of: &podgate_flow::Endpoint| End { party: of.party.clone(), ip: of.ip };
        Key {
            from: end(&record.source),
            to: end(&record.destination),
            protocol: record.protocol,
            port: record.icmp.map_or(record.destination.port, |(kind, _)| u16::from(kind)),
        }
    }

    /// The connection as the engine asks for it.
    pub fn connection(&self) -> podgate_policy::Connection {
        podgate_policy::Connection {
            from: self.from.ip,
            to: self.to.ip,
            protocol: self.protocol.0,
            port: self.port,
        }
    }

    /// The same ends the other way round.
    fn turned(&self, port: u16) -> Key {
        Key { from: self.to.clone(), to: self.from.clone(), protocol: self.protocol, port }
    }
}

/// How often, when, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Connections that were let through.
    pub allowed: u64,
    /// Connections that were dropped, those among them that were counted rather than reported.
    pub denied: u64,
    /// Connections of which one end is not known.
    pub unknown: u64,
    /// Connections that staged policies would deny, of those let through.
    pub staged_denied: u64,
    /// When the first was seen.
    pub first: Timestamp,
    /// When the last was seen.
    pub last: Timestamp,
    /// The client asked a Service.
    pub through_service: bool,
    /// The client asked for port 53.
    pub asked_dns: bool,
    /// Names of the destination by DNS.
    pub names: BTreeSet<Box<str>>,
    /// No connection's beginning was seen: its direction was told by who serves the port.
    pub from_the_middle: bool,
    /// The kernel did not know whose address an end was, although it is in the pods' network.
    pub unknown_pod: bool,
}

impl Tally {
    /// One record's.
    pub fn of(record: &FlowRecord) -> Tally {
        let mut tally = Tally::new(record.time);
        tally.take(record);
        tally
    }

    fn new(time: Timestamp) -> Tally {
        Tally {
            allowed: 0,
            denied: 0,
            unknown: 0,
            staged_denied: 0,
            first: time,
            last: time,
            through_service: false,
            asked_dns: false,
            names: BTreeSet::new(),
            from_the_middle: false,
            unknown_pod: false,
        }
    }

    fn take(&mut self, record: &FlowRecord) {
        match record.verdict {
            FlowVerdict::Allowed => self.allowed += 1,
            FlowVerdict::Denied => self.denied += 1 + record.suppressed,
            FlowVerdict::Unknown => self.unknown += 1,
        }
        let would_deny = |staged: &podgate_flow::Staged| staged.verdict == podgate_policy::Verdict::Denied;
        if record.verdict == FlowVerdict::Allowed && record.staged.as_deref().is_some_and(would_deny) {
            self.staged_denied += 1;
        }
        self.first = self.first.min(record.time);
        self.last = self.last.max(record.time);
        self.through_service |= record.asked.is_some();
        self.asked_dns |= record.asked.is_some_and(|asked| asked.port() == DNS);
        self.names.extend(record.destination.dns.iter().flat_map(|names| names.iter().cloned()));
        let sides = [&record.egress, &record.ingress].into_iter().flatten();
        self.unknown_pod |= sides.into_iter().any(|side| *side.reason == Reason::UnknownPod);
    }

    fn merge(&mut self, other: &Tally) {
        self.allowed += other.allowed;
        self.denied += other.denied;
        self.unknown += other.unknown;
        self.staged_denied += other.staged_denied;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.through_service |= other.through_service;
        self.asked_dns |= other.asked_dns;
        self.names.extend(other.names.iter().cloned());
        self.unknown_pod |= other.unknown_pod;
    }

    /// All connections.
    pub fn connections(&self) -> u64 {
        self.allowed + self.denied + self.unknown
    }
}

/// The port of DNS.
pub const DNS: u16 = 53;

/// Where Linux begins to take clients' ports from.
const EPHEMERAL: u16 = 32_768;

/// What is missing, as far as it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lost {
    /// Flows that never became records.
    pub flows: u64,
    /// They are all that a server lost since it started: some may be older than the window.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub since_start: bool,
    /// Denials that were counted rather than reported: they are in the counts, without their ends' ports.
    pub suppressed: u64,
    /// Nodes that were not heard: how many flows they have, nobody knows.
    #[serde(skip_serializing_if = "is_zero")]
    pub nodes: u64,
    /// Files of an archive that can't be read.
    #[serde(skip_serializing_if = "is_zero")]
    pub files: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Lost {
    /// What is missing, without denials that were counted; `None`: nothing that is known.
    pub fn told(&self) -> Option<String> {
        let since = if self.since_start { " since the server started" } else { "" };
        let one = |number: u64, what: &str| match number {
            1 => format!("1 {what}"),
            number => format!("{number} {what}s"),
        };
        let parts = [
            (self.flows, format!("{} lost{since}", one(self.flows, "event"))),
            (self.nodes, format!("{} not heard", one(self.nodes, "node"))),
            (self.files, format!("{} not readable", one(self.files, "file"))),
        ];
        let parts: Vec<String> =
            parts.into_iter().filter(|(number, _)| *number > 0).map(|(_, text)| text).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The time that records cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The first record's.
    pub first: Timestamp,
    /// The last record's.
    pub last: Timestamp,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", second(self.first), second(self.last))
    }
}

/// A time to the second.
pub fn second(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or_else(|| text.clone(), |(whole, _)| format!("{whole}Z"))
}

/// What was seen, settled.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections by who opened them.
    pub flows: BTreeMap<Key, Tally>,
    /// Packets that don't tell who opened the connection.
    pub unclear: BTreeMap<Key, Tally>,
    /// Records of packets that answered a connection seen otherwise.
    pub replies: u64,
    /// Records in all.
    pub records: u64,
    /// From when to when.
    pub window: Option<Window>,
    /// What is missing.
    pub lost: Lost,
}

/// Records as they come, in any order.
#[derive(Debug, Default)]
pub struct Collector {
    seen: Seen,
    /// By the source's port: packets that don't look like a connection's first.
    doubtful: BTreeMap<(Key, u16), Tally>,
    /// The last record, until the next one is another connection's.
    last: Option<FlowRecord>,
}

impl Collector {
    /// Nothing yet.
    pub fn new() -> Collector {
        Collector::default()
    }

    /// Takes a record. Files of the Hubble API have a connection's two directions one after the other, with one id.
    pub fn take(&mut self, record: &FlowRecord) {
        use FlowVerdict::{Allowed, Denied, Unknown};
        let same = self.last.as_mut().filter(|last| !record.id.is_unset() && last.id == record.id);
        let Some(last) = same else {
            if let Some(last) = self.last.replace(record.clone()) {
                self.count(&last);
            }
            return;
        };
        last.verdict = match (last.verdict, record.verdict) {
            (Denied, _) | (_, Denied) => Denied,
            (Allowed, _) | (_, Allowed) => Allowed,
            // Each end let it through, and neither had heard of the other.
            (Unknown, Unknown) if last.egress.is_none() != record.egress.is_none() => Allowed,
            (Unknown, Unknown) => Unknown,
        };
        last.egress = last.egress.take().or_else(|| record.egress.clone());
        last.ingress = last.ingress.take().or_else(|| record.ingress.clone());
        last.asked = last.asked.or(record.asked);
        last.suppressed = last.suppressed.max(record.suppressed);
        if last.destination.dns.is_none() {
            last.destination.dns = record.destination.dns.clone();
        }
    }

    fn count(&mut self, record: &FlowRecord) {
        let seen = &mut self.seen;
        seen.records += 1;
        seen.lost.suppressed += record.suppressed;
        let window = seen.window.get_or_insert(Window { first: record.time, last: record.time });
        window.first = window.first.min(record.time);
        window.last = window.last.max(record.time);
        let key = Key::of(record);
        let tally = match may_be_a_reply(record) {
            false => seen.flows.entry(key).or_insert_with(|| Tally::new(record.time)),
            true => self.doubtful.entry((key, record.source.port)).or_insert_with(|| Tally::new(record.time)),
        };
        tally.take(record);
    }

    /// Adds what is missing beside the records.
    pub fn lose(&mut self, more: Lost) {
        let lost = &mut self.seen.lost;
        lost.flows += more.flows;
        lost.since_start |= more.since_start;
        lost.suppressed += more.suppressed;
        lost.nodes += more.nodes;
        lost.files += more.files;
    }

    /// Settles what did not look like a connection's beginning. `serves` says whether the pod at an end declares a
    /// port.
    pub fn settle(mut self, serves: impl Fn(&End, Protocol, u16) -> bool) -> Seen {
        if let Some(last) = self.last.take() {
            self.count(&last);
        }
        let Collector { mut seen, doubtful, .. } = self;
        // By address: labels of an end may have changed between two records.
        let served: BTreeSet<(IpAddr, Protocol, u16)> =
            seen.flows.keys().map(|key| (key.to.ip, key.protocol, key.port)).collect();
        let place = |key: &Key| (key.from.ip, key.to.ip, key.protocol, key.port);
        let begun: BTreeSet<_> = seen.flows.keys().map(place).collect();
        for ((key, source_port), mut tally) in doubtful {
            let turned = key.turned(source_port);
            if begun.contains(&place(&turned)) {
                seen.replies += tally.connections();
                continue;
            }
            let is_served = |end: &End, port| {
                served.contains(&(end.ip, key.protocol, port)) || serves(end, key.protocol, port)
            };
            let at_destination = is_served(&key.to, key.port);
            let at_source = !at_destination && is_served(&key.from, source_port);
            let looks_like_a_reply = source_port < EPHEMERAL && key.port >= EPHEMERAL;
            let (map, key) = match key.protocol {
                _ if at_destination => (&mut seen.flows, key),
                _ if at_source => (&mut seen.flows, turned),
                Protocol::TCP if looks_like_a_reply => (&mut seen.flows, turned),
                Protocol::TCP if key.port >= EPHEMERAL => (&mut seen.unclear, key),
                Protocol::TCP => (&mut seen.flows, key),
                // A datagram begins what nothing else began.
                _ if source_port < 1024 && looks_like_a_reply => (&mut seen.unclear, key),
                _ => (&mut seen.flows, key),
            };
            match map.get_mut(&key) {
                Some(known) => known.merge(&tally),
                None => {
                    tally.from_the_middle = key.protocol == Protocol::TCP;
                    map.insert(key, tally);
                }
            }
        }
        seen
    }
}

/// Whether a record may be of a packet that answered rather than began: TCP without its first flag, which is also
/// what is left of a connection that is older than the agent; a datagram to a client's port from a lower one.
fn may_be_a_reply(record: &FlowRecord) -> bool {
    let (source, destination) = (record.source.port, record.destination.port);
    if record.reply || record.cut {
        // The kernel knew the connection, and with it who opened it.
        return false;
    }
    match record.protocol {
        Protocol::TCP => {
            let flags = record.tcp_flags;
            let begins = flags.has("SYN") && !flags.has("ACK");
            !flags.is_empty() && !begins
        }
        Protocol::UDP => destination >= EPHEMERAL && source < destination,
        _ => false,
    }
}
