//! What answers are made from: objects worked out once for each revision, whoever asks first.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use podgate_analysis::World;
use podgate_analysis::exposure::Exposure;
use podgate_api::{Loaded, ObjectKey};
use podgate_archive::Recent;
use podgate_flow::Timestamp;
use podgate_lint::Finding;
use tokio::sync::watch;

use crate::findings;
use crate::flows::MOST;
use crate::model::Status;
use crate::places::Places;
use crate::source::{Inventory, Source};
use crate::table::Table;

/// What is served.
pub struct Server {
    /// Where it reads from.
    pub source: Source,
    /// Its archive, with the newest records in memory.
    pub archive: Option<Recent>,
    current: Mutex<Arc<Snapshot>>,
    /// The number of flows that came so far; changes wake whoever follows them.
    pub came: watch::Sender<u64>,
    /// The status as it was told last.
    pub status: watch::Sender<Option<Arc<Status>>>,
    /// Set when the server ends.
    pub over: watch::Sender<bool>,
}

impl Server {
    /// Serves a source.
    pub fn new(source: Source) -> Server {
        let inventory = source.inventory.borrow().clone();
        let current = Mutex::new(Arc::new(Snapshot::new(inventory, None)));
        let archive = source.archive.clone().map(|dir| Recent::new(dir, MOST));
        Server {
            source,
            archive,
            current,
            came: watch::Sender::new(0),
            status: watch::Sender::new(None),
            over: watch::Sender::new(false),
        }
    }

    /// The objects now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let inventory = self.source.inventory.borrow().clone();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current.inventory, &inventory) {
            *current = Arc::new(match current.inventory.revision == inventory.revision {
                // Only the nodes or the freshness changed: what was worked out stays true.
                true => current.renewed(inventory),
                false => Snapshot::new(inventory, Some(now())),
            });
        }
        current.clone()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        now()
    }

    /// Whether flows are known at all.
    pub fn is_watched(&self) -> bool {
        self.source.history.is_some() || self.source.archive.is_some()
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_nanos() as u64)
}

/// Objects and what follows from them.
pub struct Snapshot {
    /// The objects.
    pub inventory: Arc<Inventory>,
    /// When they changed last; `None`: they are the first.
    pub changed: Option<Timestamp>,
    worked_out: Arc<WorkedOut>,
}

#[derive(Default)]
struct WorkedOut {
    world: OnceLock<World>,
    places: OnceLock<Places>,
    table: OnceLock<Table>,
    exposure: OnceLock<Exposure>,
    findings: OnceLock<Vec<Finding>>,
    findings_of: OnceLock<Vec<usize>>,
}

impl Snapshot {
    fn new(inventory: Arc<Inventory>, changed: Option<Timestamp>) -> Snapshot {
        Snapshot { inventory, changed, worked_out: Arc::default() }
    }

    fn renewed(&self, inventory: Arc<Inventory>) -> Snapshot {
        Snapshot { inventory, changed: self.changed, worked_out: self.worked_out.clone() }
    }

    /// The number of this state of the objects.
    pub fn revision(&self) -> u64 {
        self.inventory.revision
    }

    /// The objects and policies in force: staged ones decide nothing.
    pub fn world(&self) -> &World {
        self.worked_out.world.get_or_init(|| {
            let objects = podgate_advise::without_staged(self.inventory.loaded.objects.clone());
            World::new(objects, &self.inventory.options)
        })
    }

    /// What ends of connections are called.
    pub fn places(&self) -> &Places {
        self.worked_out.places.get_or_init(|| Places::new(self.world(), self.table()))
    }

    /// Who may connect to whom.
    pub fn table(&self) -> &Table {
        self.worked_out.table.get_or_init(|| Table::new(self.world()))
    }

    /// What is open.
    pub fn exposure(&self) -> &Exposure {
        self.worked_out.exposure.get_or_init(|| {
            let objects = podgate_advise::without_staged(self.inventory.loaded.objects.clone());
            Exposure::new(&podgate_lint::world(objects, self.inventory.options.clone()))
        })
    }

    /// What `podgate check` finds, the worst first.
    pub fn findings(&self) -> &[Finding] {
        self.worked_out.findings.get_or_init(|| {
            findings::of(
                self.inventory.loaded.clone(),
                &self.inventory.options,
                &self.inventory.checks,
                &file_text(&self.inventory.loaded),
            )
        })
    }

    /// How many findings are about some workloads or their policies.
    pub fn findings_of(&self, workloads: &[usize]) -> usize {
        let of = self.worked_out.findings_of.get_or_init(|| findings::by_workload(self));
        workloads.iter().map(|workload| of[*workload]).sum()
    }

    /// The policies that are only watched.
    pub fn staged(&self) -> std::collections::BTreeSet<ObjectKey> {
        podgate_api::staged(&self.inventory.loaded.objects)
    }
}

/// Reads the files that objects are from, and no others.
pub fn file_text(loaded: &Loaded) -> impl Fn(&str) -> Option<Arc<str>> + Sync + use<> {
    let files: BTreeMap<String, PathBuf> =
        loaded.files.iter().map(|path| (path.display().to_string(), path.clone())).collect();
    let read: Mutex<BTreeMap<String, Option<Arc<str>>>> = Mutex::default();
    move |name| {
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        let text = || files.get(name).and_then(|path| std::fs::read_to_string(path).ok()).map(Arc::from);
        read.entry(name.to_owned()).or_insert_with(text).clone()
    }
}
