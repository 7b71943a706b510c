//! Bringing a cluster up, talking to it, disturbing it, taking it down.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use podgate_lab::state::store;
use podgate_lab::up::{claim_netns_dir, mount_bpffs_on, release_netns_dir, require_root, unmount_bpffs_on};
use podgate_lab::{Error, Result, interrupt, netns, network};

use crate::agent;
use crate::credentials::{self, ADMIN};
use crate::edit::{self, Edit};
use crate::kubelet::{PLACES_FILE, Sandbox};
use crate::processes::{self, Part, agent_dir, agent_user, log_end};
use crate::site::{RUN_DIR, Room, Site, Spec, api_server, node_name};

/// Names the binary with the control plane's parts.
pub const CONTROL_PLANE_VARIABLE: &str = "PODGATE_CONTROL_PLANE";

/// How long a start may take, on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
const MAX_NODES: usize = 50;

/// What cluster to make.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// Number of nodes besides the control plane.
    pub nodes: usize,
    /// The binary with the control plane's parts, as `scripts/control-plane` builds it.
    pub control_plane: PathBuf,
    /// The podgate binary.
    pub podgate: PathBuf,
    /// Whether each node runs `podgate agent`.
    pub agent: bool,
    /// More arguments for the agents.
    pub agent_arguments: Vec<String>,
    /// How many pod addresses each node has.
    pub room: Room,
}

/// A cluster that is up. It is taken down when dropped, unless [left up](Cluster::leave_up).
#[derive(Debug)]
pub struct Cluster {
    site: Site,
    spec: Spec,
    down_on_drop: bool,
}

/// Where a pod runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPlace {
    /// Named network namespace.
    pub netns: String,
    /// Addresses, IPv4 first.
    pub ips: Vec<IpAddr>,
    /// The Node's name.
    pub node: String,
    /// `metadata.uid`.
    pub uid: String,
}

impl PodPlace {
    /// The address of a family.
    pub fn ip(&self, is_v4: bool) -> Option<IpAddr> {
        self.ips.iter().copied().find(|ip| ip.is_ipv4() == is_v4)
    }
}

/// Finds the control plane's binary: in [`CONTROL_PLANE_VARIABLE`], or the newest in the user's cache.
///
/// # Errors
/// When there is none.
pub fn find_control_plane() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(CONTROL_PLANE_VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.or_else(|| Some(std::env::home_dir()?.join(".cache"))).unwrap_or_default().join("podgate");
    let built = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("control-plane-") && !name.contains('.')
    };
    let files = fs::read_dir(&cache).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = files
        .filter(|path| built(path))
        .max_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok());
    newest.ok_or_else(|| {
        Error::message(format!(
            "no control plane in {}: build one with scripts/control-plane in podgate's source tree \
             (`make kubernetes` does), or name one in {CONTROL_PLANE_VARIABLE}",
            cache.display()
        ))
    })
}

impl Cluster {
    /// Brings a cluster up; returns when its nodes are ready and pods can be made.
    ///
    /// # Errors
    /// When a part doesn't start: nothing is left then.
    pub fn start(options: &Options) -> Result<Cluster> {
        require_root()?;
        let site = Site::new(&options.name)?;
        if options.nodes == 0 || options.nodes > MAX_NODES {
            return Err(Error::message(format!("a cluster has 1 to {MAX_NODES} nodes")));
        }
        let control_plane = options.control_plane.canonicalize().map_err(|error| {
            let file = options.control_plane.display();
            Error::message(format!("control plane {file}: {error}; scripts/control-plane builds one"))
        })?;
        let made = fs::create_dir_all(RUN_DIR).and_then(|()| fs::create_dir(site.dir()));
        made.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::message(format!(
                "cluster {0} is up, or was not taken down: `podgate lab kubernetes down --name {0}`",
                site.name()
            )),
            _ => Error::io(format!("make {}", site.dir().display()), error),
        })?;
        let spec = Spec {
            nodes: options.nodes,
            control_plane,
            podgate: options.podgate.clone(),
            agent: options.agent,
            agent_arguments: options.agent_arguments.clone(),
            room: options.room,
        };
        let cluster = Cluster { site, spec, down_on_drop: true };
        match cluster.bring_up() {
            Ok(()) => Ok(cluster),
            // What was killed by the same Ctrl-C has its own error, which would only confuse.
            Err(_) if interrupt::requested() => Err(Error::Interrupted),
            Err(error) => Err(error),
        }
    }

    /// A cluster that somebody brought up. Dropping it does nothing.
    ///
    /// # Errors
    /// When it is not up.
    pub fn attach(name: &str) -> Result<Cluster> {
        let site = Site::new(name)?;
        let spec = site.spec()?;
        Ok(Cluster { site, spec, down_on_drop: false })
    }

    /// Lets the cluster outlive this value.
    pub fn leave_up(&mut self) {
        self.down_on_drop = false;
    }

    /// Its place on this machine.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// What it was asked to be.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    fn bring_up(&self) -> Result<()> {
        let (site, nodes) = (&self.site, self.spec.nodes);
        claim_netns_dir()?;
        let underlay = site.underlay(nodes)?;
        network::reconcile(None, &underlay)?;
        mount_bpffs_on(&site.file("bpf"))?;
        let (address, port) = api_server(&underlay);
        self.make_certificates(&[
            address,
            underlay.nodes[0].v6(),
            [127, 0, 0, 1].into(),
            [10, 96, 0, 1].into(),
        ])?;
        credentials::write(site, nodes, &format!("https://{address}:{port}"))?;
        store(&site.file("spec.json"), &self.spec)?;
        self.start_part(Part::Etcd)?;
        self.start_part(Part::ApiServer)?;
        self.wait("the API server is ready", Part::ApiServer, || self.answers("/readyz"))?;
        self.start_part(Part::Controllers)?;
        self.start_part(Part::Scheduler)?;
        for node in 1..=nodes {
            self.prepare_node(node)?;
            self.start_part(Part::Responder(node))?;
            self.start_part(Part::Kubelet(node))?;
        }
        for node in 1..=nodes {
            let name = node_name(node);
            let ready = [
                "get",
                "node",
                &name,
                "-o",
                r#"jsonpath={.status.conditions[?(@.type=="Ready")].status} {.spec.taints}"#,
            ];
            self.wait(&format!("{name} is ready"), Part::Kubelet(node), || {
                self.kubectl(&ready).is_ok_and(|said| said.trim() == "True")
            })?;
        }
        if self.spec.agent {
            self.start_agents()?;
        }
        self.wait("pods may be made in the namespace default", Part::Controllers, || {
            self.kubectl(&["get", "serviceaccount", "default"]).is_ok()
        })
    }

    /// Gives the agents the rights that they have in any cluster, and starts them.
    fn start_agents(&self) -> Result<()> {
        let site = &self.site;
        self.apply(&agent::rights())?;
        let (address, port) = api_server(&site.underlay(self.spec.nodes)?);
        for node in 1..=self.spec.nodes {
            let token = self.kubectl(&agent::TOKEN)?;
            let server = format!("https://{address}:{port}");
            credentials::write_kubeconfig(site, &agent_user(node), &server, token.trim())?;
            let dir = agent_dir(site, node);
            fs::create_dir_all(&dir).map_err(|e| Error::io(format!("make {}", dir.display()), e))?;
            self.start_part(Part::Agent(node))?;
        }
        for node in 1..=self.spec.nodes {
            let socket = agent_dir(site, node).join("cni.sock");
            self.wait(&format!("agent-{node} answers"), Part::Agent(node), || socket.exists())?;
        }
        Ok(())
    }

    fn make_certificates(&self, addresses: &[IpAddr]) -> Result<()> {
        let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        let program = self.spec.control_plane.display();
        let failed = |error| Error::io(format!("run {program}"), error);
        let output = Command::new(&self.spec.control_plane)
            .args(["certificates", "--addresses", &addresses.join(",")])
            .arg("--dir")
            .arg(self.site.file("pki"))
            .output()
            .map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::message(format!("{program} makes no certificates: {said}")))
    }

    fn prepare_node(&self, node: usize) -> Result<()> {
        let dir = self.site.node_dir(&node_name(node));
        let failed = |error| Error::io(format!("prepare {}", dir.display()), error);
        fs::create_dir_all(dir.join("bin")).map_err(failed)?;
        // Called by this name, podgate is the CNI plugin.
        std::os::unix::fs::symlink(&self.spec.podgate, dir.join("bin/podgate-cni")).map_err(failed)?;
        store(&dir.join(PLACES_FILE), &serde_json::json!({}))
    }

    fn wait(&self, what: &str, part: Part, mut holds: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            if interrupt::requested() {
                return Err(Error::Interrupted);
            }
            if processes::find(&self.site, part).is_none() {
                return Err(Error::message(format!("{part} ended: {}", log_end(&self.site, part))));
            }
            if Instant::now() > deadline {
                let seconds = PATIENCE.as_secs();
                return Err(Error::message(format!(
                    "waited {seconds} s in vain until {what}: {}",
                    log_end(&self.site, part)
                )));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn answers(&self, path: &str) -> bool {
        self.kubectl(&["get", "--raw", path]).is_ok()
    }

    // === talking ===

    /// kubectl as the administrator, in the control plane's namespace.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(&self.spec.control_plane);
        command
            .arg("kubectl")
            .env("KUBECONFIG", self.site.kubeconfig(ADMIN))
            .env("KUBECACHEDIR", self.site.file("kubectl-cache"));
        command
    }

    /// Runs kubectl, and returns what it prints.
    ///
    /// # Errors
    /// When it fails, with what it says.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_with(arguments, "")
    }

    fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let what = || format!("kubectl {}", arguments.join(" "));
        let started = netns::run(&self.site.netns(0), || -> std::io::Result<Output> {
            let mut child = self
                .kubectl_command()
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?;
            // A kubectl that fails before it has read everything says why.
            let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
            child.wait_with_output()
        })?;
        let output = started.map_err(|error| Error::io(what(), error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::message(format!("{}: {said}", what())))
    }

    /// `kubectl apply` of these manifests. A namespace that is among them gets its service account, without
    /// which no pod is admitted, a moment later: that is waited for.
    ///
    /// # Errors
    /// When kubectl fails.
    pub fn apply(&self, manifests: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let applied = self.kubectl_with(&["apply", "-f", "-"], manifests);
            match &applied {
                Err(error)
                    if error.to_string().contains("serviceaccount \"default\" not found")
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(POLL);
                }
                _ => return applied,
            }
        }
    }

    /// Waits until a workload or pod, such as `deployment/web` or `pod/web-0`, is ready.
    ///
    /// # Errors
    /// When it isn't within two minutes.
    pub fn wait_ready(&self, namespace: &str, what: &str) -> Result<()> {
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        let kind = what.split('/').next().unwrap_or_default();
        if kind == "pod" {
            return self
                .kubectl(&["-n", namespace, "wait", "--for=condition=Ready", what, &timeout])
                .map(drop);
        }
        self.kubectl(&["-n", namespace, "rollout", "status", what, &timeout]).map(drop)
    }

    /// Where a pod runs.
    ///
    /// # Errors
    /// When no kubelet has given it a network.
    pub fn pod(&self, namespace: &str, name: &str) -> Result<PodPlace> {
        let found =
            self.pods().into_iter().rev().find(|(_, pod)| pod.namespace == namespace && pod.name == name);
        let (node, sandbox) = found.ok_or_else(|| {
            Error::message(format!("no node of cluster {} runs pod {namespace}/{name}", self.site.name()))
        })?;
        Ok(place(node, &sandbox))
    }

    /// Where the sockets of a node's agent are.
    pub fn agent_dir(&self, node: usize) -> PathBuf {
        agent_dir(&self.site, node)
    }

    /// All pods that have a network, with the node that each runs on, sorted by namespace, name and age.
    pub fn pods(&self) -> Vec<(String, Sandbox)> {
        let nodes = (1..=self.spec.nodes).map(node_name);
        let mut pods: Vec<(String, Sandbox)> = nodes
            .flat_map(|node| {
                let sandboxes = crate::kubelet::sandboxes(&self.site.node_dir(&node));
                sandboxes.into_iter().map(move |sandbox| (node.clone(), sandbox))
            })
            .filter(|(_, sandbox)| !sandbox.ips.is_empty())
            .collect();
        pods.sort_by(|(_, a), (_, b)| {
            (&a.namespace, &a.name, a.started).cmp(&(&b.namespace, &b.name, b.started))
        });
        pods
    }

    /// Makes edits as the administrator, one each time, over one connection. Returns how many were made late:
    /// the API server took longer than that for the one before.
    ///
    /// # Errors
    /// With the first edit that is refused.
    pub fn edit(&self, edits: &[Edit], every: Duration) -> Result<usize> {
        let kubeconfig = self.site.kubeconfig(ADMIN);
        netns::run(&self.site.netns(0), || edit::make(&kubeconfig, edits, every))?
    }

    // === disturbing ===

    /// Kills a part at once, as the kernel does when memory is short.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill(&self, part: Part) -> Result<()> {
        match processes::kill(&self.site, part)? {
            true => Ok(()),
            false => Err(Error::message(format!("{part} is not running: {}", log_end(&self.site, part)))),
        }
    }

    /// Starts a part that is not running.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_part(&self, part: Part) -> Result<()> {
        let mut child = processes::start(&self.site, &self.spec, part)?;
        // Whoever lives on after a part has ended must not be left with what remains of it.
        std::thread::spawn(move || child.wait());
        Ok(())
    }

    /// Kills a part and starts it again; an API server is waited for.
    ///
    /// # Errors
    /// When it was not running, or doesn't come back.
    pub fn restart(&self, part: Part) -> Result<()> {
        self.kill(part)?;
        self.start_part(part)?;
        if part == Part::ApiServer {
            self.wait("the API server is ready", part, || self.answers("/readyz"))?;
        }
        Ok(())
    }

    /// The process id of a part, when it runs.
    pub fn process(&self, part: Part) -> Option<i32> {
        processes::find(&self.site, part)
    }
}

fn place(node: String, sandbox: &Sandbox) -> PodPlace {
    PodPlace { netns: sandbox.netns.clone(), ips: sandbox.ips.clone(), node, uid: sandbox.uid.clone() }
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "a destructor has nobody to return an error to")]
    fn drop(&mut self) {
        if self.down_on_drop
            && let Err(error) = down(&self.site)
        {
            eprintln!("cluster {}: {error}", self.site.name());
        }
    }
}

/// Takes a cluster down, or what a crash has left of it: processes, namespaces, mounts and files. Tells
/// whether there was anything.
///
/// # Errors
/// When something can't be removed.
pub fn down(site: &Site) -> Result<bool> {
    require_root()?;
    let existed = site.dir().exists() || !network::namespaces(&site.lab()).is_empty();
    // Nothing of it is needed any more, so nobody has to take leave.
    processes::kill_all(site)?;
    // A pinned link keeps its namespace alive.
    unmount_bpffs_on(&site.file("bpf"))?;
    network::remove_all(&site.lab())?;
    match fs::remove_dir_all(site.dir()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io(format!("remove {}", site.dir().display()), error));
        }
        _ => {}
    }
    release_netns_dir();
    // Fail while another cluster or lab is up.
    let _ = fs::remove_dir(RUN_DIR);
    let _ = Path::new(RUN_DIR).parent().map(fs::remove_dir);
    Ok(existed)
}
