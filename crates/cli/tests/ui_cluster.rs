//! The page about a live cluster, on a real API server: of `podgate ui --cluster` with the rights that the chart gives to
//! the page and no others, and of an agent. Needs root.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use podgate_lab::netns;
use podgate_lab_kubernetes::cluster::CONTROL_PLANE_VARIABLE;
use podgate_lab_kubernetes::{Cluster, Options, Part, Room};
use serde_json::Value;

const PODGATE: &str = env!("CARGO_BIN_EXE_podgate");
/// Enough for a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: podgate-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";

const POLICY: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec: {podSelector: {matchLabels: {app: web}}}
";

fn control_plane() -> PathBuf {
    if let Some(path) = std::env::var_os(CONTROL_PLANE_VARIABLE).filter(|path| !path.is_empty()) {
        return path.into();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/control-plane");
    let output = Command::new(&script).output().unwrap();
    assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// The service account of the chart's page, and what it may.
fn rights() -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/podgate/golden/page.yaml");
    let text = std::fs::read_to_string(chart).unwrap();
    let of_the_page = |document: &&str| {
        let has = |line: &str| document.lines().any(|one| one == line);
        has("  name: podgate-page")
            && ["kind: ServiceAccount", "kind: ClusterRole", "kind: ClusterRoleBinding"].into_iter().any(has)
    };
    let documents: Vec<&str> = text.split("\n---\n").filter(of_the_page).collect();
    assert_eq!(documents.len(), 3, "{text}");
    documents.join("\n---\n")
}

/// A page in the network of the cluster's control plane.
struct Page {
    process: Child,
    visitor: Visitor,
}

impl Page {
    fn serve(cluster: &Cluster, kubeconfig: &Path) -> Page {
        let netns = cluster.site().netns(0);
        let started = netns::run(&netns, || {
            Command::new(PODGATE)
                .args(["ui", "--cluster", "--listen", "127.0.0.1:0", "--kubeconfig"])
                .arg(kubeconfig)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
        });
        let mut process = started.unwrap().expect("podgate runs");
        let mut url = String::new();
        let out = process.stdout.as_mut().expect("a pipe");
        BufReader::new(out).read_line(&mut url).unwrap();
        let address = url.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("{url:?} is no URL")).to_owned();
        Page { process, visitor: Visitor { netns, address } }
    }
}

impl std::ops::Deref for Page {
    type Target = Visitor;

    fn deref(&self) -> &Visitor {
        &self.visitor
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Who asks a page.
struct Visitor {
    /// The network namespace in which it is served.
    netns: String,
    address: String,
}

impl Visitor {
    /// What it answers, with its head; an error: nobody is there.
    fn ask(&self, path: &str) -> std::io::Result<String> {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(&self.address)?;
            let host = &self.address;
            write!(stream, "GET /api/v1{path} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        netns::run(&self.netns, ask).unwrap()
    }

    /// Waits until somebody is there.
    #[track_caller]
    fn wait(&self) {
        let begin = Instant::now();
        while let Err(error) = self.ask("/status") {
            assert!(begin.elapsed() < PATIENCE, "{} stays away: {error}", self.address);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn get(&self, path: &str) -> Value {
        let text = self.ask(path).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(" 200 "), "{path}: {text}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
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
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn policies(answer: &Value) -> Vec<&str> {
    answer["policies"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

#[test]
fn the_page_follows_a_cluster_with_no_more_rights_than_the_chart_gives_it() {
    let cluster = Cluster::start(&Options {
        name: format!("t{}-page", std::process::id()),
        nodes: 1,
        control_plane: control_plane(),
        podgate: PODGATE.into(),
        agent: false,
        agent_arguments: Vec::new(),
        room: Room::Usual,
    })
    .unwrap();
    cluster.apply(OBJECTS).unwrap();
    cluster.apply(&rights()).unwrap();
    cluster.wait_ready("default", "deployment/web").unwrap();
    let token = ["-n", "podgate-system", "create", "token", "podgate-page", "--duration=1h"];
    let token = cluster.kubectl(&token).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    let server = ["config", "view", "--raw", "--minify", "--output=jsonpath={.clusters[0].cluster}"];
    let server: Value = serde_json::from_str(&cluster.kubectl(&server).unwrap()).unwrap();
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "page",
        "clusters": [{"name": "page", "cluster": server}],
        "users": [{"name": "page", "user": {"token": token.trim()}}],
        "contexts": [{"name": "page", "context": {"cluster": "page", "user": "page"}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).unwrap();

    let page = Page::serve(&cluster, &kubeconfig);
    let status = page.get("/status");
    assert_eq!(status["problems"], serde_json::json!([]), "nothing is forbidden: {status}");
    let web = page.get("/places").to_string();
    assert!(web.contains("default/web[Deployment]"), "pods are known by their workload: {web}");
    assert!(policies(&page.get("/policies")).is_empty());

    // What the watch tells of.
    cluster.apply(POLICY).unwrap();
    page.until("/policies", |answer| policies(answer).len() == 1);
    cluster.kubectl(&["delete", "networkpolicy", "web"]).unwrap();
    page.until("/policies", |answer| policies(answer).is_empty());
    let before = page.get("/status")["revision"].as_u64().unwrap();
    cluster.kubectl(&["scale", "deployment/web", "--replicas=0"]).unwrap();
    page.until("/status", |answer| answer["revision"].as_u64().unwrap() > before);

    // A server that is away makes the page old, not empty; and it is told when it is back.
    cluster.kill(Part::ApiServer).unwrap();
    let stale = page.until("/status", |answer| !answer["stale"].is_null());
    assert!(stale["stale"].as_str().unwrap().contains("since "), "{stale}");
    cluster.start_part(Part::ApiServer).unwrap();
    page.until("/status", |answer| answer["stale"].is_null());
}

const CLIENT: &str = "
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {containers: [{name: c, image: i}]}
";

/// The processes that an agent started.
fn children(of: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).unwrap();
    let of_task = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children")).ok();
    let all: Vec<String> = tasks.filter_map(|task| of_task(task.unwrap())).collect();
    all.iter().flat_map(|list| list.split_whitespace()).map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn an_agent_serves_the_page_from_a_process_of_its_own_without_any_capability() {
    let cluster = Cluster::start(&Options {
        name: format!("t{}-agent", std::process::id()),
        nodes: 1,
        control_plane: control_plane(),
        podgate: PODGATE.into(),
        agent: true,
        agent_arguments: ["--page-address", "127.0.0.1:7462"].map(str::to_owned).to_vec(),
        room: Room::Usual,
    })
    .unwrap();
    for objects in [OBJECTS, POLICY, CLIENT] {
        cluster.apply(objects).unwrap();
    }
    for what in ["deployment/web", "pod/client"] {
        cluster.wait_ready("default", what).unwrap();
    }
    let page = Visitor { netns: cluster.site().netns(1), address: "127.0.0.1:7462".to_owned() };
    page.wait();
    assert_eq!(page.get("/status")["origin"], "cluster");
    page.until("/policies", |answer| policies(answer) == ["NetworkPolicy/default/web"]);

    // A packet that the policy denies is on the page.
    let server = ["get", "pod", "--selector=app=web", "--output=jsonpath={.items[0].status.podIP}"];
    let server: std::net::IpAddr = cluster.kubectl(&server).unwrap().trim().parse().unwrap();
    let client = cluster.pod("default", "client").unwrap().netns;
    let tries = netns::run(&client, || {
        TcpStream::connect_timeout(&(server, 8080).into(), Duration::from_millis(300))
    });
    assert!(tries.unwrap().is_err(), "the policy lets nobody in");
    let denied =
        page.until("/flows?verdict=denied&to-port=8080", |flows| flows["matching"].as_u64() > Some(0));
    assert_eq!(denied["records"][0]["destination"]["owner"]["name"], "web", "{denied}");

    // Whoever breaks into it finds nothing that root may.
    let agent = cluster.process(Part::Agent(1)).unwrap();
    let [pid] = children(agent)[..] else { panic!("the page alone: {:?}", children(agent)) };
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let open: Vec<PathBuf> = open.map(|fd| std::fs::read_link(fd.unwrap().path()).unwrap()).collect();
    assert!(!open.iter().any(|file| file.to_string_lossy().contains("bpf")), "{open:?}");

    // It comes back, the agent stays.
    kill(pid);
    let begin = Instant::now();
    let next = loop {
        if let [next] = children(agent)[..]
            && next != pid
        {
            break next;
        }
        assert!(begin.elapsed() < PATIENCE, "the page does not come back");
        std::thread::sleep(Duration::from_millis(50));
    };
    page.wait();
    assert_eq!(cluster.process(Part::Agent(1)), Some(agent));

    // Without its agent it is gone.
    cluster.kill(Part::Agent(1)).unwrap();
    let begin = Instant::now();
    while Path::new(&format!("/proc/{next}")).exists() {
        assert!(begin.elapsed() < PATIENCE, "the page outlives its agent");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn an_agent_serves_its_page_to_others_only_with_a_token() {
    let run = |arguments: &[&str]| {
        let output =
            Command::new(PODGATE).args(["agent", "--node-name", "n"]).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["--page-address", "0.0.0.0:7462"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--page-address: others reach 0.0.0.0:7462"), "{said}");
    assert!(said.contains("--page-token-file") && said.contains("--page-tls-cert"), "{said}");
    let (code, said) = run(&["--page-token-file", "token"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--page-address"), "{said}");
}
