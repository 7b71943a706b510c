//! Enforces verdict tables in the kernel and reports what they decided there.
//!
//! ```text
//! podgate_policy::Delta --publish--> kernel tables --packets--> Event, Counters
//! ```
//!
//! [`Datapath`] is what every backend does; [`BpfDatapath`] is the eBPF one, [`NftDatapath`] the one for kernels without
//! netfilter programs; [`open()`] chooses. Verdicts are made by the engine alone; a backend only looks them up, and adds
//! the fixed cases that [`Reason`] names.

mod answers;
pub mod bpf;
mod error;
mod event;
mod netns;
pub mod nft;
mod options;
mod publish;
mod report;
mod select;
mod totals;

pub use answers::{DnsAnswers, DnsMessage};
pub use bpf::{BpfDatapath, Unsupported, probe, remove_observer};
pub use error::Error;
pub use event::{Event, Reason};
pub use nft::NftDatapath;
pub use options::Options as BpfOptions;
pub use options::{Capacity, EventRate, Mode, Options};
pub use report::{Counters, PublishReport, Repair, UnknownPods};
pub use select::{Backend, Capabilities, Opened, open, remove};
pub use totals::{EdgeTotal, Taken, Traffic};

use ipnet::IpNet;
use podgate_policy::{Delta, Programs};

/// Makes verdict tables the kernel's, and hands out what the kernel saw.
pub trait Datapath {
    /// Makes a change current. A packet sees all of it or nothing of it.
    ///
    /// # Errors
    /// [`Error::NeedsFull`] when the kernel's state isn't known (after adopting it, or after another
    /// error): use [`Datapath::publish_full`]. On any error the kernel keeps the state before.
    fn publish(&mut self, programs: &dyn Programs, delta: &Delta) -> Result<PublishReport, Error>;

    /// Like [`Datapath::publish`], with a delta that is the whole state: what it doesn't name goes away.
    ///
    /// # Errors
    /// As [`Datapath::publish`], without [`Error::NeedsFull`].
    fn publish_full(&mut self, programs: &dyn Programs, state: &Delta) -> Result<PublishReport, Error>;

    /// Does what publishing has put off: call it when idle, until it returns `true`. It doesn't wait.
    ///
    /// # Errors
    /// When the kernel refuses; the state in force isn't touched by that.
    fn settle(&mut self) -> Result<bool, Error>;

    /// Hands over the events that have come in; call it every 10 ms or so. Returns how many.
    ///
    /// # Errors
    /// When the kernel's buffer can't be read.
    fn poll_events(&mut self, sink: &mut dyn FnMut(Event)) -> Result<usize, Error>;

    /// Hands over what [`Options::totals`] has counted, each packet in exactly one call. It doesn't wait: a call begins a
    /// new count, and hands over the one that the call before had ended. So call it every second or so; calls within
    /// a grace period of the kernel (some 10 ms) after the last one do nothing.
    ///
    /// # Errors
    /// When the kernel's tables can't be read.
    fn take_totals(&mut self, sink: &mut dyn FnMut(EdgeTotal)) -> Result<Taken, Error>;

    /// Hands over the packets of name servers to pods of this node that have come in, where [`Options::answers`] asks
    /// for them. Returns how many.
    ///
    /// # Errors
    /// When the kernel's buffer can't be read.
    fn poll_answers(&mut self, sink: &mut dyn FnMut(DnsMessage)) -> Result<usize, Error>;

    /// The sums over all CPUs, since the tables were loaded (not: since this process started).
    ///
    /// # Errors
    /// When the kernel's counters can't be read.
    fn counters(&self) -> Result<Counters, Error>;

    /// What happens to pod addresses of this node that no publication has named yet.
    fn set_unknown_pods(&mut self, unknown_pods: UnknownPods);

    /// Replaces the blocks that this node's pods get their addresses from.
    ///
    /// # Errors
    /// [`Error::Settings`] when there are too many; the blocks before stay.
    fn set_pod_cidrs(&mut self, cidrs: &[IpNet]) -> Result<(), Error>;

    /// Whether packets are filtered: by what was adopted, or since the first full publication.
    fn is_attached(&self) -> bool;

    /// What this backend can tell, and what it can't.
    fn capabilities(&self) -> Capabilities;

    /// Checks what others may have undone in the kernel and restores it; call it now and then. Returns
    /// what had to be restored, mostly nothing.
    ///
    /// # Errors
    /// When something is missing and can't be restored.
    fn reassert(&mut self) -> Result<Vec<Repair>, Error>;
}
