//! What the server reads from: whoever serves the page keeps these up to date.

use std::path::PathBuf;
use std::sync::Arc;

use podgate_analysis::WorldOptions;
use podgate_api::Loaded;
use podgate_flow::History;
pub use tokio::sync::watch;

use crate::model::{NodeState, Origin};

/// Where a server's answers come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// What the page calls it: a directory, a lab, a cluster's context.
    pub name: String,
    /// What it is.
    pub origin: Origin,
    /// The objects; each change is a new inventory with a higher revision.
    pub inventory: watch::Receiver<Arc<Inventory>>,
    /// Flows as they come, where something watches.
    pub history: Option<Arc<History>>,
    /// Directory of an archive (`podgate_archive`), for what the history has no room for.
    pub archive: Option<PathBuf>,
    /// Why flows don't come any more; `None` inside while they do.
    pub flows_trouble: Option<watch::Receiver<Option<String>>>,
    /// What the last probe with real connections found, where somebody probes: see [`Probes`].
    pub probes: Option<watch::Receiver<Arc<Probes>>>,
}

impl Source {
    /// A source of objects alone, and what tells it of new ones.
    pub fn new(
        name: impl Into<String>,
        origin: Origin,
        inventory: Inventory,
    ) -> (Source, watch::Sender<Arc<Inventory>>) {
        let (sender, inventory) = watch::channel(Arc::new(inventory));
        let source = Source {
            name: name.into(),
            origin,
            inventory,
            history: None,
            archive: None,
            flows_trouble: None,
            probes: None,
        };
        (source, sender)
    }
}

/// The objects at one time.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Counts changes, from 1.
    pub revision: u64,
    /// Objects, what was found wrong with them, and the files that they are from.
    pub loaded: Loaded,
    /// What the objects don't say.
    pub options: WorldOptions,
    /// The team's choices for `podgate check`, of `.podgate.yaml`.
    pub checks: podgate_lint::config::Config,
    /// Nodes that enforce.
    pub nodes: Vec<NodeState>,
    /// Why the source has not been heard lately; `None` while it is.
    pub stale: Option<String>,
}

/// Connections that a probe tried, and how they ended.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    /// When it ended; `None`: there was none.
    pub at: Option<podgate_flow::Timestamp>,
    /// The connections.
    pub tries: Vec<Try>,
}

/// A connection that was tried.
#[derive(Clone, Debug)]
pub struct Try {
    /// `namespace/name` of the pod that connected, or an address.
    pub from: String,
    /// `namespace/name` of the pod that it connected to, or an address.
    pub to: String,
    /// Protocol.
    pub protocol: podgate_flow::Protocol,
    /// The pod's port.
    pub port: u16,
    /// Whether it came through.
    pub allowed: bool,
}
