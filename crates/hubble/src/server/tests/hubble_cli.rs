//! The real `hubble` command against our server: a client generated from the public definition by another generator.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::*;

/// The command's binary; built now when nobody did before.
fn hubble() -> PathBuf {
    if let Some(path) = std::env::var_os("PODGATE_HUBBLE_CLI").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/hubble-cli");
    let output = Command::new(&script).output().unwrap();
    assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

impl Served {
    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(hubble());
        let home = self.directory.path();
        // The command reads the settings of whoever runs the test.
        command.env("HOME", home).env("XDG_CONFIG_HOME", home);
        command.args(arguments.split_whitespace());
        command.arg("--server").arg(format!("unix://{}", home.join("hubble.sock").display()));
        command
    }

    async fn run(&self, arguments: &str) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    async fn lines(&self, arguments: &str) -> Vec<String> {
        let output = self.run(arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "hubble {arguments}: {error}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

fn records() -> Vec<FlowRecord> {
    vec![allowed(1), denied(2), FlowRecord { reply: true, ..allowed(3) }, outbound(4)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubble_prints_flows_as_it_prints_those_of_cilium() {
    let served = Served::new(records()).await;
    let lines = served.lines("observe --time-format RFC3339 --print-policy-names --print-node-name").await;
    let numbers = |line: &String| {
        let words = line.split(' ').filter(|word| !word.starts_with("(ID:"));
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        lines.iter().map(numbers).collect::<Vec<_>>(),
        [
            "1970-01-01T00:00:01Z [a]: shop/web-1:40000 -> shop/db-0:5432 policy-verdict:L3-L4 EGRESS ALLOWED BY \
             web-out (NetworkPolicy) (TCP Flags: SYN)",
            "1970-01-01T00:00:01Z [b]: shop/web-1:40000 -> shop/db-0:5432 policy-verdict:L3-L4 INGRESS ALLOWED BY \
             db-in (NetworkPolicy) (TCP Flags: SYN)",
            "1970-01-01T00:00:02Z [a]: shop/web-1:40000 -> shop/db-0:5432 policy-verdict:L3-L4 EGRESS ALLOWED BY \
             web-out (NetworkPolicy) (TCP Flags: SYN)",
            "1970-01-01T00:00:02Z [b]: shop/web-1:40000 -> shop/db-0:5432 policy-verdict:none INGRESS DENIED BY \
             db-in (NetworkPolicy), default-deny (NetworkPolicy) (TCP Flags: SYN; 36 more like it were counted)",
            "1970-01-01T00:00:03Z [a]: shop/web-1:40000 <- shop/db-0:5432 policy-verdict:L3-L4 EGRESS ALLOWED BY \
             web-out (NetworkPolicy) (TCP Flags: SYN)",
            "1970-01-01T00:00:03Z [b]: shop/web-1:40000 <- shop/db-0:5432 policy-verdict:L3-L4 INGRESS ALLOWED BY \
             db-in (NetworkPolicy) (TCP Flags: SYN)",
            "1970-01-01T00:00:04Z [a]: shop/web-1:50000 -> [2001:db8::1]:53 (world) policy-verdict:all EGRESS \
             ALLOWED (UDP)",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubbles_filters_choose() {
    let served = Served::new(records()).await;
    for (arguments, count) in [
        ("--last 3", 3),
        ("--first 1", 1),
        ("--all", 7),
        ("--verdict DROPPED", 1),
        ("--verdict FORWARDED --traffic-direction ingress", 2),
        ("--not --verdict DROPPED", 6),
        ("--from-pod shop/web --protocol tcp", 4),
        ("--pod shop/db", 6),
        ("--namespace other", 0),
        ("--to-label app=db", 4),
        ("--to-ip 2001:db8::/32", 1),
        ("--ipv6", 1),
        ("--to-fqdn *.example", 1),
        ("--to-port 5432 --tcp-flags SYN", 4),
        ("--service shop/db", 2),
        ("--workload Deployment/web --node-name b", 3),
        ("--type drop", 1),
        ("--since 1970-01-01T00:00:02Z --until 1970-01-01T00:00:04Z", 4),
        ("--drop-reason-desc POLICY_DENIED", 1),
    ] {
        let lines = served.lines(&format!("observe {arguments}")).await;
        assert_eq!(lines.len(), count, "{arguments}: {lines:#?}");
    }
    let refused = served.run("observe --http-path /").await;
    assert!(!refused.status.success());
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("the filter http_path is not supported"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubbles_json_is_ours_word_for_word() {
    let served = Served::new(records()).await;
    let theirs = served.lines("observe -o json").await;
    let ours: Vec<_> = served.flows(GetFlowsRequest::default()).await;
    assert_eq!(theirs.len(), ours.len());
    for (theirs, flow) in theirs.iter().zip(ours) {
        let response = GetFlowsResponse {
            node_name: flow.node_name.clone(),
            time: flow.time,
            response_types: Some(ResponseTypes::Flow(flow)),
        };
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(theirs), value(&crate::json::response(&response)));
        assert_eq!(crate::json::read_response(theirs).unwrap(), response);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubble_tells_how_the_server_is() {
    let served = Served::new(records()).await;
    let status = served.lines("status").await.join("\n");
    assert!(status.contains("Current/Max Flows: 4/100 (4.00%)"), "{status}");
    let nodes = served.lines("list nodes").await;
    assert_eq!((nodes.len(), nodes[1].split_whitespace().take(2).collect()), (2, vec!["a", "Connected"]));
    let namespaces = served.lines("list namespaces").await;
    assert_eq!(namespaces[1..].iter().map(|line| line.trim_end()).collect::<Vec<_>>(), ["shop"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hubble_follows() {
    let served = Served::new(records()).await;
    let mut command = served.command("observe --follow --last 1 --verdict DROPPED --time-format RFC3339");
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    let first = tokio::task::block_in_place(&mut next);
    assert!(first.starts_with("1970-01-01T00:00:02Z"), "{first}");
    served.push(vec![allowed(5), denied(6)]);
    let second = tokio::task::block_in_place(&mut next);
    assert!(second.starts_with("1970-01-01T00:00:06Z"), "{second}");
    child.kill().unwrap();
    child.wait().unwrap();
}
