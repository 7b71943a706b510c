//! Two pods and their node as network namespaces, where nobody else sees them.
//!
//! ```text
//! pgb-client --veth-- pgb-node (filters) --veth-- pgb-server
//! ```
//!
//! The names of the namespaces and the BPF file system are mounted in a mount namespace of this process
//! alone: the kernel takes all of it away when the process ends, however it ends.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

pub const CLIENT: &str = "pgb-client";
pub const SERVER: &str = "pgb-server";
pub const NODE: &str = "pgb-node";

const NETNS_DIR: &str = "/run/netns";
const GATEWAY: &str = "169.254.1.1";
/// Lies over a directory that every system has; only this process sees it.
const BPFFS: &str = "/mnt";

/// Gives this process mounts of its own. Must come before any thread is started.
pub fn isolate() -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "network namespaces and BPF need root: run it with sudo");
    // SAFETY: a new mount namespace leaves memory and descriptors shared as they are.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("make a mount namespace")?;
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context("keep mounts to this process")?;
    fs::create_dir_all(NETNS_DIR).with_context(|| format!("create {NETNS_DIR}"))?;
    mount("pgb", NETNS_DIR, "tmpfs", MountFlags::empty(), None).context("mount a tmpfs")?;
    mount("pgb", BPFFS, "bpf", MountFlags::empty(), None).context("mount a BPF file system")?;
    Ok(())
}

pub fn pin_dir() -> PathBuf {
    Path::new(BPFFS).join("podgate")
}

pub fn staged_pin_dir() -> PathBuf {
    Path::new(BPFFS).join("staged")
}

pub fn path(namespace: &str) -> PathBuf {
    Path::new(NETNS_DIR).join(namespace)
}

/// The network; gone when dropped, at the latest when the process ends.
pub struct Net(());

impl Net {
    /// Pods with these addresses.
    pub fn new(client: Ipv4Addr, server: &[Ipv4Addr]) -> Result<Net> {
        let net = Net(());
        for name in [NODE, CLIENT, SERVER] {
            run(Command::new("ip").args(["netns", "add", name]), "")?;
            run(Command::new("ip").args(["-n", name, "link", "set", "lo", "up"]), "")?;
        }
        inside(NODE, || fs::write("/proc/sys/net/ipv4/ip_forward", "1"))?.context("switch forwarding on")?;
        add_pod(CLIENT, &[client])?;
        add_pod(SERVER, server)?;
        Ok(net)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // A pinned link keeps the namespace, so it goes first. What fails here ends with the process.
        let _ = podgate_datapath::remove_observer(&staged_pin_dir());
        let _ = podgate_datapath::remove(&pin_dir(), Some(&path(NODE)));
        for name in [CLIENT, SERVER, NODE] {
            let _ = run(Command::new("ip").args(["netns", "del", name]), "");
        }
    }
}

fn add_pod(name: &str, addresses: &[Ipv4Addr]) -> Result<()> {
    let link = name.trim_start_matches("pgb-");
    let (mut inside, mut outside) = (String::new(), String::new());
    outside.push_str(&format!("link add {link} type veth peer name eth0 netns {name}\n"));
    outside.push_str(&format!("addr add {GATEWAY}/32 dev {link}\nlink set {link} up\n"));
    for address in addresses {
        inside.push_str(&format!("addr add {address}/32 dev eth0\n"));
        outside.push_str(&format!("route add {address}/32 dev {link}\n"));
    }
    inside.push_str(&format!(
        "link set eth0 up\nroute add {GATEWAY} dev eth0 scope link\nroute add default via {GATEWAY}\n"
    ));
    run(Command::new("ip").args(["-n", NODE, "-b", "-"]), &outside)?;
    run(Command::new("ip").args(["-n", name, "-b", "-"]), &inside)
}

/// Loads nftables rules on the node.
pub fn nft(rules: &str) -> Result<()> {
    inside(NODE, || run(Command::new("nft").args(["-f", "-"]), rules))?
}

/// Forgets all connections that the node tracks: every measurement begins with an empty table.
pub fn forget_connections() -> Result<()> {
    /// `nlmsghdr` with `NLM_F_REQUEST | NLM_F_ACK`, and `nfgenmsg`: `IPCTNL_MSG_CT_DELETE` without
    /// attributes deletes all.
    const DELETE_ALL: [u8; 20] = [20, 0, 0, 0, 2, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    inside(NODE, || {
        let kind = Some(netlink::NETFILTER);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, kind)?;
        send(&socket, &DELETE_ALL, SendFlags::empty())?;
        // `nlmsghdr` and `nlmsgerr`: the error comes first, 0 for none.
        let mut answer = [0; 64];
        recv(&socket, &mut answer, RecvFlags::empty())?;
        match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error)),
        }
    })?
    .context("empty the table of connections")
}

/// Runs `work` on a thread of its own in a namespace.
pub fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
    let file = File::open(path(namespace)).with_context(|| format!("open the namespace {namespace}"))?;
    let done = thread::scope(|scope| {
        scope
            .spawn(|| {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .with_context(|| format!("enter the namespace {namespace}"))?;
                Ok(work())
            })
            .join()
    });
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn run(command: &mut Command, input: &str) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends early says why on its standard error.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("run {name}"))?;
    let message = String::from_utf8_lossy(&output.stderr);
    let first: Vec<&str> = message.lines().take(4).collect();
    ensure!(output.status.success(), "{name} failed: {}", first.join("; "));
    Ok(())
}
