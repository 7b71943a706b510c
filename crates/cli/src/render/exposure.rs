//! What is open, as text, Markdown and CSV.

use std::collections::BTreeMap;
use std::fmt::Write;

use podgate_analysis::exposure::{Entry, Exposure, METADATA, WorkloadExposure};

use super::csv;
use crate::style::{BAD, BOLD, FAINT, GOOD, WARN};

/// One thing that is open: what, to whom, on which ports, by which way.
struct Finding {
    workload: String,
    ports: String,
    whom: String,
    way: String,
}

/// A section of the answer.
struct Section {
    title: &'static str,
    id: &'static str,
    findings: Vec<Finding>,
}

fn all_ports(ports: &dyn std::fmt::Display) -> String {
    match ports.to_string() {
        text if text == "all" => "all ports".to_owned(),
        text => text,
    }
}

fn sections(exposure: &Exposure) -> Vec<Section> {
    let each = |make: &dyn Fn(&WorkloadExposure) -> Vec<Finding>| -> Vec<Finding> {
        exposure.workloads.iter().flat_map(make).collect()
    };
    let finding = |workload: &WorkloadExposure, ports: &dyn std::fmt::Display, whom: &str| Finding {
        workload: workload.workload.clone(),
        ports: all_ports(ports),
        whom: whom.to_owned(),
        way: String::new(),
    };
    let protected = |workload: &&WorkloadExposure| !workload.host_network;
    let bare = |direction: &str, is: &dyn Fn(&WorkloadExposure) -> bool| -> Vec<Finding> {
        let found = exposure.workloads.iter().filter(protected).filter(|workload| is(workload));
        found
            .map(|workload| Finding {
                workload: workload.workload.clone(),
                ports: String::new(),
                whom: direction.to_owned(),
                way: workload.source.clone(),
            })
            .collect()
    };
    let mut unprotected = bare("incoming and outgoing", &|w| !w.ingress.protected && !w.egress.protected);
    unprotected.extend(bare("incoming", &|w| !w.ingress.protected && w.egress.protected));
    unprotected.extend(bare("outgoing", &|w| w.ingress.protected && !w.egress.protected));
    vec![
        Section {
            title: "Ways in from outside",
            id: "entry",
            findings: exposure.entries.iter().map(way_in).collect(),
        },
        Section { title: "Protected by no policy", id: "unprotected", findings: unprotected },
        Section {
            title: "Open to every pod of the cluster",
            id: "cluster",
            findings: each(&|w| match w.ingress.protected && !w.ingress.cluster.0.is_empty() {
                true => vec![finding(w, &w.ingress.cluster, "any pod in any namespace")],
                false => Vec::new(),
            }),
        },
        Section {
            title: "Open to pods that don't exist yet",
            id: "selected",
            findings: each(&|w| {
                let new = w.ingress.selected.iter().filter(|s| !s.exists || s.hypothesis.pods.is_none());
                new.map(|s| finding(w, &s.ports, &s.pods)).collect()
            }),
        },
        Section {
            title: "Open to the internet, if anything leads there",
            id: "ingress-internet",
            findings: each(&|w| {
                let public = w.ingress.outside.iter().filter(|o| o.internet && w.ingress.protected);
                public.map(|o| finding(w, &o.ports, &o.addresses.join(", "))).collect()
            }),
        },
        Section {
            title: "Reaches the internet",
            id: "egress-internet",
            findings: each(&|w| {
                let public = w.egress.outside.iter().filter(|o| o.internet && w.egress.protected);
                public.map(|o| finding(w, &o.ports, &o.addresses.join(", "))).collect()
            }),
        },
        Section {
            title: "Reaches the cloud's metadata endpoint",
            id: "metadata",
            findings: each(&|w| match w.metadata.0.is_empty() || w.host_network {
                true => Vec::new(),
                false => vec![finding(w, &w.metadata, METADATA)],
            }),
        },
    ]
}

fn way_in(entry: &Entry) -> Finding {
    let mut whom: Vec<String> = Vec::new();
    if !entry.clients.is_empty() {
        whom.push(format!("from {}", entry.clients.join(", ")));
    }
    match &entry.controllers[..] {
        [] => {}
        [any] if any == "any pod" => whom.push("from whichever pod serves it".to_owned()),
        some => whom.push(format!("if it is served by {}", some.join(" or "))),
    }
    if entry.by_nodes == Some(true) {
        whom.push("by way of other nodes".to_owned());
    }
    if !entry.is_open() {
        whom.push("closed: policy lets no client in".to_owned());
    }
    let mut way = entry.through.clone();
    if !entry.source.is_empty() {
        let _ = write!(way, ", {}", entry.source);
    }
    for note in &entry.notes {
        let _ = write!(way, "; {note}");
    }
    Finding { workload: entry.workload.clone(), ports: entry.ports.clone(), whom: whom.join(", "), way }
}

/// Sections with aligned lines; what is alike of many workloads is one line.
pub fn text(exposure: &Exposure, most: usize) -> String {
    let mut out = String::new();
    // Writing to a string can't fail.
    for Section { title, id, findings } in sections(exposure) {
        if findings.is_empty() {
            continue;
        }
        let style = match id {
            "entry" | "unprotected" | "metadata" => BAD,
            "cluster" | "selected" => WARN,
            _ => BOLD,
        };
        let _ = writeln!(out, "{style}{title}{style:#}");
        if id == "entry" {
            for Finding { workload, ports, whom, way } in findings {
                let _ = writeln!(out, "  {workload} {ports}  {whom}\n      {FAINT}{way}{FAINT:#}");
            }
            continue;
        }
        let mut alike: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for Finding { workload, ports, whom, .. } in findings {
            alike.entry((whom, ports)).or_default().push(workload);
        }
        for ((whom, ports), workloads) in alike {
            let shown = if workloads.len() <= most { workloads.len() } else { most };
            let mut names = workloads[..shown].join(", ");
            if workloads.len() > shown {
                let _ = write!(names, " and {} more", workloads.len() - shown);
            }
            let what = match id {
                "unprotected" => format!("{whom} connections"),
                "metadata" => ports,
                "egress-internet" => format!("{ports} to {whom}"),
                _ => format!("{ports} from {whom}"),
            };
            let _ = writeln!(out, "  {what}  {FAINT}at{FAINT:#} {names}");
        }
    }
    if out.is_empty() {
        let _ = writeln!(
            out,
            "{GOOD}Nothing is open to the outside, to the whole cluster or to pods that don't exist yet.{GOOD:#}"
        );
    }
    out
}

/// Tables under headings.
pub fn markdown(exposure: &Exposure) -> String {
    let mut out = String::new();
    for Section { title, findings, .. } in sections(exposure).into_iter().filter(|s| !s.findings.is_empty()) {
        let _ = writeln!(out, "### {title}\n");
        let rows: Vec<Vec<String>> =
            findings.into_iter().map(|f| vec![f.workload, f.ports, f.whom, f.way]).collect();
        out.push_str(&csv::markdown(&["workload", "ports", "who", "by"], &rows));
        out.push('\n');
    }
    out
}

/// A line for each finding.
pub fn csv(exposure: &Exposure) -> String {
    let mut out = csv::row(&["kind", "workload", "ports", "who", "by"]);
    for Section { id, findings, .. } in sections(exposure) {
        for Finding { workload, ports, whom, way } in findings {
            out.push_str(&csv::row(&[id, &workload, &ports, &whom, &way]));
        }
    }
    out
}
