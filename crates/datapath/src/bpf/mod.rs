//! The eBPF backend: one program at the postrouting hook of a network namespace.
//!
//! ```text
//! BpfDatapath --publisher--> maps (pinned) <--lookups-- kernel/podgate.bpf.c <-- packets
//!             <--events----- ring buffer   <-----------
//! ```
//!
//! Links are pinned: filtering goes on when the process ends, however it ends, and the next one adopts
//! the kernel's state.

mod answers;
pub(crate) mod conntrack;
mod events;
mod held;
pub(crate) mod layout;
pub(crate) mod load;
mod maps;
mod news;
pub(crate) mod probe;
mod ring;
mod sys;
mod totals;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use podgate_policy::{Delta, Programs};

use self::held::Held;
use self::maps::Maps;
use self::news::NftNews;
use self::ring::Reader;
use self::totals::Totals;
use crate::netns::NetNs;
use crate::publish::publisher::Publisher;
use crate::{
    Capabilities, Counters, Datapath, DnsMessage, EdgeTotal, Error, Event, Mode, Options, PublishReport,
    Repair, Taken, UnknownPods, options,
};

pub use self::probe::{Unsupported, probe};

/// How long nothing is published before what earlier states left behind is removed.
const QUIET: Duration = Duration::from_millis(500);

/// Verdict tables in eBPF maps, and the program that asks them.
///
/// Dropping it leaves the kernel filtering; [`crate::remove`] ends that.
pub struct BpfDatapath {
    publisher: Publisher<Maps>,
    events: Reader<Event>,
    answers: Option<Reader<DnsMessage>>,
    totals: Option<Totals>,
    held: Held,
    nft_news: NftNews,
    /// Events of the program that an upgrade has replaced.
    earlier: Vec<Event>,
    /// And its answers of name servers.
    earlier_answers: Vec<DnsMessage>,
    /// And its totals.
    earlier_totals: (Taken, Vec<EdgeTotal>),
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
    pub fn open(options: Options) -> Result<Self, Error> {
        options.check()?;
        let netns = NetNs::open(options.netns.as_deref())?;
        let lock = load::lock(&options.pin_dir)?;
        let directory = load::directory(&options);
        let mut replaced = load::directories(&options.pin_dir)?;
        replaced.retain(|found| *found != directory);
        check_mode(&replaced, options.mode != Mode::Enforce)?;
        let nft_news = netns.run(NftNews::listen)??;
        netns.run(conntrack::assert_on)??;
        for old in replaced.iter().filter(|old| load::is_complete(old)) {
            load::check_namespace(old, &netns)?;
        }
        if load::is_complete(&directory) {
            load::check_namespace(&directory, &netns)?;
        } else {
            if directory.exists() {
                load::remove(&directory)?;
            }
            load::load(&directory, &options)?;
        }
        let maps = Maps::open(&load::maps_of(&directory))?;
        let held = Held::open(&directory)?;
        maps.set_unknown_pods(options.unknown_pods);
        maps.set_event_rate(options.event_rate);
        maps.set_pod_cidrs(&options.pod_cidrs);
        let events = open_events(&load::maps_of(&directory))?;
        let answers = match options.answers {
            Some(_) => Some(open_answers(&load::maps_of(&directory))?),
            None => None,
        };
        let mut totals = match options.totals {
            Some(_) => Some(Totals::open(&load::maps_of(&directory))?),
            None => None,
        };
        totals.iter_mut().for_each(|totals| totals.adopt(&maps));
        let mut publisher = Publisher::new(maps, options.node, options.capacity.limits());
        publisher.set_quiet(QUIET);
        Ok(BpfDatapath {
            publisher,
            events,
            answers,
            totals,
            held,
            nft_news,
            earlier: Vec::new(),
            earlier_answers: Vec::new(),
            earlier_totals: Default::default(),
            netns,
            directory,
            replaced,
            _lock: lock,
        })
    }

    /// Where the program and its maps are pinned.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Takes what a detached program has told and nobody has read. Earlier releases had fewer maps.
    fn take_over(&mut self, maps: &Path) -> Result<(), Error> {
        let has = |name: &str| maps.join(name).exists();
        // Waits for the packets that are still being judged; so the others come after.
        if has("edges0") {
            let (taken, totals) = &mut self.earlier_totals;
            *taken += Totals::open(maps)?.take_rest(&mut |total| totals.push(total))?;
        }
        if has("answers") {
            open_answers(maps)?.drain(&mut |answer| self.earlier_answers.push(answer))?;
        }
        if has("events") {
            open_events(maps)?.drain(&mut |event| self.earlier.push(event))?;
        }
        Ok(())
    }

    /// Ends what this one replaces, after its own links have begun.
    fn retire(&mut self) -> Result<(), Error> {
        while let Some(old) = self.replaced.last().cloned() {
            load::detach(&old)?;
            if load::is_same_version(&old) {
                self.take_over(&load::maps_of(&old))?;
            }
            load::remove(&old)?;
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
        self.held.restore(&self.directory, &self.netns)?;
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

    fn take_totals(&mut self, sink: &mut dyn FnMut(EdgeTotal)) -> Result<Taken, Error> {
        let mut taken = match &mut self.totals {
            Some(totals) => totals.take(self.publisher.store(), sink)?,
            None => Taken::default(),
        };
        let (earlier, totals) = std::mem::take(&mut self.earlier_totals);
        totals.into_iter().for_each(&mut *sink);
        taken += earlier;
        Ok(taken)
    }

    fn poll_answers(&mut self, sink: &mut dyn FnMut(DnsMessage)) -> Result<usize, Error> {
        let earlier = self.earlier_answers.len();
        self.earlier_answers.drain(..).for_each(&mut *sink);
        Ok(earlier + self.answers.as_mut().map_or(Ok(0), |answers| answers.drain(sink))?)
    }

    fn counters(&self) -> Result<Counters, Error> {
        self.publisher.store().counters()
    }

    fn set_unknown_pods(&mut self, unknown_pods: UnknownPods) {
        self.publisher.store_mut().set_unknown_pods(unknown_pods);
    }

    fn set_pod_cidrs(&mut self, cidrs: &[IpNet]) -> Result<(), Error> {
        options::check_pod_cidrs(cidrs)?;
        self.publisher.store_mut().set_pod_cidrs(cidrs);
        Ok(())
    }

    fn is_attached(&self) -> bool {
        load::is_attached(&self.directory) || self.replaced.iter().any(|old| load::is_attached(old))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::BPF
    }

    fn reassert(&mut self) -> Result<Vec<Repair>, Error> {
        let mut repairs = Vec::new();
        if self.nft_news.any() && self.netns.run(conntrack::assert_on)?? {
            repairs.push(Repair::Conntrack);
        }
        if self.replaced.is_empty() && self.publisher.is_current() {
            repairs.extend(self.held.restore(&self.directory, &self.netns)?);
        }
        Ok(repairs)
    }
}

fn open_events(maps: &Path) -> Result<Reader<Event>, Error> {
    Reader::open(&maps::open_map(maps, "events")?, "event", events::parse)
}

fn open_answers(maps: &Path) -> Result<Reader<DnsMessage>, Error> {
    Reader::open(&maps::open_map(maps, "answers")?, "answer", answers::parse)
}

/// Whether some program's links are pinned in a directory.
pub(crate) fn is_pinned(pin_dir: &Path) -> Result<bool, Error> {
    Ok(pin_dir.exists() && load::directories(pin_dir)?.iter().any(|directory| load::is_attached(directory)))
}

fn check_mode(directories: &[PathBuf], observes: bool) -> Result<(), Error> {
    match directories.iter().find(|directory| load::is_observer(directory) != observes) {
        Some(other) => Err(Error::OtherMode { path: other.clone(), observes: !observes }),
        None => Ok(()),
    }
}

/// Ends what only observes, with all its tables; nothing else is touched.
///
/// # Errors
/// When something can't be removed, when another process has the directory, or when what is pinned there
/// enforces: [`crate::remove`] ends that.
pub fn remove_observer(pin_dir: &Path) -> Result<(), Error> {
    if pin_dir.exists() {
        check_mode(&load::directories(pin_dir)?, true)?;
    }
    remove_pinned(pin_dir)
}

/// Ends all filtering that is pinned in a directory.
pub(crate) fn remove_pinned(pin_dir: &Path) -> Result<(), Error> {
    if pin_dir.exists() {
        let _lock = load::lock(pin_dir)?;
        for directory in load::directories(pin_dir)? {
            load::detach(&directory)?;
            load::remove(&directory)?;
        }
    }
    Ok(())
}
