//! Wakes those who follow a history, from a thread of its own: a history's waiting blocks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use podgate_flow::History;
use tokio::sync::watch;

/// How long the thread outlives the last follower, at most.
const PATIENCE: Duration = Duration::from_millis(500);

/// A history to follow.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    pub(crate) history: Arc<History>,
    /// The number of the next record.
    pub(crate) next: watch::Receiver<u64>,
}

impl Tail {
    /// Starts the thread; it ends with the last of the tails.
    pub(crate) fn new(history: Arc<History>) -> io::Result<Tail> {
        let (sender, next) = watch::channel(history.next());
        let followed = history.clone();
        std::thread::Builder::new().name("flow-tail".to_owned()).spawn(move || {
            while !sender.is_closed() {
                let seen = *sender.borrow();
                followed.wait(seen, PATIENCE);
                let next = followed.next();
                if next != seen {
                    sender.send_replace(next);
                }
            }
        })?;
        Ok(Tail { history, next })
    }
}
