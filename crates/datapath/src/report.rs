use std::net::IpAddr;

use ipnet::IpNet;

use crate::{Reason, Traffic};

/// What happens to pod addresses of this node that no publication has named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownPods {
    /// Nothing passes to or from them.
    #[default]
    Closed,
    /// As if no policy isolated them.
    Open,
}

/// What a publication did. The three lists name all that is in that state, not only what is new in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishReport {
    /// Pods of this node that are closed, because their verdict tables found no room. Sorted.
    pub closed: Vec<IpAddr>,
    /// Addresses that found no room: nothing passes between them and this node's pods. Sorted.
    pub unplaced: Vec<IpAddr>,
    /// Prefixes that found no room; pods for which that would allow more are in `closed`. Sorted.
    pub unplaced_prefixes: Vec<IpNet>,
    /// Rows and addresses written or removed now.
    pub writes: usize,
}

impl PublishReport {
    /// Whether everything found room.
    pub fn is_complete(&self) -> bool {
        self.closed.is_empty() && self.unplaced.is_empty() && self.unplaced_prefixes.is_empty()
    }
}

/// Something that others had undone in the kernel, and that was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Repair {
    /// The program, or the chain, that sees the packets was detached.
    Hook,
    /// A file or table that keeps the state when this process ends was gone; the state itself was not.
    Pin,
    /// Connection tracking could have been switched off.
    Conntrack,
    /// Verdict tables were changed or gone.
    Tables,
}

impl Repair {
    /// All kinds.
    pub const ALL: [Repair; 4] = [Repair::Hook, Repair::Pin, Repair::Conntrack, Repair::Tables];

    /// A stable name for machine output.
    pub fn name(self) -> &'static str {
        match self {
            Repair::Hook => "hook",
            Repair::Pin => "pin",
            Repair::Conntrack => "conntrack",
            Repair::Tables => "tables",
        }
    }
}

/// Sums over all CPUs.
///
/// `events_attempted = events_submitted + events_lost + events_suppressed`, and every submitted event
/// is received by [`crate::Datapath::poll_events`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets seen.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
    /// Packets allowed by verdict tables, or of and to pods that nothing isolates.
    pub allowed: u64,
    /// Packets denied, by [`Reason`], in the order of [`Reason::ALL`].
    pub denied: [u64; Reason::ALL.len()],
    /// Packets that the node itself sent.
    pub own_node: u64,
    /// Neighbour and multicast listener discovery.
    pub neighbour_discovery: u64,
    /// ICMP errors that belong to a connection.
    pub related: u64,
    /// Packets of pods that reach themselves through a Service.
    pub to_itself: u64,
    /// Packets without a conntrack entry.
    pub no_conntrack: u64,
    /// Later fragments, and packets with headers that can't be read.
    pub unclassifiable: u64,
    /// Events that were due.
    pub events_attempted: u64,
    /// Events put into the buffer.
    pub events_submitted: u64,
    /// Events lost because the buffer was full.
    pub events_lost: u64,
    /// Events withheld by the event rate.
    pub events_suppressed: u64,
    /// All that [`crate::Datapath::take_totals`] hands over sooner or later, what found no room included.
    pub counted: Traffic,
    /// What found no room there: [`crate::Taken::unattributed`] of all calls.
    pub unattributed: Traffic,
    /// Packets of name servers that [`crate::Datapath::poll_answers`] hands over sooner or later.
    pub answers_submitted: u64,
    /// Packets of name servers lost because the buffer was full, or unreadable.
    pub answers_lost: u64,
}

impl Counters {
    /// Packets denied for this reason.
    pub fn denied_for(&self, reason: Reason) -> u64 {
        self.denied[reason as usize]
    }

    /// Packets denied for any reason.
    pub fn denied_total(&self) -> u64 {
        self.denied.iter().sum()
    }
}
