//! The nftables backend: for kernels without netfilter BPF, and a second opinion in tests.
//!
//! ```text
//! NftDatapath --publisher--> sets (one table) <--lookups-- rules, made once <-- packets
//!             <--events----- log group        <-----------
//! ```
//!
//! Rules never change with policies: they look addresses, rows and ports up in sets, as the BPF program does in
//! maps. Publishing writes sets that no packet asks yet, and then replaces the two rules that lead to one of the two
//! slots. The kernel takes the rules of one packet from one generation, so that it sees the state before or the state
//! after; it promises no such thing of sets. Tables stay when the process ends, however it ends.

mod changes;
mod intervals;
mod log;
mod names;
mod netlink;
mod resolve;
mod rule;
mod ruleset;
mod store;
mod table;
mod upkeep;

use std::cell::RefCell;

use ipnet::IpNet;
use podgate_policy::{Delta, Programs};

use self::log::Log;
use self::names::{Names, SUPPRESSED, denied_counter};
use self::netlink::{Attrs, Kind, Socket, Transaction};
use self::rule::Rate;
use self::ruleset::Fixed;
use self::store::NftStore;
use self::table::Table;
use crate::netns::NetNs;
use crate::publish::publisher::Publisher;
use crate::{
    Capabilities, Counters, Datapath, DnsMessage, EdgeTotal, Error, Event, EventRate, Mode, Options,
    PublishReport, Reason, Repair, Taken, UnknownPods, options,
};

/// The table, of family inet. Not the one that keeps connection tracking on for BPF: each goes without the other.
pub const TABLE: &str = "podgate-policy";

/// The log group of the network namespace that events go to.
pub const LOG_GROUP: u16 = 27_017;

/// Verdict tables in sets of nftables, and rules that ask them.
///
/// Dropping it leaves the kernel filtering; [`crate::remove`] ends that.
pub struct NftDatapath {
    publisher: Publisher<NftStore>,
    options: Options,
    netns: NetNs,
    /// For reading, apart from changes.
    query: RefCell<Socket>,
    /// Packets are filtered: by what was there, or since the first full publication.
    is_attached: bool,
    /// The publisher and the kernel agree.
    is_known: bool,
    /// Read, and not asked for yet.
    events: Vec<Event>,
    /// Events that were counted before this process read any, and those that were withheld.
    earlier: (u64, u64),
}

/// One thread publishes, polls and settles; which one may change.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<NftDatapath>();
};

impl NftDatapath {
    /// Nothing changes for packets before [`Datapath::publish_full`]: that replaces what is there.
    ///
    /// # Errors
    /// When the kernel or the options don't allow it.
    pub fn open(options: Options) -> Result<Self, Error> {
        options.check()?;
        if options.mode != Mode::Enforce {
            return Err(Error::Settings(
                "mode: nftables can't only observe, that needs the BPF backend and a kernel for it".into(),
            ));
        }
        let netns = NetNs::open(options.netns.as_deref())?;
        let mut query = Socket::open(&netns)?;
        let log = open_log(&options, &netns)?;
        let chains = upkeep::names_in(&table(), &mut query, Kind::GetChain)?;
        let is_attached = chains.iter().any(|name| name == ruleset::JUDGE);
        let epoch = chains.iter().filter_map(|name| Names::epoch_of(name)).max().map_or(1, |epoch| epoch + 1);
        let publisher = publisher(&options, &netns, log, epoch)?;
        let counters = publisher.store().counters(&mut query)?;
        let earlier = |name: &str| counters.get(name).map_or(0, |(packets, _)| *packets);
        let earlier = (earlier("events"), earlier(SUPPRESSED));
        Ok(NftDatapath {
            publisher,
            options,
            netns,
            query: query.into(),
            is_attached,
            is_known: true,
            events: Vec::new(),
            earlier,
        })
    }

    /// After a failure it isn't known what the kernel has: everything is made anew beside it.
    fn start_over(&mut self) -> Result<(), Error> {
        let store = self.publisher.store_mut();
        let (epoch, log) = (store.epoch(), store.log.take());
        let log = log.map_or_else(|| open_log(&self.options, &self.netns), Ok)?;
        self.events.append(&mut self.publisher.store_mut().events);
        self.publisher = publisher(&self.options, &self.netns, log, epoch + 1)?;
        self.is_known = true;
        Ok(())
    }

    /// What is left to do once the publisher has its way, or hasn't.
    fn finish(&mut self, published: Result<PublishReport, Error>) -> Result<PublishReport, Error> {
        let store = self.publisher.store_mut();
        let finished = published.and_then(|report| match store.take_error() {
            Some(error) => Err(error),
            None => store.flush().map(|_| report),
        });
        self.is_known = finished.is_ok();
        finished
    }
}

impl Datapath for NftDatapath {
    fn publish(&mut self, programs: &dyn Programs, delta: &Delta) -> Result<PublishReport, Error> {
        if !self.is_known {
            return Err(Error::NeedsFull);
        }
        let published = self.publisher.publish(programs, delta, false);
        // A publisher that knows nothing yet has done nothing.
        if matches!(published, Err(Error::NeedsFull)) {
            return published;
        }
        self.finish(published)
    }

    fn publish_full(&mut self, programs: &dyn Programs, state: &Delta) -> Result<PublishReport, Error> {
        if !self.is_known {
            self.start_over()?;
        }
        let published = self.publisher.publish(programs, state, true);
        let report = self.finish(published)?;
        let store = self.publisher.store_mut();
        let attached = store.attach().and_then(|()| store.sweep());
        self.is_known = attached.is_ok();
        attached?;
        self.is_attached = true;
        Ok(report)
    }

    fn settle(&mut self) -> Result<bool, Error> {
        if !self.is_known {
            return Ok(true);
        }
        let settled = self.publisher.settle();
        let store = self.publisher.store_mut();
        let settled = settled.and_then(|done| match store.take_error() {
            Some(error) => Err(error),
            None => store.flush().map(|_| done),
        });
        self.is_known = settled.is_ok();
        settled
    }

    fn poll_events(&mut self, sink: &mut dyn FnMut(Event)) -> Result<usize, Error> {
        let store = self.publisher.store_mut();
        store.drain_log()?;
        let events = std::mem::take(&mut self.events).into_iter().chain(std::mem::take(&mut store.events));
        Ok(events.map(sink).count())
    }

    fn take_totals(&mut self, _: &mut dyn FnMut(EdgeTotal)) -> Result<Taken, Error> {
        Ok(Taken::default())
    }

    fn poll_answers(&mut self, _: &mut dyn FnMut(DnsMessage)) -> Result<usize, Error> {
        Ok(0)
    }

    fn counters(&self) -> Result<Counters, Error> {
        let store = self.publisher.store();
        let by_name = store.counters(&mut self.query.borrow_mut())?;
        let (packets, bytes) = by_name.get("packets").copied().unwrap_or_default();
        let count = |name: &str| by_name.get(name).map_or(0, |(packets, _)| *packets);
        let (events, suppressed) = (count("events") - self.earlier.0, count(SUPPRESSED) - self.earlier.1);
        let lost = store.log.as_ref().map_or(0, |log| log.lost).min(events);
        Ok(Counters {
            packets,
            bytes,
            allowed: count("allowed"),
            denied: Reason::ALL.map(|reason| count(&denied_counter(reason))),
            own_node: count("own-node"),
            neighbour_discovery: count("neighbour-discovery"),
            related: count("related"),
            to_itself: count("to-itself"),
            no_conntrack: count("no-conntrack"),
            unclassifiable: count("unclassifiable"),
            events_attempted: events + suppressed,
            events_submitted: events - lost,
            events_lost: lost,
            events_suppressed: suppressed,
            ..Counters::default()
        })
    }

    fn set_unknown_pods(&mut self, unknown_pods: UnknownPods) {
        self.options.unknown_pods = unknown_pods;
        self.publisher.store_mut().set_unknown_pods(unknown_pods);
        // A failure shows at the next publication, which starts over.
        self.is_known &= self.apply_settings().is_ok();
    }

    fn set_pod_cidrs(&mut self, cidrs: &[IpNet]) -> Result<(), Error> {
        options::check_pod_cidrs(cidrs)?;
        self.options.pod_cidrs = cidrs.to_vec();
        self.publisher.store_mut().set_pod_cidrs(cidrs);
        self.apply_settings()
    }

    fn is_attached(&self) -> bool {
        self.is_attached
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::NFT
    }

    fn reassert(&mut self) -> Result<Vec<Repair>, Error> {
        let store = self.publisher.store_mut();
        if !self.is_known || !store.is_disturbed()? {
            return Ok(Vec::new());
        }
        let restored = store.restore();
        self.is_known = restored.is_ok();
        restored.map(|()| vec![Repair::Tables])
    }
}

impl NftDatapath {
    /// Settings take effect at once, but not before the first publication.
    fn apply_settings(&mut self) -> Result<(), Error> {
        match self.is_known && self.publisher.is_current() {
            true => self.publisher.store_mut().flush().map(drop),
            false => Ok(()),
        }
    }
}

fn open_log(options: &Options, netns: &NetNs) -> Result<Log, Error> {
    Log::open(netns, LOG_GROUP, options.capacity.ring_bytes)
}

fn publisher(options: &Options, netns: &NetNs, log: Log, epoch: u32) -> Result<Publisher<NftStore>, Error> {
    let EventRate { per_second, burst } = options.event_rate;
    let rate = (per_second > 0).then_some(Rate { per_second, burst });
    let fixed = Fixed { names: Names { epoch }, group: LOG_GROUP, rate };
    let (cidrs, unknown_pods) = (&options.pod_cidrs, options.unknown_pods);
    let store = NftStore::new(table(), Socket::open(netns)?, log, fixed, cidrs, unknown_pods)?;
    Ok(Publisher::new(store, options.node.clone(), options.capacity.limits()))
}

fn table() -> Table {
    Table(TABLE.to_owned())
}

/// Whether some datapath of this kind filters, or has filtered, the namespace.
pub(crate) fn is_there(netns: &NetNs) -> Result<bool, Error> {
    let mut socket = Socket::open(netns)?;
    let mut found = false;
    socket.dump(Kind::GetTable, &Attrs::default(), |object| {
        found |= netlink::find(object, 1).map(netlink::text) == Some(TABLE);
    })?;
    Ok(found)
}

/// Ends all filtering by this backend in a network namespace.
pub(crate) fn remove(netns: &NetNs) -> Result<(), Error> {
    let mut transaction = Transaction::new();
    // A table that isn't there can't be deleted; one that is there can be made again.
    table().create(&mut transaction);
    table().delete(&mut transaction);
    Socket::open(netns)?.commit(transaction)
}
