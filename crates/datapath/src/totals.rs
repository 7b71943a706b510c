use std::net::IpAddr;
use std::ops::AddAssign;

use podgate_policy::{DeciderId, Direction, Verdict};

use crate::Reason;

/// What packets add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// First packets of new connections. What is denied makes no connection: each further attempt, also one that TCP
    /// makes by itself, counts again.
    pub connections: u64,
    /// Packets in the connections' original direction.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
    /// Packets in the other direction.
    pub reply_packets: u64,
    /// Their bytes, from the IP header on.
    pub reply_bytes: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Traffic) {
        self.connections += other.connections;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.reply_packets += other.reply_packets;
        self.reply_bytes += other.reply_bytes;
    }
}

/// The traffic of all connections between two addresses to one port, with one outcome.
///
/// Counted are the packets that were judged and that a pod is an end of: not the node's own, no neighbour discovery, no
/// ICMP errors that belong to a connection. Source and destination are those of the connection's first packet, after
/// Service DNAT and before masquerade, for replies too.
///
/// Every node on a packet's way counts it: the source's and the destination's. While an upgrade has two programs in
/// force, for some milliseconds, both do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeTotal {
    /// Who opened the connections.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// To which port; 0 for protocols without.
    pub destination_port: u16,
    /// IANA protocol number.
    pub protocol: u8,
    /// What decided at the source, as in [`crate::Event::egress`].
    pub egress: DeciderId,
    /// What decided at the destination, as in [`crate::Event::ingress`].
    pub ingress: DeciderId,
    /// What happened to the packets.
    pub verdict: Verdict,
    /// The direction that denied them.
    pub denied_by: Option<Direction>,
    /// Why.
    pub reason: Reason,
    /// The source is a pod's address.
    pub source_is_pod: bool,
    /// The source is a pod of this node.
    pub source_is_local: bool,
    /// The destination is a pod's address.
    pub destination_is_pod: bool,
    /// The destination is a pod of this node.
    pub destination_is_local: bool,
    /// How much it was.
    pub traffic: Traffic,
}

/// What [`crate::Datapath::take_totals`] has handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many [`EdgeTotal`]s.
    pub edges: usize,
    /// Traffic of the same time that found no room in the tables, of which nothing else is known.
    pub unattributed: Traffic,
}

impl AddAssign for Taken {
    fn add_assign(&mut self, other: Taken) {
        self.edges += other.edges;
        self.unattributed += other.unattributed;
    }
}
