//! The plugin as a runtime calls it, against an agent that answers as told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};

use podgate_cni::{Attachment, Claim, Claims, PodName, Refusal, Reply, Request, run};
use serde_json::{Value, json};

/// A directory of its own, with or without an agent.
struct Node {
    directory: PathBuf,
    heard: Option<Receiver<Request>>,
}

impl Node {
    fn without_agent() -> Node {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("podgate-cni-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Node { directory, heard: None }
    }

    fn with_agent(reply: Reply) -> Node {
        let mut node = Node::without_agent();
        let listener = UnixListener::bind(node.socket()).unwrap();
        let (hear, heard) = channel();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut line = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
                if hear.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
                writeln!(stream, "{}", serde_json::to_string(&reply).unwrap()).unwrap();
            }
        });
        node.heard = Some(heard);
        node
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("cni.sock")
    }

    fn config(&self) -> Value {
        json!({
            "cniVersion": "1.1.0", "name": "net", "type": "podgate-cni", "socket": self.socket(),
            "prevResult": previous(),
        })
    }

    /// Runs the plugin: exit code, standard output as JSON (null: empty), standard error.
    fn call(&self, command: &str, config: &Value) -> (ExitCode, Value, String) {
        let variables = BTreeMap::from([
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_NETNS", "/run/netns/x"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", "/opt/cni/bin"),
            (
                "CNI_ARGS",
                "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1",
            ),
        ]);
        call(&variables, &config.to_string())
    }

    fn asked(&self) -> Request {
        self.heard.as_ref().unwrap().recv().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.directory).unwrap();
    }
}

fn call(variables: &BTreeMap<&str, &str>, input: &str) -> (ExitCode, Value, String) {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let code = run(variable, input.as_bytes(), &mut output, &mut errors);
    let output = if output.is_empty() { Value::Null } else { serde_json::from_slice(&output).unwrap() };
    (code, output, String::from_utf8(errors).unwrap())
}

fn previous() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "eth0", "sandbox": "/run/netns/x", "mtu": 1400}],
        "ips": [{"address": "10.0.1.7/24", "gateway": "10.0.1.1", "interface": 0}, {"address": "fd00:1::7/64"}],
        "dns": {"nameservers": ["10.0.0.10"]},
        "field-of-tomorrow": {"kept": true},
    })
}

fn attachment() -> Attachment {
    Attachment { container: "c1".into(), interface: "eth0".into() }
}

fn refusal(retry: bool) -> Reply {
    Reply::Refused(Refusal { retry, message: "no room".into(), help: "make room".into() })
}

#[test]
fn add_waits_for_the_agent_and_passes_the_result_on_unchanged() {
    let node = Node::with_agent(Reply::Done);
    let (code, output, errors) = node.call("ADD", &node.config());
    assert_eq!((code, errors.as_str()), (ExitCode::SUCCESS, ""));
    assert_eq!(output, previous());
    let Request::Add { attachment: at, pod, ips, .. } = node.asked() else { panic!("not an ADD") };
    assert_eq!(at, attachment());
    assert_eq!(pod, PodName { namespace: "shop".into(), name: "web".into(), uid: "u1".into() });
    assert_eq!(ips, ["10.0.1.7".parse::<std::net::IpAddr>().unwrap(), "fd00:1::7".parse().unwrap()]);
}

#[test]
fn add_fails_with_the_agents_reason() {
    for (retry, code) in [(true, 11), (false, 100)] {
        let node = Node::with_agent(refusal(retry));
        let (exit, output, _) = node.call("ADD", &node.config());
        assert_eq!(exit, ExitCode::FAILURE);
        assert_eq!(output["code"], code);
        assert_eq!(output["cniVersion"], "1.1.0");
        assert_eq!(output["msg"], "podgate: no room");
        assert_eq!(output["details"], "make room");
    }
}

#[test]
fn without_an_agent_strict_fails_and_lenient_says_so() {
    let node = Node::without_agent();
    let (exit, output, _) = node.call("ADD", &node.config());
    assert_eq!((exit, &output["code"]), (ExitCode::FAILURE, &json!(11)));
    assert!(output["msg"].as_str().unwrap().contains("cni.sock"), "{output}");
    let mut lenient = node.config();
    lenient["strict"] = json!(false);
    let (exit, output, errors) = node.call("ADD", &lenient);
    assert_eq!((exit, output), (ExitCode::SUCCESS, previous()));
    assert!(errors.contains("the pod starts all the same"), "{errors}");
}

#[test]
fn a_pod_can_go_without_the_agent() {
    let node = Node::without_agent();
    let claims = Claims::beside(&node.socket());
    let pod = PodName { namespace: "shop".into(), name: "web".into(), uid: "u1".into() };
    claims.keep(&Claim { attachment: attachment(), pod, ips: vec!["10.0.1.7".parse().unwrap()] }).unwrap();
    for _ in 0..2 {
        let (exit, output, _) = node.call("DEL", &node.config());
        assert_eq!((exit, output), (ExitCode::SUCCESS, Value::Null));
        assert!(claims.load().unwrap().is_empty());
    }
    // DEL comes without a result when ADD never came that far.
    let mut bare = node.config();
    bare.as_object_mut().unwrap().remove("prevResult");
    assert_eq!(node.call("DEL", &bare).0, ExitCode::SUCCESS);
}

#[test]
fn check_gc_and_status_ask_the_agent() {
    let node = Node::with_agent(Reply::Done);
    assert_eq!(node.call("CHECK", &node.config()).0, ExitCode::SUCCESS);
    let ips = vec!["10.0.1.7".parse().unwrap(), "fd00:1::7".parse().unwrap()];
    assert_eq!(node.asked(), Request::Check { attachment: attachment(), ips });
    let mut gc = node.config();
    gc["cni.dev/valid-attachments"] = json!([{"containerID": "c1", "ifname": "eth0"}]);
    assert_eq!(node.call("GC", &gc).0, ExitCode::SUCCESS);
    assert_eq!(node.asked(), Request::Collect { valid: vec![attachment()] });
    assert_eq!(node.call("STATUS", &node.config()).0, ExitCode::SUCCESS);
    assert_eq!(node.asked(), Request::Status);
    let unready = Node::with_agent(refusal(true));
    let (exit, output, _) = unready.call("STATUS", &unready.config());
    assert_eq!((exit, &output["code"]), (ExitCode::FAILURE, &json!(50)));
}

#[test]
fn gc_without_a_list_collects_nothing() {
    let node = Node::with_agent(Reply::Done);
    let (exit, output, _) = node.call("GC", &node.config());
    assert_eq!((exit, &output["code"]), (ExitCode::FAILURE, &json!(7)));
}

#[test]
fn version_tells_what_is_spoken() {
    let variables = BTreeMap::from([("CNI_COMMAND", "VERSION")]);
    for input in [r#"{"cniVersion": "1.0.0"}"#, ""] {
        let (exit, output, _) = call(&variables, input);
        assert_eq!(exit, ExitCode::SUCCESS);
        assert!(output["supportedVersions"].as_array().unwrap().contains(&json!("1.1.0")), "{output}");
    }
    let node = Node::with_agent(Reply::Done);
    let mut old = node.config();
    old["cniVersion"] = json!("0.2.0");
    let (exit, output, _) = node.call("ADD", &old);
    assert_eq!((exit, &output["code"]), (ExitCode::FAILURE, &json!(1)));
}

#[test]
fn containers_that_are_no_pods_pass() {
    let node = Node::without_agent();
    let variables = BTreeMap::from([
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "IgnoreUnknown=1"),
    ]);
    let (exit, output, _) = call(&variables, &node.config().to_string());
    assert_eq!((exit, output), (ExitCode::SUCCESS, previous()));
}

#[test]
fn bad_calls_are_told_what_is_wrong() {
    type Environment<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Environment<'_>, &str, u32, &str); 6] = [
        (&[], "{}", 4, "CNI_COMMAND is not set"),
        (&[("CNI_COMMAND", "ADD")], "{", 6, "can't be read"),
        (&[("CNI_COMMAND", "DANCE")], r#"{"cniVersion": "1.1.0"}"#, 4, "CNI_COMMAND=DANCE"),
        (&[("CNI_COMMAND", "ADD")], r#"{"cniVersion": "1.1.0"}"#, 4, "CNI_CONTAINERID is not set"),
        (
            &[("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "e")],
            r#"{"cniVersion": "1.1.0"}"#,
            7,
            "another plugin has to come first",
        ),
        (
            &[("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "c"), ("CNI_IFNAME", "e")],
            r#"{"cniVersion": "1.1.0", "prevResult": {"ips": [{"address": "nowhere"}]}}"#,
            6,
            "prevResult can't be read",
        ),
    ];
    for (variables, input, code, message) in cases {
        let (exit, output, _) = call(&variables.iter().copied().collect(), input);
        assert_eq!((exit, &output["code"]), (ExitCode::FAILURE, &json!(code)), "{output}");
        assert!(output["msg"].as_str().unwrap().contains(message), "{output}");
    }
}
