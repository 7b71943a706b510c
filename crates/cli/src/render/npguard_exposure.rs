//! Exposure in np-guard's forms: its connection list with three sections behind it.

use std::fmt::Write;

use podgate_analysis::npguard::{Exposed, Line};
use serde::Serialize;

use super::{csv, npguard};

/// np-guard's JSON.
#[derive(Debug, Serialize)]
pub struct Json<'a> {
    connlist_results: &'a [Line],
    exposure_results: JsonExposure<'a>,
}

#[derive(Debug, Serialize)]
struct JsonExposure<'a> {
    egress_exposure: &'a [Line],
    ingress_exposure: &'a [Line],
}

impl<'a> Json<'a> {
    /// Of connections and exposure.
    pub fn new(lines: &'a [Line], exposed: &'a Exposed) -> Self {
        let Exposed { egress, ingress, .. } = exposed;
        let exposure_results = JsonExposure { egress_exposure: egress, ingress_exposure: ingress };
        Json { connlist_results: lines, exposure_results }
    }
}

/// Sections with aligned lines.
pub fn text(lines: &[Line], exposed: &Exposed) -> String {
    let mut out = npguard::text(lines);
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str("Exposure Analysis Result:\n");
    let width = exposed
        .egress
        .iter()
        .map(|line| line.src.len())
        .chain(exposed.ingress.iter().map(|line| line.dst.len()))
        .max()
        .unwrap_or(0);
    // Writing to a string can't fail.
    if !exposed.egress.is_empty() {
        out.push_str("Egress Exposure:\n");
        for Line { src, dst, conn } in &exposed.egress {
            let _ = writeln!(out, "{src:width$} \t=> \t{dst} : {conn}");
        }
    }
    if !exposed.ingress.is_empty() {
        out.push_str(if exposed.egress.is_empty() { "Ingress Exposure:\n" } else { "\nIngress Exposure:\n" });
        for Line { src, dst, conn } in &exposed.ingress {
            let _ = writeln!(out, "{dst:width$} \t<= \t{src} : {conn}");
        }
    }
    if !exposed.unprotected.is_empty() {
        out.push_str("\nWorkloads not protected by network policies:\n");
        exposed.unprotected.iter().for_each(|line| out.push_str(&format!("{line}\n")));
    }
    out
}

/// Sections one after another.
pub fn csv(lines: &[Line], exposed: &Exposed) -> String {
    let mut out = npguard::csv(lines);
    out.push_str("Exposure Analysis Result:,,\n");
    if !exposed.egress.is_empty() {
        out.push_str("Egress Exposure:,,\nsrc,dst,conn\n");
        exposed.egress.iter().for_each(|l| out.push_str(&csv::row(&[&l.src, &l.dst, &l.conn])));
    }
    if !exposed.ingress.is_empty() {
        out.push_str("Ingress Exposure:,,\ndst,src,conn\n");
        exposed.ingress.iter().for_each(|l| out.push_str(&csv::row(&[&l.dst, &l.src, &l.conn])));
    }
    out
}

/// Tables under headings.
pub fn markdown(lines: &[Line], exposed: &Exposed) -> String {
    let mut out = npguard::markdown(lines);
    out.push_str("## Exposure Analysis Result:\n");
    if !exposed.egress.is_empty() {
        out.push_str("### Egress Exposure:\n| src | dst | conn |\n|-----|-----|------|\n");
        for Line { src, dst, conn } in &exposed.egress {
            let _ = writeln!(out, "| {src} | {dst} | {conn} |");
        }
        out.push('\n');
    }
    if !exposed.ingress.is_empty() {
        out.push_str("### Ingress Exposure:\n| dst | src | conn |\n|-----|-----|------|\n");
        for Line { src, dst, conn } in &exposed.ingress {
            let _ = writeln!(out, "| {dst} | {src} | {conn} |");
        }
    }
    out
}
