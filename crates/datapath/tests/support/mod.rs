//! A node and its pods as network namespaces, and policies made by hand.
//!
//! ```text
//! pod 1 (10.42.0.11, fd42::11) --veth-- node --veth-- pod 2 (10.42.0.12, fd42::12) ...
//! ```

#![allow(dead_code, reason = "every test file uses another part")]

pub mod raw;
pub mod test_run;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use podgate_datapath::{Backend, BpfDatapath, BpfOptions, Capacity, Datapath, Event};
use podgate_policy::{
    ClassId, DeciderId, Delta, Family, Identity, Outcome, PortKey, PortRange, Program, ProgramId, Programs,
    Row, Verdict,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP: u8 = 1;
pub const ICMPV6: u8 = 58;
pub const NODE: &str = "node-a";

/// Long enough for a retransmitted SYN to be answered, short enough to wait for denials.
const PATIENCE: Duration = Duration::from_millis(600);

/// A node with pods; removed when dropped, whatever happens.
pub struct Net {
    prefix: String,
    pods: usize,
    dir: PathBuf,
    namespaces: Vec<String>,
}

impl Net {
    /// A node with so many pods, numbered from 1.
    pub fn new(pods: usize) -> Net {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests make network namespaces and load BPF programs: run them as root (sudo -E cargo test)"
        );
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("pgdp-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(&prefix);
        let mut net = Net { prefix, pods, dir, namespaces: Vec::new() };
        fs::create_dir(&net.dir).expect("temp dir");
        mount("bpf", &net.dir, "bpf", MountFlags::empty(), None).expect("mount bpffs");
        net.add_namespace("node");
        net.sysctls("node", &["ipv4/ip_forward", "ipv6/conf/all/forwarding"]);
        for pod in 1..=pods {
            net.add_pod(pod);
        }
        net
    }

    fn add_namespace(&mut self, name: &str) {
        let full = self.ns(name);
        run("ip", &["netns", "add", &full]);
        self.namespaces.push(full.clone());
        run("ip", &["-n", &full, "link", "set", "lo", "up"]);
    }

    fn add_pod(&mut self, pod: usize) {
        let name = format!("pod{pod}");
        self.add_namespace(&name);
        let (node, inside) = (self.ns("node"), self.ns(&name));
        let (v4, v6) = (pod4(pod).to_string(), pod6(pod).to_string());
        run(
            "ip",
            &["-n", &node, "link", "add", &name, "type", "veth", "peer", "name", "eth0", "netns", &inside],
        );
        batch(
            &inside,
            &format!(
                "addr add {v4}/32 dev eth0\naddr add {v6}/128 dev eth0 nodad\nlink set eth0 up\n\
                 route add 169.254.1.1 dev eth0 scope link\nroute add default via 169.254.1.1\n\
                 route add default via fe80::1 dev eth0\n"
            ),
        );
        batch(
            &node,
            &format!(
                "addr add 169.254.1.1/32 dev {name}\naddr add fe80::1/64 dev {name} nodad\nlink set {name} up\n\
                 route add {v4}/32 dev {name}\nroute add {v6}/128 dev {name}\n"
            ),
        );
    }

    fn sysctls(&self, name: &str, settings: &[&str]) {
        let settings: Vec<String> =
            settings.iter().map(|setting| format!("/proc/sys/net/{setting}")).collect();
        self.inside(name, || settings.iter().for_each(|setting| fs::write(setting, "1").expect("sysctl")));
    }

    /// The full name of a namespace: "node", "pod1" ...
    pub fn ns(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub fn pin_dir(&self) -> PathBuf {
        self.dir.join("podgate")
    }

    pub fn netns(&self) -> PathBuf {
        Path::new("/run/netns").join(self.ns("node"))
    }

    /// Runs `work` on a thread in a namespace.
    pub fn inside<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.ns(name), work)
    }

    pub fn options(&self) -> BpfOptions {
        BpfOptions {
            netns: Some(self.netns()),
            pod_cidrs: vec![net("10.42.0.0/24"), net("fd42::/64")],
            capacity: Capacity {
                addresses: 256,
                prefixes: 64,
                rows: 1024,
                ranges: 1 << 17,
                ring_bytes: 1 << 20,
            },
            ..BpfOptions::new(NODE, self.pin_dir())
        }
    }

    pub fn open(&self) -> BpfDatapath {
        match BpfDatapath::open(self.options()) {
            Ok(datapath) => datapath,
            Err(podgate_datapath::Error::Verifier { log, .. }) => panic!("{log}"),
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens a certain backend.
    pub fn open_with(&self, backend: Backend) -> Box<dyn Datapath + Send> {
        podgate_datapath::open(backend, self.options())
            .unwrap_or_else(|error| panic!("{backend}: {error}"))
            .datapath
    }

    /// Answers TCP and UDP on a port of a pod, for as long as the test runs.
    pub fn serve(&self, pod: usize, port: u16) {
        let listeners = self.inside(&format!("pod{pod}"), || {
            let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
            (TcpListener::bind(any).expect("bind tcp"), UdpSocket::bind(any).expect("bind udp"))
        });
        let (tcp, udp) = listeners;
        thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                thread::spawn(move || echo(stream));
            }
        });
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                let _ = udp.send_to(&buffer[..length], from);
            }
        });
    }

    /// Whether a TCP connection can be made and carries data both ways.
    pub fn tcp(&self, from: usize, to: impl Into<SocketAddr>) -> bool {
        let to = to.into();
        self.inside(&format!("pod{from}"), || connect(to).is_some_and(|mut stream| ping_pong(&mut stream)))
    }

    /// A connection that stays open.
    pub fn connection(&self, from: usize, to: impl Into<SocketAddr>) -> Option<TcpStream> {
        let to = to.into();
        self.inside(&format!("pod{from}"), || connect(to))
    }

    /// Whether a UDP datagram is answered.
    pub fn udp(&self, from: usize, to: impl Into<SocketAddr>) -> bool {
        let to = to.into();
        self.inside(&format!("pod{from}"), || {
            let any: IpAddr = match to {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0)).expect("bind");
            socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
            let sent = socket.send_to(b"ping", to).is_ok();
            sent && socket.recv_from(&mut [0; 16]).is_ok()
        })
    }

    /// Whether an ICMP echo with so many bytes is answered.
    pub fn ping(&self, from: usize, to: impl Into<IpAddr>, bytes: usize) -> bool {
        let (ns, to, bytes) = (self.ns(&format!("pod{from}")), to.into().to_string(), bytes.to_string());
        let status = Command::new("ip")
            .args(["netns", "exec", &ns, "ping", "-c", "1", "-W", "0.4", "-s", &bytes, &to])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.expect("ping").success()
    }

    /// Runs lines of `ip` in a namespace.
    pub fn ip(&self, name: &str, lines: &str) {
        batch(&self.ns(name), lines);
    }

    /// Loads nftables rules in a namespace.
    pub fn nft(&self, name: &str, rules: &str) {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.ns(name), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("nft");
        child.stdin.take().expect("stdin").write_all(rules.as_bytes()).expect("write");
        assert!(child.wait().expect("wait").success(), "nft refused:\n{rules}");
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // A pinned link would keep the namespace, so this comes first; the rest must happen anyway.
        let removed = podgate_datapath::remove(&self.pin_dir(), Some(&self.netns()));
        for namespace in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
        let unmounted = unmount(&self.dir, UnmountFlags::DETACH);
        let _ = fs::remove_dir(&self.dir);
        if !thread::panicking() {
            removed.expect("remove the pins");
            unmounted.expect("unmount bpffs");
        }
    }
}

pub fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(Path::new("/run/netns").join(namespace)).expect("open namespace");
    let done = thread::scope(|scope| {
        scope
            .spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
                work()
            })
            .join()
    });
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn run(command: &str, arguments: &[&str]) {
    let status = Command::new(command).args(arguments).status().expect("run a command");
    assert!(status.success(), "{command} {arguments:?} failed");
}

fn batch(namespace: &str, lines: &str) {
    let mut child =
        Command::new("ip").args(["-n", namespace, "-b", "-"]).stdin(Stdio::piped()).spawn().expect("ip");
    child.stdin.take().expect("stdin").write_all(lines.as_bytes()).expect("write");
    assert!(child.wait().expect("wait").success(), "ip -n {namespace} -b failed:\n{lines}");
}

fn connect(to: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// Whether what is sent comes back.
pub fn ping_pong(stream: &mut TcpStream) -> bool {
    stream.write_all(b"ping").is_ok() && stream.read_exact(&mut [0; 4]).is_ok()
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 65536];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

pub fn pod4(pod: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 42, 0, 10 + pod as u8)
}

pub fn pod6(pod: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd42, 0, 0, 0, 0, 0, 0, 0x10 + pod as u16)
}

pub fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

pub fn allowed(decider: u64) -> Outcome {
    Outcome { verdict: Verdict::Allowed, decider: DeciderId(decider) }
}

pub fn denied(decider: u64) -> Outcome {
    Outcome { verdict: Verdict::Denied, decider: DeciderId(decider) }
}

pub fn row(otherwise: Outcome) -> Row {
    Row { ranges: [].into(), otherwise }
}

/// Ports `lo..=hi` of a protocol have one outcome, the rest the other.
pub fn ports(protocol: u8, list: &[(u16, u16, Outcome)], otherwise: Outcome) -> Row {
    let ranges = list
        .iter()
        .map(|(lo, hi, outcome)| PortRange {
            lo: PortKey::new(protocol, *lo),
            hi: PortKey::new(protocol, *hi),
            outcome: *outcome,
        })
        .collect();
    Row { ranges, otherwise }
}

/// Programs made by hand, and the state they are used in.
#[derive(Clone, Default)]
pub struct Policy {
    pub programs: HashMap<ProgramId, Program>,
    pub state: Delta,
}

impl Programs for Policy {
    fn program(&self, id: ProgramId) -> Option<&Program> {
        self.programs.get(&id)
    }
}

impl Policy {
    /// Pods 1 to `pods`, each in the class of its number, none isolated; all else is class 1000.
    pub fn open(pods: usize) -> Policy {
        let mut policy = Policy::default();
        policy.state.prefixes =
            vec![(net("0.0.0.0/0"), Some(ClassId(1000))), (net("::/0"), Some(ClassId(1000)))];
        for pod in 1..=pods {
            policy = policy.pod(pod, None, None);
        }
        policy
    }

    /// Gives a pod programs.
    pub fn pod(mut self, pod: usize, egress: Option<u32>, ingress: Option<u32>) -> Policy {
        for address in [IpAddr::from(pod4(pod)), IpAddr::from(pod6(pod))] {
            self = self.address(address, pod as u32, egress, ingress, Some(NODE));
        }
        self
    }

    pub fn address(
        mut self,
        address: IpAddr,
        class: u32,
        egress: Option<u32>,
        ingress: Option<u32>,
        node: Option<&str>,
    ) -> Policy {
        let identity = Identity {
            class: ClassId(class),
            egress: egress.map(ProgramId),
            ingress: ingress.map(ProgramId),
            node: node.map(Arc::from),
        };
        self.state.addresses.retain(|(known, _)| *known != address);
        self.state.addresses.push((address, Some(identity)));
        self
    }

    /// A program that treats all alike, but for the rows that are given.
    pub fn program(mut self, id: u32, default: Row, rows: &[(u32, Row)]) -> Policy {
        let mut program = Program::new(default.clone(), default);
        for (class, row) in rows {
            let at = program.add_to_pool(row.clone());
            program.set_row(ClassId(*class), at);
        }
        self.programs.insert(ProgramId(id), program);
        self
    }

    /// What a program says to pods that reach themselves through a Service.
    pub fn itself(mut self, id: u32, default: Row, rows: &[(u32, Row)]) -> Policy {
        let program = self.programs.get_mut(&ProgramId(id)).expect("a program made before");
        for family in Family::ALL {
            program.set_itself(family, default.clone());
        }
        for (class, row) in rows {
            program.set_itself_of(ClassId(*class), row.clone());
        }
        self
    }

    pub fn publish_full(&self, datapath: &mut dyn Datapath) {
        let report = datapath.publish_full(self, &self.state).expect("publish");
        assert!(report.is_complete(), "{report:?}");
    }
}

/// All events so far.
pub fn events(datapath: &mut dyn Datapath) -> Vec<Event> {
    let mut events = Vec::new();
    datapath.poll_events(&mut |event| events.push(event)).expect("poll");
    events
}

/// Settles until nothing is left.
pub fn settle(datapath: &mut dyn Datapath) {
    while !datapath.settle().expect("settle") {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Makes two tests of each function: one with each backend.
#[macro_export]
macro_rules! with_both_backends {
    ($($name:ident)*) => {
        mod bpf {
            $(#[test] fn $name() { super::$name(podgate_datapath::Backend::Bpf) })*
        }
        mod nft {
            $(#[test] fn $name() { super::$name(podgate_datapath::Backend::Nft) })*
        }
    };
}
