//! What the page is about and how fresh it is.

use podgate_api::Severity;

use crate::ask::Ask;
use crate::fault::Fault;
use crate::flows::{losses, unreadable};
use crate::matrix::{disagreements, tries};
use crate::model::{Counts, FlowsStatus, Measured, Problem, Status};
use crate::places::Namer;
use crate::policies;
use crate::state::Server;

/// Answers /status.
pub fn status(ask: &Ask) -> Result<Status, Fault> {
    let (snapshot, source) = (&ask.snapshot, &ask.server.source);
    let (world, inventory) = (snapshot.world(), &snapshot.inventory);
    let counts = Counts {
        namespaces: world.known_namespaces().count(),
        workloads: world.workloads.len(),
        pods: world.pods.len(),
        services: world.services.len(),
        policies: policies::all(&inventory.loaded.objects).len(),
        staged: snapshot.staged().len(),
    };
    let measured = source.probes.as_ref().and_then(|probes| {
        let probes = probes.borrow().clone();
        let at = probes.at?;
        let mut namer = Namer::new(snapshot.places());
        let tries = tries(ask, &mut namer);
        let disagree = disagreements(ask, &Default::default(), &namer, &tries).len() as u64;
        Some(Measured { at, tried: probes.tries.len() as u64, disagree })
    });
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name: source.name.clone(),
        origin: source.origin,
        revision: snapshot.revision(),
        now: ask.now,
        counts,
        problems: inventory.loaded.diagnostics.iter().map(problem).collect(),
        flows: flows(&ask.server)?,
        measured,
        nodes: inventory.nodes.clone(),
        stale: inventory.stale.clone(),
    })
}

fn flows(server: &Server) -> Result<Option<FlowsStatus>, Fault> {
    let trouble = server.source.flows_trouble.as_ref().and_then(|trouble| trouble.borrow().clone());
    if let Some(history) = &server.source.history {
        let (_, kept) = history.count();
        let newest =
            history.since(history.next().saturating_sub(1), 1).records.pop().map(|record| record.time);
        return Ok(Some(FlowsStatus {
            kept: kept as u64,
            oldest: history.oldest(),
            newest,
            trouble,
            losses: losses(server),
        }));
    }
    let Some(archive) = &server.archive else { return Ok(None) };
    let newest = archive.newest().map_err(unreadable)?;
    Ok(Some(FlowsStatus {
        kept: newest.records.len() as u64,
        oldest: newest.records.first().map(|record| record.time),
        newest: newest.records.last().map(|record| record.time),
        trouble: trouble.or_else(|| newest.problems.first().map(ToString::to_string)),
        losses: losses(server),
    }))
}

/// What was wrong with the input.
pub fn problem(diagnostic: &podgate_api::Diagnostic) -> Problem {
    let mut message = match diagnostic.field.as_str() {
        "" => diagnostic.message.clone(),
        field => format!("{field}: {}", diagnostic.message),
    };
    if !diagnostic.help.is_empty() {
        message.push_str("; ");
        message.push_str(&diagnostic.help);
    }
    Problem {
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
        .to_owned(),
        file: diagnostic.source.file.to_string(),
        line: diagnostic.source.line,
        column: diagnostic.source.column,
        message,
    }
}
