//! `podgate observe`: what happened on the wire, with the reason.

mod filters;
mod groups;
mod select;
mod server;
mod totals;

use std::io::{BufWriter, Write};

use clap::{Args, Subcommand, ValueEnum};
use podgate_flow::{FlowRecord, FlowVerdict};
use podgate_hubble::Mask;

use crate::input::flows::server::Server;
use crate::input::flows::{Missing, Order};
use crate::outcome::{BAD, FINDINGS, FINE, Failure, INTERRUPTED, Outcome};
use crate::render::observe::{self as render, Printer, Style, TimeFormat};
use crate::{output, style};
use groups::Groups;

/// What happened on the wire: every connection with its verdict and its reason.
///
/// Flags are those of `hubble observe`, where they make sense here; a name without a namespace means that name in
/// every namespace. Each connection is one line, with both directions. Without --follow, --since, --first or --all the
/// last 20 are shown. Times without a zone are UTC.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    select: select::Select,
    #[command(flatten)]
    format: Format,
    /// Count connections instead of printing them.
    #[arg(long, value_enum, value_name = "BY", conflicts_with = "follow")]
    group_by: Option<groups::By>,
    /// End with 1 when a connection fits, and with 2 when none does but flows are missing.
    #[arg(long)]
    exit_code: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The busiest edges between workloads in the last minutes; of an archive exactly, with bytes.
    Top(Box<Top>),
    /// How the server is: how many flows it has, of how many nodes.
    Status(Server),
    /// The nodes that the server has flows of.
    Nodes(Server),
    /// The namespaces that the server has flows of.
    Namespaces(Server),
}

#[derive(Debug, Args)]
struct Top {
    #[command(flatten)]
    select: select::Select,
    /// What is counted.
    #[arg(long, value_enum, default_value_t = groups::By::Edge, value_name = "BY")]
    by: groups::By,
    /// How many.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    limit: usize,
    /// What the busiest have most of.
    #[arg(long, value_enum, default_value_t = totals::Sort::Connections, value_name = "WHAT")]
    sort: totals::Sort,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Table::Table, value_name = "FORM")]
    output: Table,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Table {
    /// For people.
    Table,
    /// JSON.
    Json,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
struct Format {
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Form::Compact, value_name = "FORM")]
    output: Form,
    /// Which fields of a flow are printed with -o jsonpb, such as `source.pod_name,verdict`.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    field_mask: Vec<String>,
    /// Say which node reported a connection.
    #[arg(long)]
    print_node_name: bool,
    /// How times are written.
    #[arg(long, value_enum, default_value_t = TimeFormat::StampMilli, value_name = "FORMAT", ignore_case = true)]
    time_format: TimeFormat,
    /// Addresses instead of names.
    #[arg(long)]
    numeric: bool,
    /// Whether to use colours.
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A line for each connection.
    Compact,
    /// A block for each connection.
    Dict,
    /// Columns.
    Table,
    /// Lines of JSON as the hubble command writes them: one for each direction.
    Jsonpb,
    /// The same.
    Json,
    /// Lines of podgate's own JSON: one for each connection, with all that is known of it.
    Record,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    /// On a terminal.
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.command {
        None => observe(arguments),
        Some(Command::Top(top)) => run_top(top),
        Some(Command::Status(server)) => server::status(server),
        Some(Command::Nodes(server)) => server::nodes(server),
        Some(Command::Namespaces(server)) => server::namespaces(server),
    }
}

fn observe(arguments: &Arguments) -> Outcome {
    let format = &arguments.format;
    match format.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    if arguments.select.print_raw_filters {
        output::raw(arguments.select.raw_filters()?.as_bytes())?;
        return Ok(FINE);
    }
    let mask =
        Mask::new(&format.field_mask).map_err(|error| Failure::bad(format!("--field-mask: {error}")))?;
    let filter = arguments.select.filter()?;
    let style = Style { node: format.print_node_name, numeric: format.numeric, time: format.time_format };
    let mut printer = match format.output {
        Form::Compact => Printer::compact(style),
        Form::Dict => Printer::dict(style),
        Form::Table => Printer::table(style),
        Form::Jsonpb | Form::Json => Printer::jsonpb(filter, mask),
        Form::Record => Printer::record(),
    };
    let mut groups = arguments.group_by.map(Groups::new);
    let mut out = BufWriter::new(anstream::stdout());
    let mut found = 0_u64;
    let follows = arguments.select.follow;
    let missing = read(&arguments.select, |record| {
        found += 1;
        if let Some(groups) = &mut groups {
            groups.add(record);
            return true;
        }
        // A reader that went away (`| head`) is no error: it has seen enough.
        let printed = out.write_all(printer.text(record).as_bytes());
        printed.and_then(|()| if follows { out.flush() } else { Ok(()) }).is_ok()
    })?;
    if let Some(groups) = &groups {
        drop(out.flush());
        match format.output {
            Form::Json | Form::Jsonpb | Form::Record => output::json(&groups.rows(usize::MAX))?,
            Form::Compact | Form::Dict | Form::Table => groups.print(usize::MAX),
        }
    } else {
        drop(out.write_all(printer.end().as_bytes()).and_then(|()| out.flush()));
    }
    Ok(code(arguments.exit_code, found, &missing))
}

fn code(asked: bool, found: u64, missing: &Missing) -> u8 {
    match (missing.interrupted, asked) {
        (true, _) => INTERRUPTED,
        (false, true) if found > 0 => FINDINGS,
        // What is missing may have fitted.
        (false, true) if missing.files > 0 || render::is_lossy(&missing.losses) => BAD,
        _ => FINE,
    }
}

fn run_top(top: &Top) -> Outcome {
    let select = top.select.or_since("5m");
    let request = select.request()?;
    // Totals don't know what filters ask for, nor which came first.
    let is_whole = request.any_of.is_empty() && request.none_of.is_empty() && request.number == 0;
    let minutes = if is_whole { select.flows.minutes()? } else { Vec::new() };
    if !minutes.is_empty() {
        let table = totals::Table::new(top.by, top.sort, &minutes);
        match top.output {
            Table::Table => table.print(top.limit),
            Table::Json => output::json(&table.rows(top.limit))?,
        }
        return Ok(FINE);
    }
    let why = match (&select.flows.dir, is_whole) {
        (None, _) => {
            "counted from records: the Hubble interface has no totals; an archive has, with bytes (--flows DIR)"
        }
        (Some(_), false) => {
            "counted from records: exact totals can't be filtered, and know no first and last"
        }
        (Some(_), true) => "counted from records: the archive has no totals of that time",
    };
    if top.sort != totals::Sort::Connections {
        return Err(Failure::bad(format!("--sort: records have no bytes and packets; {why}")));
    }
    let mut groups = Groups::new(top.by);
    let missing = read(&select, |record| {
        groups.add(record);
        true
    })?;
    match top.output {
        Table::Table => groups.print(top.limit),
        Table::Json => output::json(&groups.rows(top.limit))?,
    }
    style::note(why);
    Ok(code(false, 0, &missing))
}

/// Reads what was selected, and says on standard error what is missing.
fn read(select: &select::Select, take: impl FnMut(&FlowRecord) -> bool) -> Result<Missing, Failure> {
    let missing = select.flows.hear(select.request()?, Order::OfTime, take)?;
    if let Some(text) = render::losses(&missing.losses) {
        style::note(&text);
    }
    Ok(missing)
}

/// Whether somebody has to look at it.
fn is_denied(record: &FlowRecord) -> bool {
    record.verdict == FlowVerdict::Denied
}
