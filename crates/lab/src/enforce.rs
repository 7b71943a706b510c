//! The enforcement daemon of a lab: manifests in, kernel tables out, flows to whoever watches.

mod client;
mod daemon;
mod engine;
mod files;
mod flows;
mod kernel;
mod names;
mod naming;
mod protocol;
mod server;
mod sources;

pub use client::Client;
pub use daemon::run;
pub use files::{Change, Files};
pub use flows::{FLOWS, HUBBLE_SOCKET};
pub use protocol::{
    FileDiagnostics, Lost, LostBy, NodeStatus, Notice, NoticeEvent, Reply, Request, SOCKET, Status,
};
pub use sources::in_force;

use podgate_api::{Object, staged};
use podgate_policy::{Cluster, Settings};

use crate::plan::Plan;
use crate::probe::{Query, Ruling};

/// What policy says of connections, asked of the manifests rather than of a daemon.
pub fn evaluate(plan: &Plan, input: &[Object], queries: &[Query]) -> Vec<Ruling> {
    let mut cluster = Cluster::new(Settings::default());
    let objects = plan.objects(input);
    let staged = staged(&objects);
    let in_force = objects.into_iter().filter(|object| !staged.contains(&object.key()));
    in_force.for_each(|object| cluster.apply(object));
    cluster.commit();
    naming::rulings(&cluster, queries)
}
