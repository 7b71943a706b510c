//! A replay's score as text and Markdown.

use std::fmt::Write;

use podgate_advise::score::{Line, Outcome, Said, Score, Scored, Surprise};

use super::replay::{cell, connections, lost, port};
use crate::style::{BAD, BOLD, FAINT, GOOD, WARN};

/// What was predicted with what came of it, and what was not predicted.
pub fn text(score: &Score) -> String {
    let mut out = String::new();
    // Writing to a string can't fail.
    for (title, scored) in [("Predicted to be cut", &score.cut), ("Predicted to be opened", &score.opened)] {
        if scored.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{BOLD}{title}{BOLD:#}");
        for one in scored {
            let style = match one.outcome {
                Outcome::Happened => GOOD,
                Outcome::NotTried => FAINT,
                Outcome::Partly | Outcome::Missed => BAD,
            };
            let _ = writeln!(out, "  {}  {style}{}{style:#}", line(&one.line), word(one.outcome));
            let _ = writeln!(out, "      {FAINT}{}{FAINT:#}", counts(one));
        }
    }
    for (title, verb, surprises) in surprises(score) {
        if surprises.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{WARN}{title}{WARN:#}");
        for Surprise { line: of, connections: number, said } in surprises {
            let _ = writeln!(out, "  {}  {} {verb}", line(of), connections(*number));
            let _ = writeln!(out, "      {FAINT}{}{FAINT:#}", said_word(*said));
        }
    }
    let style = if score.has_missed() || score.has_surprises() { BAD } else { GOOD };
    let _ = writeln!(out, "{style}{}{style:#}", summary(score));
    let _ = writeln!(out, "{FAINT}{}{FAINT:#}", basis(score));
    out
}

fn surprises(score: &Score) -> [(&'static str, &'static str, &Vec<Surprise>); 2] {
    [
        ("Cut, and not predicted", "denied", &score.cut_unpredicted),
        ("Opened, and not predicted", "let through", &score.opened_unpredicted),
    ]
}

fn line(line: &Line) -> String {
    format!("{} -> {}  {BOLD}{}{BOLD:#}", line.from, line.to, port(&line.protocol, line.port))
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Happened => "happened",
        Outcome::Partly => "happened in part",
        Outcome::Missed => "did not happen",
        Outcome::NotTried => "nobody tried",
    }
}

/// `6 predicted; since: 4 denied, 0 let through`.
fn counts(one: &Scored) -> String {
    format!("{} predicted; since then {} denied, {} let through", one.predicted, one.denied, one.allowed)
}

fn said_word(said: Said) -> &'static str {
    match said {
        Said::Kept => "the replay said that it stays as it was",
        Said::Unjudged => "the replay could not judge it",
        Said::NotSeen => "it was not among the flows of the replay",
    }
}

/// `Predicted cuts: 2 happened, 1 did not, 0 not tried; 1 denied without prediction`.
fn summary(score: &Score) -> String {
    let of = |title: &str, scored: &[Scored]| {
        let number = |wanted: &[Outcome]| scored.iter().filter(|one| wanted.contains(&one.outcome)).count();
        format!(
            "{title}: {} happened, {} did not, {} not tried",
            number(&[Outcome::Happened]),
            number(&[Outcome::Missed, Outcome::Partly]),
            number(&[Outcome::NotTried])
        )
    };
    let mut text = of("Predicted cuts", &score.cut);
    if !score.opened.is_empty() {
        let _ = write!(text, "; {}", of("predicted openings", &score.opened));
    }
    for (_, verb, surprises) in surprises(score) {
        if !surprises.is_empty() {
            let _ = write!(text, "; {} {verb} without prediction", surprises.len());
        }
    }
    text
}

fn basis(score: &Score) -> String {
    let window = |window: Option<podgate_advise::Window>| match window {
        Some(window) => window.to_string(),
        None => "no time at all".to_owned(),
    };
    format!(
        "{} records from {}, predicted from {}; {}",
        score.records,
        window(score.window),
        window(score.predicted_from),
        lost(&score.lost)
    )
}

/// A table of predictions, and one of what was not predicted.
pub fn markdown(score: &Score) -> String {
    let mut out = format!("### podgate replay --score\n\n{}.\n", summary(score));
    for (title, scored) in [("Predicted to be cut", &score.cut), ("Predicted to be opened", &score.opened)] {
        if scored.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "\n#### {title}\n\n| From | To | Port | Outcome | Predicted | Denied | Let through |"
        );
        out.push_str("|---|---|---|---|--:|--:|--:|\n");
        for one in scored {
            let Scored { line, predicted, denied, allowed, outcome } = one;
            let _ =
                writeln!(out, "| {} | {} | {predicted} | {denied} | {allowed} |", ends(line), word(*outcome));
        }
    }
    for (title, _, surprises) in surprises(score) {
        if surprises.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "\n#### {title}\n\n| From | To | Port | Connections | Why |\n|---|---|---|--:|---|"
        );
        for one in surprises {
            let _ = writeln!(out, "| {} | {} | {} |", ends(&one.line), one.connections, said_word(one.said));
        }
    }
    let _ = writeln!(out, "\n{}.", basis(score));
    out
}

fn ends(line: &Line) -> String {
    format!("{} | {} | {}", cell(&line.from), cell(&line.to), port(&line.protocol, line.port))
}
