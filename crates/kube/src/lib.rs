//! A live cluster through its API server: read once, followed, and told of what became of it.
//!
//! ```text
//! kubeconfig | service account -> client -> pages of each kind -> podgate-api's reader -> objects     read
//!                                    |----> lists and watches --> podgate-api's reader -> News        watch
//!                                    |<---- conditions, Events, reviews                               write
//! ```
//!
//! What the server answers goes through the reader of files, so that validation, defaults and fail-closed
//! behaviour are the same. [`read`] sends GET requests only. A [`Mirror`] keeps what a watch told, for those who want
//! all of it. Absent on purpose: any decision about traffic.

mod client;
mod connect;
mod error;
mod kinds;
mod mirror;
mod pages;
mod watch;
mod write;

use std::path::PathBuf;

use futures_util::future::join_all;
use podgate_api::{Diagnostic, Input, LoadOptions, Loaded, Severity, Source, load_with};

pub use client::Client;
pub use error::Error;
pub use mirror::{Following, Mirror, follow};
pub use watch::{Item, News, Pace, Watched, Watching, watch, watch_at};
pub use write::{Condition, EventAbout, EventKind};

use connect::Server;
use kinds::{Custom, Kind};

/// Which cluster.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The kubeconfig file; `None`: as kubectl finds it, then the service account of a pod.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; `None`: its current one.
    pub context: Option<String>,
}

/// What was read.
#[derive(Debug)]
pub struct Snapshot {
    /// Name of the context; `in-cluster` for a pod's service account.
    pub context: String,
    /// The objects. Sources are `context:resource/namespace/name`, without lines. Kinds that could not be
    /// read are among the diagnostics, as warnings.
    pub loaded: Loaded,
}

/// Reads all objects that take part in traffic. `progress` hears of each page: the resource, and how many of
/// it there are by now.
pub fn read(
    options: &Options,
    reading: &LoadOptions,
    progress: &dyn Fn(&str, usize),
) -> Result<Snapshot, Error> {
    read_kinds(options, reading, progress, |_| true)
}

/// As [`read`], without the kinds that [`watch()`] follows: what a [`Mirror`] can't hear of.
pub fn read_others(options: &Options, reading: &LoadOptions) -> Result<Snapshot, Error> {
    let is_followed = |resource: &str| Watched::ALL.iter().any(|what| what.resource() == resource);
    read_kinds(options, reading, &|_, _| {}, |resource| !is_followed(resource))
}

fn read_kinds(
    options: &Options,
    reading: &LoadOptions,
    progress: &dyn Fn(&str, usize),
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Snapshot, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Runtime(error.to_string()))?;
    runtime.block_on(async {
        let server = connect::connect(options, true).await?;
        let mut diagnostics = Vec::new();
        let inputs = inputs(&server, progress, is_wanted, &mut diagnostics).await?;
        let mut loaded = load_with(&inputs, reading);
        diagnostics.append(&mut loaded.diagnostics);
        loaded.diagnostics = diagnostics;
        Ok(Snapshot { context: server.context, loaded })
    })
}

async fn inputs(
    server: &Server,
    progress: &dyn Fn(&str, usize),
    is_wanted: impl Fn(&str) -> bool,
    found: &mut Vec<Diagnostic>,
) -> Result<Vec<Input>, Error> {
    let mut kinds: Vec<Kind> = kinds::BUILT_IN.to_vec();
    let has_wanted = |custom: &&Custom| custom.kinds.iter().any(|kind| is_wanted(kind.resource));
    for custom in kinds::CUSTOM.iter().filter(has_wanted) {
        kinds.extend(served(server, custom, found).await?);
    }
    kinds.retain(|kind| is_wanted(kind.resource));
    let lists = kinds.iter().map(|kind| pages::list(server, kind, progress));
    let mut inputs = Vec::new();
    for (kind, listed) in kinds.iter().zip(join_all(lists).await) {
        match listed {
            Ok(mut objects) => inputs.append(&mut objects),
            Err(Error::Forbidden { said, .. }) if !kind.essential => found.push(warning(
                server,
                kind.resource,
                format!("may not be listed, so the answer goes on without them: {said}"),
                grant(kind),
            )),
            Err(error) => return Err(error),
        }
    }
    Ok(inputs)
}

/// The kinds of an optional API group that the server has, each in the newest version that podgate reads.
async fn served(server: &Server, custom: &Custom, found: &mut Vec<Diagnostic>) -> Result<Vec<Kind>, Error> {
    let discovered = pages::discover(server, custom).await;
    let resources = match discovered {
        Ok(resources) => resources,
        // Without discovery it is unknown whether there are any: say so, rather than deny it.
        Err(Error::Forbidden { said, .. }) => {
            found.push(warning(
                server,
                custom.group,
                format!("the server does not tell whether it has this API: {said}"),
                "allow discovery: bind the ClusterRole system:discovery to this user".to_owned(),
            ));
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut kinds = Vec::new();
    for kind in custom.kinds {
        let has =
            |version: &&&'static str| resources.contains(&((**version).to_owned(), kind.resource.to_owned()));
        let newest = kind.versions.iter().find(has);
        if let Some(version) = newest {
            kinds.push(Kind {
                group: custom.group,
                version,
                resource: kind.resource,
                kind: kind.kind,
                essential: custom.essential,
            });
            continue;
        }
        let others: Vec<&str> = resources
            .iter()
            .filter(|(_, resource)| resource == kind.resource)
            .map(|(version, _)| version.as_str())
            .collect();
        if !others.is_empty() {
            found.push(warning(
                server,
                kind.resource,
                format!("served as {}/{} only, which podgate does not read", custom.group, others.join(", ")),
                "the answer goes on without them: a newer podgate may read them".to_owned(),
            ));
        }
    }
    Ok(kinds)
}

fn warning(server: &Server, what: &str, message: String, help: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        source: Source::origin(&format!("{}:{what}", server.context)),
        field: String::new(),
        message,
        help,
    }
}

/// What to allow, as an argument list of kubectl.
fn grant(kind: &Kind) -> String {
    format!(
        "grant the verb `list` on `{}`: kubectl create clusterrole NAME --verb=list --resource={}",
        kind.resource,
        kind.qualified()
    )
}
