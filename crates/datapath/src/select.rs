//! Which backend: asked for, or the best that the kernel can do.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use ipnet::IpNet;
use podgate_policy::{Delta, Programs};

use crate::bpf::{self, conntrack};
use crate::netns::NetNs;
use crate::{
    BpfDatapath, Counters, Datapath, DnsMessage, EdgeTotal, Error, Event, Mode, NftDatapath, Options,
    PublishReport, Repair, Taken, UnknownPods, Unsupported, nft, probe,
};

/// What enforces in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// BPF where the kernel can, nftables elsewhere.
    #[default]
    Auto,
    /// A netfilter BPF program.
    Bpf,
    /// nftables rules and sets.
    Nft,
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Backend::Auto),
            "bpf" => Ok(Backend::Bpf),
            "nft" => Ok(Backend::Nft),
            _ => Err(format!("no datapath is called {text:?}, use auto, bpf or nft")),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Auto => "auto",
            Backend::Bpf => "bpf",
            Backend::Nft => "nft",
        })
    }
}

/// What a backend can tell about packets. All enforce the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Which backend this is: never [`Backend::Auto`].
    pub backend: Backend,
    /// [`Event::ktime`] is the time of the packet; otherwise the time at which its event was read.
    pub packet_time: bool,
    /// [`Event::original_destination`] is told.
    pub original_destination: bool,
    /// [`Event::suppressed`] is told; otherwise only the sum is, in [`Counters::events_suppressed`].
    pub suppressed_by_source: bool,
    /// Events wait in the kernel while no process reads them.
    pub events_outlive_process: bool,
    /// [`Datapath::take_totals`] has something to hand over, where [`Options::totals`] asks for it.
    pub totals: bool,
    /// It can be opened a second time only to observe ([`crate::Mode::Observe`]).
    pub observing: bool,
    /// [`Datapath::poll_answers`] has something to hand over, where [`Options::answers`] asks for it.
    pub answers: bool,
}

impl Capabilities {
    /// What BPF can tell.
    pub const BPF: Capabilities = Capabilities {
        backend: Backend::Bpf,
        packet_time: true,
        original_destination: true,
        suppressed_by_source: true,
        events_outlive_process: true,
        totals: true,
        observing: true,
        answers: true,
    };
    /// What nftables can tell.
    pub const NFT: Capabilities = Capabilities {
        backend: Backend::Nft,
        packet_time: false,
        original_destination: false,
        suppressed_by_source: false,
        events_outlive_process: false,
        totals: false,
        observing: false,
        answers: false,
    };
}

/// A backend, and why it is this one.
pub struct Opened {
    /// The datapath.
    pub datapath: Box<dyn Datapath + Send>,
    /// Why BPF wasn't chosen, where the choice was free.
    pub without_bpf: Option<Unsupported>,
}

/// Opens a backend. What the other one enforces goes on until this one's first full publication, which ends it.
///
/// # Errors
/// When the kernel or the options don't allow it. With [`Backend::Auto`], those of the backend that was chosen.
pub fn open(backend: Backend, options: Options) -> Result<Opened, Error> {
    let without_bpf = match backend {
        Backend::Auto => probe().err(),
        Backend::Bpf | Backend::Nft => None,
    };
    let use_bpf = backend == Backend::Bpf || backend == Backend::Auto && without_bpf.is_none();
    if options.mode != Mode::Enforce && use_bpf {
        // Beside whatever enforces, not in its place.
        let datapath = Box::new(BpfDatapath::open(options)?);
        return Ok(Opened { datapath, without_bpf });
    }
    let netns = NetNs::open(options.netns.as_deref())?;
    let pin_dir = options.pin_dir.clone();
    let datapath: Box<dyn Datapath + Send> = if use_bpf {
        let is_there = nft::is_there(&netns)?;
        let end: End = Box::new(move || nft::remove(&netns));
        Box::new(Successor { datapath: BpfDatapath::open(options)?, earlier: is_there.then_some(end) })
    } else {
        let is_there = bpf::is_pinned(&pin_dir)?;
        let end: End = Box::new(move || {
            bpf::remove_pinned(&pin_dir)?;
            netns.run(conntrack::withdraw)?
        });
        Box::new(Successor { datapath: NftDatapath::open(options)?, earlier: is_there.then_some(end) })
    };
    Ok(Opened { datapath, without_bpf })
}

/// Ends all filtering of both backends: what is pinned in a directory, and podgate's nftables tables in the network
/// namespace (`None`: that of the calling thread).
///
/// # Errors
/// When something can't be removed, or when another process has the directory.
pub fn remove(pin_dir: &Path, netns: Option<&Path>) -> Result<(), Error> {
    bpf::remove_pinned(pin_dir)?;
    let netns = NetNs::open(netns)?;
    nft::remove(&netns)?;
    netns.run(conntrack::withdraw)?
}

/// Ends what another backend enforces.
type End = Box<dyn FnMut() -> Result<(), Error> + Send>;

/// A datapath that takes over from another backend.
struct Successor<D> {
    datapath: D,
    earlier: Option<End>,
}

impl<D: Datapath> Datapath for Successor<D> {
    fn publish(&mut self, programs: &dyn Programs, delta: &Delta) -> Result<PublishReport, Error> {
        self.datapath.publish(programs, delta)
    }

    fn publish_full(&mut self, programs: &dyn Programs, state: &Delta) -> Result<PublishReport, Error> {
        let report = self.datapath.publish_full(programs, state)?;
        // Both judge until here: no packet passes that the old state or the new one denies.
        if let Some(end) = &mut self.earlier {
            end()?;
            self.earlier = None;
        }
        Ok(report)
    }

    fn settle(&mut self) -> Result<bool, Error> {
        self.datapath.settle()
    }

    fn poll_events(&mut self, sink: &mut dyn FnMut(Event)) -> Result<usize, Error> {
        self.datapath.poll_events(sink)
    }

    fn take_totals(&mut self, sink: &mut dyn FnMut(EdgeTotal)) -> Result<Taken, Error> {
        self.datapath.take_totals(sink)
    }

    fn poll_answers(&mut self, sink: &mut dyn FnMut(DnsMessage)) -> Result<usize, Error> {
        self.datapath.poll_answers(sink)
    }

    fn counters(&self) -> Result<Counters, Error> {
        self.datapath.counters()
    }

    fn set_unknown_pods(&mut self, unknown_pods: UnknownPods) {
        self.datapath.set_unknown_pods(unknown_pods);
    }

    fn set_pod_cidrs(&mut self, cidrs: &[IpNet]) -> Result<(), Error> {
        self.datapath.set_pod_cidrs(cidrs)
    }

    fn is_attached(&self) -> bool {
        self.earlier.is_some() || self.datapath.is_attached()
    }

    fn capabilities(&self) -> Capabilities {
        self.datapath.capabilities()
    }

    fn reassert(&mut self) -> Result<Vec<Repair>, Error> {
        self.datapath.reassert()
    }
}
