//! What to filter, and how: the same for all backends.

use std::path::PathBuf;

use ipnet::IpNet;

use crate::bpf::layout::{ANSWER_PORTS, CIDRS};
use crate::bpf::load;
use crate::publish::publisher::Limits;
use crate::{DnsAnswers, Error, UnknownPods};

/// Edges of [`Options::totals`] where nothing else is said.
const TOTALS: u32 = 16_384;

/// How much the kernel's tables hold. What doesn't fit is named in [`crate::PublishReport`] and closed.
///
/// Tables are empty until used, but for about 24 bytes an address and 100 a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capacity {
    /// Pod addresses of the whole cluster, both families together.
    pub addresses: u32,
    /// Prefixes that policies name, both families together.
    pub prefixes: u32,
    /// Rows of the verdict tables of this node's pods.
    pub rows: u32,
    /// Port ranges of those rows; equal lists are kept once.
    pub ranges: u32,
    /// Size of the event buffer: a power of two, at least 4096.
    pub ring_bytes: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Capacity { addresses: 131_072, prefixes: 16_384, rows: 262_144, ranges: 65_536, ring_bytes: 1 << 21 }
    }
}

impl Capacity {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            addresses: self.addresses,
            prefixes: self.prefixes,
            rows: self.rows,
            ranges: self.ranges,
            idents: self.idents(),
        }
    }

    /// More than addresses and prefixes: some wait to be used again.
    pub(crate) fn idents(&self) -> u32 {
        load::with_spare(self.addresses) + load::with_spare(self.prefixes)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let sum = [self.addresses, self.prefixes, self.rows].into_iter().map(u64::from).sum::<u64>();
        let smallest = self.addresses.min(self.prefixes).min(self.rows).min(self.ranges);
        if smallest == 0 || sum > 2_000_000 || self.ranges > 1 << 24 {
            return Err(Error::Settings(
                "capacity: every number must be at least 1, addresses, prefixes and rows together at most \
                 2000000, ranges at most 16777216"
                    .into(),
            ));
        }
        if !self.ring_bytes.is_power_of_two() || self.ring_bytes < 4096 {
            return Err(Error::Settings("capacity: ring_bytes must be a power of two, at least 4096".into()));
        }
        Ok(())
    }
}

/// How many denial events a source may cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRate {
    /// Per second and source address; 0: no limit.
    pub per_second: u32,
    /// How many may come at once.
    pub burst: u32,
}

impl Default for EventRate {
    fn default() -> Self {
        EventRate { per_second: 100, burst: 200 }
    }
}

/// What becomes of packets that verdict tables deny.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// They are dropped.
    #[default]
    Enforce,
    /// They pass: this datapath only says what it would do, in its events, counters and totals, beside another one that
    /// enforces and to which it does nothing. It needs a pin directory of its own. It sees packets before the other one drops them. Only the BPF
    /// backend can do it ([`crate::Capabilities::observing`]).
    Observe {
        /// Events also for connections that would be allowed.
        allowed: bool,
    },
}

/// What to filter, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The network namespace, as a path like `/run/netns/NAME`; `None`: that of the calling thread.
    pub netns: Option<PathBuf>,
    /// The name of this node, as in [`podgate_policy::Identity::node`].
    pub node: String,
    /// A directory on a BPF file system, used by nobody else; the nftables backend has no use for it.
    pub pin_dir: PathBuf,
    /// The blocks that this node's pods get their addresses from; at most 8 of each family.
    pub pod_cidrs: Vec<IpNet>,
    /// What happens to addresses out of `pod_cidrs` that no publication has named.
    pub unknown_pods: UnknownPods,
    /// Sizes of the tables. Others than last time's make new tables: an upgrade.
    pub capacity: Capacity,
    /// Limits denial events.
    pub event_rate: EventRate,
    /// How many edges [`crate::Datapath::take_totals`] can tell apart between two calls; `None`: nothing is counted, and
    /// counting costs nothing. Others than last time's make new tables.
    pub totals: Option<u32>,
    /// Drop what is denied, or only tell of it.
    pub mode: Mode,
    /// Which answers of name servers [`crate::Datapath::poll_answers`] hands over.
    pub answers: Option<DnsAnswers>,
}

impl Options {
    /// The calling thread's network namespace, default sizes, unknown pods closed.
    pub fn new(node: impl Into<String>, pin_dir: impl Into<PathBuf>) -> Self {
        Options {
            netns: None,
            node: node.into(),
            pin_dir: pin_dir.into(),
            pod_cidrs: Vec::new(),
            unknown_pods: UnknownPods::default(),
            capacity: Capacity::default(),
            event_rate: EventRate::default(),
            totals: Some(TOTALS),
            mode: Mode::default(),
            answers: None,
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.capacity.check()?;
        if self.totals.is_some_and(|edges| edges == 0 || edges > 1 << 20) {
            return Err(Error::Settings(
                "totals: 1 to 1048576 edges are possible, or none to count nothing".into(),
            ));
        }
        if let Some(DnsAnswers { ports, ring_bytes }) = &self.answers {
            if ports.is_empty() || ports.len() > ANSWER_PORTS || ports.contains(&0) {
                return Err(Error::Settings(
                    "answers: from 1 to 4 ports are possible, each at least 1".into(),
                ));
            }
            if !ring_bytes.is_power_of_two() || *ring_bytes < 16_384 {
                return Err(Error::Settings(
                    "answers: ring_bytes must be a power of two, at least 16384".into(),
                ));
            }
        }
        check_pod_cidrs(&self.pod_cidrs)
    }
}

pub(crate) fn check_pod_cidrs(cidrs: &[IpNet]) -> Result<(), Error> {
    for v4 in [true, false] {
        let count = cidrs.iter().filter(|net| matches!(net, IpNet::V4(_)) == v4).count();
        if count > CIDRS {
            return Err(Error::Settings(format!("pod_cidrs: {count} of one family, at most 8 are possible")));
        }
    }
    Ok(())
}
