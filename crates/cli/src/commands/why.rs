//! `podgate why`: the whole story of a connection that was seen.

use clap::{Args, ValueEnum};
use podgate_advise::why::{PolicyArchive, Story, Wanted};
use podgate_flow::FlowRecord;

use crate::input::flows::FlowArguments;
use crate::input::{ManifestArguments, answered, count};
use crate::outcome::{FINE, Failure, Outcome};
use crate::{output, render, style};

/// Why a connection that was seen was let through or denied: what was recorded, and every policy and rule that was
/// asked on both sides.
///
/// Name the connection by its flow's id, or by its ends: the last such connection is told. `podgate can` answers for
/// connections that were not seen.
#[derive(Debug, Args)]
#[command(after_help = "\
FROM and TO: a pod or workload as namespace/name or name, a Service as TO, a node, an address, a DNS name, `outside`")]
pub struct Arguments {
    /// A flow's id, or who opened the connection.
    #[arg(value_name = "FLOW_ID|FROM")]
    from: String,
    /// Who was reached.
    to: Option<String>,
    /// On which port, before or after Service translation.
    port: Option<u16>,
    #[command(flatten)]
    flows: FlowArguments,
    #[command(flatten)]
    manifests: ManifestArguments,
    /// How to print the answer.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Yaml,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let wanted = match &arguments.to {
        Some(to) => Wanted::Ends { from: arguments.from.clone(), to: to.clone(), port: arguments.port },
        None => Wanted::Id(arguments.from.parse().map_err(|error| {
            Failure::bad(format!("{error}; or name both ends: podgate why FROM TO [PORT]"))
        })?),
    };
    let loaded = arguments.manifests.load_named()?.unwrap_or_default();
    let broken = loaded.has_errors();
    let mut last: Option<FlowRecord> = None;
    let mut found = 0;
    let missing = arguments.flows.each(|record| {
        if wanted.fits(record) {
            found += 1;
            if last.as_ref().is_none_or(|last| last.time <= record.time) {
                last = Some(record.clone());
            }
        }
    })?;
    if let Some(text) = render::observe::losses(&missing.losses) {
        style::note(&text);
    }
    let Some(record) = last else {
        let what = match &arguments.to {
            Some(to) => format!("no flow from {} to {to} was seen", arguments.from),
            None => format!("no flow has the id {}", arguments.from),
        };
        return Err(Failure::bad(format!(
            "{what}: `podgate can` answers from policies for connections that were not seen"
        )));
    };
    let settings = arguments.manifests.world_options(false)?.settings;
    let archive = arguments.flows.archive()?;
    let archive = archive.as_ref().map(|archive| archive as &dyn PolicyArchive);
    let story = Story::new(record, &loaded.objects, archive, settings);
    match arguments.output {
        Output::Text => render::print(&render::story::text(&story)),
        Output::Json => output::json(&story)?,
        Output::Yaml => output::yaml(&story)?,
    }
    if found > 1 {
        style::note(&format!("the last of {} between these ends", count(found, "flow")));
    }
    Ok(answered(FINE, broken))
}
