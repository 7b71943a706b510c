//! Everything that a lab's daemon tells a watcher.

use std::sync::{Arc, Mutex};

use podgate_flow::FlowRecord;
use podgate_lab::enforce::{Notice, NoticeEvent, Reply};

use crate::lab::{TestLab, wait_until};

/// A watcher in the background; it ends with the daemon.
#[derive(Clone, Debug)]
pub struct Watch {
    heard: Arc<Mutex<Vec<Reply>>>,
}

impl Watch {
    /// Begins to watch; returns when the daemon knows.
    #[track_caller]
    pub fn start(lab: &TestLab) -> Watch {
        let watchers = lab.status().watchers;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (client, log) = (lab.client(), heard.clone());
        std::thread::spawn(move || {
            client.watch(|reply, _| {
                log.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(reply);
                true
            })
        });
        wait_until("the daemon knows its watcher", || lab.status().watchers > watchers);
        Watch { heard }
    }

    /// All replies so far.
    pub fn heard(&self) -> Vec<Reply> {
        self.heard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// All flows so far.
    pub fn flows(&self) -> Vec<FlowRecord> {
        let flow = |reply| {
            if let Reply::Flow(flow) = reply { Some(podgate_flow::FlowRecord::clone(&flow)) } else { None }
        };
        self.heard().into_iter().filter_map(flow).collect()
    }

    /// Waits for a notice of this kind, from the given position of [`Watch::heard`] on.
    #[track_caller]
    pub fn wait_for(&self, what: &str, from: usize, is_meant: impl Fn(&NoticeEvent) -> bool) {
        wait_until(what, || {
            let notice =
                |reply: &Reply| matches!(reply, Reply::Notice(Notice { event, .. }) if is_meant(event));
            self.heard().iter().skip(from).any(notice)
        });
    }
}
