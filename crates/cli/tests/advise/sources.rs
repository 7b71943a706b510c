//! The same flows from a server and from an archive on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use podgate_api::{Input, load};
use podgate_archive::{Archive, Caps};
use podgate_flow::{
    Edge, EdgeMinute, FlowRecord, History, Limits, Losses, OwnerName, Place, PolicyVersion, Protocol, Reason,
    Timestamp, Totals,
};
use podgate_hubble::{Heard, Listener, ServerInfo, read_lines, serve, services};
use podgate_policy::Direction::{Egress, Ingress};
use podgate_policy::{PolicyRef, Tier, Verdict};

use super::{APP, CANDIDATE, FLOWS, SHOP, podgate, root};

/// The policies' version that the records of the archive name.
const VERSION: PolicyVersion = PolicyVersion(7);

fn records() -> Vec<Arc<FlowRecord>> {
    let file = std::fs::File::open(root().join(FLOWS)).expect("the example has flows");
    let mut records = Vec::new();
    let whole = read_lines(std::io::BufReader::new(file), |heard| {
        if let Heard::Record(record) = heard {
            records.push(Arc::new(FlowRecord { policy_version: VERSION, ..*record }));
        }
        true
    });
    assert_eq!(whole.expect("every line is a flow"), None);
    records
}

/// A server of the flows on a socket, as an agent has one, until it is dropped.
struct Served {
    address: String,
    _directory: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Served {
    fn new(losses: Losses) -> Served {
        let records = records();
        let history = Arc::new(History::new(Limits::default()));
        history.push(records.last().expect("there are some").time, records);
        history.set_losses(losses);
        let directory = tempfile::tempdir().expect("a directory for the socket");
        let path = directory.path().join("hubble.sock");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread to serve in");
        let address = format!("unix://{}", path.display());
        // Made before anybody asks; what serves them makes itself at home in the runtime.
        let (listener, routes) = {
            let _guard = runtime.enter();
            let listener = tokio::net::UnixListener::bind(&path).expect("the socket is free");
            (listener, services(history, ServerInfo::new("node-1")).expect("a thread to wake followers"))
        };
        runtime.spawn(serve(Listener::Unix(listener), routes, std::future::pending()));
        Served { address, _directory: directory, _runtime: runtime }
    }
}

/// What the kernels of both nodes counted in a minute: a connection between nodes twice, and DNS of the database, which no
/// record tells of.
fn minutes() -> Vec<Arc<EdgeMinute>> {
    let place = |namespace: &str, kind: &str, name: &str| {
        let owner = OwnerName { kind: kind.into(), name: name.into() };
        Arc::new(Place::Workload { namespace: namespace.into(), owner })
    };
    let rule = |namespace: &str, name: &str, list| {
        Some(Arc::new(Reason::Rule {
            policy: PolicyRef {
                kind: "NetworkPolicy".into(),
                namespace: namespace.into(),
                name: name.into(),
            },
            tier: Tier::NetworkPolicy,
            list,
            rule: 0,
            written: String::new(),
        }))
    };
    let (frontend, backend) =
        (place("web", "Deployment", "frontend"), place("shop", "Deployment", "backend"));
    let (database, dns) =
        (place("data", "StatefulSet", "database"), place("kube-system", "Deployment", "dns"));
    let minute = |node: &str,
                  (source, destination): (&Arc<Place>, &Arc<Place>),
                  (protocol, port),
                  sides,
                  connections| {
        let (egress, ingress) = sides;
        Arc::new(EdgeMinute {
            // 2026-11-23T10:00:00Z.
            minute: Timestamp(1_795_428_000_000_000_000),
            node: node.into(),
            policy_version: VERSION,
            edge: Arc::new(Edge {
                source: Arc::clone(source),
                destination: Arc::clone(destination),
                protocol,
                port,
                verdict: Verdict::Allowed,
                egress,
                ingress,
            }),
            totals: Totals {
                connections,
                packets: connections * 10,
                bytes: connections * 1000,
                reply_packets: connections,
                reply_bytes: 60,
            },
        })
    };
    let (out, dns_out) = (rule("web", "frontend-to-backend", Egress), rule("data", "allow-dns", Egress));
    let into = rule("shop", "frontend-to-backend", Ingress);
    vec![
        minute("node-1", (&frontend, &backend), (Protocol::TCP, 9000), (out, None), 90),
        minute("node-2", (&frontend, &backend), (Protocol::TCP, 9000), (None, into), 90),
        minute("node-2", (&database, &dns), (Protocol::UDP, 53), (dns_out, None), 4),
    ]
}

/// An archive of the flows, with the shop's policies as those of their time.
fn archive() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory for the archive");
    // However old the example is: nothing goes.
    let caps = Caps { age: Duration::from_secs(u64::from(u32::MAX)), ..Caps::default() };
    let archive = Archive::open(directory.path(), caps).expect("an empty directory");
    let policies = load(&[Input::Path(root().join(SHOP).join("policies"))]).objects;
    archive.remember_policies(VERSION, &policies);
    archive.append(&records());
    archive.append_edges(&minutes());
    archive.flush();
    directory
}

#[track_caller]
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = podgate(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().expect("podgate ends by itself");
    (code, text(&output.stdout), text(&output.stderr))
}

fn expected(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/advise/expected").join(name);
    std::fs::read_to_string(file).expect("the expected output of the file is there")
}

fn path(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().to_owned()
}

#[test]
fn replay_of_a_server_is_that_of_the_file_with_the_servers_losses() {
    let served = Served::new(Losses { kernel: 2, suppressed: 3, ..Losses::default() });
    let arguments = ["replay", CANDIDATE, "-f", SHOP, "--server", &served.address];
    let (code, text, errors) = run(&arguments);
    assert_eq!((code, errors.as_str()), (1, ""));
    let of_file = expected("replay-text.txt").replace("exit code 1\n", "");
    assert_eq!(text, of_file.replace("2 events lost", "2 events lost since the server started"));

    // The environment names the server as well, and the newest flows are only some.
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_podgate"));
    command.args(["replay", CANDIDATE, "-f", SHOP, "--last", "5"]).current_dir(root());
    let output = command.env("PODGATE_SERVER", &served.address).output().expect("podgate runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("5 records from 2026-11-23T10:00:40Z"), "{text}");
}

#[test]
fn flows_of_a_time_are_asked_for_and_what_is_not_reached_is_said() {
    let served = Served::new(Losses::default());
    let asked = |more: &[&str]| {
        let mut arguments = vec!["replay", CANDIDATE, "-f", SHOP, "--server", &served.address];
        arguments.extend(more);
        run(&arguments)
    };
    let (_, text, errors) = asked(&["--since", "2026-11-23T10:00:20Z", "--until", "2026-11-23T10:00:30Z"]);
    assert!(
        text.contains("records from 2026-11-23T10:00:20Z to 2026-11-23T10:00:29Z; no event lost"),
        "{text}"
    );
    assert_eq!(errors, "");
    let (_, _, errors) = asked(&["--since", "2026-11-23"]);
    assert!(
        errors.contains("no flow from 2026-11-23T00:00:00Z to 2026-11-23T10:00:01Z: nothing happened, or the server doesn't keep it"),
        "{errors}"
    );
    let (code, _, errors) = asked(&["--until", "2026-11-22"]);
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("the server has no flow of that time"), "{errors}");
}

#[test]
fn recommend_and_unused_of_an_archive_are_those_of_the_file_without_its_losses() {
    let archive = archive();
    let dir = path(&archive);
    let dir = dir.to_str().expect("a path of letters");
    let (code, text, _) = run(&["recommend", APP, "--flows", dir]);
    assert_eq!(code, 0);
    let of_file = expected("recommend-yaml.yaml");
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    assert_eq!(lines(&text), lines(&of_file), "comments tell of losses, which only the file has");
}

#[test]
fn rules_that_only_exact_totals_tell_of_are_used() {
    let archive = archive();
    let dir = path(&archive);
    let dir = dir.to_str().expect("a path of letters");
    let (_, of_file, _) = run(&["recommend", "unused", SHOP, "--input-file", FLOWS]);
    assert!(of_file.contains("Used by nothing that was seen\n  data/allow-dns egress[0]"), "{of_file}");
    let (code, text, _) = run(&["recommend", "unused", SHOP, "--flows", dir]);
    assert_eq!(code, 1, "too broad are the others still");
    assert!(!text.contains("Used by nothing") && text.contains("0 unused"), "{text}");
    assert!(text.contains("50 records and 3 minutes of exact totals"), "{text}");
}

#[test]
fn top_of_an_archive_is_exact_and_counts_what_two_nodes_saw_once() {
    let archive = archive();
    let dir = path(&archive);
    let dir = dir.to_str().expect("a path of letters");
    let (code, text, errors) = run(&["observe", "top", "--flows", dir, "--sort", "bytes"]);
    assert_eq!(code, 0, "{errors}");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines,
        [
            ["FROM", "TO", "PORT", "CONNECTIONS", "ALLOWED", "DENIED", "PACKETS", "BYTES", "LAST"],
            ["web/frontend", "shop/backend", "9000/TCP", "90", "90", "0", "990", "90060", "10:00"],
            ["data/database", "kube-system/dns", "53/UDP", "4", "4", "0", "44", "4060", "10:00"],
        ]
    );
    assert!(errors.contains("exact totals, by the kernel's counters of node-1, node-2"), "{errors}");
    let (_, text, _) = run(&["observe", "top", "--flows", dir, "--by", "policy", "-o", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(rows[0]["group"]["policy"], "shop/frontend-to-backend", "{rows}");
    assert_eq!((&rows[0]["connections"], &rows[0]["replyBytes"]), (&90.into(), &60.into()), "{rows}");

    // A filter asks for more than totals know, and bytes of records nobody has.
    let (_, text, errors) = run(&["observe", "top", "--flows", dir, "--to-namespace", "data"]);
    assert!(
        text.contains("shop/backend  data/database") && errors.contains("exact totals can't be filtered"),
        "{text}{errors}"
    );
    let (code, _, errors) = run(&["observe", "top", "--input-file", FLOWS, "--sort", "bytes"]);
    assert_eq!(code, 2);
    assert!(errors.contains("records have no bytes and packets"), "{errors}");
}

#[test]
fn why_tells_with_the_policies_of_that_time() {
    let archive = archive();
    let dir = path(&archive);
    let dir = dir.to_str().expect("a path of letters");
    let (code, text, errors) = run(&["why", "attacker", "data/database", "5432", "--flows", dir]);
    assert_eq!(code, 0, "{errors}");
    assert!(text.contains("By the policies of that time"), "{text}");
    assert!(
        text.contains("ingress denied: isolated by data/database-from-backend, data/default-deny"),
        "{text}"
    );
    // A file tells the same connection, and nobody remembers its policies.
    let (_, text, _) = run(&["why", "attacker", "data/database", "5432", "--input-file", FLOWS]);
    assert!(text.contains("the policies of that time are not known"), "{text}");
}

#[test]
fn observe_reads_an_archive_in_order_and_what_cannot_be_read_is_counted() {
    let archive = archive();
    let dir = path(&archive);
    let dir = dir.to_str().expect("a path of letters");
    let of = |more: &[&str]| run(&[&["observe", "--all", "-o", "record"], more].concat());
    let (_, file, _) = of(&["--input-file", FLOWS]);
    let (code, text, _) = of(&["--flows", dir]);
    assert_eq!(code, 0);
    let ids = |text: &str| -> Vec<String> {
        let id = |line: &str| line.split('"').nth(3).map(str::to_owned);
        text.lines().filter_map(id).collect()
    };
    assert_eq!(ids(&text), ids(&file));
    let (_, text, _) = run(&["observe", "--flows", dir, "--last", "1"]);
    assert!(text.contains("web/attacker-0:40044"), "{text}");

    for file in std::fs::read_dir(archive.path()).expect("the archive") {
        let file = file.expect("an entry").path();
        if file.extension().is_some_and(|ending| ending == "parquet") {
            std::fs::write(&file, "no such thing").expect("the file can be damaged");
        }
    }
    let (code, _, errors) = run(&["replay", CANDIDATE, "--flows", dir]);
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains(".parquet") && errors.contains("no flow in the archive"), "{errors}");
}
