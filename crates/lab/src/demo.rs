//! The demo: a small shop whose policies arrive one by one.
//!
//! The manifests are those of `examples/shop`, built into the binary, so that the demo runs without a
//! checkout.

pub mod rollout;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use podgate_api::{Input, Object};
use podgate_flow::Decision;
use podgate_policy::Verdict;

use crate::enforce::Client;
use crate::error::{Error, Result};
use crate::plan::OUTSIDE_ADDRESSES;
use crate::probe::{
    self, Cell, Expectation, Families, Options, PlaceKind, ProbeReport, Selection, TargetKind, Wire,
};
use crate::state::{Lab, Spec};
use crate::up;

macro_rules! shop {
    ($($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!("../../../examples/shop/", $file)))),*]
    };
}

/// The shop's pods and Services: file name and text.
const APP: &[(&str, &str)] = shop!(
    "app/00-namespaces.yaml",
    "app/10-frontend.yaml",
    "app/20-backend.yaml",
    "app/30-payments.yaml",
    "app/40-database.yaml",
    "app/50-dns.yaml",
);

const POLICIES: &[(&str, &str)] = shop!(
    "policies/10-default-deny.yaml",
    "policies/20-allow-dns.yaml",
    "policies/30-outside-to-frontend.yaml",
    "policies/40-frontend-to-backend.yaml",
    "policies/50-backend-to-database.yaml",
    "policies/60-backend-to-payments.yaml",
    "policies/70-payments-to-provider.yaml",
);

/// One step of the demo.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What happens, in a few words.
    pub title: &'static str,
    /// Why, and what to look for.
    pub text: &'static str,
    /// What happens to which manifest; `None`: nothing, a look at what is there.
    pub edit: Option<Edit>,
}

/// What a step does to a manifest.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    /// The policies of this file come into force: name and text.
    Add(&'static str, &'static str),
    /// The file is deleted.
    Remove(&'static str),
}

/// The steps, in order.
pub fn steps() -> Vec<Step> {
    let add = |at: usize| Some(Edit::Add(POLICIES[at].0, POLICIES[at].1));
    vec![
        Step {
            title: "wide open",
            text: "No policy selects any pod, so everybody reaches everybody, the database included.",
            edit: None,
        },
        Step {
            title: "default deny",
            text: "An empty podSelector selects every pod of the namespace, and no rule allows anything. \
                   One such policy a namespace closes both directions.",
            edit: add(0),
        },
        Step {
            title: "allow DNS",
            text: "Before anything else, names must resolve: UDP and TCP 53 to the cluster's DNS pods.",
            edit: add(1),
        },
        Step {
            title: "let customers in",
            text: "Port `http` of the front end, from anywhere: no `from` means any source. \
                   The name is resolved on the pods that are selected.",
            edit: add(2),
        },
        Step {
            title: "front end to back end",
            text: "Both sides must agree: egress at the front end, ingress at the back end. The rules name \
                   the pods' port 9000, not the Service's port 80: policy sees connections after translation.",
            edit: add(3),
        },
        Step {
            title: "back end to database",
            text: "namespaceSelector and podSelector in one peer mean AND: back-end pods of namespace shop.",
            edit: add(4),
        },
        Step {
            title: "back end to payments",
            text: "Inside one namespace a podSelector is enough.",
            edit: add(5),
        },
        Step {
            title: "payments to the provider outside",
            text: "An ipBlock with a hole. Nobody else gets out.",
            edit: add(6),
        },
        Step {
            title: "a mistake: somebody tidies up and deletes the DNS policy",
            text: "Every other rule is still there, and still nothing works: a program asks DNS before it \
                   connects. The isolating policies below are what drops its questions.",
            edit: Some(Edit::Remove(POLICIES[1].0)),
        },
    ]
}

/// A running demo.
#[derive(Debug)]
pub struct Demo {
    lab: Lab,
    dir: PathBuf,
}

impl Demo {
    /// Writes the shop's manifests to `dir` and brings them up without policies. `exe` is the podgate binary; `page` is where
    /// the page is served.
    ///
    /// # Errors
    /// As [`up::up`], and when `dir` can't be written or holds files that are not the demo's.
    pub fn start(lab: Lab, dir: &Path, exe: &Path, page: Option<SocketAddr>) -> Result<(Demo, up::Report)> {
        up::require_root()?;
        up::down(&lab)?;
        prepare(dir)?;
        let demo = Demo { lab, dir: dir.to_owned() };
        for (file, text) in APP {
            demo.write(file, text)?;
        }
        fs::create_dir_all(dir.join("policies"))
            .map_err(|e| Error::io(format!("make {}", dir.display()), e))?;
        let spec = Spec { paths: vec![dir.to_owned()], nodes: 2, policies: true, page };
        let loaded = up::load(&spec);
        let report = up::up(&demo.lab, &spec, &loaded.objects, exe)?;
        Ok((demo, report))
    }

    /// Removes the demo's manifests.
    ///
    /// # Errors
    /// When the directory can't be removed.
    pub fn remove_dir(&self) -> Result<()> {
        fs::remove_dir_all(&self.dir).map_err(|e| Error::io(format!("remove {}", self.dir.display()), e))
    }

    /// The lab that the demo runs in.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Where the demo's manifests are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The objects of the manifests as they are now.
    pub fn objects(&self) -> Vec<Object> {
        podgate_api::load(&[Input::Path(self.dir.clone())]).objects
    }

    /// Makes a step's edit, and waits until it is in force.
    ///
    /// # Errors
    /// When the manifest can't be written, or the enforcement daemon is gone.
    pub fn take(&self, step: &Step) -> Result<()> {
        match step.edit {
            None => return Ok(()),
            Some(Edit::Add(file, text)) => self.write(file, text)?,
            Some(Edit::Remove(file)) => {
                let path = self.dir.join(file);
                fs::remove_file(&path).map_err(|e| Error::io(format!("delete {}", path.display()), e))?;
            }
        }
        self.reload()
    }

    fn reload(&self) -> Result<()> {
        let mut client = Client::connect(&self.lab)?.ok_or_else(|| {
            Error::message(format!("the enforcement daemon of lab {} is gone", self.lab.name()))
        })?;
        client.reload().map(drop)
    }

    /// Tries the shop's connections.
    ///
    /// # Errors
    /// As [`probe::lab`].
    pub fn look(&self) -> Result<Look> {
        let options = Options {
            timeout: Duration::from_millis(500),
            selection: Selection {
                families: Families::V4,
                from: ROWS.iter().map(|row| (*row).to_owned()).collect(),
                to: COLUMNS
                    .iter()
                    .map(|column| column.name.to_owned())
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect(),
                undeclared: None,
            },
        };
        Ok(Look::new(probe::lab(&self.lab, &options)?))
    }

    /// Writes a manifest beside the shop's, and waits until it is in force.
    ///
    /// # Errors
    /// As [`Demo::take`].
    pub fn put(&self, file: &str, text: &str) -> Result<()> {
        self.write(file, text)?;
        self.reload()
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.dir.join(file);
        let failed = |e| Error::io(format!("write {}", path.display()), e);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        fs::write(&path, text).map_err(failed)
    }
}

/// Says that a directory is the demo's, to be emptied and removed as it likes.
const MARKER: &str = ".podgate-demo";

/// Makes `dir` an empty directory of the demo's. What somebody else put there is not touched.
fn prepare(dir: &Path) -> Result<()> {
    let failed = |what: &str, e| Error::io(format!("{what} {}", dir.display()), e);
    if dir.join(MARKER).exists() {
        fs::remove_dir_all(dir).map_err(|e| failed("empty", e))?;
    } else if dir.exists() && fs::read_dir(dir).map_err(|e| failed("read", e))?.next().is_some() {
        return Err(Error::message(format!(
            "{} holds files that are not the demo's: name an empty or a new directory with --dir",
            dir.display()
        )));
    }
    fs::create_dir_all(dir).map_err(|e| failed("make", e))?;
    fs::write(dir.join(MARKER), "").map_err(|e| failed("write to", e))
}

/// Who tries, from top to bottom.
pub const ROWS: [&str; 5] = ["outside", "web/frontend", "shop/backend", "shop/payments", "data/database"];

/// What is tried, from left to right.
pub const COLUMNS: [Column; 6] = [
    Column { title: "frontend", name: "web/frontend", port: 80, wire: Wire::Tcp },
    Column { title: "backend", name: "shop/backend", port: 80, wire: Wire::Tcp },
    Column { title: "payments", name: "shop/payments", port: 7000, wire: Wire::Tcp },
    Column { title: "database", name: "data/database", port: 5432, wire: Wire::Tcp },
    Column { title: "dns", name: "kube-system/kube-dns", port: 53, wire: Wire::Udp },
    Column { title: "provider", name: "outside", port: 443, wire: Wire::Tcp },
];

/// A Service of the shop, or the provider outside.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// A short name.
    pub title: &'static str,
    /// The name that probes use.
    pub name: &'static str,
    /// The Service's port.
    pub port: u16,
    /// How.
    pub wire: Wire,
}

/// The state of the shop after a step.
#[derive(Debug)]
pub struct Look {
    /// All attempts.
    pub report: ProbeReport,
    /// By row and column; `None` where nothing was tried.
    pub marks: [[Option<Mark>; COLUMNS.len()]; ROWS.len()],
}

/// What the attempts from one row to one column came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What was measured: whether all of them got through.
    pub verdict: Verdict,
    /// All of them went as policy says.
    pub agrees: bool,
    /// What policy says at the source.
    pub egress: Decision,
    /// What policy says at the destination.
    pub ingress: Decision,
}

/// A connection that a step opened or closed.
#[derive(Clone, Debug)]
pub struct Change<'a> {
    /// Place in [`ROWS`].
    pub row: usize,
    /// Place in [`COLUMNS`].
    pub column: usize,
    /// What it is now.
    pub now: &'a Mark,
}

impl Look {
    fn new(report: ProbeReport) -> Look {
        let mut marks: [[Option<Mark>; COLUMNS.len()]; ROWS.len()] = Default::default();
        for cell in &report.cells {
            let Some((row, column)) = place(&report, cell) else { continue };
            let Some(possible) = cell.expected.possible.first() else { continue };
            let reached = matches!(cell.measured, probe::Measured::Reached { .. });
            let verdict = if reached { Verdict::Allowed } else { Verdict::Denied };
            match &mut marks[row][column] {
                Some(mark) => {
                    mark.agrees &= cell.agrees();
                    if verdict == Verdict::Denied {
                        mark.verdict = Verdict::Denied;
                    }
                }
                empty => {
                    *empty = Some(Mark {
                        verdict,
                        agrees: cell.agrees(),
                        egress: possible.egress.clone(),
                        ingress: possible.ingress.clone(),
                    });
                }
            }
        }
        Look { report, marks }
    }

    /// What is otherwise than before.
    pub fn changes(&self, before: &Look) -> Vec<Change<'_>> {
        let mut changes = Vec::new();
        for (row, marks) in self.marks.iter().enumerate() {
            for (column, mark) in marks.iter().enumerate() {
                let Some(now) = mark else { continue };
                let was = before.marks[row][column].as_ref().map(|mark| mark.verdict);
                if was.is_some_and(|was| was != now.verdict) {
                    changes.push(Change { row, column, now });
                }
            }
        }
        changes
    }

    /// How many attempts policy expects to be allowed.
    pub fn allowed(&self) -> usize {
        self.report.cells.iter().filter(|cell| cell.expected.verdict == Expectation::Allowed).count()
    }
}

/// Where an attempt belongs: customers use the front end's node port, everybody else Services.
fn place(report: &ProbeReport, cell: &Cell) -> Option<(usize, usize)> {
    let (source, target) = (&report.sources[cell.from], &report.targets[cell.to]);
    let from_outside = source.kind == PlaceKind::Outside;
    let row =
        ROWS.iter().position(|row| if from_outside { *row == "outside" } else { *row == source.group })?;
    let column = COLUMNS.iter().position(|column| match target.kind {
        TargetKind::NodePort => from_outside && column.name == target.group,
        TargetKind::Service => {
            column.name == target.group && column.port == target.port && column.wire == target.wire
        }
        TargetKind::Outside => {
            column.name == "outside"
                && column.port == target.port
                && column.wire == target.wire
                && cell.target_ip == IpAddr::V4(OUTSIDE_ADDRESSES.0)
        }
        TargetKind::Pod | TargetKind::Node => false,
    })?;
    // A workload's own Service may lead a pod to itself, which policy doesn't see.
    (ROWS[row] != COLUMNS[column].name).then_some((row, column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_the_demo_are_emptied() {
        let dir = std::env::temp_dir().join(format!("podgate-demo-{}", std::process::id()));
        let precious = dir.join("precious");
        fs::create_dir_all(&dir).unwrap();
        fs::write(&precious, "").unwrap();
        let refused = prepare(&dir).unwrap_err().to_string();
        let kept = precious.exists();
        fs::remove_file(&precious).unwrap();
        let empty = prepare(&dir);
        fs::write(dir.join("old.yaml"), "").unwrap();
        let again = prepare(&dir);
        let emptied = !dir.join("old.yaml").exists();
        fs::remove_dir_all(&dir).unwrap();
        assert!(kept && refused.contains("not the demo's"), "{refused}");
        assert!(empty.is_ok() && again.is_ok() && emptied);
    }
}
