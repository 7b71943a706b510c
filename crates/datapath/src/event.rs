use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use podgate_policy::{DeciderId, Direction, Verdict};

/// Why a packet got its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Reason {
    /// A verdict table says so; [`Event::egress`] and [`Event::ingress`] name the rule.
    Policy = 0,
    /// The pod's verdict table, or the address, found no room in the kernel: closed.
    TableFull = 1,
    /// A pod address of this node that no publication has named.
    UnknownPod = 2,
    /// A later fragment, without a port, of or to an isolated pod.
    Fragment = 3,
    /// Headers that can't be read, of or to an isolated pod.
    Unparsable = 4,
    /// The pod's verdict table is incomplete; a defect of podgate.
    NoRow = 5,
}

impl Reason {
    /// All reasons, in the order of [`crate::Counters::denied`].
    pub const ALL: [Reason; 6] = [
        Reason::Policy,
        Reason::TableFull,
        Reason::UnknownPod,
        Reason::Fragment,
        Reason::Unparsable,
        Reason::NoRow,
    ];

    /// A stable name for machine output.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Policy => "policy",
            Reason::TableFull => "table-full",
            Reason::UnknownPod => "unknown-pod",
            Reason::Fragment => "fragment",
            Reason::Unparsable => "unparsable",
            Reason::NoRow => "no-row",
        }
    }
}

/// The first packet of an allowed connection, or a denied packet.
///
/// Connections between two addresses that are no pods', and those that the node itself opens, have no
/// events. While an upgrade has two programs in force, a new connection has two.
///
/// Source and destination are those of the connection's first packet, after Service DNAT and before
/// masquerade, also when the packet at hand is a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Time since boot, without time asleep (`CLOCK_MONOTONIC`).
    pub ktime: Duration,
    /// Who opened the connection.
    pub source: IpAddr,
    /// Its port; 0 for protocols without.
    pub source_port: u16,
    /// To whom.
    pub destination: IpAddr,
    /// To which port; 0 for protocols without.
    pub destination_port: u16,
    /// Where the connection was addressed to before DNAT, when that is elsewhere: a Service.
    pub original_destination: Option<SocketAddr>,
    /// IANA protocol number.
    pub protocol: u8,
    /// ICMP or ICMPv6 type and code.
    pub icmp: Option<(u8, u8)>,
    /// The flags of the packet's TCP header, FIN the lowest bit; 0 for other protocols.
    pub tcp_flags: u8,
    /// What happened to the packet.
    pub verdict: Verdict,
    /// The direction that denied it.
    pub denied_by: Option<Direction>,
    /// Why.
    pub reason: Reason,
    /// What decided at the source. [`DeciderId::NOT_ISOLATED`] also when the source isn't a pod of this
    /// node: its own node decides.
    pub egress: DeciderId,
    /// What decided at the destination; [`DeciderId::NOT_ISOLATED`] also when the destination isn't a pod
    /// of this node, or when the egress direction had denied the packet already.
    pub ingress: DeciderId,
    /// The packet is a reply.
    pub reply: bool,
    /// The connection had been established: a denial cuts it.
    pub established: bool,
    /// No conntrack entry: taken for a first packet.
    pub no_conntrack: bool,
    /// The source is a pod's address.
    pub source_is_pod: bool,
    /// The source is a pod of this node.
    pub source_is_local: bool,
    /// The destination is a pod's address.
    pub destination_is_pod: bool,
    /// The destination is a pod of this node.
    pub destination_is_local: bool,
    /// Bytes, from the IP header on.
    pub length: u32,
    /// How many denials of this source were withheld since its last event, by the event rate.
    pub suppressed: u32,
}
