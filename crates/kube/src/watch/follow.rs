//! Follows one kind, whatever happens to the connection.

use std::sync::Arc;
use std::time::Duration;

use podgate_api::{AnswerReader, Refusal};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::{Backoff, around};
use super::decode::{Batch, End, decode};
use super::lines::{Lines, Read};
use super::list;
use super::served::{Served, served};
use super::{News, Pace, Watched};
use crate::client::{Asked, Client, Fault};
use crate::kinds::Kind;

/// Lines of this length are worth another thread.
const WORTH_A_THREAD: usize = 64 * 1024;
/// A watch that ends sooner was none.
const SETTLED: Duration = Duration::from_secs(5);
/// How long the server may take to tell its version.
const VERSION: Duration = Duration::from_secs(10);
/// As many times a line is read that can't be, before everything is listed again.
const GARBAGE: u32 = 3;

/// Follows one kind.
pub(super) struct Follower<S> {
    client: Client,
    what: Watched,
    pace: Pace,
    resync: Arc<Notify>,
    sink: S,
    backoff: Backoff,
    /// Everything up to this version was told; `None`: a list is needed.
    version: Option<Box<str>>,
    /// When the last list began.
    listed: Option<Instant>,
    /// The server tells lists as watches.
    streams: bool,
    /// Connections in a row that ended with a line that could not be read.
    garbage: u32,
    /// The last news were that the server doesn't have the kind.
    is_absent: bool,
    /// The last news were that it can't be followed.
    is_interrupted: bool,
}

/// How a connection ended.
enum Ended {
    /// As it does every few minutes.
    InTime,
    /// Somebody wants a new list.
    Resync,
    /// The server doesn't know the version any more.
    Forgotten(String),
    /// The server is at an older version than what was told.
    BackInTime,
    /// The server doesn't stream lists.
    StreamsNot,
    /// The server doesn't have the kind any more.
    Gone,
    /// Anything else.
    Failed(Fault),
    /// It sent a line that is none of a watch.
    Garbage(String),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        match fault.code() {
            404 => Ended::Gone,
            410 => Ended::Forgotten(said(&fault)),
            _ => Ended::Failed(fault),
        }
    }
}

fn said(fault: &Fault) -> String {
    match fault {
        Fault::Unreachable(said) | Fault::Credentials(said) | Fault::Status { said, .. } => said.clone(),
    }
}

impl<S: Fn(std::time::Instant, Vec<News>) + Send + Sync> Follower<S> {
    pub fn new(client: Client, what: Watched, pace: Pace, resync: Arc<Notify>, sink: S) -> Self {
        Follower {
            client,
            what,
            pace,
            resync,
            sink,
            backoff: Backoff::new(&pace),
            version: None,
            listed: None,
            streams: true,
            garbage: 0,
            is_absent: false,
            is_interrupted: false,
        }
    }

    pub async fn run(mut self) {
        loop {
            match served(&self.client, self.what).await {
                Ok(Served::As(kind)) => {
                    self.is_absent = false;
                    self.follow(&kind).await;
                }
                Ok(Served::Not) => {
                    if !self.is_absent {
                        self.say(vec![News::Absent(self.what)]);
                    }
                    (self.is_absent, self.version) = (true, None);
                    self.backoff.reset();
                    self.wait(around(self.pace.absent, 0.2)).await;
                }
                Ok(Served::Otherwise(versions)) => {
                    let why = format!(
                        "{} are served as {versions} only, which podgate does not read: a newer podgate may read them",
                        self.what.resource()
                    );
                    self.interrupted(why, self.pace.absent).await;
                }
                Err(fault) => self.failed(&fault, None).await,
            }
        }
    }

    /// Follows the kind until the server doesn't have it.
    async fn follow(&mut self, kind: &Kind) {
        let origin = format!("{}:{}", self.client.context(), kind.resource);
        let reader = AnswerReader::new(&kind.api_version(), kind.kind, &origin);
        loop {
            let started = Instant::now();
            let ended = match self.connection(kind, &reader).await {
                Ok(ended) | Err(ended) => ended,
            };
            let settled = started.elapsed() >= SETTLED.min(self.pace.silence);
            if settled {
                self.backoff.reset();
            }
            match ended {
                Ended::InTime if settled => {}
                Ended::InTime => {
                    let fault = Fault::Unreachable("it ends the watch as soon as it begins".to_owned());
                    self.failed(&fault, Some(kind)).await;
                }
                Ended::Resync | Ended::BackInTime => self.version = None,
                Ended::StreamsNot => self.streams = false,
                Ended::Forgotten(said) => {
                    self.version = None;
                    // Usual after a long silence. Soon after a list it is a server that can't keep up.
                    if self.listed.is_some_and(|listed| listed.elapsed() < SETTLED) {
                        let why = format!(
                            "the server has forgotten what it told ({said}): everything is listed again"
                        );
                        let delay = self.backoff.next();
                        self.interrupted(why, delay).await;
                    }
                }
                Ended::Gone if self.is_optional() => return,
                Ended::Gone => {
                    let fault = Fault::Status {
                        code: 404,
                        said: format!("there are no {} at this server", kind.qualified()),
                        retry_after: None,
                    };
                    self.failed(&fault, Some(kind)).await;
                }
                Ended::Failed(fault) => {
                    self.failed(&fault, Some(kind)).await;
                    self.check_version(kind).await;
                }
                Ended::Garbage(fault) => {
                    self.garbage += 1;
                    if self.garbage >= GARBAGE {
                        (self.garbage, self.version) = (0, None);
                    }
                    let why = format!("a line of the watch of {} is no event: {fault}", kind.qualified());
                    let delay = self.backoff.next();
                    self.interrupted(why, delay).await;
                }
            }
        }
    }

    fn is_optional(&self) -> bool {
        matches!(
            self.what,
            Watched::ClusterNetworkPolicies
                | Watched::AdminNetworkPolicies
                | Watched::BaselineAdminNetworkPolicies
        )
    }

    /// A server that was set back, as from a backup, would keep silent until it has caught up with the version
    /// that is known: it counts as if it had forgotten it.
    async fn check_version(&mut self, kind: &Kind) {
        let Some(known) = self.version.as_deref().and_then(|version| version.parse::<u64>().ok()) else {
            return;
        };
        let asked = tokio::time::timeout(VERSION, list::version(&self.client, kind)).await;
        if let Ok(Ok(version)) = asked
            && let Ok(version) = version.parse::<u64>()
            && version < known
        {
            self.version = None;
        }
    }

    /// Lists what there is, or follows from what is known, until that ends.
    async fn connection(&mut self, kind: &Kind, reader: &AnswerReader) -> Result<Ended, Ended> {
        if self.version.is_none() {
            self.listed = Some(Instant::now());
        }
        if self.version.is_none() && !self.streams {
            self.version = Some(list::list(&self.client, self.what, kind, reader, &self.sink).await?);
            self.is_interrupted = false;
        }
        // Servers end watches: not all of them at the same time.
        let seconds = around(Duration::from_secs(450), 0.33).as_secs();
        let from = match self.version.as_deref() {
            Some(version) => format!("&resourceVersion={}", crate::pages::encoded(version)),
            None => "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan".to_owned(),
        };
        let path =
            format!("{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}{from}", kind.path());
        let answer = match self.client.open(&Asked::get(&path)).await {
            Ok(answer) => answer,
            Err(Fault::Status { code: 400 | 422, .. }) if self.version.is_none() => {
                return Ok(Ended::StreamsNot);
            }
            Err(fault) => return Err(fault.into()),
        };
        if self.version.is_none() {
            self.is_interrupted = false;
            self.say(vec![News::Listing(self.what)]);
        }
        self.stream(Lines::new(answer.into_body()), reader).await
    }

    /// Reads a watch to its end: lines are decoded by another thread while the next ones arrive.
    async fn stream(&mut self, mut lines: Lines, reader: &AnswerReader) -> Result<Ended, Ended> {
        let resync = self.resync.clone();
        let silence = around(self.pace.silence, 0.2);
        let mut heard = Instant::now();
        let settled = heard + SETTLED.min(self.pace.silence / 4);
        let mut decoding: Option<JoinHandle<Batch>> = None;
        let mut ended: Option<Ended> = None;
        loop {
            if decoding.is_none() {
                match lines.take() {
                    Some(text) if text.len() < WORTH_A_THREAD => {
                        let (since, is_listing) = self.known();
                        self.tell(decode(self.what, reader, &text, heard.into_std(), since, is_listing))?;
                        continue;
                    }
                    Some(text) => {
                        let (what, reader, read) = (self.what, reader.clone(), heard.into_std());
                        let (since, is_listing) = self.known();
                        let decoded = move || decode(what, &reader, &text, read, since, is_listing);
                        decoding = Some(tokio::task::spawn_blocking(decoded));
                    }
                    None => {
                        if let Some(ended) = ended {
                            return Ok(ended);
                        }
                    }
                }
            }
            tokio::select! {
                batch = async { match &mut decoding { Some(task) => task.await, None => std::future::pending().await } } => {
                    decoding = None;
                    let panicked = |_| Ended::Garbage("it made the reader fail".to_owned());
                    self.tell(batch.map_err(panicked)?)?;
                }
                read = lines.read(), if ended.is_none() && !lines.is_full() => {
                    heard = Instant::now();
                    match read {
                        Ok(Read::More) => {}
                        Ok(Read::End) => ended = Some(Ended::InTime),
                        Err(why) => ended = Some(Ended::Failed(Fault::Unreachable(why))),
                    }
                }
                // A watch with nothing to tell keeps silent.
                () = sleep_until(settled), if self.is_interrupted => self.resumed(),
                () = sleep_until(heard + silence), if ended.is_none() => {
                    let why = format!("nothing was heard for {} seconds", silence.as_secs());
                    ended = Some(Ended::Failed(Fault::Unreachable(why)));
                }
                () = resync.notified() => return Ok(Ended::Resync),
            }
        }
    }

    /// The version that is known, and whether the first list is still told.
    fn known(&self) -> (Option<u64>, bool) {
        let since = self.version.as_deref().and_then(|version| version.parse().ok());
        (since, self.version.is_none())
    }

    fn tell(&mut self, batch: Batch) -> Result<(), Ended> {
        if batch.events > 0 {
            self.garbage = 0;
            // A watch that goes on from where the last one ended is a success as soon as it says something.
            if self.version.is_some() {
                self.backoff.reset();
                self.resumed();
            }
        }
        if batch.version.is_some() {
            self.version = batch.version;
        }
        if !batch.news.is_empty() {
            (self.sink)(batch.read, batch.news);
        }
        match batch.end {
            None => Ok(()),
            Some(End::BackInTime) => Err(Ended::BackInTime),
            Some(End::Garbage(fault)) => Err(Ended::Garbage(fault)),
            Some(End::Refused(Refusal { code, message, retry_after_seconds, .. })) => Err(Fault::Status {
                code,
                said: message,
                retry_after: (retry_after_seconds > 0)
                    .then(|| Duration::from_secs(retry_after_seconds.into())),
            }
            .into()),
        }
    }

    // === waiting ===

    async fn failed(&mut self, fault: &Fault, kind: Option<&Kind>) {
        let mut delay = self.backoff.next();
        if let Fault::Status { retry_after: Some(asked), .. } = fault {
            delay = delay.max((*asked).min(self.pace.last_retry));
        }
        self.interrupted(self.why(fault, kind), delay).await;
    }

    fn why(&self, fault: &Fault, kind: Option<&Kind>) -> String {
        let qualified = match kind {
            Some(kind) => kind.qualified(),
            None => self.what.resource().to_owned(),
        };
        match fault {
            Fault::Unreachable(why) => format!("{}: {qualified}: {why}", self.client.url()),
            Fault::Credentials(why) => format!("{qualified}: there are no credentials to send: {why}"),
            Fault::Status { code: 401, said, .. } => format!(
                "{qualified}: the server does not accept the credentials ({said}): check the service account's token"
            ),
            Fault::Status { code: 403, said, .. } if kind.is_some() => format!(
                "{qualified} may not be listed and watched: {said}: grant the verbs list and watch on {qualified}"
            ),
            Fault::Status { code: 403, said, .. } => format!(
                "the server does not tell whether it has {qualified}: {said}: bind the ClusterRole system:discovery"
            ),
            Fault::Status { code, said, .. } => format!("{qualified}: the server answers {code}: {said}"),
        }
    }

    /// News that nobody read from a watch.
    fn say(&self, news: Vec<News>) {
        (self.sink)(std::time::Instant::now(), news);
    }

    fn resumed(&mut self) {
        if std::mem::take(&mut self.is_interrupted) {
            self.say(vec![News::Resumed(self.what)]);
        }
    }

    async fn interrupted(&mut self, why: String, retry_in: Duration) {
        self.is_interrupted = true;
        self.say(vec![News::Interrupted { what: self.what, why, retry_in }]);
        self.wait(retry_in).await;
    }

    /// Waits, unless somebody wants a new list.
    async fn wait(&mut self, delay: Duration) {
        let resync = self.resync.clone();
        tokio::select! {
            () = sleep(delay) => {}
            () = resync.notified() => self.version = None,
        }
    }
}
