use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use podgate_archive::Caps;
use podgate_archive::export::{Bucket, Secret};
use podgate_flow::{
    Edge, Endpoint, FlowVerdict, Limits, OwnerName, Party, Place, PolicyVersion, Protocol, Timestamp, Totals,
};
use podgate_policy::Verdict;

use super::*;
use crate::options::OtlpOptions;

/// More than any machine takes; what is waited for is named.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server on loopback that keeps what it is sent, and answers as it is told.
#[derive(Clone)]
struct Receiver {
    url: String,
    /// The first line and headers, and the body.
    heard: Arc<Mutex<Vec<(String, String)>>>,
}

impl Receiver {
    /// `answer` says the status of a request, by its first line and its body.
    fn start(answer: impl Fn(&str, &str) -> u16 + Send + 'static) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver =
            Receiver { url: format!("http://{}", listener.local_addr().unwrap()), heard: Arc::default() };
        let heard = receiver.heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                let length = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
                });
                let mut body = vec![0; length.unwrap_or(0)];
                reader.read_exact(&mut body).unwrap();
                let body = String::from_utf8_lossy(&body).into_owned();
                let status = answer(head.lines().next().unwrap_or_default(), &body);
                heard.lock().unwrap().push((head, body));
                let said = format!("HTTP/1.1 {status} So\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                reader.get_mut().write_all(said.as_bytes()).unwrap();
            }
        });
        receiver
    }

    /// Waits for a request that has this in its head, or in its body.
    #[track_caller]
    fn wait_for(&self, words: &str) -> (String, String) {
        let started = Instant::now();
        loop {
            let heard = self.heard.lock().unwrap().clone();
            let fits = |(head, body): &&(String, String)| head.contains(words) || body.contains(words);
            if let Some(found) = heard.iter().find(fits) {
                return found.clone();
            }
            assert!(started.elapsed() < PATIENCE, "{words:?} is in none of {heard:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64)
}

fn record(time: Timestamp) -> Arc<FlowRecord> {
    let end = |pod: &str, ip: &str, port: u16| {
        let labels = Default::default();
        let party = Party::Pod { namespace: "shop".into(), pod: pod.into(), owner: None, node: None, labels };
        Endpoint::new(ip.parse().unwrap(), port, party)
    };
    let (web, db) = (end("web-0", "10.0.0.1", 40_000), end("db-0", "10.0.0.2", 5432));
    Arc::new(FlowRecord::new(time, "node-1", FlowVerdict::Allowed, Protocol::TCP, web, db))
}

fn minute() -> Arc<EdgeMinute> {
    let place = |name: &str| {
        let owner = OwnerName { kind: "Deployment".into(), name: name.into() };
        Arc::new(Place::Workload { namespace: "shop".into(), owner })
    };
    let edge = Edge {
        source: place("web"),
        destination: place("db"),
        protocol: Protocol::TCP,
        port: 5432,
        verdict: Verdict::Allowed,
        egress: None,
        ingress: None,
    };
    Arc::new(EdgeMinute {
        minute: now(),
        node: "node-1".into(),
        policy_version: PolicyVersion::default(),
        edge: Arc::new(edge),
        totals: Totals { connections: 1, ..Totals::default() },
    })
}

fn history() -> Arc<History> {
    Arc::new(History::new(Limits::default()))
}

fn start(options: &ExportOptions, history: &Arc<History>) -> Exports {
    Exports::start(options, "node-1", history, None).unwrap()
}

fn otlp(receiver: &Receiver) -> ExportOptions {
    let headers = vec![("authorization".to_owned(), Secret("Bearer word".into()))];
    ExportOptions {
        cluster: "test-cluster".into(),
        otlp: Some(OtlpOptions { endpoint: receiver.url.parse().unwrap(), headers }),
        ..ExportOptions::default()
    }
}

#[test]
fn a_collector_gets_records_and_minutes_with_the_cluster_s_name_and_the_token() {
    let (receiver, history) = (Receiver::start(|_, _| 200), history());
    let exports = start(&otlp(&receiver), &history);
    history.push(now(), [record(now())]);
    exports.append_edges(&[minute()]);
    for (signal, words) in [("/v1/logs", "db-0"), ("/v1/metrics", "podgate.edge.connections")] {
        let (head, body) = receiver.wait_for(signal);
        assert!(head.to_lowercase().contains("authorization: bearer word"), "{head}");
        assert!(body.contains("test-cluster") && body.contains(words), "{body}");
    }
    wait_until("both are counted", || exports.progress()[0].sent == 2);
    assert_eq!(exports.progress(), [Progress { to: "otlp", sent: 2, lost: 0, failures: 0, trouble: None }]);
}

#[test]
fn what_a_collector_refuses_is_lost_and_said() {
    let (receiver, history) = (Receiver::start(|_, _| 400), history());
    let exports = start(&otlp(&receiver), &history);
    history.push(now(), [record(now())]);
    exports.append_edges(&[minute()]);
    wait_until("both are counted", || exports.progress()[0].lost == 2);
    let progress = exports.progress().remove(0);
    assert_eq!((progress.sent, progress.failures), (0, 2));
    let trouble = progress.trouble.unwrap();
    assert!(trouble.contains("400") && trouble.contains("1 are given up"), "{trouble}");
}

#[test]
fn a_database_gets_its_tables_before_rows_and_loses_none_until_it_may_make_them() {
    let refusals = Mutex::new(1);
    let receiver = Receiver::start(move |_, body| {
        let mut left = refusals.lock().unwrap();
        match body.contains("CREATE TABLE") && *left > 0 {
            true => {
                *left -= 1;
                403
            }
            false => 200,
        }
    });
    let history = history();
    let clickhouse = ClickHouseOptions {
        url: receiver.url.parse().unwrap(),
        database: "flows".into(),
        user: "writer".into(),
        password: Secret("word".into()),
        create: true,
    };
    let exports =
        start(&ExportOptions { clickhouse: Some(clickhouse), ..ExportOptions::default() }, &history);
    history.push(now(), [record(now())]);
    let (head, body) = receiver.wait_for("db-0");
    let lower = head.to_lowercase();
    assert!(head.contains("INSERT%20INTO%20flows") && head.contains("database=flows"), "{head}");
    assert!(
        lower.contains("x-clickhouse-user: writer") && lower.contains("x-clickhouse-key: word"),
        "{head}"
    );
    assert!(body.contains("\"destination_pod\":\"db-0\""), "{body}");
    wait_until("it is counted", || exports.progress()[0].sent == 1);
    let progress = exports.progress().remove(0);
    assert_eq!((progress.lost, progress.failures, progress.trouble), (0, 1, None));
    let heard = receiver.heard.lock().unwrap();
    let at = |words: &str| heard.iter().position(|(head, body)| head.contains(words) || body.contains(words));
    assert!(at("CREATE%20DATABASE") < at("INSERT"), "{heard:?}");
}

#[test]
fn storage_gets_hours_that_are_over_under_the_node_s_own_prefix() {
    let receiver = Receiver::start(|line, _| if line.starts_with("HEAD") { 404 } else { 200 });
    let bucket = Bucket {
        endpoint: receiver.url.clone(),
        region: "us-east-1".into(),
        bucket: "flows".into(),
        prefix: "podgate/cluster-1/".into(),
        access_key: "key".into(),
        secret_key: Secret("word".into()),
        session_token: None,
    };
    let options = ExportOptions { s3: Some(bucket), ..ExportOptions::default() };
    let refused = Exports::start(&options, "node-1", &history(), None).err().unwrap();
    assert!(refused.to_string().contains("--flow-disk"), "{refused}");

    let dir = tempfile::tempdir().unwrap();
    let archive = Archive::open(dir.path(), Caps::default()).unwrap();
    let yesterday = Timestamp(now().0 - 24 * 3600 * 1_000_000_000);
    archive.append(&[record(yesterday)]);
    archive.flush();
    drop(archive);
    // What an earlier process has left of an hour that is over is put together at once.
    let archive = Arc::new(Archive::open(dir.path(), Caps::default()).unwrap());
    wait_until("a whole hour", || !archive.whole_hours().is_empty());
    let exports = Exports::start(&options, "node-1", &history(), Some(&archive)).unwrap();
    let (head, _) = receiver.wait_for("PUT ");
    assert!(head.starts_with("PUT /flows/podgate/cluster-1/node-1/flows-"), "{head}");
    assert!(head.contains("AWS4-HMAC-SHA256 Credential=key/") && !head.contains("word"), "{head}");
    wait_until("it is counted", || exports.progress()[0].sent == 1);
}
