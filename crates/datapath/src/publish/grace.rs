//! Waits, on a thread of its own, until no packet is left that began before a given moment.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustix::thread::{MembarrierCommand, membarrier};

use crate::Error;

/// `membarrier(MEMBARRIER_CMD_GLOBAL)` returns after an RCU grace period, and netfilter runs its hooks
/// in RCU read sections. It takes 8 to 30 ms.
#[derive(Debug)]
pub(crate) struct Grace {
    ask: Sender<()>,
    over: Receiver<()>,
    outstanding: u32,
}

impl Grace {
    pub(crate) fn start() -> Result<Grace, Error> {
        // Tried once here: it isn't there with CONFIG_MEMBARRIER=n, nor with nohz_full.
        membarrier(MembarrierCommand::Global).map_err(|error| Error::io("wait for a grace period", error))?;
        let (ask, asked) = channel();
        let (tell, over) = channel();
        thread::Builder::new()
            .name("podgate-grace".into())
            .spawn(move || {
                for () in asked {
                    // It worked before, with the same arguments; nothing else can make it fail.
                    if membarrier(MembarrierCommand::Global).is_err() || tell.send(()).is_err() {
                        return;
                    }
                }
            })
            .map_err(|error| Error::io("start a thread", error))?;
        Ok(Grace { ask, over, outstanding: 0 })
    }

    pub(crate) fn begin(&mut self) {
        if self.ask.send(()).is_ok() {
            self.outstanding += 1;
        }
    }

    pub(crate) fn is_over(&mut self, wait: bool) -> bool {
        while self.outstanding > 0 {
            let told = if wait { self.over.recv().is_ok() } else { self.over.try_recv().is_ok() };
            if !told {
                break;
            }
            self.outstanding -= 1;
        }
        self.outstanding == 0
    }
}
