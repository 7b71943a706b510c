//! Bringing a lab up, changing it, taking it down.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use podgate_api::{Input, Loaded, Object};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::enforce::Client;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::process::{self, Role};
use crate::responder::{self, READY_FILE, Ready};
use crate::state::{Lab, RUN_DIR, Spec};
use crate::{interrupt, netns, network, services};

/// Name of the file that the enforcement daemon makes when the first policies are in force.
pub const ENFORCE_READY: &str = "enforce.ready";

/// Name of the file that says where the page is served.
const PAGE_READY: &str = "page.json";

/// Says that [`netns::NETNS_DIR`] was made by a lab, so that the last one takes it away.
const NETNS_DIR_MADE: &str = "/run/podgate/made-netns-dir";

const RESPONDER_PATIENCE: Duration = Duration::from_secs(30);
const ENFORCE_PATIENCE: Duration = Duration::from_secs(60);
const PAGE_PATIENCE: Duration = Duration::from_secs(30);

/// What [`up`] did.
#[derive(Clone, Debug)]
pub struct Report {
    /// The plan in force.
    pub plan: Plan,
    /// The lab was up before; it was brought in line with the manifests.
    pub was_up: bool,
    /// What a user should know: lower-case fragments.
    pub warnings: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Reads the manifests of a lab.
pub fn load(spec: &Spec) -> Loaded {
    let inputs: Vec<Input> = spec.paths.iter().map(|path| Input::Path(path.clone())).collect();
    podgate_api::load(&inputs)
}

/// Fails unless the caller is root.
///
/// # Errors
/// With what to do instead.
pub fn require_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Error::message(
        "a lab is made of network namespaces, which need root: run the same command with sudo",
    ))
}

/// Brings a lab up, or brings the one that is up in line with the request. What a crash left half-made is
/// repaired. `exe` is the podgate binary that runs the lab's processes.
///
/// # Errors
/// When the plan can't be made or the kernel refuses a step. A lab that was not up before is taken down again.
pub fn up(lab: &Lab, spec: &Spec, objects: &[Object], exe: &Path) -> Result<Report> {
    let started = Instant::now();
    require_root()?;
    let lock = lab.lock()?;
    // A plan that can't be read says nothing about what is there; everything is made anew.
    let previous = lab.plan().unwrap_or_default().filter(|plan| plan.lab == lab.name());
    if previous.is_none() {
        remove(lab)?;
    }
    let made = make(lab, spec, objects, exe, previous.as_ref());
    let outcome = made.and_then(|(plan, nodes_changed)| {
        drop(lock);
        let enforced = match spec.policies {
            true => enforce(lab, exe, nodes_changed),
            false => stop_enforcement(lab),
        };
        enforced.and_then(|()| serve_page(lab, spec, exe)).map(|()| plan)
    });
    match outcome {
        Ok(plan) => {
            let warnings = warnings(lab, &plan)?;
            Ok(Report { plan, was_up: previous.is_some(), warnings, took: started.elapsed() })
        }
        Err(error) => {
            if previous.is_none() {
                down(lab)?;
            }
            // What was killed by the same Ctrl-C has its own error, which would only confuse.
            if interrupt::requested() { Err(Error::Interrupted) } else { Err(error) }
        }
    }
}

/// Brings the network, the Services and the responder of a lab that is up in line with a new plan, and
/// stores it. The plan in force is read from the run directory.
///
/// # Errors
/// When the kernel refuses a step; calling again repairs.
pub fn apply(lab: &Lab, new: &Plan) -> Result<()> {
    let _lock = lab.lock()?;
    let old = lab.plan()?;
    change(lab, old.as_ref(), new, Repair::No)?;
    wait_for_responder(lab)
}

/// Returns the plan in force, and whether there are other nodes' namespaces than before.
fn make(
    lab: &Lab,
    spec: &Spec,
    objects: &[Object],
    exe: &Path,
    previous: Option<&Plan>,
) -> Result<(Plan, bool)> {
    let plan = Plan::new(lab.name(), objects, spec.nodes, previous)?;
    if plan.pods.is_empty() {
        return Err(Error::message("the manifests make no pods, so there is nothing to bring up"));
    }
    claim_netns_dir()?;
    lab.store("spec.json", spec)?;
    let nodes_changed = change(lab, previous, &plan, Repair::Yes)?;
    if process::find(lab, Role::Responder).unwrap_or_default().is_none() {
        // Without a pid file that can be read, an earlier one may still run.
        process::stop(lab, Role::Responder)?;
        let _ = fs::remove_file(lab.file(READY_FILE));
        process::start(lab, Role::Responder, exe)?;
    }
    wait_for_responder(lab)?;
    Ok((plan, nodes_changed))
}

/// Whether rules that should be there are made anew all the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repair {
    Yes,
    No,
}

fn change(lab: &Lab, old: Option<&Plan>, new: &Plan, repair: Repair) -> Result<bool> {
    let created = network::reconcile(old, new)?;
    // A namespace that was made anew has no rules.
    let in_force = old.filter(|_| repair == Repair::No && created.is_empty());
    services::apply(new, in_force)?;
    let stays = |name: &str| new.nodes.iter().any(|node| node.netns == name);
    let mut changed: BTreeSet<&str> = created.iter().map(String::as_str).collect();
    changed.extend(old.iter().flat_map(|p| &p.nodes).map(|n| n.netns.as_str()).filter(|name| !stays(name)));
    for name in &changed {
        remove_pins(&lab.bpffs().join(name))?;
        remove_pins(&lab.bpffs().join(format!("{name}-staged")))?;
    }
    // Last: a plan that is stored is complete. The responder takes it over from here.
    lab.store_plan(new)?;
    Ok(!changed.is_empty())
}

/// Removes the pins of a node whose namespace is gone: a program that is pinned keeps it alive, and would
/// be taken for that of a new namespace of the same name.
pub(crate) fn remove_pins(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", dir.display()), error))
        }
        _ => Ok(()),
    }
}

fn wait_for_responder(lab: &Lab) -> Result<()> {
    let stamp = responder::stamp(&lab.file("plan.json"))?;
    process::wait_ready(lab, Role::Responder, RESPONDER_PATIENCE, || {
        Ok(lab.read::<Ready>(READY_FILE)?.is_some_and(|ready| ready.stamp == stamp))
    })
}

fn warnings(lab: &Lab, plan: &Plan) -> Result<Vec<String>> {
    let mut warnings = plan.notes.clone();
    warnings.extend(lab.read::<Ready>(READY_FILE)?.into_iter().flat_map(|ready| ready.problems));
    let mut protocols = plan.services.iter().flat_map(|s| s.ports.iter().map(move |port| (s, port.protocol)));
    if let Some((service, _)) = protocols.find(|(_, protocol)| *protocol == podgate_api::Protocol::Sctp)
        && !services::tracks_sctp(plan)?
    {
        warnings.push(format!(
            "this kernel does not track SCTP connections: SCTP ports of services such as {}/{} are not \
             translated, only pods' own addresses answer",
            service.namespace, service.name
        ));
    }
    Ok(warnings)
}

// === enforcement ===

/// Starts the enforcement daemon, or makes the running one read the request again. It attaches to the
/// nodes that are there when it starts; what is pinned in the others stays in force meanwhile.
fn enforce(lab: &Lab, exe: &Path, nodes_changed: bool) -> Result<()> {
    mount_bpffs(lab)?;
    let ready = lab.file(ENFORCE_READY);
    if !nodes_changed
        && process::find(lab, Role::Enforce).unwrap_or_default().is_some()
        && let Some(mut client) = Client::connect(lab)?
    {
        return client.reload().map(drop);
    }
    process::stop(lab, Role::Enforce)?;
    let _ = fs::remove_file(&ready);
    process::start(lab, Role::Enforce, exe)?;
    process::wait_ready(lab, Role::Enforce, ENFORCE_PATIENCE, || Ok(ready.exists()))
}

/// Ends enforcement. Pinned programs would go on without the daemon.
fn stop_enforcement(lab: &Lab) -> Result<()> {
    process::stop(lab, Role::Enforce)?;
    let _ = fs::remove_file(lab.file(ENFORCE_READY));
    unmount_bpffs(lab)
}

/// Has the page served where it is wanted, by a process of its own: what it does must not hold up enforcement.
fn serve_page(lab: &Lab, spec: &Spec, exe: &Path) -> Result<()> {
    let served: Option<String> = lab.read(PAGE_READY)?;
    let runs = process::find(lab, Role::Page).unwrap_or_default().is_some();
    let is_the_same = |url: &String| spec.page.is_some_and(|address| url.contains(&address.to_string()));
    if runs && served.as_ref().is_some_and(is_the_same) {
        return Ok(());
    }
    process::stop(lab, Role::Page)?;
    let _ = fs::remove_file(lab.file(PAGE_READY));
    if spec.page.is_none() {
        return Ok(());
    }
    process::start(lab, Role::Page, exe)?;
    process::wait_ready(lab, Role::Page, PAGE_PATIENCE, || Ok(lab.file(PAGE_READY).exists()))
}

/// Where a lab's page is served; `None`: nowhere.
///
/// # Errors
/// When the run directory can't be read.
pub fn page(lab: &Lab) -> Result<Option<String>> {
    match process::find(lab, Role::Page)? {
        Some(_) => lab.read(PAGE_READY),
        None => Ok(None),
    }
}

/// Says where a lab's page is served.
///
/// # Errors
/// When the file can't be written.
pub fn page_is_ready(lab: &Lab, url: &str) -> Result<()> {
    lab.store(PAGE_READY, &url)
}

fn mount_bpffs(lab: &Lab) -> Result<()> {
    mount_bpffs_on(&lab.bpffs())
}

/// Mounts a bpffs, unless there is one.
///
/// # Errors
/// When the directory can't be made, or mounts are not permitted.
pub fn mount_bpffs_on(dir: &Path) -> Result<()> {
    let failed = |error: io::Error| Error::io(format!("mount a bpffs on {}", dir.display()), error);
    fs::create_dir_all(dir).map_err(failed)?;
    if is_mounted(dir) {
        return Ok(());
    }
    mount("bpf", dir, "bpf", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)
        .map_err(|error| failed(error.into()))
}

fn unmount_bpffs(lab: &Lab) -> Result<()> {
    unmount_bpffs_on(&lab.bpffs())
}

/// Unmounts what [`mount_bpffs_on`] mounted; the pins in it are gone then.
///
/// # Errors
/// When it can't be unmounted.
pub fn unmount_bpffs_on(dir: &Path) -> Result<()> {
    while is_mounted(dir) {
        unmount(dir, UnmountFlags::DETACH)
            .map_err(|error| Error::io(format!("unmount {}", dir.display()), error.into()))?;
    }
    Ok(())
}

/// Whether something is mounted there. The path must not need escapes in proc_pid_mountinfo(5).
pub fn is_mounted(dir: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // The fifth field is the mount point.
    table.lines().any(|line| line.split(' ').nth(4).map(Path::new) == Some(dir))
}

// === down ===

/// Takes a lab down: processes, namespaces, mounts and run directory, as far as they exist. Tells whether
/// there was anything.
///
/// # Errors
/// When something can't be removed.
pub fn down(lab: &Lab) -> Result<bool> {
    require_root()?;
    let existed = lab.dir().exists() || !network::namespaces(lab.name()).is_empty();
    let lock = lab.lock()?;
    remove(lab)?;
    fs::remove_dir_all(lab.dir()).map_err(|e| Error::io(format!("remove {}", lab.dir().display()), e))?;
    drop(lock);
    if Lab::all().is_empty() {
        release_netns_dir();
        // Fails when a new lab has moved in.
        let _ = fs::remove_dir(RUN_DIR);
        let _ = Path::new(RUN_DIR).parent().map(fs::remove_dir);
    }
    Ok(existed)
}

/// Makes the directory of named network namespaces when there is none, and remembers that.
///
/// # Errors
/// When mounts are not permitted.
pub fn claim_netns_dir() -> Result<()> {
    if !netns::prepare_dir()? {
        return Ok(());
    }
    let made = Path::new(NETNS_DIR_MADE);
    let written = made.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(made, ""));
    written.map_err(|error| Error::io(format!("write {NETNS_DIR_MADE}"), error))
}

/// Takes the directory away when [`claim_netns_dir`] made it and nothing is in it any more.
pub fn release_netns_dir() {
    if Path::new(NETNS_DIR_MADE).exists() && netns::list("").is_empty() {
        netns::remove_dir_if_empty();
        // Best effort: the file says no more than that the directory may go.
        let _ = fs::remove_file(NETNS_DIR_MADE);
    }
}

/// Names of labs that have a run directory or namespaces, sorted.
pub fn all() -> Vec<String> {
    let mut names: BTreeSet<String> = Lab::all().into_iter().collect();
    // `pg-<name>-net` is made with every lab.
    let fabrics = netns::list("pg-").into_iter();
    names.extend(fabrics.filter_map(|name| {
        let lab = name.strip_prefix("pg-")?.strip_suffix("-net")?;
        Lab::new(lab).ok().map(|lab| lab.name().to_owned())
    }));
    names.into_iter().collect()
}

/// Removes everything but the run directory itself.
fn remove(lab: &Lab) -> Result<()> {
    process::stop(lab, Role::Page)?;
    process::stop(lab, Role::Enforce)?;
    process::stop(lab, Role::Responder)?;
    // A pinned link keeps its namespace alive.
    unmount_bpffs(lab)?;
    network::remove_all(lab.name())?;
    for entry in fs::read_dir(lab.dir()).into_iter().flatten().flatten() {
        if entry.file_name() != "lock" && entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}
