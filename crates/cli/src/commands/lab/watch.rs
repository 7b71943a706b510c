//! `podgate lab watch`: every flow as it happens.

use std::io::{BufWriter, Write};

use clap::{Args, ValueEnum};
use podgate_flow::Filter;
use podgate_lab::Lab;
use podgate_lab::enforce::{Client, Reply};

use super::{Name, name_option};
use crate::outcome::{FINE, Failure, Outcome};
use crate::render::flow_line::{self, Columns};
use crate::style;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    lab: Name,
    /// How to print flows.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Denied connections only.
    #[arg(long)]
    denied: bool,
    /// Connections of these only, at either end: pods, workloads, `namespace/`, nodes or `outside`; can be repeated.
    #[arg(long, value_name = "NAME")]
    pod: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    /// One JSON object a line: `flow`, `notice` or `lost`.
    Json,
}

pub fn run(arguments: &Arguments) -> Outcome {
    podgate_lab::up::require_root()?;
    let name = &arguments.lab.name;
    let client = Client::connect(&Lab::new(name)?)?.ok_or_else(|| {
        let option = name_option(name);
        Failure::bad(format!(
            "nothing enforces policies in lab {name}: bring it up with policies, `podgate lab up{option}`"
        ))
    })?;
    let filter = Filter { denied: arguments.denied, pods: arguments.pod.clone(), ..Filter::default() };
    let mut columns = Columns::default();
    let mut out = BufWriter::new(anstream::stdout());
    // A reader that went away (`| head`) is no error: it has seen enough.
    let mut has_reader = true;
    client.watch(|reply, has_more| {
        let line = line(&reply, arguments.output, &filter, &mut columns);
        let printed = line.map_or(Ok(()), |line| writeln!(out, "{line}"));
        has_reader = printed.and_then(|()| if has_more { Ok(()) } else { out.flush() }).is_ok();
        has_reader
    })?;
    if has_reader {
        style::warning(&format!(
            "the enforcement daemon of lab {name} ended; what it enforced stays in force"
        ));
    }
    Ok(FINE)
}

fn line(reply: &Reply, output: Output, filter: &Filter, columns: &mut Columns) -> Option<String> {
    if let Reply::Flow(record) = reply
        && !filter.accepts(record)
    {
        return None;
    }
    match (output, reply) {
        (_, Reply::Status(_) | Reply::Rulings(_)) => None,
        (Output::Json, reply) => serde_json::to_string(reply).ok(),
        (Output::Text, Reply::Flow(record)) => Some(columns.flow(record)),
        (Output::Text, Reply::Notice(notice)) => Some(flow_line::notice(notice)),
        (Output::Text, Reply::Lost(lost)) => Some(flow_line::lost(lost)),
        (Output::Text, Reply::Error(text)) => Some(text.clone()),
    }
}
