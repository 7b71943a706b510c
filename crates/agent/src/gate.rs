//! The engine and this node's kernel, kept in step.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use podgate_datapath::{
    Backend, Capabilities, Counters, Datapath, DnsMessage, EdgeTotal, Error, Event, PublishReport, Repair,
    Traffic,
};
use podgate_policy::{Cluster, Delta, Settings};

/// How long a refused publication rests before it is tried again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Whether an address's policies are in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InForce {
    /// The kernel judges it as the engine does.
    Yes,
    /// The kernel's tables have no room: nothing passes.
    Closed,
    /// The engine doesn't know the address, or the kernel isn't current.
    No,
}

/// When the steps of the last [`Gate::publish`] were done, and what they did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    pub(crate) begun: Instant,
    pub(crate) compiled: Instant,
    pub(crate) published: Instant,
    /// The kernel had to hear of it.
    pub(crate) is_publication: bool,
    /// All was written, not what changed alone.
    pub(crate) is_full: bool,
    /// Addresses that changed.
    pub(crate) addresses: usize,
    /// Verdict tables that are new.
    pub(crate) programs: usize,
    pub(crate) backend: Backend,
}

/// See the module.
pub(crate) struct Gate {
    pub(crate) cluster: Cluster,
    datapath: Box<dyn Datapath + Send>,
    /// The kernel's state isn't known, or wasn't published yet: publish all of it.
    needs_full: bool,
    /// The last publication put something off.
    is_settling: bool,
    report: PublishReport,
    failure: Option<Failure>,
    publications: u64,
    last: Duration,
    steps: Steps,
}

#[derive(Debug)]
struct Failure {
    message: String,
    wait: Duration,
    next: Instant,
}

impl Gate {
    pub(crate) fn new(datapath: Box<dyn Datapath + Send>, settings: Settings) -> Gate {
        Gate::with(datapath, Cluster::new(settings))
    }

    /// A gate for an engine that knows something already.
    pub(crate) fn with(datapath: Box<dyn Datapath + Send>, cluster: Cluster) -> Gate {
        let now = Instant::now();
        let steps = Steps {
            begun: now,
            compiled: now,
            published: now,
            is_publication: false,
            is_full: false,
            addresses: 0,
            programs: 0,
            backend: datapath.capabilities().backend,
        };
        Gate {
            cluster,
            datapath,
            needs_full: true,
            is_settling: true,
            report: PublishReport::default(),
            failure: None,
            publications: 0,
            last: Duration::ZERO,
            steps,
        }
    }

    /// Makes all that the engine has heard current in the kernel. `false`: nothing was to be done.
    ///
    /// # Errors
    /// When the kernel refuses. It keeps the state before; [`Gate::retry_at`] tells when to try again.
    pub(crate) fn publish(&mut self, now: Instant) -> Result<bool, String> {
        let begun = Instant::now();
        let delta = self.cluster.commit();
        let compiled = Instant::now();
        let is_publication = !delta.is_empty() || self.needs_full;
        let (addresses, programs) = (delta.addresses.len(), delta.programs.len());
        let steps = Steps { begun, compiled, is_publication, addresses, programs, ..self.steps };
        self.steps = Steps { is_full: false, published: compiled, ..steps };
        if !is_publication {
            return Ok(false);
        }
        let result = self.put(&delta, now);
        self.steps.published = Instant::now();
        result
    }

    /// What the last publication did, and when.
    pub(crate) fn steps(&self) -> &Steps {
        &self.steps
    }

    fn put(&mut self, delta: &Delta, now: Instant) -> Result<bool, String> {
        let begun = Instant::now();
        let published = match self.needs_full {
            true => Err(Error::NeedsFull),
            false => self.datapath.publish(&self.cluster, delta),
        };
        let published = match published {
            Err(Error::NeedsFull) => {
                self.steps.is_full = true;
                self.datapath.publish_full(&self.cluster, &self.cluster.whole())
            }
            other => other,
        };
        self.needs_full = published.is_err();
        self.is_settling = true;
        match published {
            Ok(report) => {
                self.report = report;
                self.failure = None;
                self.publications += 1;
                self.last = begun.elapsed();
                Ok(true)
            }
            Err(error) => {
                let wait = self.failure.as_ref().map_or(RETRY.0, |failure| (failure.wait * 2).min(RETRY.1));
                let message = error.to_string();
                self.failure = Some(Failure { message: message.clone(), wait, next: now + wait });
                Err(message)
            }
        }
    }

    /// When a publication that failed is tried again.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.failure.as_ref().map(|failure| failure.next)
    }

    /// Why the kernel isn't current; empty when it is.
    pub(crate) fn failure(&self) -> &str {
        self.failure.as_ref().map_or("", |failure| &failure.message)
    }

    /// Does what publishing has put off, as far as that goes without waiting.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        if !self.is_settling {
            return Ok(());
        }
        let settled = self.datapath.settle();
        self.is_settling = settled.as_ref().is_ok_and(|is_done| !is_done);
        settled.map(drop).map_err(|error| error.to_string())
    }

    /// Whether the policies of an address are in the kernel.
    pub(crate) fn in_force(&self, ip: IpAddr) -> InForce {
        if self.needs_full || self.cluster.identity(ip).is_none() {
            return InForce::No;
        }
        let is_closed = |list: &[IpAddr]| list.binary_search(&ip).is_ok();
        match is_closed(&self.report.closed) || is_closed(&self.report.unplaced) {
            true => InForce::Closed,
            false => InForce::Yes,
        }
    }

    /// What found no room.
    pub(crate) fn report(&self) -> &PublishReport {
        &self.report
    }

    /// How many publications there were, and how long the last one took.
    pub(crate) fn publications(&self) -> (u64, Duration) {
        (self.publications, self.last)
    }

    pub(crate) fn backend(&self) -> Backend {
        self.datapath.capabilities().backend
    }

    /// What the backend can tell about packets.
    pub(crate) fn capabilities(&self) -> Capabilities {
        self.datapath.capabilities()
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.datapath.is_attached()
    }

    pub(crate) fn set_pod_cidrs(&mut self, cidrs: &[IpNet]) -> Result<(), String> {
        self.datapath.set_pod_cidrs(cidrs).map_err(|error| error.to_string())
    }

    /// Hands over the kernel's events, with the engine that can name what they are about.
    ///
    /// # Errors
    /// When the kernel's buffer can't be read.
    pub(crate) fn poll_events(&mut self, sink: &mut dyn FnMut(Event, &Cluster)) -> Result<usize, String> {
        let Gate { datapath, cluster, .. } = self;
        datapath.poll_events(&mut |event| sink(event, cluster)).map_err(|error| error.to_string())
    }

    /// Hands over what name servers answered to pods, with the engine that says who they are.
    ///
    /// # Errors
    /// When the kernel's buffer can't be read.
    pub(crate) fn poll_answers(&mut self, sink: &mut dyn FnMut(DnsMessage, &Cluster)) -> Result<(), String> {
        let Gate { datapath, cluster, .. } = self;
        let polled = datapath.poll_answers(&mut |message| sink(message, cluster));
        polled.map(drop).map_err(|error| error.to_string())
    }

    /// Hands over what the kernel has counted, with the engine that can name what it is about. Returns what found no
    /// room in the kernel's tables: how much it was is known, and nothing else.
    ///
    /// # Errors
    /// When the kernel's tables can't be read.
    pub(crate) fn take_totals(
        &mut self,
        sink: &mut dyn FnMut(EdgeTotal, &Cluster),
    ) -> Result<Traffic, String> {
        let Gate { datapath, cluster, .. } = self;
        let taken = datapath.take_totals(&mut |total| sink(total, cluster));
        taken.map(|taken| taken.unattributed).map_err(|error| error.to_string())
    }

    pub(crate) fn counters(&self) -> Result<Counters, String> {
        self.datapath.counters().map_err(|error| error.to_string())
    }

    /// Restores what others have undone.
    ///
    /// # Errors
    /// When something is missing and can't be restored.
    pub(crate) fn reassert(&mut self) -> Result<Vec<Repair>, String> {
        let repairs = self.datapath.reassert().map_err(|error| error.to_string())?;
        // Tables that others changed are written again as a whole.
        self.needs_full |= repairs.contains(&Repair::Tables);
        Ok(repairs)
    }
}
