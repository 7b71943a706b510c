//! A served cluster, and a client that speaks as much HTTP as is needed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use podgate_api::{Input, load};
use podgate_flow::{
    Decision, Endpoint, FlowId, FlowRecord, FlowVerdict, History, Limits, NearMiss, OwnerName, Party,
    Protocol, Reason, Staged, TcpFlags, Timestamp,
};
use podgate_policy::{Direction, PolicyRef, Tier, Verdict};
use podgate_serve::model::Origin;
use podgate_serve::{Access, Inventory, Probes, Serving, Source, Try, start};
use serde_json::Value;
use tokio::sync::watch;

pub const CLUSTER: &str = include_str!("shop.yaml");

/// A server with what feeds it. Its files go with it.
pub struct Served {
    pub address: SocketAddr,
    pub inventory: watch::Sender<Arc<Inventory>>,
    pub history: Arc<History>,
    pub dir: tempfile::TempDir,
    serving: Option<Serving>,
}

impl Served {
    /// The shop with flows and a probe.
    pub fn new() -> Served {
        Served::with(Access::default(), true)
    }

    /// The shop, with the flows of an archive.
    pub fn of_archive(dir: &Path) -> Served {
        Served::made(Access::default(), |source| source.archive = Some(dir.to_owned()))
    }

    /// The shop, and flows where it is watched.
    pub fn with(access: Access, watched: bool) -> Served {
        let history = Arc::new(History::new(Limits::default()));
        let kept = history.clone();
        let served = Served::made(access, |source| {
            if watched {
                history.push(now(), flows().into_iter().map(Arc::new));
                source.history = Some(history);
                let probed = |from: &str, port, allowed| Try {
                    from: from.to_owned(),
                    to: "shop/db-0".to_owned(),
                    protocol: Protocol::TCP,
                    port,
                    allowed,
                };
                // One pod of web is denied what policy allows, and the other isn't.
                let tries = vec![
                    probed("shop/web-0", 5432, false),
                    probed("shop/web-0", 80, false),
                    probed("shop/web-1", 5432, true),
                ];
                source.probes = Some(watch::channel(Arc::new(Probes { at: Some(now()), tries })).1);
            }
        });
        Served { history: kept, ..served }
    }

    fn made(access: Access, feed: impl FnOnce(&mut Source)) -> Served {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("shop.yaml"), CLUSTER).unwrap();
        let (mut source, inventory) = Source::new("the shop", Origin::Files, read(dir.path(), 1));
        feed(&mut source);
        let history = Arc::new(History::new(Limits::default()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let serving = start(listener, source, access).unwrap();
        Served { address: serving.address, inventory, history, dir, serving: Some(serving) }
    }

    /// Reads the files again.
    pub fn renew(&self, revision: u64) {
        self.inventory.send_replace(Arc::new(read(self.dir.path(), revision)));
    }

    /// Asks with any method and headers.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = self.connect();
        let host = headers.iter().any(|(name, _)| *name == "Host");
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !host {
            head.push_str(&format!("Host: {}\r\n", self.address));
        }
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        // A server that has heard enough may close before the body is through.
        let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes());
        Answer::read(stream)
    }

    /// The answer of a route, which has to be one.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", &format!("/api/v1{path}"), &[], "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        crate::schema::check("get", path, &answer.json());
        answer.json()
    }

    /// What is wrong with a request, which has to be wrong.
    #[track_caller]
    pub fn fault(&self, path: &str) -> (u16, String) {
        let answer = self.ask("GET", &format!("/api/v1{path}"), &[], "");
        assert!(answer.status >= 400, "{path}: {}", answer.text);
        (answer.status, answer.json()["error"].as_str().expect("a text").to_owned())
    }

    /// The answer to a body.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let json = [("Content-Type", "application/json")];
        let answer = self.ask("POST", &format!("/api/v1{path}"), &json, &body.to_string());
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        crate::schema::check("post", path, &answer.json());
        answer.json()
    }

    /// Begins to read events.
    pub fn events(&self, path: &str) -> Events {
        self.events_with(path, "")
    }

    /// Begins to read events, and sends headers along.
    pub fn events_with(&self, path: &str, headers: &str) -> Events {
        let mut stream = self.connect();
        write!(stream, "GET /api/v1{path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.address).unwrap();
        let mut events = Events { reader: BufReader::new(stream) };
        while !events.line().trim().is_empty() {}
        events
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Ends the server.
    pub fn stop(mut self) {
        self.serving.take().unwrap().stop().unwrap();
    }
}

/// What a server answered.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn read(mut stream: impl Read) -> Answer {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
        let body = bytes.get(end + 4..).unwrap_or_default().to_vec();
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let text = String::from_utf8_lossy(&body).into_owned();
        Answer { status, head: head.to_ascii_lowercase(), text, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Server-sent events.
pub struct Events {
    reader: BufReader<TcpStream>,
}

impl Events {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line
    }

    /// The next event: its name and its data. `None`: there are no more.
    pub fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return None;
            }
            if let Some(event) = line.strip_prefix("event: ") {
                name = event.trim().to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(data).unwrap()));
            }
        }
    }

    /// Reads until the server ends.
    pub fn ends(mut self) -> bool {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).is_ok()
    }
}

fn read(dir: &Path, revision: u64) -> Inventory {
    let loaded = load(&[Input::Path(dir.to_owned())]);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    Inventory { revision, loaded, ..Inventory::default() }
}

pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp(since.as_nanos() as u64)
}

pub fn pod(namespace: &str, workload: &str, ip: &str, port: u16) -> Endpoint {
    let party = Party::Pod {
        namespace: namespace.to_owned(),
        pod: format!("{workload}-0"),
        owner: Some(OwnerName { kind: "StatefulSet".to_owned(), name: workload.to_owned() }),
        node: Some("node-1".to_owned()),
        labels: [("app".to_owned(), workload.to_owned())].into(),
    };
    Endpoint::new(ip.parse().unwrap(), port, party)
}

fn web(port: u16) -> Endpoint {
    pod("shop", "web", "10.244.0.11", port)
}

fn db(port: u16) -> Endpoint {
    pod("shop", "db", "10.244.0.12", port)
}

fn policy(name: &str) -> PolicyRef {
    PolicyRef { kind: "NetworkPolicy".to_owned(), namespace: "shop".to_owned(), name: name.to_owned() }
}

fn rule(name: &str) -> Decision {
    let reason = Reason::Rule {
        policy: policy(name),
        tier: Tier::NetworkPolicy,
        list: Direction::Ingress,
        rule: 0,
        written: "shop.yaml:60:5".to_owned(),
    };
    Decision::new(Verdict::Allowed, reason)
}

fn isolated() -> Decision {
    let nearest = NearMiss {
        policy: policy("db"),
        list: Direction::Ingress,
        rule: 0,
        but: "its peers are pods with app=web".to_owned(),
    };
    Decision {
        nearest: Some(Arc::new(nearest)),
        ..Decision::new(Verdict::Denied, Reason::Isolated { policies: vec![policy("db")] })
    }
}

/// A flow so many minutes ago.
pub fn flow(
    minutes: u64,
    number: u64,
    verdict: FlowVerdict,
    source: Endpoint,
    destination: Endpoint,
) -> FlowRecord {
    let time = Timestamp(now().0 - minutes * 60_000_000_000 + number);
    FlowRecord {
        id: FlowId(u128::from(time.0) << 64 | u128::from(number)),
        tcp_flags: TcpFlags(2),
        ..FlowRecord::new(time, "node-1", verdict, Protocol::TCP, source, destination)
    }
}

/// What was seen in the shop: web asked the database seven times, a stranger twice, web the internet once, and a
/// workload that is gone.
pub fn flows() -> Vec<FlowRecord> {
    use FlowVerdict::{Allowed, Denied};
    let mut flows = Vec::new();
    for number in 0..7 {
        let seen = flow(30 - number, number, Allowed, web(40_000 + number as u16), db(5432));
        flows.push(FlowRecord { ingress: Some(rule("db")), ..seen });
    }
    let stranger = pod("ops", "stranger", "10.244.0.13", 41_000);
    let denied = flow(10, 20, Denied, stranger.clone(), db(5432));
    flows.push(FlowRecord { ingress: Some(isolated()), suppressed: 4, ..denied });
    flows.push(FlowRecord { ingress: Some(isolated()), ..flow(9, 21, Denied, stranger, db(22)) });
    let outside = Endpoint::new("203.0.113.9".parse().unwrap(), 443, Party::Outside { name: None });
    let would = Staged { verdict: Verdict::Denied, egress: Some(isolated()), ingress: None };
    let staged = flow(5, 30, Allowed, web(42_000), outside);
    flows.push(FlowRecord { staged: Some(Box::new(would)), ..staged });
    flows.push(flow(4, 31, Allowed, pod("shop", "gone", "10.244.0.99", 43_000), web(8080)));
    flows
}
