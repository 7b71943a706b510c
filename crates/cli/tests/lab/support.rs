//! A lab for one test, and a client for its pods.

#[path = "client.rs"]
mod client;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use podgate_lab::{Lab, netns};

/// The command under test.
pub const PODGATE: &str = env!("CARGO_BIN_EXE_podgate");

/// What a command said.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end.
pub fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A lab of the test's own, taken down when the test ends, however it ends.
pub struct TestLab {
    name: String,
}

impl TestLab {
    /// Nothing yet but a name.
    pub fn new(test: &str) -> TestLab {
        assert!(rustix::process::geteuid().is_root(), "labs need root: run the tests with sudo");
        TestLab { name: format!("t{}-{test}", std::process::id()) }
    }

    /// Up from the tests' manifests, without policies.
    pub fn up(test: &str, args: &[&str]) -> TestLab {
        let lab = TestLab::new(test);
        lab.up_again(args);
        lab
    }

    #[track_caller]
    pub fn up_again(&self, args: &[&str]) {
        let manifests = self.manifests();
        let args: Vec<&str> = args.iter().copied().chain(["--no-policies", &manifests]).collect();
        let output = self.podgate("up", &args);
        assert_eq!(output.code, 0, "{}", output.stderr);
    }

    pub fn spawn_up(&self, args: &[&str]) -> Child {
        let mut command = Command::new(PODGATE);
        command.args(["lab", "up", "--name", &self.name, "--no-policies"]).args(args).arg(self.manifests());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn manifests(&self) -> String {
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/cluster.yaml").to_owned()
    }

    /// A file of the lab's run directory.
    pub fn file(&self, name: &str) -> PathBuf {
        PathBuf::from("/run/podgate/lab").join(&self.name).join(name)
    }

    /// A directory for the test's own files.
    pub fn scratch(&self) -> PathBuf {
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(&self.name)
    }

    /// `podgate lab <command> --name <this lab> ...`.
    pub fn podgate(&self, command: &str, args: &[&str]) -> Output {
        let args: Vec<&str> =
            ["lab", command, "--name", &self.name].into_iter().chain(args.iter().copied()).collect();
        run(PODGATE, &args)
    }

    pub fn exec(&self, from: &str, command: &[&str]) -> Output {
        let args: Vec<&str> = [from, "--"].into_iter().chain(command.iter().copied()).collect();
        self.podgate("exec", &args)
    }

    pub fn status(&self) -> serde_json::Value {
        let output = self.podgate("status", &["-o", "json"]);
        serde_json::from_str(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}{}", output.stdout, output.stderr))
    }

    /// Connects from a pod, a node or the outside: `tcp|udp|sctp|dns|lines ADDRESS:PORT`. Tells the answer.
    #[track_caller]
    pub fn connect(&self, from: &str, to: &str) -> String {
        let plan = Lab::new(&self.name).unwrap().plan().unwrap().expect("the lab is up");
        let netns = match from.split_once('/') {
            None => plan.outside.netns.clone(),
            Some(("node", name)) => plan.nodes.iter().find(|node| node.name == name).unwrap().netns.clone(),
            Some((namespace, name)) => {
                let pod = plan.pods.iter().find(|pod| pod.namespace == namespace && pod.name == name);
                pod.unwrap_or_else(|| panic!("no pod {from}")).netns.clone()
            }
        };
        let (how, address) = to.split_once(' ').unwrap();
        let address: SocketAddr = address.parse().unwrap();
        let answer = netns::run(&netns, || client::ask(how, address)).unwrap();
        answer.unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => "refused".to_owned(),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable".to_owned(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "timed out".to_owned(),
            _ => error.to_string(),
        })
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        let _ = self.podgate("down", &[]);
        let _ = fs::remove_dir_all(self.scratch());
    }
}

/// What of this machine's own network a lab could change.
pub fn host_network() -> String {
    let shown = [
        run("ip", &["address"]),
        run("ip", &["route", "show", "table", "all"]),
        run("ip", &["-6", "route", "show", "table", "all"]),
        run("ip", &["rule"]),
        run("nft", &["list", "ruleset"]),
    ];
    let settings = ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv4/conf/all/rp_filter"]
        .map(|key| fs::read_to_string(format!("/proc/sys/net/{key}")).unwrap_or_default());
    // Lifetimes of addresses and routes count down by themselves.
    let lasting = |line: &&str| !line.contains("valid_lft");
    let lines: Vec<String> =
        shown.iter().flat_map(|o| o.stdout.lines().filter(lasting)).map(without_expiry).collect();
    format!("{}\n{}", lines.join("\n"), settings.join(""))
}

fn without_expiry(line: &str) -> String {
    line.split(" expires ").next().unwrap_or_default().to_owned()
}

/// Everything on this machine that carries a lab's name: namespaces, mounts, files, processes.
pub fn own_traces(name: &str) -> Vec<String> {
    let directory = |path: &str| -> Vec<String> {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect()
    };
    let mut traces = directory("/run/netns");
    traces.extend(directory("/run/podgate/lab"));
    traces.extend(fs::read_to_string("/proc/self/mountinfo").unwrap().lines().map(str::to_owned));
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    traces.extend(processes.filter_map(|entry| {
        let line = String::from_utf8_lossy(&fs::read(entry.path().join("cmdline")).ok()?).replace('\0', " ");
        line.contains("__lab-").then_some(line)
    }));
    traces.retain(|trace| {
        trace.contains(&format!("{name}-")) || trace.contains(&format!("{name} ")) || trace.ends_with(name)
    });
    traces.sort();
    traces
}
