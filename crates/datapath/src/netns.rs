//! Doing things in the network namespace that is filtered.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Error;

/// A network namespace; without a descriptor: that of the calling thread.
#[derive(Debug)]
pub(crate) struct NetNs(Option<OwnedFd>);

impl NetNs {
    /// Opens `/run/netns/NAME`, `/proc/PID/ns/net` or the like.
    pub(crate) fn open(path: Option<&Path>) -> Result<NetNs, Error> {
        let Some(path) = path else { return Ok(NetNs(None)) };
        let file = File::open(path)
            .map_err(|error| Error::io(format!("open network namespace {}", path.display()), error))?;
        Ok(NetNs(Some(file.into())))
    }

    /// Runs `work` in the namespace, on a thread that ends with it.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let Some(fd) = &self.0 else { return Ok(work()) };
        let done = thread::scope(|scope| {
            scope
                .spawn(|| {
                    move_into_link_name_space(fd.as_fd(), Some(LinkNameSpaceType::Network))
                        .map_err(|error| Error::io("enter the network namespace", error))?;
                    Ok(work())
                })
                .join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
