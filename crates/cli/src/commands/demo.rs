//! `podgate demo`: stories that are told with real packets.

mod rollout;

use std::io::{BufRead, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use podgate_lab::demo::rollout::ROUTES;
use podgate_lab::demo::{COLUMNS, Demo, Edit, Look, Mark, ROWS, Step, steps};
use podgate_lab::load::Load;
use podgate_lab::{Lab, interrupt};
use podgate_policy::Verdict;

use super::lab::PAGE;
use crate::outcome::{FINDINGS, FINE, Failure, INTERRUPTED, Outcome};
use crate::style::{self, BAD, BOLD, FAINT, GOOD, WARN};

/// The demo's lab: another name than the default, so that it never takes a user's lab away.
const LAB: &str = "demo";

#[derive(Debug, Args)]
pub struct Arguments {
    /// What is told.
    #[arg(value_enum, default_value_t = Tale::Policies, value_name = "STORY")]
    story: Tale,
    /// Name of the lab that it makes; one that is up is taken down first.
    #[arg(long, default_value = LAB, value_name = "NAME")]
    name: String,
    /// Where the page about the shop is served while the demo lasts; another port is taken where this one is in use.
    #[arg(long, value_name = "ADDRESS", default_value = PAGE, conflicts_with = "no_ui")]
    ui: SocketAddr,
    /// Serve no page.
    #[arg(long)]
    no_ui: bool,
    /// Leave the lab up at the end, to play with.
    #[arg(long)]
    keep: bool,
    /// Wait for the Enter key after each step.
    #[arg(long)]
    pause: bool,
    /// Where to put the shop's manifests: a new or empty directory, or one that an earlier demo made.
    #[arg(long, default_value = "/run/podgate/demo")]
    dir: PathBuf,
}

/// The stories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tale {
    /// A shop whose policies arrive one by one, each with what it opens and closes.
    Policies,
    /// A default deny comes to the running shop: staged, recommended, replayed, enforced, and attacked.
    Rollout,
}

/// Whether to wait for the user between steps.
struct Pauses(bool);

impl Pauses {
    fn after_step(&self) {
        if self.0 && std::io::stdin().is_terminal() {
            style::line(&format!("{FAINT}Enter for the next step{FAINT:#}"));
            // Whoever closes the terminal waits for nothing.
            let _ = std::io::stdin().lock().read_line(&mut String::new());
        }
    }
}

pub fn run(arguments: &Arguments) -> Outcome {
    interrupt::catch()?;
    let lab = Lab::new(&arguments.name)?;
    let exe = std::env::current_exe()
        .map_err(|error| Failure::bad(format!("find the podgate binary itself: {error}")))?;
    let page = (!arguments.no_ui).then_some(arguments.ui);
    let (demo, report) = Demo::start(lab.clone(), &arguments.dir, &exe, page)?;
    style::line(&format!(
        "{BOLD}A shop on {} nodes, {} pods, {} Services, made of network namespaces in {:.1} s.{BOLD:#}",
        report.plan.nodes.len(),
        report.plan.pods.len(),
        report.plan.services.len(),
        report.took.as_secs_f64()
    ));
    style::line("Every answer below is a real connection; the reasons are the kernel's own verdict tables.");
    if let Some(url) = podgate_lab::up::page(&lab)? {
        style::line(&format!("The page shows it as it is now: {BOLD}{url}{BOLD:#}"));
    }
    let pauses = Pauses(arguments.pause);
    let walked = match arguments.story {
        Tale::Policies => walk(&demo, &pauses),
        Tale::Rollout => rollout::walk(&demo, &pauses),
    };
    let is_over = arguments.keep || interrupt::requested();
    if walked.is_ok() && !is_over && std::io::stdin().is_terminal() {
        stay(&lab)?;
    }
    // Whatever happened: a lab is left up only where the user asked for it.
    if arguments.keep && walked.is_ok() {
        invite(&demo);
    } else {
        podgate_lab::up::down(&lab)?;
        demo.remove_dir()?;
        style::line(&format!("{FAINT}the demo's lab is down; `podgate demo --keep` leaves it up{FAINT:#}"));
    }
    walked
}

fn walk(demo: &Demo, pauses: &Pauses) -> Outcome {
    let mut before: Option<Look> = None;
    let mut all_agree = true;
    let steps = steps();
    for (at, step) in steps.iter().enumerate() {
        if interrupt::requested() {
            return Ok(INTERRUPTED);
        }
        announce(at, steps.len(), step);
        demo.take(step)?;
        let look = demo.look()?;
        table(&look, before.as_ref());
        if let Some(before) = &before {
            changes(&look, before);
        }
        all_agree &= verdict(demo, &look);
        before = Some(look);
        pauses.after_step();
    }
    Ok(if all_agree { FINE } else { FINDINGS })
}

fn announce(at: usize, of: usize, step: &Step) {
    style::line("");
    style::line(&format!("{BOLD}[{}/{}] {}{BOLD:#}", at + 1, of, step.title));
    style::line(step.text);
    match step.edit {
        None => {}
        Some(Edit::Add(file, text)) => {
            let documents: Vec<&str> = text.split("---\n").collect();
            style::line(&format!("{FAINT}+ {file}{FAINT:#}"));
            for line in documents[0].lines() {
                style::line(&format!("{FAINT}    {line}{FAINT:#}"));
            }
            if documents.len() > 1 {
                style::line(&format!("{FAINT}    ... and {} more like it{FAINT:#}", documents.len() - 1));
            }
        }
        Some(Edit::Remove(file)) => style::line(&format!("{FAINT}- {file}{FAINT:#}")),
    }
    style::line("");
}

/// Rows are who connects, columns are to whom.
fn table(look: &Look, before: Option<&Look>) {
    let width = 10;
    let head: String = COLUMNS.iter().map(|column| format!("{:>width$}", column.title)).collect();
    style::line(&format!("  {BOLD}{:15}{head}{BOLD:#}", "from \\ to"));
    for (row, name) in ROWS.iter().enumerate() {
        let mut line = format!("  {name:15}");
        for (column, mark) in look.marks[row].iter().enumerate() {
            let was = before.and_then(|before| before.marks[row][column].as_ref());
            line.push_str(&cell(mark.as_ref(), was, width));
        }
        style::line(&line);
    }
}

fn cell(mark: Option<&Mark>, was: Option<&Mark>, width: usize) -> String {
    let Some(mark) = mark else { return format!("{FAINT}{:>width$}{FAINT:#}", "-") };
    let changed = if was.is_some_and(|was| was.verdict != mark.verdict) { "* " } else { "" };
    let (word, colour) = match (mark.agrees, mark.verdict) {
        (false, _) => ("WRONG", WARN),
        (true, Verdict::Allowed) => ("yes", GOOD),
        (true, Verdict::Denied) => ("no", BAD),
    };
    format!("{colour}{:>width$}{colour:#}", format!("{changed}{word}"))
}

fn changes(look: &Look, before: &Look) {
    /// More than this many changes are counted: a default deny closes nearly everything.
    const MOST: usize = 6;
    let changes = look.changes(before);
    if changes.is_empty() {
        style::line("  nothing changed");
    }
    for change in changes.iter().take(MOST) {
        let (mark, colour, word) = match change.now.verdict {
            Verdict::Allowed => ("+", GOOD, "opened"),
            Verdict::Denied => ("-", BAD, "closed"),
        };
        let column = &COLUMNS[change.column];
        style::line(&format!(
            "  {colour}{mark} {word}{colour:#} {} -> {} {} {}",
            ROWS[change.row],
            column.name,
            column.wire.as_str(),
            column.port
        ));
        for (side, decision) in [("egress", &change.now.egress), ("ingress", &change.now.ingress)] {
            // For a denial only the side that denies is news.
            if decision.verdict == change.now.verdict {
                style::line(&format!("      {side:8}{}", decision.reason));
            }
        }
    }
    if changes.len() > MOST {
        style::line(&format!("  {FAINT}... and {} more{FAINT:#}", changes.len() - MOST));
    }
}

/// Whether every connection went as policy says.
fn verdict(demo: &Demo, look: &Look) -> bool {
    let differences = look.report.differences().count();
    let tried = look.report.cells.len();
    if differences == 0 {
        style::line(&format!(
            "  {FAINT}{tried} connections tried, {} allowed; engine, kernel and packets agree{FAINT:#}",
            look.allowed()
        ));
        return true;
    }
    style::error(&format!(
        "{differences} of {tried} connections went otherwise than policy says: run \
         `podgate lab probe --name {}` for the list, and please report it",
        demo.lab().name()
    ));
    false
}

/// Leaves time to look at the page, with the shop at work so that there is something to see.
fn stay(lab: &Lab) -> Result<(), Failure> {
    if let Some(url) = podgate_lab::up::page(lab)? {
        let plan = lab.plan()?;
        let _load = plan.map(|plan| Load::start(&plan, &ROUTES)).transpose()?;
        style::line("");
        style::line(&format!("Look around at {BOLD}{url}{BOLD:#}; Ctrl-C takes the shop down."));
        while !interrupt::requested() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn invite(demo: &Demo) {
    let name = demo.lab().name();
    style::line("");
    style::line(&format!(
        "The lab stays up. Its manifests are in {}: edit them and watch.",
        demo.dir().display()
    ));
    for command in [
        "podgate observe --follow".to_owned(),
        format!("podgate lab probe --name {name}"),
        format!("podgate lab exec --name {name} web/frontend -- ping -c1 -W1 10.96.0.1"),
        format!("podgate lab down --name {name}"),
    ] {
        style::line(&format!("  {BOLD}{command}{BOLD:#}"));
    }
}
