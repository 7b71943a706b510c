//! A live cluster, followed as it changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use podgate_api::Loaded;
use podgate_kube::{Following, Mirror, News};
use podgate_serve::Inventory;
use podgate_serve::source::watch;

use super::objects::{stale, tell};
use crate::input::ManifestArguments;
use crate::style;

/// How often what isn't followed is read: workloads without pods, ways in from outside.
const OTHERS_EVERY: Duration = Duration::from_secs(60);
/// How soon again when that failed.
const OTHERS_AGAIN: Duration = Duration::from_secs(5);
/// How often manifests on top of a cluster are read.
const MANIFESTS_EVERY: Duration = Duration::from_secs(2);
/// Changes that come this close to one another are shown at once: a rollout is hundreds.
const TOGETHER: Duration = Duration::from_millis(300);

/// Follows the cluster until the process ends.
pub fn follow(manifests: &ManifestArguments, paths: &[PathBuf], sender: &watch::Sender<Arc<Inventory>>) {
    let (told, news) = channel();
    // Where nobody listens any more the process ends.
    let following =
        podgate_kube::follow(&manifests.cluster(), move |news| told.send(news).unwrap_or_default());
    match following {
        Ok(following) => Follower { manifests, paths, sender, news, _following: following }.run(),
        Err(error) => style::warning(&format!("{error}: changes of the cluster are not seen")),
    }
}

struct Follower<'a> {
    manifests: &'a ManifestArguments,
    paths: &'a [PathBuf],
    sender: &'a watch::Sender<Arc<Inventory>>,
    news: Receiver<Vec<News>>,
    /// Dropped, nothing is followed any more.
    _following: Following,
}

impl Follower<'_> {
    fn run(self) {
        let has_manifests = !self.manifests.paths(self.paths).is_empty();
        let mut mirror = Mirror::new(Loaded::default());
        let mut has_others = false;
        let mut due = Instant::now();
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let is_new = if left.is_zero() {
                let read =
                    podgate_kube::read_others(&self.manifests.cluster(), &self.manifests.load_options());
                // Where the server is away, what is followed tells.
                due = Instant::now() + if read.is_ok() { OTHERS_EVERY } else { OTHERS_AGAIN };
                read.is_ok_and(|others| {
                    let is_first = !std::mem::replace(&mut has_others, true);
                    mirror.replace_others(others.loaded) || is_first
                })
            } else {
                let wait = if has_manifests { left.min(MANIFESTS_EVERY) } else { left };
                match self.news.recv_timeout(wait) {
                    Ok(news) => self.take(&mut mirror, news),
                    Err(RecvTimeoutError::Timeout) => has_manifests,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            };
            // Until then the page has what was read when it was started.
            if is_new && has_others && mirror.is_complete() {
                self.show(&mirror);
            }
        }
    }

    /// Takes news, and what comes close behind.
    fn take(&self, mirror: &mut Mirror, news: Vec<News>) -> bool {
        let mut is_new = false;
        let end = Instant::now() + TOGETHER;
        let mut next = Some(news);
        while let Some(news) = next {
            for one in news {
                is_new |= mirror.take(one);
            }
            next = self.news.recv_timeout(end.saturating_duration_since(Instant::now())).ok();
        }
        is_new
    }

    fn show(&self, mirror: &Mirror) {
        match mirror.interrupted() {
            Some(why) => stale(self.sender, why),
            None => tell(self.sender, Ok(self.manifests.read_on_top(self.paths, mirror.loaded()))),
        }
    }
}
