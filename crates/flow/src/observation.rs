//! What one node saw of one connection: the kernel's event, not yet named.

use std::net::SocketAddr;
use std::sync::Arc;

use podgate_policy::{DeciderId, Verdict};

use crate::{Protocol, TcpFlags, Timestamp};

/// One node's report about one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When the packet was judged.
    pub time: Timestamp,
    /// The node whose kernel judged it.
    pub node: Arc<str>,
    /// Where the connection comes from; port 0 for protocols without ports.
    pub from: SocketAddr,
    /// Where it leads, after Service translation.
    pub to: SocketAddr,
    /// What the client asked for, when a Service translated it.
    pub asked: Option<SocketAddr>,
    /// The protocol above IP.
    pub protocol: Protocol,
    /// Flags of the packet that was judged.
    pub tcp_flags: TcpFlags,
    /// ICMP or ICMPv6 type and code.
    pub icmp: Option<(u8, u8)>,
    /// The verdict at the source; `None`: this node had none to make.
    pub egress: Option<Half>,
    /// The verdict at the destination; `None`: this node had none to make.
    pub ingress: Option<Half>,
    /// What staged policies would have said, where that makes another verdict.
    pub would: Option<Would>,
    /// The packet was a reply.
    pub reply: bool,
    /// An established connection that policy no longer allows.
    pub cut: bool,
    /// Like events that the kernel counted rather than sent since the last one.
    pub suppressed: u64,
}

/// The verdict of one direction as the kernel reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half {
    /// Allowed or denied.
    pub verdict: Verdict,
    /// What made it.
    pub basis: Basis,
}

/// What staged policies would have said on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Would {
    /// At the source.
    pub egress: Option<Half>,
    /// At the destination.
    pub ingress: Option<Half>,
}

impl Would {
    /// Denied as soon as one direction denies.
    pub fn verdict(&self) -> Verdict {
        verdict(&self.egress, &self.ingress)
    }
}

/// What made a verdict in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// A verdict table: a rule, an isolation or a default.
    Decider(DeciderId),
    /// The pod's own node is never kept out.
    OwnNode,
    /// An address in the pod range that no known pod has: closed until it is known.
    UnknownPod,
    /// The packet's headers or its port could not be read.
    Unreadable,
    /// The verdict table found no room in the kernel: closed.
    TableFull,
    /// The verdict table in the kernel is incomplete: closed.
    Incomplete,
}

impl Observation {
    /// Denied as soon as one direction denies.
    pub fn verdict(&self) -> Verdict {
        verdict(&self.egress, &self.ingress)
    }

    /// What makes two reports speak of the same connection. Ports alone would not do: the two ends of a
    /// cross-node connection agree only on addresses after translation.
    pub fn connection(&self) -> ConnectionKey {
        (self.from, self.to, self.protocol)
    }
}

fn verdict(egress: &Option<Half>, ingress: &Option<Half>) -> Verdict {
    let denied = |half: &Option<Half>| half.is_some_and(|h| h.verdict == Verdict::Denied);
    if denied(egress) || denied(ingress) { Verdict::Denied } else { Verdict::Allowed }
}

/// From, to and protocol of a connection, after Service translation.
pub type ConnectionKey = (SocketAddr, SocketAddr, Protocol);
