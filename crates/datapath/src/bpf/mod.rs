//! The eBPF backend: one program at the postrouting hook of a network namespace.
//!
//! ```text
//! BpfDatapath --publisher--> maps (pinned) <--lookups-- kernel/podgate.bpf.c <-- packets
//!             <--events----- ring buffer   <-----------
//! ```
//!
//! Links are pinned: filtering goes on when the process ends, however it ends, and the next one adopts
//! the kernel's state.

mod alloc;
mod conntrack;
mod events;
mod grace;
mod layout;
mod load;
mod maps;
#[cfg(test)]
mod model;
mod netns;
mod probe;
mod publisher;
mod store;
mod sys;
mod tables;
mod words;

use std::fs::File;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use podgate_policy::{Delta, Programs};

use self::events::EventReader;
use self::maps::Maps;
use self::netns::NetNs;
use self::publisher::{Limits, Publisher};
use crate::{Counters, Datapath, Error, Event, PublishReport, Repair, UnknownPods};

pub use self::probe::{Unsupported, probe};

/// How much the kernel's tables hold. What doesn't fit is named in [`PublishReport`] and closed.
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
    fn idents(&self) -> u32 {
        load::with_spare(self.addresses) + load::with_spare(self.prefixes)
    }

    fn check(&self) -> Result<(), Error> {
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

/// What to filter, and how.
#[derive(Clone, Debug)]
pub struct BpfOptions {
    /// The network namespace, as a path like `/run/netns/NAME`; `None`: that of the calling thread.
    pub netns: Option<PathBuf>,
    /// The name of this node, as in [`podgate_policy::Identity::node`].
    pub node: String,
    /// A directory on a BPF file system, used by nobody else.
    pub pin_dir: PathBuf,
    /// The blocks that this node's pods get their addresses from; at most 8 of each family.
    pub pod_cidrs: Vec<IpNet>,
    /// What happens to addresses out of `pod_cidrs` that no publication has named.
    pub unknown_pods: UnknownPods,
    /// Sizes of the tables. Others than last time's make new tables: an upgrade.
    pub capacity: Capacity,
    /// Limits denial events.
    pub event_rate: EventRate,
}

impl BpfOptions {
    /// The calling thread's network namespace, default sizes, unknown pods closed.
    pub fn new(node: impl Into<String>, pin_dir: impl Into<PathBuf>) -> Self {
        BpfOptions {
            netns: None,
            node: node.into(),
            pin_dir: pin_dir.into(),
            pod_cidrs: Vec::new(),
            unknown_pods: UnknownPods::default(),
            capacity: Capacity::default(),
            event_rate: EventRate::default(),
        }
    }
}

/// Verdict tables in eBPF maps, and the program that asks them.
///
/// Dropping it leaves the kernel filtering; [`remove`] ends that.
pub struct BpfDatapath {
    publisher: Publisher<Maps>,
    events: EventReader,
    /// Events of the program that an upgrade has replaced.
    earlier: Vec<Event>,
    netns: NetNs,
    directory: PathBuf,
    /// Directories that the next full publication replaces.
    replaced: Vec<PathBuf>,
    _lock: File,
}

/// One thread publishes, polls and settles; which one may change.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<BpfDatapath>();
};

impl BpfDatapath {
    /// Adopts what is pinned, or loads the program. In any case nothing changes for packets before
    /// [`Datapath::publish_full`]: that attaches what is new and ends what is old.
    ///
    /// # Errors
    /// When the kernel or the options don't allow it; [`probe()`] tells more about the kernel.
    pub fn open(options: BpfOptions) -> Result<Self, Error> {
        options.capacity.check()?;
        check_pod_cidrs(&options.pod_cidrs)?;
        let netns = NetNs::open(options.netns.as_deref())?;
        let lock = load::lock(&options.pin_dir)?;
        netns.run(conntrack::assert_on)??;
        let directory = load::directory(&options.pin_dir, &options.capacity);
        let replaced: Vec<PathBuf> =
            load::directories(&options.pin_dir)?.into_iter().filter(|found| *found != directory).collect();
        for old in replaced.iter().filter(|old| load::is_complete(old)) {
            load::check_namespace(old, &netns)?;
        }
        if load::is_complete(&directory) {
            load::check_namespace(&directory, &netns)?;
        } else {
            if directory.exists() {
                load::remove(&directory)?;
            }
            load::load(&directory, &options.capacity)?;
        }
        let maps = Maps::open(&load::maps_of(&directory))?;
        maps.set_unknown_pods(options.unknown_pods);
        maps.set_event_rate(options.event_rate);
        maps.set_pod_cidrs(&options.pod_cidrs);
        let events = EventReader::open(maps.events())?;
        let capacity = options.capacity;
        let limits = Limits {
            addresses: capacity.addresses,
            prefixes: capacity.prefixes,
            rows: capacity.rows,
            ranges: capacity.ranges,
            idents: capacity.idents(),
        };
        let publisher = Publisher::new(maps, options.node, limits);
        Ok(BpfDatapath { publisher, events, earlier: Vec::new(), netns, directory, replaced, _lock: lock })
    }

    /// Where the program and its maps are pinned.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Ends what this one replaces, after its own links have begun.
    fn retire(&mut self) -> Result<(), Error> {
        while let Some(old) = self.replaced.last() {
            load::detach(old)?;
            if load::is_same_version(old)
                && let Ok(events) = maps::open_map(&load::maps_of(old), "events")
            {
                EventReader::open(&events)?.drain(&mut |event| self.earlier.push(event))?;
            }
            load::remove(old)?;
            self.replaced.pop();
        }
        Ok(())
    }
}

impl Datapath for BpfDatapath {
    fn publish(&mut self, programs: &dyn Programs, delta: &Delta) -> Result<PublishReport, Error> {
        self.publisher.publish(programs, delta, false)
    }

    fn publish_full(&mut self, programs: &dyn Programs, state: &Delta) -> Result<PublishReport, Error> {
        let report = self.publisher.publish(programs, state, true)?;
        load::attach(&self.directory, &self.netns)?;
        self.retire()?;
        Ok(report)
    }

    fn settle(&mut self) -> Result<bool, Error> {
        self.publisher.settle()
    }

    fn poll_events(&mut self, sink: &mut dyn FnMut(Event)) -> Result<usize, Error> {
        let earlier = self.earlier.len();
        self.earlier.drain(..).for_each(&mut *sink);
        Ok(earlier + self.events.drain(sink)?)
    }

    fn counters(&self) -> Result<Counters, Error> {
        self.publisher.store().counters()
    }

    fn set_unknown_pods(&mut self, unknown_pods: UnknownPods) {
        self.publisher.store_mut().set_unknown_pods(unknown_pods);
    }

    fn set_pod_cidrs(&mut self, cidrs: &[IpNet]) -> Result<(), Error> {
        check_pod_cidrs(cidrs)?;
        self.publisher.store_mut().set_pod_cidrs(cidrs);
        Ok(())
    }

    fn is_attached(&self) -> bool {
        load::is_attached(&self.directory) || self.replaced.iter().any(|old| load::is_attached(old))
    }

    fn reassert(&mut self) -> Result<Vec<Repair>, Error> {
        let mut repairs = Vec::new();
        if self.netns.run(conntrack::assert_on)?? {
            repairs.push(Repair::Conntrack);
        }
        if self.replaced.is_empty() && self.publisher.is_current() && !load::is_attached(&self.directory) {
            load::attach(&self.directory, &self.netns)?;
            repairs.push(Repair::Hook);
        }
        Ok(repairs)
    }
}

fn check_pod_cidrs(cidrs: &[IpNet]) -> Result<(), Error> {
    for v4 in [true, false] {
        let count = cidrs.iter().filter(|net| matches!(net, IpNet::V4(_)) == v4).count();
        if count > layout::CIDRS {
            return Err(Error::Settings(format!("pod_cidrs: {count} of one family, at most 8 are possible")));
        }
    }
    Ok(())
}

/// Ends all filtering that is pinned in a directory, and takes podgate's nftables table out of the network
/// namespace (`None`: that of the calling thread).
///
/// # Errors
/// When something can't be removed, or when another process has the directory.
pub fn remove(pin_dir: &Path, netns: Option<&Path>) -> Result<(), Error> {
    if pin_dir.exists() {
        let _lock = load::lock(pin_dir)?;
        for directory in load::directories(pin_dir)? {
            load::detach(&directory)?;
            load::remove(&directory)?;
        }
    }
    NetNs::open(netns)?.run(conntrack::withdraw)?
}
