//! A Kubernetes cluster of one test, and what its pods say to one another.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use podgate_flow::FlowRecord;
use podgate_hubble::client::Address;
use podgate_hubble::proto::podgate::v1::GetRecordsRequest;
use podgate_hubble::{Heard, Server};
use podgate_lab::netns;
use podgate_lab::up::require_root;
use podgate_lab_kubernetes::cluster::CONTROL_PLANE_VARIABLE;
use podgate_lab_kubernetes::{Cluster, Options, Part, Room};

use crate::asking::ask;

/// How long anything may take that should happen soon, on a machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of two nodes with an agent on each, taken down when dropped. `exe` runs its processes.
///
/// # Panics
/// Without root, or when a part doesn't start.
#[track_caller]
pub fn start(exe: &str, test: &str, room: Room) -> Cluster {
    start_with(exe, test, room, &[])
}

/// As [`start`], with more arguments for the agents.
///
/// # Panics
/// As [`start`].
#[track_caller]
pub fn start_with(exe: &str, test: &str, room: Room, agent_arguments: &[&str]) -> Cluster {
    bring_up(exe, test, room, Some(agent_arguments))
}

/// As [`start`], without agents.
///
/// # Panics
/// As [`start`].
#[track_caller]
pub fn start_bare(exe: &str, test: &str) -> Cluster {
    bring_up(exe, test, Room::Usual, None)
}

#[track_caller]
fn bring_up(exe: &str, test: &str, room: Room, agent_arguments: Option<&[&str]>) -> Cluster {
    require_root().unwrap_or_else(|_| panic!("clusters need root: run the tests with sudo"));
    let options = Options {
        name: format!("t{}-{test}", std::process::id()),
        nodes: 2,
        control_plane: control_plane(),
        podgate: exe.into(),
        agent: agent_arguments.is_some(),
        agent_arguments: agent_arguments
            .iter()
            .flat_map(|all| all.iter().map(|one| (*one).to_owned()))
            .collect(),
        room,
    };
    Cluster::start(&options).unwrap_or_else(|error| panic!("{test}: {error}"))
}

/// The control plane's binary; built now when nobody did before.
fn control_plane() -> PathBuf {
    if let Some(path) = std::env::var_os(CONTROL_PLANE_VARIABLE).filter(|path| !path.is_empty()) {
        return path.into();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/control-plane");
    let output = Command::new(&script).output().unwrap();
    assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// Waits until something holds; panics when it never does.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a pod hears from an address and TCP port: the words of who answers, or `silent`, or `refused`.
#[track_caller]
pub fn says(from: &str, to: IpAddr, port: u16) -> String {
    netns::run(from, || ask("tcp", None, SocketAddr::new(to, port), b"")).unwrap()
}

/// An answer that somebody got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The address that was asked.
    pub address: IpAddr,
    /// Who answered: `namespace/pod`.
    pub who: String,
}

/// Addresses that are asked over and over.
#[derive(Debug, Default)]
pub struct Asking {
    /// Who is asked from now on.
    pub addresses: Mutex<Vec<IpAddr>>,
    asked: Mutex<BTreeMap<IpAddr, usize>>,
    stop: AtomicBool,
}

impl Asking {
    /// Asks these from the start.
    pub fn of(addresses: impl IntoIterator<Item = IpAddr>) -> Asking {
        Asking { addresses: Mutex::new(addresses.into_iter().collect()), ..Asking::default() }
    }

    /// Asks TCP port 8080 of the addresses from one place until told to stop, all at a time. Returns who ever
    /// answered, each name and address once.
    pub fn run(&self, from: &str) -> Vec<Answer> {
        let mut answers: Vec<Answer> = Vec::new();
        while !self.is_stopped() {
            let targets = self.addresses.lock().unwrap().clone();
            let said: Vec<(IpAddr, String)> = std::thread::scope(|scope| {
                let threads: Vec<_> = targets
                    .into_iter()
                    .map(|address| scope.spawn(move || (address, says(from, address, 8080))))
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            for (address, words) in said {
                *self.asked.lock().unwrap().entry(address).or_default() += 1;
                let Some(who) = words.split(' ').next().filter(|who| who.contains('/')) else { continue };
                let answer = Answer { address, who: who.to_owned() };
                if !answers.contains(&answer) {
                    answers.push(answer);
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        answers
    }

    /// How often each address was asked.
    pub fn asked(&self) -> BTreeMap<IpAddr, usize> {
        self.asked.lock().unwrap().clone()
    }

    /// Ends all runs, each after its round, when dropped: also when the test fails.
    pub fn stopper(&self) -> Stopper<'_> {
        Stopper(&self.stop)
    }

    /// Whether somebody stopped it.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// See [`Asking::stopper`].
#[derive(Debug)]
pub struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The end of the agents' logs, for a test that failed.
pub fn logs(cluster: &Cluster) -> String {
    let parts = Part::all(cluster.spec()).into_iter();
    let parts = parts.filter(|part| matches!(part, Part::Agent(_) | Part::Kubelet(_)));
    let ends = parts.map(|part| {
        let text = std::fs::read_to_string(part.log(cluster.site())).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("{part}:\n{}\n", lines[lines.len().saturating_sub(20)..].join("\n"))
    });
    ends.collect()
}

/// The flows that a node's agent remembers, oldest first.
pub fn flows(cluster: &Cluster, node: usize) -> Vec<FlowRecord> {
    let socket = Address::Unix(cluster.agent_dir(node).join("hubble.sock"));
    let server = Server::connect(socket, None, Duration::from_secs(5)).unwrap();
    let mut records = Vec::new();
    let read = server.read(GetRecordsRequest::default(), |heard| {
        if let Heard::Record(record) = heard {
            records.push(*record);
        }
        true
    });
    read.unwrap();
    records
}
