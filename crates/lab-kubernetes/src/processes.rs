//! The cluster's processes: starting, finding and ending them one by one.
//!
//! Each carries the cluster's name and its part in its environment. That is how it is found, whoever started
//! it and whatever became of that one: there are no pid files to go stale.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use podgate_lab::process::started;
use podgate_lab::responder::READY_FILE;
use podgate_lab::{Error, Result, netns};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::kubelet::PLACES_FILE;
use crate::site::{Site, Spec, api_server, node_name};

/// Names the cluster in a process's environment.
const CLUSTER: &str = "PODGATE_LAB_CLUSTER";
/// Names the part in a process's environment.
const PART: &str = "PODGATE_LAB_PART";

/// How long the kernel may take to end a process.
const GRACE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// What a process is for. Nodes count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controller manager.
    Controllers,
    /// The scheduler.
    Scheduler,
    /// Answers in a node's pods.
    Responder(usize),
    /// Starts a node's pods.
    Kubelet(usize),
    /// Enforces policies on a node.
    Agent(usize),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Etcd => f.write_str("etcd"),
            Part::ApiServer => f.write_str("apiserver"),
            Part::Controllers => f.write_str("controllers"),
            Part::Scheduler => f.write_str("scheduler"),
            Part::Responder(node) => write!(f, "responder-{node}"),
            Part::Kubelet(node) => write!(f, "kubelet-{node}"),
            Part::Agent(node) => write!(f, "agent-{node}"),
        }
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(text: &str) -> Result<Part> {
        let numbered = text.rsplit_once('-').and_then(|(name, number)| Some((name, number.parse().ok()?)));
        match (text, numbered) {
            ("etcd", _) => Ok(Part::Etcd),
            ("apiserver", _) => Ok(Part::ApiServer),
            ("controllers", _) => Ok(Part::Controllers),
            ("scheduler", _) => Ok(Part::Scheduler),
            (_, Some(("responder", node))) => Ok(Part::Responder(node)),
            (_, Some(("kubelet", node))) => Ok(Part::Kubelet(node)),
            (_, Some(("agent", node))) => Ok(Part::Agent(node)),
            _ => Err(Error::message(format!(
                "{text:?} is no part of a cluster: use etcd, apiserver, controllers, scheduler, kubelet-1, responder-1 or agent-1"
            ))),
        }
    }
}

impl Part {
    /// All parts of a cluster, in the order in which they start.
    pub fn all(spec: &Spec) -> Vec<Part> {
        let mut parts = vec![Part::Etcd, Part::ApiServer, Part::Controllers, Part::Scheduler];
        for node in 1..=spec.nodes {
            parts.extend([Part::Responder(node), Part::Kubelet(node)]);
            parts.extend(spec.agent.then_some(Part::Agent(node)));
        }
        parts
    }

    /// Its log.
    pub fn log(self, site: &Site) -> PathBuf {
        site.file("logs").join(format!("{self}.log"))
    }

    /// The namespace that it runs in: 0 is the control plane.
    fn place(self) -> usize {
        match self {
            Part::Etcd | Part::ApiServer | Part::Controllers | Part::Scheduler => 0,
            Part::Responder(node) | Part::Kubelet(node) | Part::Agent(node) => node,
        }
    }

    fn command(self, site: &Site, spec: &Spec) -> Result<Command> {
        let mut command = match self {
            Part::Etcd | Part::ApiServer | Part::Controllers | Part::Scheduler => {
                let mut command = Command::new(&spec.control_plane);
                command.arg(self.to_string());
                command
            }
            Part::Responder(_) | Part::Kubelet(_) | Part::Agent(_) => Command::new(&spec.podgate),
        };
        let pki = |file: &str| site.file("pki").join(file).display().to_string();
        let kubeconfig = |user: &str| site.kubeconfig(user).display().to_string();
        match self {
            Part::Etcd => command.arg(format!("--data-dir={}", site.file("etcd").display())),
            Part::ApiServer => {
                let (address, port) = api_server(&site.underlay(spec.nodes)?);
                command.args([
                    "--etcd-servers=http://127.0.0.1:2379".to_owned(),
                    format!("--advertise-address={address}"),
                    format!("--secure-port={port}"),
                    format!("--cert-dir={}", pki("")),
                    format!("--tls-cert-file={}", pki("apiserver.crt")),
                    format!("--tls-private-key-file={}", pki("apiserver.key")),
                    format!("--token-auth-file={}", pki("tokens.csv")),
                    "--authorization-mode=Node,RBAC".to_owned(),
                    "--enable-admission-plugins=NodeRestriction".to_owned(),
                    "--allow-privileged=true".to_owned(),
                    "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
                    format!("--service-account-key-file={}", pki("service-accounts.key")),
                    format!("--service-account-signing-key-file={}", pki("service-accounts.key")),
                    format!("--service-cluster-ip-range={}", podgate_lab::plan::SERVICE_NETWORKS.join(",")),
                ])
            }
            Part::Controllers => command.args([
                format!("--kubeconfig={}", kubeconfig("controllers")),
                format!("--authentication-kubeconfig={}", kubeconfig("controllers")),
                format!("--authorization-kubeconfig={}", kubeconfig("controllers")),
                "--leader-elect=false".to_owned(),
                "--use-service-account-credentials=true".to_owned(),
                format!("--root-ca-file={}", pki("ca.crt")),
                format!("--service-account-private-key-file={}", pki("service-accounts.key")),
                "--allocate-node-cidrs=true".to_owned(),
                format!("--cluster-cidr={}", spec.room.networks().0),
                format!("--service-cluster-ip-range={}", podgate_lab::plan::SERVICE_NETWORKS.join(",")),
                format!("--node-cidr-mask-size-ipv4={}", spec.room.networks().1[0]),
                format!("--node-cidr-mask-size-ipv6={}", spec.room.networks().1[1]),
                // The defaults are for clusters that last: here a thousand pods come and go in a minute.
                "--kube-api-qps=500".to_owned(),
                "--kube-api-burst=1000".to_owned(),
            ]),
            Part::Scheduler => command.args([
                format!("--kubeconfig={}", kubeconfig("scheduler")),
                format!("--authentication-kubeconfig={}", kubeconfig("scheduler")),
                format!("--authorization-kubeconfig={}", kubeconfig("scheduler")),
                "--leader-elect=false".to_owned(),
                "--kube-api-qps=500".to_owned(),
                "--kube-api-burst=1000".to_owned(),
            ]),
            Part::Responder(node) => {
                let places = site.node_dir(&node_name(node)).join(PLACES_FILE);
                command.args(["lab", "responder", "--places"]).arg(places)
            }
            Part::Kubelet(node) => {
                command.args(["lab", "kubelet", "--cluster", site.name(), "--node", &node.to_string()])
            }
            Part::Agent(node) => {
                let name = node_name(node);
                command
                    .args(["agent", "--node-name", &name, "--kubeconfig"])
                    .arg(site.kubeconfig(&agent_user(node)))
                    .arg("--pin-dir")
                    .arg(site.pins(&name))
                    .arg("--run-dir")
                    .arg(agent_dir(site, node))
                    .arg("--state-dir")
                    .arg(agent_dir(site, node).join("state"))
                    .args(&spec.agent_arguments)
            }
        };
        Ok(command)
    }
}

/// File name of the kubeconfig with an agent's service account token.
pub fn agent_user(node: usize) -> String {
    format!("agent-{node}")
}

/// The run directory of a node's agent.
pub fn agent_dir(site: &Site, node: usize) -> PathBuf {
    site.node_dir(&node_name(node)).join("agent")
}

/// The process id of a part, when it is alive.
pub fn find(site: &Site, part: Part) -> Option<i32> {
    matching(site, Some(part)).first().map(|(pid, _)| pid.as_raw_nonzero().get())
}

/// Starts a part in its namespace. What it prints goes to the end of its log.
///
/// # Errors
/// When it can't be started.
pub fn start(site: &Site, spec: &Spec, part: Part) -> Result<Child> {
    let log = part.log(site);
    let failed = |error| Error::io(format!("start {part}, logging to {}", log.display()), error);
    log.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
    if let Part::Responder(node) = part {
        // What an earlier one said is not this one's word.
        let _ = fs::remove_file(site.node_dir(&node_name(node)).join(READY_FILE));
    }
    let file: File = OpenOptions::new().create(true).append(true).open(&log).map_err(failed)?;
    let mut command = part.command(site, spec)?;
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env(CLUSTER, site.name())
        .env(PART, part.to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(file.try_clone().map_err(failed)?)
        .stderr(file)
        // Ctrl-C at the terminal is not for it.
        .process_group(0);
    netns::run(&site.netns(part.place()), || command.spawn())?.map_err(failed)
}

/// Kills a part as the kernel does when memory is short, and waits until it is gone. `false`: it was not there.
///
/// # Errors
/// When the kernel refuses.
pub fn kill(site: &Site, part: Part) -> Result<bool> {
    let found = matching(site, Some(part));
    end(&found)?;
    Ok(!found.is_empty())
}

/// Kills all processes of a cluster.
///
/// # Errors
/// When the kernel refuses.
pub fn kill_all(site: &Site) -> Result<()> {
    end(&matching(site, None))
}

fn end(processes: &[(Pid, u64)]) -> Result<()> {
    let is_there = |pid: Pid, start: u64| {
        let pid = pid.as_raw_nonzero().get();
        // What the last threads of a process hold, sockets among them, is held until they have ended too.
        let threads = || fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        started(pid) == Some(start) || (started(pid).is_none() && threads() > 1)
    };
    let alive = || processes.iter().filter(|(pid, start)| is_there(*pid, *start));
    for (pid, _) in alive() {
        match kill_process(*pid, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                return Err(Error::io(format!("end process {}", pid.as_raw_nonzero()), error.into()));
            }
        }
    }
    let deadline = Instant::now() + GRACE;
    while alive().next().is_some() && Instant::now() < deadline {
        std::thread::sleep(POLL);
    }
    Ok(())
}

fn matching(site: &Site, part: Option<Part>) -> Vec<(Pid, u64)> {
    let cluster = format!("{CLUSTER}={}", site.name());
    let part = part.map(|part| format!("{PART}={part}"));
    let matches = |pid: i32| {
        let Ok(environment) = fs::read(Path::new("/proc").join(pid.to_string()).join("environ")) else {
            return false;
        };
        let has = |entry: &str| environment.split(|byte| *byte == 0).any(|one| one == entry.as_bytes());
        has(&cluster) && part.as_ref().is_none_or(|part| has(part))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| matches(*pid))
        .filter_map(|pid| Some((Pid::from_raw(pid)?, started(pid)?)))
        .collect()
}

/// The end of a part's log, for an error.
pub fn log_end(site: &Site, part: Part) -> String {
    let text = fs::read(part.log(site)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim().lines().collect();
    match lines.last().copied().unwrap_or_default() {
        "" => format!("it said nothing; its log is {}", part.log(site).display()),
        last => format!("{last}; its log is {}", part.log(site).display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_read_as_it_is_written() {
        let room = crate::site::Room::Usual;
        let spec = Spec {
            nodes: 2,
            control_plane: "/c".into(),
            podgate: "/p".into(),
            agent: true,
            agent_arguments: Vec::new(),
            room,
        };
        for part in Part::all(&spec) {
            assert_eq!(part.to_string().parse::<Part>().unwrap(), part);
        }
        let error = "kubelet".parse::<Part>().unwrap_err().to_string();
        assert!(error.contains("kubelet-1"), "{error}");
    }
}
