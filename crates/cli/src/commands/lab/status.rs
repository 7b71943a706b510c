//! `podgate lab status`.

use std::net::IpAddr;

use clap::{Args, ValueEnum};
use podgate_lab::enforce::Client;
use podgate_lab::process::{self, Role};
use podgate_lab::responder::{READY_FILE, Ready};
use podgate_lab::{Lab, Plan};
use serde_json::json;

use super::{Name, name_option};
use crate::outcome::{FINE, Failure, Outcome};
use crate::style::{self, BAD, BOLD, FAINT, GOOD};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    lab: Name,
    /// Output format.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// The plan, the processes and the enforcement daemon's own status.
    Json,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let lab = Lab::new(&arguments.lab.name)?;
    let Some(plan) = lab.plan()? else {
        return Err(Failure::bad(format!(
            "lab {0} is not up; bring it up with `podgate lab up{1} DIR`",
            lab.name(),
            name_option(lab.name())
        )));
    };
    let responder = process::find(&lab, Role::Responder)?;
    let enforce = process::find(&lab, Role::Enforce)?;
    let problems = lab.read::<Ready>(READY_FILE)?.unwrap_or_default().problems;
    let enforcement = match enforce {
        Some(_) => Client::connect(&lab)?.map(|mut client| client.status()).transpose()?,
        None => None,
    };
    let spec = lab.spec()?;
    let wanted = spec.as_ref().is_some_and(|spec| spec.policies);
    match arguments.output {
        Format::Json => {
            let value = json!({
                "lab": plan.lab,
                "manifests": spec.map(|spec| spec.paths),
                "plan": plan,
                "responder": { "pid": responder, "problems": problems },
                "enforcement": { "wanted": wanted, "pid": enforce, "status": enforcement },
            });
            style::line(&value.to_string());
        }
        Format::Text => {
            print(&plan);
            let state = |pid: Option<i32>| match pid {
                Some(pid) => format!("{GOOD}running{GOOD:#} {FAINT}(pid {pid}){FAINT:#}"),
                None => format!("{BAD}not running{BAD:#}; `podgate lab up` repairs it"),
            };
            style::line("");
            style::line(&format!("{BOLD}responder{BOLD:#}    {}", state(responder)));
            let policies = if wanted { state(enforce) } else { "off (--no-policies)".to_owned() };
            style::line(&format!("{BOLD}enforcement{BOLD:#}  {policies}"));
            plan.notes.iter().chain(&problems).for_each(|note| style::warning(note));
            for file in enforcement.iter().flat_map(|status| &status.diagnostics) {
                file.diagnostics.iter().for_each(|text| style::diagnostic(text));
            }
            if let Some(failure) = enforcement.map(|status| status.failure).filter(|text| !text.is_empty()) {
                style::error(&failure);
            }
        }
    }
    Ok(FINE)
}

fn print(plan: &Plan) {
    let nodes: Vec<Vec<String>> = plan
        .nodes
        .iter()
        .map(|node| {
            let cidrs: Vec<String> = node.pod_cidrs.iter().map(ToString::to_string).collect();
            vec![node.name.clone(), addresses(&node.addresses), cidrs.join(" "), node.netns.clone()]
        })
        .chain([vec![
            "(outside)".to_owned(),
            addresses(&plan.outside.addresses),
            String::new(),
            plan.outside.netns.clone(),
        ]])
        .collect();
    style::table(&["NODE", "ADDRESSES", "POD CIDRS", "NETNS"], &nodes);
    style::line("");
    let pods: Vec<Vec<String>> = plan
        .pods
        .iter()
        .map(|pod| {
            let ports: Vec<String> =
                pod.listen.iter().map(|(protocol, port)| format!("{port}/{protocol}")).collect();
            let node = &plan.nodes[pod.node].name;
            vec![pod.key(), node.clone(), addresses(&pod.ips), ports.join(" "), pod.netns.clone()]
        })
        .collect();
    style::table(&["POD", "NODE", "ADDRESSES", "ANSWERS ON", "NETNS"], &pods);
    if plan.services.is_empty() {
        return;
    }
    style::line("");
    let services: Vec<Vec<String>> = plan
        .services
        .iter()
        .map(|service| {
            let ports: Vec<String> = service
                .ports
                .iter()
                .map(|port| match port.node_port {
                    Some(node_port) => format!("{}:{node_port}/{}", port.port, port.protocol),
                    None => format!("{}/{}", port.port, port.protocol),
                })
                .collect();
            let ips =
                if service.headless { "(headless)".to_owned() } else { addresses(&service.cluster_ips) };
            let name = format!("{}/{}", service.namespace, service.name);
            vec![name, ips, ports.join(" "), service.endpoints.len().to_string()]
        })
        .collect();
    style::table(&["SERVICE", "CLUSTER IPS", "PORTS", "PODS"], &services);
}

fn addresses(ips: &[IpAddr]) -> String {
    let shown: Vec<String> = ips.iter().take(2).map(ToString::to_string).collect();
    match ips.len() {
        0..=2 => shown.join(" "),
        more => format!("{} and {} more", shown.join(" "), more - 2),
    }
}
