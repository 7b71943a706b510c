//! Answers of `can` for people: the short of it, who is alike, and the chain of one connection.

use std::fmt::Write;

use anstyle::Style;
use podgate_analysis::why::{Answer, Change, Explained, Group, PolicyStep, RuleStep, Short, SideAnswer};
use podgate_policy::Verdict;

use crate::style::{BAD, BOLD, FAINT, GOOD, WARN};

/// Names of one list that are printed; more are counted.
const MOST_NAMES: usize = 4;
/// Groups that are printed; more are counted.
const MOST_GROUPS: usize = 12;
/// Policies of one side that are printed.
const MOST_POLICIES: usize = 6;
/// Rules of one policy that are printed.
const MOST_RULES: usize = 4;

/// The whole answer.
pub fn text(answer: &Answer) -> String {
    let mut out = headline(answer);
    if answer.connections.len() > 1 || answer.answer == Short::Partly {
        groups(&mut out, &answer.connections, answer.more_connections);
    }
    for note in &answer.notes {
        let _ = writeln!(out, "{WARN}note:{WARN:#} {note}");
    }
    for explained in &answer.explanations {
        out.push('\n');
        explanation(&mut out, explained);
    }
    out
}

fn short_style(short: Short) -> Style {
    match short {
        Short::Yes => GOOD,
        Short::No => BAD,
        Short::Partly => WARN,
    }
}

fn headline(answer: &Answer) -> String {
    let style = short_style(answer.answer);
    let word = answer.answer.as_str();
    let verb = match answer.answer {
        Short::Yes => "can reach",
        Short::No => "can't reach",
        Short::Partly => "can in part reach",
    };
    let port = match (&answer.port, answer.answer, &answer.connections[..]) {
        (Some(port), _, _) => format!(" on {port}"),
        (None, Short::No, _) => " on any port".to_owned(),
        (None, _, [only]) if only.allowed == "all" => " on all ports".to_owned(),
        (None, _, [only]) => format!(" on {}", only.allowed),
        (None, ..) => String::new(),
    };
    let mut line = format!(
        "{style}{word}:{style:#} {BOLD}{}{BOLD:#} {verb} {BOLD}{}{BOLD:#}{port}",
        answer.from, answer.to
    );
    let translated: Vec<String> = answer
        .service_ports
        .iter()
        .filter(|port| port.pod_ports != [port.port])
        .map(|port| {
            let targets: Vec<String> = port.pod_ports.iter().map(ToString::to_string).collect();
            format!(
                "port {} of the Service is {}/{} at its pods",
                port.port,
                port.protocol,
                targets.join(",")
            )
        })
        .collect();
    if !translated.is_empty() {
        let _ = write!(line, " {FAINT}({}){FAINT:#}", translated.join("; "));
    }
    line.push('\n');
    line
}

fn groups(out: &mut String, groups: &[Group], more: usize) {
    let row = |group: &Group| {
        let family = group.family.map(|family| format!("{family}  ")).unwrap_or_default();
        let ports = match group.answer {
            Short::No => group.denied.clone(),
            Short::Yes => group.allowed.clone(),
            Short::Partly => format!("{}, not {}", group.allowed, group.denied),
        };
        (
            format!("{family}{} -> {}", names(&group.from, group.more_from), names(&group.to, group.more_to)),
            ports,
        )
    };
    let rows: Vec<(String, String)> = groups.iter().take(MOST_GROUPS).map(row).collect();
    let width = rows.iter().map(|(ends, _)| ends.chars().count()).max().unwrap_or(0).min(90);
    for (group, (ends, ports)) in groups.iter().zip(rows) {
        let style = short_style(group.answer);
        let _ = writeln!(out, "  {style}{:7}{style:#} {ends:width$}  {ports}", group.answer.as_str());
    }
    let more = more + groups.len().saturating_sub(MOST_GROUPS);
    if more > 0 {
        let _ = writeln!(out, "  {FAINT}and {more} more groups: `podgate reach` tells all{FAINT:#}");
    }
}

/// The first names, and how many more there are beside `more` that the answer leaves out.
pub fn names(names: &[String], more: usize) -> String {
    match names.len() + more {
        all if all <= MOST_NAMES => names.join(", "),
        all => format!("{} and {} more", names[..MOST_NAMES - 1].join(", "), all - MOST_NAMES + 1),
    }
}

/// The chain of one connection.
pub fn explanation(out: &mut String, explained: &Explained) {
    let _ = writeln!(out, "{BOLD}{} -> {} on {}{BOLD:#}", explained.from, explained.to, explained.port);
    side(out, "egress", &explained.egress);
    side(out, "ingress", &explained.ingress);
    for near in &explained.near {
        let _ = writeln!(
            out,
            "  {WARN}almost{WARN:#}   {} {FAINT}({}){FAINT:#}: {}",
            near.rule, near.at, near.why
        );
    }
    for text in &explained.forbidden {
        let _ = writeln!(out, "  {WARN}final{WARN:#}    {text}");
    }
    if let Some(change) = &explained.change {
        self::change(out, change);
    }
    for hint in &explained.hints {
        let _ = writeln!(out, "  {WARN}hint{WARN:#}     {hint}");
    }
}

fn side(out: &mut String, name: &str, side: &SideAnswer) {
    let (style, word) = match side.verdict {
        Verdict::Allowed => (GOOD, "allowed"),
        Verdict::Denied => (BAD, "denied"),
    };
    let _ = writeln!(out, "  {name:8} {style}{word}{style:#}: {}", side.reason);
    let telling = |step: &&PolicyStep| step.rules.iter().any(|rule| rule.matches);
    // Where a rule decides, policies without a matching rule have nothing to say.
    let decided = side.policies.iter().any(|step| step.rules.iter().any(|rule| rule.decides));
    let shown: Vec<&PolicyStep> = match decided {
        true => side.policies.iter().filter(|step| step.asked).filter(telling).collect(),
        false => side.policies.iter().filter(|step| step.asked).collect(),
    };
    for step in shown.iter().take(MOST_POLICIES) {
        policy(out, name, step);
    }
    let asked = side.policies.iter().filter(|step| step.asked).count();
    let (more, later) = (asked - shown.len().min(MOST_POLICIES), side.policies.len() - asked);
    if more > 0 {
        let what = if more == 1 { "policy selects" } else { "policies select" };
        let why = if decided { ", and no rule there matches" } else { "" };
        let _ = writeln!(out, "    {FAINT}{more} more {what} it{why}{FAINT:#}");
    }
    if later > 0 {
        let what = if later == 1 { "policy is" } else { "policies are" };
        let _ = writeln!(out, "    {FAINT}{later} more {what} not asked any more{FAINT:#}");
    }
}

fn policy(out: &mut String, list: &str, step: &PolicyStep) {
    let title = match step.kind.as_str() {
        "NetworkPolicy" => step.policy.clone(),
        kind => {
            let priority = step.priority.map(|priority| format!(", priority {priority}")).unwrap_or_default();
            format!("{kind} {} ({:?} tier{priority})", step.policy, step.tier)
        }
    };
    let none = if step.rules.is_empty() { format!(": no {list} rules") } else { String::new() };
    let _ = writeln!(out, "    {title} {FAINT}{}{FAINT:#}{none}", step.at);
    let rank = |rule: &RuleStep| match (rule.decides, rule.matches, rule.peer || rule.port) {
        (true, ..) => 0,
        (_, true, _) => 1,
        (_, _, true) => 2,
        _ => 3,
    };
    let mut order: Vec<usize> = (0..step.rules.len()).collect();
    order.sort_by_key(|at| (rank(&step.rules[*at]), *at));
    order.truncate(MOST_RULES);
    order.sort_unstable();
    let width = order.iter().map(|at| step.rules[*at].rule.chars().count()).max().unwrap_or(0);
    for at in &order {
        let rule = &step.rules[*at];
        let (style, mark) = match (rule.decides, rule.matches, rule.peer, rule.port) {
            (true, ..) if rule.effect == "deny" => (BAD, "decides"),
            (true, ..) => (GOOD, "decides"),
            (_, true, ..) => (GOOD, "matches"),
            (_, _, true, false) => (WARN, "peer matches, port doesn't"),
            (_, _, false, true) => (FAINT, "peer doesn't match"),
            _ => (FAINT, "no match"),
        };
        let effect = if rule.effect == "allow" {
            String::new()
        } else {
            format!("{}s ", rule.effect.replace("deny", "denie").replace("pass", "passe"))
        };
        let line = rule.at.rsplit(':').next().unwrap_or_default();
        let _ = writeln!(
            out,
            "      {:width$} {FAINT}:{line:4}{FAINT:#} {effect}{}  {style}[{mark}]{style:#}",
            rule.rule, rule.says
        );
    }
    if step.rules.len() > order.len() {
        let _ = writeln!(out, "      {FAINT}{} more rules{FAINT:#}", step.rules.len() - order.len());
    }
}

fn change(out: &mut String, change: &Change) {
    for (at, edit) in change.edits.iter().enumerate() {
        let lead = match (at, change.edits.len()) {
            (0, 1) => "to allow it",
            (0, _) => "to allow it, all of this",
            _ => "and",
        };
        let place = match &edit.at {
            Some(at) => format!("{} {FAINT}({at}){FAINT:#}, {}", edit.policy, edit.what),
            None => format!("{} {}", edit.what, edit.policy),
        };
        let _ = writeln!(out, "  {GOOD}{lead}:{GOOD:#} {place}");
        for line in edit.yaml.lines() {
            let _ = writeln!(out, "    {line}");
        }
    }
    if change.also_opens.is_empty() {
        let _ = writeln!(
            out,
            "    {FAINT}checked: this allows {}, and opens nothing else here{FAINT:#}",
            change.allows
        );
        return;
    }
    let _ = writeln!(out, "    {FAINT}checked: this allows {}{FAINT:#}", change.allows);
    let _ = writeln!(out, "    {WARN}it also opens:{WARN:#}");
    for line in &change.also_opens {
        let _ = writeln!(out, "      {line}");
    }
    if change.more > 0 {
        let _ = writeln!(out, "      and {} more", change.more);
    }
}
