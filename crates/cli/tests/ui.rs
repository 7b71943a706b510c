//! `podgate ui`, as a user runs it: the page is there, follows the files, and ends with Ctrl-C.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use podgate_flow::{FlowRecord, History, Limits, Timestamp};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const FLOW: &str = r#"{"time":"2026-01-31T10:00:00.000000Z","node":"n1","verdict":"denied","protocol":"TCP","source":{"ip":"10.244.0.9","port":40000,"kind":"pod","namespace":"shop","pod":"stranger"},"destination":{"ip":"10.244.0.1","port":5432,"kind":"pod","namespace":"shop","pod":"db"}}"#;

const PATIENCE: Duration = Duration::from_secs(60);

/// A page that is served.
struct Page {
    process: Child,
    address: String,
    /// What comes on standard output, line by line.
    lines: mpsc::Receiver<String>,
}

impl Page {
    fn new(directory: &Path, arguments: &[&str]) -> Page {
        let mut process = Command::new(env!("CARGO_BIN_EXE_podgate"))
            .args(["ui", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .current_dir(directory)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("podgate runs");
        let out = BufReader::new(process.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let url = lines.recv_timeout(PATIENCE).expect("a line with the URL");
        let address = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("{url} is no URL")).to_owned();
        Page { process, address, lines }
    }

    fn ask(&self, path: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("somebody listens");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", self.address)
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(&format!("/api/v1{path}"), "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Waits until an answer is as it has to be.
    #[track_caller]
    fn until(&self, path: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let answer = self.get(path);
            if is_right(&answer) {
                return answer;
            }
            assert!(begin.elapsed() < PATIENCE, "{path} stays {answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses Ctrl-C. Returns the exit code, and what else was printed.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        kill_process(Pid::from_child(&self.process), Signal::INT).expect("it runs");
        let code = self.process.wait().expect("it ends").code();
        (code, self.lines.iter().collect())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn pod(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\nspec: {{containers: [{{name: c, image: c}}]}}\n---\n"
    )
}

fn policy(app: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: db, namespace: shop}}\nspec:\n  podSelector: {{matchLabels: {{app: db}}}}\n  ingress:\n  - from: [{{podSelector: {{matchLabels: {{app: {app}}}}}}}]\n"
    )
}

fn manifests() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("pods.yaml"), pod("web") + &pod("db") + &pod("stranger")).unwrap();
    fs::write(dir.path().join("policy.yaml"), policy("web")).unwrap();
    dir
}

#[test]
fn the_page_follows_the_files_and_ends_with_ctrl_c() {
    let dir = manifests();
    let page = Page::new(dir.path(), &["."]);
    let (status, html) = page.ask("/", "");
    assert!(status == 200 && html.contains("<title>"), "{html}");
    let first = page.get("/status");
    let directory = dir.path().canonicalize().unwrap().display().to_string();
    assert_eq!(
        (&first["origin"], &first["name"], &first["revision"]),
        (&"files".into(), &directory.into(), &1.into())
    );
    assert_eq!(page.get("/why?from=shop/stranger&to=shop/db&port=80")["answer"], "no");
    // A change of a file is on the page soon, and one that can't be read leaves what there was.
    fs::write(dir.path().join("policy.yaml"), policy("stranger")).unwrap();
    page.until("/why?from=shop/stranger&to=shop/db&port=80", |why| why["answer"] == "yes");
    fs::remove_file(dir.path().join("policy.yaml")).unwrap();
    fs::remove_file(dir.path().join("pods.yaml")).unwrap();
    let stale = page.until("/status", |status| status.get("stale").is_some());
    assert!(stale["stale"].as_str().unwrap().contains("no manifest"), "{stale}");
    assert!(stale["counts"]["pods"].as_u64() >= Some(1), "{stale}");
    fs::write(dir.path().join("pods.yaml"), pod("web")).unwrap();
    page.until("/status", |status| status.get("stale").is_none() && status["counts"]["pods"] == 1);
    let (code, more) = page.end();
    assert_eq!((code, more), (Some(0), Vec::new()), "one line, and a good end");
}

#[test]
fn flows_of_a_file_are_shown_with_ids() {
    let dir = manifests();
    fs::write(dir.path().join("flows.json"), format!("{FLOW}\n")).unwrap();
    let page = Page::new(dir.path(), &["pods.yaml", "policy.yaml", "--input-file", "flows.json"]);
    let flows = page.get("/flows");
    assert_eq!(flows["matching"], 1);
    let id = flows["records"][0]["id"].as_str().expect("an id");
    let story = page.get(&format!("/flows/{id}/story"));
    assert_eq!(story["told"]["verdict"], "denied");
    let posture = page.get("/posture");
    assert_eq!(posture["denials"]["top"][0]["from"]["id"], "shop/stranger[Pod]");
}

/// A server of the Hubble API with a flow, until it is dropped.
struct Hubble(#[expect(dead_code, reason = "it serves as long as it is there")] tokio::runtime::Runtime);

impl Hubble {
    fn new(address: &str, seconds: u64) -> (Hubble, String) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let history = Arc::new(History::new(Limits { age: Duration::MAX, ..Limits::default() }));
        let record: FlowRecord = serde_json::from_str(FLOW).unwrap();
        // The page keeps a day of a server's flows.
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let time = Timestamp(since.as_nanos() as u64 + seconds * 1_000_000_000);
        history.push(time, [Arc::new(FlowRecord { time, ..record })]);
        let services = podgate_hubble::services(history, podgate_hubble::ServerInfo::new("n1")).unwrap();
        let listener = podgate_hubble::Listener::Tcp(listener);
        runtime.spawn(podgate_hubble::serve(listener, services, std::future::pending()));
        (Hubble(runtime), address)
    }
}

#[test]
fn flows_of_a_server_come_and_come_again_after_it_was_away() {
    let dir = manifests();
    let (server, address) = Hubble::new("127.0.0.1:0", 0);
    let page = Page::new(dir.path(), &[".", "--server", &address]);
    page.until("/flows", |flows| flows["matching"] == 1);
    drop(server);
    let status = page.until("/status", |status| status["flows"]["trouble"].is_string());
    assert_eq!(status["flows"]["trouble"], format!("the connection to {address} broke"));
    let (_server, _) = Hubble::new(&address, 60);
    page.until("/flows", |flows| flows["matching"] == 2);
    page.until("/status", |status| status["flows"].get("trouble").is_none());
    assert_eq!(page.end().0, Some(0));
}

#[test]
fn a_node_that_a_relay_can_not_hear_is_named_until_it_is_back() {
    let dir = manifests();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (_near, near) = Hubble::new("127.0.0.1:0", 0);
    let far = free();
    let relay = Command::new(env!("CARGO_BIN_EXE_podgate"))
        .args(["relay", "--peers", &near, "--peers", &far, "--listen", "127.0.0.1:0"])
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut relay = Ended(relay.expect("podgate runs"));
    let mut said = BufReader::new(relay.0.stderr.take().expect("a pipe"));
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let listen =
        line.trim().strip_prefix("flows of 2 peers at ").unwrap_or_else(|| panic!("{line}")).to_owned();
    // What it says later doesn't break its pipe.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    let page = Page::new(dir.path(), &[".", "--server", &listen]);
    let named = |status: &Value| {
        status["flows"]["trouble"].as_str().is_some_and(|why| why.contains(&far) && !why.contains(&near))
    };
    page.until("/status", named);
    page.until("/flows", |flows| flows["matching"] == 1);
    assert!(named(&page.get("/status")), "flows of others don't say that it is back");
    let (_far, _) = Hubble::new(&far, 60);
    page.until("/status", |status| status["flows"].get("trouble").is_none());
    page.until("/flows", |flows| flows["matching"] == 2);
    // As a kubelet asks it to.
    kill_process(Pid::from_child(&relay.0), Signal::TERM).expect("it runs");
    assert_eq!(relay.0.wait().unwrap().code(), Some(0));
    assert_eq!(page.end().0, Some(0));
}

/// A program that ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_token_is_read_from_its_file() {
    let dir = manifests();
    fs::write(dir.path().join("token"), "correct-horse-battery\n").unwrap();
    let page = Page::new(dir.path(), &[".", "--token-file", "token"]);
    assert_eq!(page.ask("/", "").0, 401);
    assert_eq!(page.ask("/", "Authorization: Bearer correct-horse-battery\r\n").0, 200);
}

#[test]
fn what_can_not_be_served_is_said() {
    let dir = manifests();
    for (arguments, says) in [
        (&["--listen", "0.0.0.0:0"][..], "give a token"),
        (&["--listen", "nonsense"], "--listen"),
        (&["--token-file", "none"], "read the token: none"),
        (&["--input-file", "none"], "read flows from none"),
        (&["--flows", "none"], "--flows"),
        (&["--server", "127.0.0.1:1"], "127.0.0.1:1"),
        (&["none"], "none: no such file"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_podgate"))
            .arg("ui")
            .args(if says == "--listen" || arguments[0] == "--listen" {
                &[][..]
            } else {
                &["--listen", "127.0.0.1:0"]
            })
            .args(arguments)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("podgate runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && errors.contains(says), "{arguments:?}: {errors}");
    }
}
