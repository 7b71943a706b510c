//! CPU time, to the nanosecond, of everything that takes part.
//!
//! Both ends run on one CPU. A veth pair hands a packet over in the sender's context, so the work of
//! the kernel in between is in the CPU time of the two threads, or in that of the CPU's `ksoftirqd`.
//! This needs a kernel that does not account interrupts apart (`CONFIG_IRQ_TIME_ACCOUNTING`).

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// The CPU of both ends.
pub const ENDS: usize = 0;

/// The CPU of what isn't on the packets' way, when there is a second one.
pub fn aside() -> usize {
    std::thread::available_parallelism().map_or(0, |count| usize::from(count.get() > 1))
}

/// Keeps the calling thread on one CPU.
pub fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("keep a thread on CPU {cpu}"))
}

/// CPU time of the calling thread.
pub fn of_thread() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}

/// The kernel thread that takes over when too many packets are under way.
pub struct Softirqd(PathBuf);

impl Softirqd {
    /// That of [`ENDS`].
    pub fn find() -> Result<Softirqd> {
        let name = format!("ksoftirqd/{ENDS}");
        for entry in fs::read_dir("/proc").context("read /proc")? {
            let path = entry?.path();
            // Processes end while the directory is read.
            if fs::read_to_string(path.join("comm")).is_ok_and(|found| found.trim_end() == name) {
                return Ok(Softirqd(path.join("schedstat")));
            }
        }
        anyhow::bail!("no {name} in /proc: run outside of a PID namespace")
    }

    /// Its CPU time so far.
    pub fn time(&self) -> Result<Duration> {
        let text = fs::read_to_string(&self.0).with_context(|| format!("read {}", self.0.display()))?;
        let time = text.split_whitespace().next().and_then(|first| first.parse().ok());
        time.map(Duration::from_nanos).with_context(|| format!("unexpected contents of {}", self.0.display()))
    }
}
