//! A lab of one test: its manifests, its processes, and its end, however the test ends.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use podgate_api::Object;
use podgate_lab::enforce::{Client, Status};
use podgate_lab::plan::PodPlan;
use podgate_lab::probe::{self, Options, ProbeReport};
use podgate_lab::process::{Role, find};
use podgate_lab::up::{self, Report};
use podgate_lab::{Lab, Plan, Spec};

/// How long anything may take that should happen at once, on a machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until something holds; panics when it never does.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A lab, taken down when dropped.
#[derive(Debug)]
pub struct TestLab {
    lab: Lab,
    exe: PathBuf,
    dir: PathBuf,
    nodes: usize,
}

impl TestLab {
    /// Nothing yet but a name and an empty directory for manifests. `exe` runs the lab's processes.
    ///
    /// # Panics
    /// Without root.
    #[track_caller]
    pub fn new(exe: &str, test: &str, nodes: usize) -> TestLab {
        up::require_root().unwrap_or_else(|_| panic!("labs need root: run the tests with sudo"));
        let name = format!("t{}-{test}", std::process::id());
        let dir = std::env::temp_dir().join(format!("podgate-{name}"));
        fs::create_dir_all(&dir).unwrap();
        TestLab { lab: Lab::new(&name).unwrap(), exe: exe.into(), dir, nodes }
    }

    /// The lab's place on this machine.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Where the manifests are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a manifest.
    #[track_caller]
    pub fn write(&self, file: &str, text: &str) {
        fs::write(self.dir.join(file), text).unwrap();
    }

    /// Removes a manifest.
    #[track_caller]
    pub fn remove(&self, file: &str) {
        fs::remove_file(self.dir.join(file)).unwrap();
    }

    /// Writes these objects, and nothing else, as manifests.
    #[track_caller]
    pub fn write_all(&self, objects: &[Object]) {
        for entry in fs::read_dir(&self.dir).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (file, text) in objects.iter().filter_map(crate::manifests::manifest) {
            self.write(&file, &text);
        }
    }

    /// Brings the lab up, or in line with its manifests.
    #[track_caller]
    pub fn up(&self) -> Report {
        let spec = Spec { paths: vec![self.dir.clone()], nodes: self.nodes, policies: true, page: None };
        let objects = up::load(&spec).objects;
        up::up(&self.lab, &spec, &objects, &self.exe).unwrap_or_else(|e| panic!("{}: {e}", self.lab.name()))
    }

    /// The plan in force.
    #[track_caller]
    pub fn plan(&self) -> Plan {
        self.lab.plan().unwrap().expect("the lab is up")
    }

    /// The pod called `namespace/name`.
    #[track_caller]
    pub fn pod(&self, key: &str) -> PodPlan {
        let found = self.plan().pods.into_iter().find(|pod| pod.key() == key);
        found.unwrap_or_else(|| panic!("no pod {key}"))
    }

    /// The pod's IPv4 or IPv6 address.
    #[track_caller]
    pub fn ip(&self, key: &str, is_v4: bool) -> IpAddr {
        *self.pod(key).ips.iter().find(|ip| ip.is_ipv4() == is_v4).unwrap()
    }

    /// The enforcement daemon's other end.
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(&self.lab).unwrap().expect("the daemon runs")
    }

    /// How the daemon is.
    #[track_caller]
    pub fn status(&self) -> Status {
        self.client().status().unwrap()
    }

    /// Probes; the daemon says what to expect.
    #[track_caller]
    pub fn probe(&self, options: &Options) -> ProbeReport {
        probe::lab(&self.lab, options).unwrap()
    }

    /// Kills the daemon as the kernel does when memory is short.
    #[track_caller]
    pub fn kill_daemon(&self) {
        let pid = find(&self.lab, Role::Enforce).unwrap().expect("the daemon runs").to_string();
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        wait_until("the daemon is gone", || find(&self.lab, Role::Enforce).unwrap().is_none());
    }
}

impl Drop for TestLab {
    #[expect(clippy::print_stderr, reason = "what a failing test leaves to read")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.lab.file("enforce.log")).unwrap_or_default();
            eprintln!("{} enforce.log:\n{log}", self.lab.name());
        }
        if let Err(error) = up::down(&self.lab) {
            eprintln!("{}: {error}", self.lab.name());
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The attempts of a probe that went otherwise than expected, a line each.
pub fn differences(report: &ProbeReport) -> String {
    let line = |cell: &probe::Cell| {
        let target = &report.targets[cell.to];
        format!(
            "{} {} -> {} {} {}: expected {:?}, measured {:?}\n",
            report.sources[cell.from].name,
            cell.source_ip,
            target.name,
            cell.target_ip,
            target.port_text(),
            cell.expected,
            cell.measured
        )
    };
    report.differences().map(line).collect()
}
