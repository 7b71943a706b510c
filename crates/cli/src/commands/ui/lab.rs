//! A lab as what the page is about: its manifests with the pods that it made of them, its flows, its last probe.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use podgate_api::{Loaded, Object};
use podgate_hubble::client::Address;
use podgate_lab::enforce::{Client, FLOWS, Files, HUBBLE_SOCKET, in_force};
use podgate_lab::probe::LastProbe;
use podgate_lab::{Lab, Plan, Spec};
use podgate_serve::model::{NodeState, Origin};
use podgate_serve::source::watch;
use podgate_serve::{Inventory, Probes, Source, Try};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::flows;
use crate::outcome::Failure;
use crate::style;

/// How often the lab's own files are looked at.
const EVERY: Duration = Duration::from_millis(500);

/// What the page is told of a lab, now and whenever it changes.
pub fn source(lab: &Lab) -> Result<Source, Failure> {
    let is_down = || Failure::bad(format!("lab {} is not up; bring it up with `podgate lab up`", lab.name()));
    let (spec, plan) = (lab.spec()?.ok_or_else(is_down)?, lab.plan()?.ok_or_else(is_down)?);
    let inventory = read(lab, &spec, &plan, 1);
    let (probes, told) = watch::channel(Arc::new(probes(lab)));
    let (mut source, sender) = Source::new(format!("lab {}", lab.name()), Origin::Lab, inventory);
    source.probes = Some(told);
    if spec.policies {
        source.archive = Some(lab.file(FLOWS));
        flows::follow(&mut source, Address::Unix(lab.file(HUBBLE_SOCKET)), None)?;
    }
    let follower = Follower { lab: lab.clone(), spec, sender, probes, stamps: stamps(lab) };
    let named = std::thread::Builder::new().name("lab".to_owned());
    named.spawn(move || follower.run()).map_err(|error| Failure::bad(format!("start a thread: {error}")))?;
    Ok(source)
}

/// Where a lab's page is to be served; `None`: nobody said.
pub fn listen(lab: &Lab) -> Result<Option<String>, Failure> {
    Ok(lab.spec()?.and_then(|spec| spec.page).map(|address| address.to_string()))
}

/// The manifests, with the pods and nodes that the lab made in place of what makes pods.
fn read(lab: &Lab, spec: &Spec, plan: &Plan, revision: u64) -> Inventory {
    let Loaded { objects, diagnostics, files, documents, ignores, ignored } = in_force(lab, spec);
    let made = plan.objects(&objects);
    let is_kept = |object: &Object| {
        let is_made = matches!(
            object,
            Object::Namespace(_)
                | Object::Node(_)
                | Object::Pod(_)
                | Object::Workload(_)
                | Object::NetworkPolicy(_)
                | Object::ClusterPolicy(_)
        );
        !is_made
    };
    let mut all: Vec<Object> = objects.into_iter().filter(is_kept).collect();
    all.extend(made);
    let loaded = Loaded { objects: all, diagnostics, files, documents, ignores, ignored };
    Inventory { revision, loaded, nodes: nodes(lab), ..Inventory::default() }
}

/// What the enforcing daemon says of its nodes.
fn nodes(lab: &Lab) -> Vec<NodeState> {
    let Ok(Some(mut client)) = Client::connect(lab) else { return Vec::new() };
    let Ok(status) = client.status() else { return Vec::new() };
    let failure = status.failure;
    let state = |node: podgate_lab::enforce::NodeStatus| {
        let trouble = [failure.clone(), node.closed.join(", ")];
        let trouble: Vec<String> = trouble.into_iter().filter(|text| !text.is_empty()).collect();
        NodeState { name: node.node, in_force: trouble.is_empty(), trouble: trouble.join("; ") }
    };
    status.nodes.into_iter().map(state).collect()
}

fn probes(lab: &Lab) -> Probes {
    let Ok(Some(last)) = LastProbe::of(lab) else { return Probes::default() };
    let tries = last.tries.into_iter().map(|one| Try {
        protocol: one.protocol(),
        from: one.from,
        to: one.to,
        port: one.port,
        allowed: one.reached,
    });
    Probes { at: Some(last.at), tries: tries.collect() }
}

/// When the lab's own files were written last.
fn stamps(lab: &Lab) -> [Option<SystemTime>; 3] {
    ["spec.json", "plan.json", "probe.json"]
        .map(|name| std::fs::metadata(lab.file(name)).and_then(|file| file.modified()).ok())
}

struct Follower {
    lab: Lab,
    spec: Spec,
    sender: watch::Sender<Arc<Inventory>>,
    probes: watch::Sender<Arc<Probes>>,
    stamps: [Option<SystemTime>; 3],
}

impl Follower {
    fn run(mut self) {
        let mut files = self.files();
        // What changed between the first reading and the beginning of the watch.
        self.tell();
        loop {
            let mut changed = wait(files.as_mut());
            let stamps = stamps(&self.lab);
            let [spec, plan, probe] = [0, 1, 2].map(|at| stamps[at] != self.stamps[at]);
            self.stamps = stamps;
            if spec && let Ok(Some(spec)) = self.lab.spec() {
                self.spec = spec;
                files = self.files();
                changed = true;
            }
            if changed || plan {
                self.tell();
            } else {
                self.tell_nodes();
            }
            if probe {
                self.probes.send_replace(Arc::new(probes(&self.lab)));
            }
        }
    }

    fn files(&self) -> Option<Files> {
        let paths: Vec<PathBuf> = self.spec.paths.clone();
        let files = Files::new(paths).map(|mut files| {
            // The first look begins to watch; what it finds is read after it.
            files.look(Instant::now());
            files
        });
        files
            .inspect_err(|error| style::warning(&format!("{error}: changes of the manifests are not seen")))
            .ok()
    }

    fn tell(&self) {
        let Ok(Some(plan)) = self.lab.plan() else { return };
        let last = self.sender.borrow().clone();
        let next = read(&self.lab, &self.spec, &plan, last.revision + 1);
        if next.loaded != last.loaded {
            self.sender.send_replace(Arc::new(next));
        }
    }

    fn tell_nodes(&self) {
        let last = self.sender.borrow().clone();
        let nodes = nodes(&self.lab);
        if nodes != last.nodes {
            self.sender.send_replace(Arc::new(Inventory { nodes, ..(*last).clone() }));
        }
    }
}

/// Waits for manifests to change, for a while.
fn wait(files: Option<&mut Files>) -> bool {
    let Some(files) = files else {
        std::thread::sleep(EVERY);
        return false;
    };
    let left = files.due().map_or(EVERY, |at| at.saturating_duration_since(Instant::now()).min(EVERY));
    let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    let fd = files.fd();
    let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout));
    files.take_events(Instant::now()) && !files.look(Instant::now()).is_empty()
}
