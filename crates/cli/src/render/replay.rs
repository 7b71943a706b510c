//! A replay as text and Markdown.

use std::fmt::Write;

use podgate_advise::{Change, Lost, Replay, Side, Told, UnjudgedFlow, second};
use podgate_policy::Verdict;

use crate::style::{BAD, BOLD, FAINT, GOOD, WARN};

/// What would change, by kind, each with the rules that would decide.
pub fn text(replay: &Replay) -> String {
    let mut out = String::new();
    // Writing to a string can't fail.
    for (title, style, changes) in
        [("Would be cut", BAD, &replay.cut), ("Would be opened", WARN, &replay.opened)]
    {
        if changes.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{style}{title}{style:#}");
        for change in changes {
            let _ = writeln!(out, "  {}", flow(&change.flow));
            for (word, side) in decisive(change) {
                let _ = writeln!(out, "      {FAINT}{word} {}: {}{FAINT:#}", verdict(side), side.by);
            }
        }
    }
    if !replay.unjudged.is_empty() {
        let _ = writeln!(out, "{BOLD}Can't be judged{BOLD:#}");
        for UnjudgedFlow { flow: told, why } in &replay.unjudged {
            let _ = writeln!(out, "  {}\n      {FAINT}{why}{FAINT:#}", flow(told));
        }
    }
    let style = if replay.cut.is_empty() { GOOD } else { BAD };
    let _ = writeln!(out, "{style}{}{style:#}", summary(replay));
    let _ = writeln!(out, "{FAINT}{}{FAINT:#}", basis(replay));
    out
}

/// `3 connections would be cut, 1 opened; 120 stay allowed, 4 stay denied; 2 can't be judged`.
fn summary(replay: &Replay) -> String {
    let unjudged: u64 = replay.unjudged.iter().map(|one| one.flow.connections).sum();
    let mut text = match (replay.cut_connections(), replay.opened_connections()) {
        (0, 0) => "Nothing changes".to_owned(),
        (0, opened) => format!("Nothing would be cut, {} opened", connections(opened)),
        (cut, 0) => format!("{} would be cut", connections(cut)),
        (cut, opened) => format!("{} would be cut, {opened} opened", connections(cut)),
    };
    let _ = write!(text, "; {} stay allowed, {} stay denied", replay.kept.allowed, replay.kept.denied);
    if unjudged > 0 {
        let _ = write!(text, "; {unjudged} can't be judged");
    }
    text
}

/// What the answer rests on: the window, and what is missing in it.
fn basis(replay: &Replay) -> String {
    let mut text = match replay.window {
        Some(window) => {
            format!("{} records from {window}", replay.records)
        }
        None => "no records".to_owned(),
    };
    if replay.replies > 0 {
        let _ = write!(text, ", {} of them replies", replay.replies);
    }
    let _ = write!(text, "; {}", lost(&replay.lost));
    text
}

/// `no event lost`, or how many.
pub fn lost(lost: &Lost) -> String {
    let mut text = match lost.told() {
        None => "no event lost".to_owned(),
        Some(told) => format!("{told}: what they told is missing here"),
    };
    if lost.suppressed > 0 {
        let after = if lost.told().is_some() { ';' } else { ',' };
        let _ = write!(text, "{after} {} denials counted rather than reported", lost.suppressed);
    }
    text
}

/// The sides that make the verdict: what denies, or both where both allow.
fn decisive(change: &Change) -> Vec<(&'static str, &Side)> {
    let sides = [("egress", &change.egress), ("ingress", &change.ingress)];
    let denied: Vec<_> = sides.into_iter().filter(|(_, side)| side.verdict == Verdict::Denied).collect();
    if denied.is_empty() { sides.to_vec() } else { denied }
}

fn verdict(side: &Side) -> &'static str {
    super::verdict_word(side.verdict)
}

/// `shop/web[Deployment] -> shop/db[StatefulSet] TCP 5432  12 connections, 10:00:00Z to 10:05:00Z`.
fn flow(told: &Told) -> String {
    let Told { from, to, connections: number, first, last, .. } = told;
    let mut text = format!(
        "{from} -> {to}  {BOLD}{}{BOLD:#}  {}",
        port(&told.protocol, told.port),
        connections(*number)
    );
    let _ = match first == last {
        true => write!(text, ", {}", second(*first)),
        false => write!(text, ", {} to {}", second(*first), second(*last)),
    };
    if !told.addresses.is_empty() {
        let _ = write!(text, " ({})", addresses(told));
    }
    text
}

fn addresses(told: &Told) -> String {
    let mut texts: Vec<String> = told.addresses.iter().map(ToString::to_string).collect();
    if told.more_addresses > 0 {
        texts.push(format!("{} more", told.more_addresses));
    }
    texts.join(", ")
}

/// `TCP 5432`, `ICMP`.
pub fn port(protocol: &str, port: u16) -> String {
    match port {
        0 => protocol.to_owned(),
        port => format!("{protocol} {port}"),
    }
}

/// `1 connection`, `2 connections`.
pub fn connections(number: u64) -> String {
    if number == 1 { "1 connection".to_owned() } else { format!("{number} connections") }
}

/// A table for each kind of change.
pub fn markdown(replay: &Replay) -> String {
    let mut out = format!("### podgate replay\n\n{}.\n", summary(replay));
    for (title, changes) in [("Would be cut", &replay.cut), ("Would be opened", &replay.opened)] {
        if changes.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "\n#### {title}\n\n| From | To | Port | Connections | First seen | Last seen | By |"
        );
        out.push_str("|---|---|---|--:|---|---|---|\n");
        for change in changes {
            let by: Vec<String> =
                decisive(change).iter().map(|(word, side)| format!("{word}: {}", side.by)).collect();
            row(&mut out, &change.flow, &by.join("; "));
        }
    }
    if !replay.unjudged.is_empty() {
        out.push_str(
            "\n#### Can't be judged\n\n| From | To | Port | Connections | First seen | Last seen | Why |\n",
        );
        out.push_str("|---|---|---|--:|---|---|---|\n");
        replay.unjudged.iter().for_each(|one| row(&mut out, &one.flow, one.why));
    }
    let _ = writeln!(out, "\n{}.", basis(replay));
    out
}

fn row(out: &mut String, told: &Told, last: &str) {
    let outside = match told.addresses.is_empty() {
        true => String::new(),
        false => format!(" ({})", addresses(told)),
    };
    let _ = writeln!(
        out,
        "| {} | {}{} | {} | {} | {} | {} | {} |",
        cell(&told.from),
        cell(&told.to),
        outside,
        port(&told.protocol, told.port),
        told.connections,
        second(told.first),
        second(told.last),
        cell(last)
    );
}

/// Text that stays in its cell.
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
