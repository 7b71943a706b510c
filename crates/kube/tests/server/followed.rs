//! Follows a server made for the test: what it sends, and what is told of it.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use podgate_kube::{Client, News, Options, Pace, Watched, Watching, watch_at};

use crate::support::{Api, Asked, Reply, Step};

pub const PACE: Pace = Pace {
    silence: Duration::from_secs(60),
    absent: Duration::from_millis(100),
    first_retry: Duration::from_millis(20),
    last_retry: Duration::from_millis(200),
};

/// What one watch tells.
pub struct Followed {
    pub news: Receiver<Vec<News>>,
    waiting: Vec<String>,
    pub watching: Watching,
    pub runtime: std::sync::mpsc::Sender<()>,
}

pub fn follow(kubeconfig: &Path, what: &[Watched], pace: Pace) -> Followed {
    let options = Options { kubeconfig: Some(kubeconfig.to_owned()), context: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(Client::connect(&options)).unwrap();
    let (sender, news) = channel();
    let watching = watch_at(&client, what, runtime.handle(), pace, move |_, batch| {
        let _ = sender.send(batch);
    });
    let (stop, stopped) = channel::<()>();
    std::thread::spawn(move || {
        runtime.block_on(async {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    });
    Followed { news, waiting: Vec::new(), watching, runtime: stop }
}

impl Followed {
    /// The next news.
    pub fn next(&mut self) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.waiting.is_empty() {
            let batch = self.news.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            self.waiting.extend(batch.expect("news within 20 seconds").iter().map(told));
        }
        self.waiting.remove(0)
    }

    pub fn expect(&mut self, expected: &[&str]) {
        let found: Vec<String> = expected.iter().map(|_| self.next()).collect();
        assert_eq!(found, expected);
    }

    /// News that begin so.
    pub fn expect_start(&mut self, start: &str) {
        let found = self.next();
        assert!(found.starts_with(start), "{found:?} instead of {start:?}");
    }

    /// Skips what comes before this.
    pub fn until(&mut self, expected: &str) {
        while self.next() != expected {}
    }

    pub fn is_quiet(&mut self, time: Duration) {
        assert_eq!(self.waiting, [""; 0]);
        let more = self.news.recv_timeout(time);
        assert!(more.is_err(), "{more:?}");
    }
}

pub fn told(news: &News) -> String {
    match news {
        News::Listing(what) => format!("listing {}", what.resource()),
        News::Applied(_, item) => format!("applied {} {}", item.object.key(), item.resource_version),
        News::Deleted(_, key, uid) => format!("deleted {key} {uid}"),
        News::Unreadable(_, key, found) => {
            format!("unreadable {key}: {}: {}", found[0].field, found[0].message)
        }
        News::Synced(what) => format!("synced {}", what.resource()),
        News::Resumed(what) => format!("resumed {}", what.resource()),
        News::Absent(what) => format!("absent {}", what.resource()),
        News::Interrupted { what, why, .. } => format!("interrupted {}: {why}", what.resource()),
    }
}

pub fn pod(name: &str, version: u64) -> String {
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"shop","uid":"u-{name}","resourceVersion":"{version}","managedFields":[{{"manager":"kubelet"}}]}},"spec":{{"containers":[{{"name":"c","ports":[{{"containerPort":80}}]}}]}},"status":{{"phase":"Running","podIPs":[{{"ip":"10.0.0.1"}}]}}}}"#
    )
}

pub fn line(kind: &str, object: &str) -> Step {
    Step::Send(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"))
}

pub fn added(name: &str, version: u64) -> Step {
    line("ADDED", &pod(name, version))
}

pub fn bookmark(version: u64) -> Step {
    line("BOOKMARK", &format!(r#"{{"kind":"Pod","metadata":{{"resourceVersion":"{version}"}}}}"#))
}

pub fn list_ends(version: u64) -> Step {
    line(
        "BOOKMARK",
        &format!(
            r#"{{"kind":"Pod","metadata":{{"resourceVersion":"{version}","annotations":{{"k8s.io/initial-events-end":"true"}}}}}}"#
        ),
    )
}

pub fn stream(steps: impl IntoIterator<Item = Step>) -> Reply {
    Reply::Stream(steps.into_iter().collect())
}

pub fn is_streamed_list(asked: &Asked) -> bool {
    asked.query("sendInitialEvents") == Some("true")
}

/// A server that answers one request after the other, and holds every further watch.
pub fn scripted(name: &str, replies: Vec<Reply>) -> Api {
    let replies = Mutex::new(replies.into_iter());
    Api::new(name, move |_| replies.lock().unwrap().next().unwrap_or_else(|| stream([Step::Hold])))
}

pub fn paths(api: &Api) -> Vec<String> {
    let asked = api.asked().into_iter();
    asked
        .map(|asked| {
            let parameters: Vec<&str> = asked
                .path
                .split_once('?')
                .map_or("", |(_, query)| query)
                .split('&')
                .filter(|pair| !pair.starts_with("timeoutSeconds") && !pair.starts_with("allowWatch"))
                .collect();
            parameters.join("&")
        })
        .collect()
}

pub const STREAMED: &str = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
