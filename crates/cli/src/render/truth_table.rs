//! A probe's result as a truth table on a terminal: sources down, destinations and their ports across.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use podgate_lab::probe::{Cell, Expectation, PlaceKind, ProbeReport, Target, TargetKind, Wire};

use super::{attempt, expectation, measurement};
use crate::style::{BAD, BOLD, FAINT, GOOD, WARN};

/// More differences than this are counted rather than listed.
const MOST_DIFFERENCES: usize = 50;

/// What to show.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Columns of the terminal.
    pub width: usize,
    /// A line and a column for each pod, rather than for each workload.
    pub pods: bool,
}

/// What the attempts between one line and one column came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Allowed,
    Denied,
    /// The Service's backends are judged differently.
    Depends,
    /// The pods or addresses of this line and column are judged differently.
    Mixed,
    /// What was measured is not what policy says.
    Differs,
}

/// A destination with its ports: the columns under one heading.
struct Block {
    name: String,
    ports: Vec<Port>,
}

type Port = (Wire, u16, bool);

type Marks = BTreeMap<(String, String, Port), Mark>;

/// The table, its legend, the differences and a summary.
pub fn text(report: &ProbeReport, layout: Layout) -> String {
    let from_outside = alike(report, |cell| {
        let source = &report.sources[cell.from];
        (source.kind == PlaceKind::Outside)
            .then(|| (source.name.clone(), report.targets[cell.to].name.clone()))
    });
    let to_outside = alike(report, |cell| {
        let target = &report.targets[cell.to];
        (target.kind == TargetKind::Outside)
            .then(|| (target.name.clone(), report.sources[cell.from].name.clone()))
    });
    let line_name = |cell: &Cell| {
        let source = &report.sources[cell.from];
        let name =
            if layout.pods { &source.name } else { from_outside.get(&source.name).unwrap_or(&source.group) };
        name.clone()
    };
    let column_name = |cell: &Cell| {
        let target = &report.targets[cell.to];
        let name =
            if layout.pods { &target.name } else { to_outside.get(&target.name).unwrap_or(&target.group) };
        heading(target.kind, name)
    };
    let mut marks = Marks::new();
    for cell in &report.cells {
        let mark = mark_of(cell);
        let key = (line_name(cell), column_name(cell), port(&report.targets[cell.to]));
        marks.entry(key).and_modify(|known| *known = both(*known, mark)).or_insert(mark);
    }
    let lines = in_order(report.cells.iter().map(line_name));
    let blocks = blocks(report, &column_name);
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(out, "{}", legend(&marks));
    table(&mut out, &lines, &blocks, &marks, layout.width);
    differences(&mut out, report);
    for note in &report.notes {
        let _ = writeln!(out, "{WARN}note:{WARN:#} {note}");
    }
    out.push_str(&summary(report));
    out
}

/// One line that says how the probe went.
pub fn summary(report: &ProbeReport) -> String {
    let (allowed, denied, depends) = report.expected_counts();
    let depends = if depends == 0 { String::new() } else { format!(", {depends} up to the backend") };
    let attempts = format!(
        "{} connections tried in {:.1} s: {allowed} allowed, {denied} denied{depends}",
        report.cells.len(),
        report.seconds
    );
    match report.differences().count() {
        0 => format!("{GOOD}ok{GOOD:#} {attempts}; every one went as policy says\n"),
        count => format!("{BAD}{count} differ{BAD:#} {attempts}; {count} went otherwise than policy says\n"),
    }
}

fn mark_of(cell: &Cell) -> Mark {
    match cell.expected.verdict {
        _ if !cell.agrees() => Mark::Differs,
        Expectation::Allowed => Mark::Allowed,
        Expectation::Denied => Mark::Denied,
        Expectation::Depends => Mark::Depends,
    }
}

/// What the attempts of one outside address came to: the other end's name, the port and the mark.
type Signature = BTreeSet<(String, Port, Mark)>;

/// Labels for outside addresses by name: those that every attempt treats alike share one, `outside` when all
/// do. `ends` tells the outside end's name and the other one's, for attempts that have an outside end.
fn alike(report: &ProbeReport, ends: impl Fn(&Cell) -> Option<(String, String)>) -> BTreeMap<String, String> {
    let mut signatures: BTreeMap<String, Signature> = BTreeMap::new();
    for cell in &report.cells {
        if let Some((outside, other)) = ends(cell) {
            let seen = (other, port(&report.targets[cell.to]), mark_of(cell));
            signatures.entry(outside).or_default().insert(seen);
        }
    }
    let mut groups: BTreeMap<Signature, Vec<String>> = BTreeMap::new();
    for (name, signature) in signatures {
        groups.entry(signature).or_default().push(name);
    }
    let is_one = groups.len() == 1;
    let mut labels = BTreeMap::new();
    for names in groups.into_values() {
        let label = match &names[..] {
            _ if is_one => "outside".to_owned(),
            [only] => only.clone(),
            [first, rest @ ..] => format!("{first} +{}", rest.len()),
            [] => continue,
        };
        labels.extend(names.iter().map(|name| (name.clone(), label.clone())));
    }
    labels
}

fn heading(kind: TargetKind, name: &str) -> String {
    match kind {
        TargetKind::Service => format!("Service {name}"),
        TargetKind::NodePort => format!("node port {name}"),
        _ => name.to_owned(),
    }
}

fn port(target: &Target) -> Port {
    (target.wire, target.port, target.declared)
}

fn both(a: Mark, b: Mark) -> Mark {
    match (a, b) {
        _ if a == b => a,
        (Mark::Differs, _) | (_, Mark::Differs) => Mark::Differs,
        _ => Mark::Mixed,
    }
}

fn in_order(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(name.clone())).collect()
}

fn blocks(report: &ProbeReport, column_name: &dyn Fn(&Cell) -> String) -> Vec<Block> {
    let mut ports: BTreeMap<String, BTreeSet<(bool, Port)>> = BTreeMap::new();
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for cell in &report.cells {
        let name = column_name(cell);
        let target = &report.targets[cell.to];
        let at = first.entry(name.clone()).or_insert(cell.to);
        *at = (*at).min(cell.to);
        // Undeclared ports and echoes stand behind the real ones.
        let is_last = !target.declared || target.wire == Wire::Echo;
        ports.entry(name).or_default().insert((is_last, port(target)));
    }
    let mut names: Vec<(usize, String)> = first.into_iter().map(|(name, at)| (at, name)).collect();
    names.sort();
    names
        .into_iter()
        .map(|(_, name)| {
            let ports = ports.remove(&name).unwrap_or_default().into_iter().map(|(_, port)| port).collect();
            Block { name, ports }
        })
        .collect()
}

/// `80`, `53/u` for UDP, `99/s` for SCTP, `(4242)` for an undeclared port, `ping`.
fn port_label((wire, port, declared): &Port) -> String {
    let number = match wire {
        Wire::Tcp => port.to_string(),
        Wire::Udp => format!("{port}/u"),
        Wire::Sctp => format!("{port}/s"),
        Wire::Echo => return "ping".to_owned(),
    };
    if *declared { number } else { format!("({number})") }
}

impl Block {
    fn width(&self) -> usize {
        let ports: usize = self.ports.iter().map(|port| port_label(port).len() + 1).sum();
        ports.max(self.name.chars().count() + 1)
    }
}

fn table(out: &mut String, lines: &[String], blocks: &[Block], marks: &Marks, width: usize) {
    let label = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let mut rest = blocks;
    while !rest.is_empty() {
        let mut used = label + 1;
        let fitting = rest
            .iter()
            .take_while(|block| {
                used += block.width() + 1;
                used <= width
            })
            .count();
        let (band, later) = rest.split_at(fitting.max(1));
        rest = later;
        let names: String =
            band.iter().map(|block| format!(" {:w$}", block.name, w = block.width())).collect();
        let ports: String = band
            .iter()
            .map(|block| {
                let labels: String =
                    block.ports.iter().map(|port| format!("{} ", port_label(port))).collect();
                format!(" {labels:w$}", w = block.width())
            })
            .collect();
        let _ = writeln!(out, "{BOLD}{:label$} {}{BOLD:#}", "", names.trim_end());
        let _ = writeln!(out, "{FAINT}{:label$} {}{FAINT:#}", "", ports.trim_end());
        for line in lines {
            let cells: Vec<Vec<Option<Mark>>> = band
                .iter()
                .map(|block| {
                    let mark = |port: &Port| marks.get(&(line.clone(), block.name.clone(), *port)).copied();
                    block.ports.iter().map(mark).collect()
                })
                .collect();
            if cells.iter().flatten().all(Option::is_none) {
                continue;
            }
            let _ = write!(out, "{line:label$} ");
            for (block, marks) in band.iter().zip(&cells) {
                out.push(' ');
                let mut filled = 0;
                for (port, mark) in block.ports.iter().zip(marks) {
                    let width = port_label(port).len();
                    let _ = write!(out, "{}{:w$}", symbol(*mark), "", w = width);
                    filled += width + 1;
                }
                let _ = write!(out, "{:w$}", "", w = block.width().saturating_sub(filled));
            }
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        out.push('\n');
    }
}

fn symbol(mark: Option<Mark>) -> String {
    match mark {
        None => " ".to_owned(),
        Some(Mark::Allowed) => format!("{GOOD}.{GOOD:#}"),
        Some(Mark::Denied) => "X".to_owned(),
        Some(Mark::Depends) => format!("{WARN}~{WARN:#}"),
        Some(Mark::Mixed) => format!("{WARN}±{WARN:#}"),
        Some(Mark::Differs) => format!("{BAD}!{BAD:#}"),
    }
}

/// Explains the marks that are in the table.
fn legend(marks: &Marks) -> String {
    let used: BTreeSet<Mark> = marks.values().copied().collect();
    let explained = used.into_iter().map(|mark| {
        let meaning = match mark {
            Mark::Allowed => "allowed",
            Mark::Denied => "denied",
            Mark::Depends => "depends on the backend",
            Mark::Mixed => "differs among pods or addresses",
            Mark::Differs => "not as policy says",
        };
        format!("{} {meaning}", symbol(Some(mark)))
    });
    let ports = "/u UDP  /s SCTP  (n) a port nobody declared";
    format!("{}   {FAINT}{ports}{FAINT:#}", explained.collect::<Vec<_>>().join("  "))
}

fn differences(out: &mut String, report: &ProbeReport) {
    let count = report.differences().count();
    for cell in report.differences().take(MOST_DIFFERENCES) {
        let _ = writeln!(out, "{BAD}!{BAD:#} {BOLD}{}{BOLD:#}", attempt(report, cell));
        let _ = writeln!(out, "    expected {}", expectation(cell));
        let _ = writeln!(out, "    measured {}", measurement(&cell.measured));
    }
    if count > MOST_DIFFERENCES {
        let _ = writeln!(out, "  and {} more; `-o json` has them all", count - MOST_DIFFERENCES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::report;

    fn plain(layout: Layout) -> String {
        anstream::adapter::strip_str(&text(&report(), layout)).to_string()
    }

    #[test]
    fn workloads_are_shown_together_and_differences_explained() {
        let expected = "\
. allowed  X denied  ~ depends on the backend  ± differs among pods or addresses  ! not as policy says   /u UDP  /s SCTP  (n) a port nobody declared
          shop/db           Service shop/mixed  outside
          5432 (4242) ping  53/u                443
shop/web  ±    X      !     ~                   .
shop/db                                         .

! shop/web-0 -> shop/db-0 ICMP echo (IPv4)
    expected denied (egress not isolated; ingress isolated by shop/allow-web, shop/default-deny)
    measured reached
note: Service shop/none port TCP 80: no pod answers on it, so it is not tried
1 differ 11 connections tried in 1.2 s: 5 allowed, 5 denied, 1 up to the backend; 1 went otherwise than policy says
";
        assert_eq!(plain(Layout { width: 200, pods: false }), expected);
    }

    #[test]
    fn pods_can_be_shown_one_by_one() {
        let text = plain(Layout { width: 200, pods: true });
        let table: Vec<&str> = text.lines().skip(1).take(5).collect();
        assert_eq!(
            table,
            [
                "            shop/db-0         Service shop/mixed  outside/192.0.2.1  outside/198.51.100.10",
                "            5432 (4242) ping  53/u                443                443",
                "shop/web-0  .    X      !     ~                   .                  .",
                "shop/web-1  X    X      X",
                "shop/db-0                                         .                  .",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_gets_several_bands() {
        let text = plain(Layout { width: 40, pods: false });
        let table: Vec<&str> = text.lines().skip(1).take_while(|line| !line.starts_with('!')).collect();
        assert_eq!(
            table.iter().filter(|line| line.contains("5432") || line.contains("53/u")).count(),
            2,
            "{text}"
        );
        assert!(table.iter().all(|line| line.chars().count() <= 40), "{text}");
    }

    #[test]
    fn outside_addresses_are_shown_apart_where_policy_tells_them_apart() {
        let mut report = report();
        let labels = |report: &ProbeReport| {
            alike(report, |cell| {
                let target = &report.targets[cell.to];
                (target.kind == TargetKind::Outside)
                    .then(|| (target.name.clone(), report.sources[cell.from].name.clone()))
            })
        };
        assert!(labels(&report).values().all(|label| label == "outside"));
        let denied = report.cells[1].expected.clone();
        let last = report.cells.last_mut().unwrap();
        (last.expected, last.measured) = (denied, podgate_lab::probe::Measured::Dropped);
        let apart: Vec<String> = labels(&report).into_values().collect();
        assert_eq!(apart, ["outside/192.0.2.1", "outside/198.51.100.10"]);
    }

    #[test]
    fn one_attempt_that_differs_shows_through_all_others() {
        assert_eq!(both(Mark::Allowed, Mark::Allowed), Mark::Allowed);
        assert_eq!(both(Mark::Allowed, Mark::Denied), Mark::Mixed);
        assert_eq!(both(Mark::Mixed, Mark::Differs), Mark::Differs);
        assert_eq!(both(Mark::Differs, Mark::Allowed), Mark::Differs);
    }
}
