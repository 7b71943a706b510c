//! The story of a connection as text.

use std::fmt::Write;

use podgate_advise::why::{Basis, Side, Story};
use podgate_flow::{Decision, Endpoint, FlowVerdict};

use super::verdict_word;
use crate::style::{BAD, BOLD, FAINT, GOOD, WARN};

/// What was recorded, then what the engine asks, side by side.
pub fn text(story: &Story) -> String {
    let record = &story.record;
    let mut out = String::new();
    // Writing to a string can't fail.
    let (style, word) = match record.verdict {
        FlowVerdict::Allowed => (GOOD, "allowed"),
        FlowVerdict::Denied => (BAD, "denied"),
        FlowVerdict::Unknown => (WARN, "not known"),
    };
    let _ = writeln!(
        out,
        "{BOLD}{} -> {}{BOLD:#}  {} {}  {style}{word}{style:#}",
        end(&record.source),
        end(&record.destination),
        record.protocol,
        record.destination.port
    );
    let _ = writeln!(out, "  {FAINT}{} on {}, id {}{FAINT:#}", record.time, record.node, record.id);
    if let (Some(service), Some(asked)) = (&record.service, record.asked) {
        let _ = writeln!(out, "  {FAINT}asked Service {service} at {asked}{FAINT:#}");
    }
    let _ = writeln!(out, "{BOLD}Recorded{BOLD:#}");
    for (word, side) in [("egress", &record.egress), ("ingress", &record.ingress)] {
        match side {
            Some(decision) => recorded(&mut out, word, decision),
            None => drop(writeln!(out, "  {word}: nobody had a say, or nobody was heard")),
        }
    }
    if let Some(staged) = &record.staged {
        let _ = writeln!(out, "  {WARN}staged policies: {}{WARN:#}", verdict_word(staged.verdict));
        for (word, side) in [("egress", &staged.egress), ("ingress", &staged.ingress)] {
            side.iter().for_each(|decision| recorded(&mut out, word, decision));
        }
    }
    if let Some(why) = story.untold {
        let _ = writeln!(out, "{FAINT}No policy by policy answer: {why}{FAINT:#}");
    }
    let Some(told) = &story.told else { return out };
    let basis = match told.basis {
        Basis::OfThatTime => "By the policies of that time",
        Basis::OfTheInput => "By the policies of the input",
    };
    let _ = writeln!(out, "{BOLD}{basis}{BOLD:#}");
    for (word, told) in [("egress", &told.egress), ("ingress", &told.ingress)] {
        side(&mut out, word, told);
    }
    if told.differs {
        let _ = writeln!(
            out,
            "{WARN}These policies say {}, the record says {word}: others were in force then{WARN:#}",
            verdict_word(told.verdict)
        );
    }
    out
}

fn end(end: &Endpoint) -> String {
    format!("{} ({})", end.party, end.ip)
}

fn recorded(out: &mut String, word: &str, decision: &Decision) {
    let _ = writeln!(out, "  {word} {}: {}", verdict_word(decision.verdict), decision.reason);
    if let Some(near) = &decision.nearest {
        let list = match near.list {
            podgate_policy::Direction::Egress => "egress",
            podgate_policy::Direction::Ingress => "ingress",
        };
        let _ = writeln!(
            out,
            "      {FAINT}nearest: {} {list}[{}]: {}{FAINT:#}",
            near.policy, near.rule, near.but
        );
    }
}

fn side(out: &mut String, word: &str, side: &Side) {
    let _ = writeln!(out, "  {word} {}: {}", verdict_word(side.verdict), side.by);
    for policy in &side.policies {
        let rules = if policy.rules.is_empty() { ", which has no rule" } else { "" };
        let _ = writeln!(out, "    {}{FAINT}{rules}{FAINT:#}", policy.policy);
        for rule in &policy.rules {
            let says = match (rule.matches, rule.peer, rule.port) {
                (true, ..) => "matches",
                (_, true, true) => "peer and port match, but not together",
                (_, true, false) => "the peer matches, the port does not",
                (_, false, true) => "the port matches, the peer does not",
                (_, false, false) => "neither peer nor port match",
            };
            let decides = if rule.decides { ", and decides" } else { "" };
            let _ = writeln!(
                out,
                "      {word}[{}] {} {}  {FAINT}{}{FAINT:#}\n        {says}{decides}",
                rule.index, rule.effect, rule.says, rule.at
            );
        }
    }
}
