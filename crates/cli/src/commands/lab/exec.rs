//! `podgate lab exec`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use podgate_lab::up::require_root;
use podgate_lab::{Lab, Plan, netns, resolver};

use super::{Name, name_option};
use crate::outcome::{Failure, Outcome};
use crate::style;

/// As shells answer for a command that isn't there.
const NOT_FOUND: u8 = 127;
/// As shells answer for a command that can't be run.
const NOT_RUNNABLE: u8 = 126;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    lab: Name,
    /// NAMESPACE/POD, NAMESPACE/WORKLOAD (its first pod), `node/NAME` or `outside`.
    pod: String,
    /// Taken for the sake of kubectl's users; a lab's pod has no containers.
    #[arg(short, long, hide = true)]
    container: Option<String>,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    require_root()?;
    let lab = Lab::new(&arguments.lab.name)?;
    let Some(plan) = lab.plan()? else {
        let option = name_option(lab.name());
        return Err(Failure::bad(format!(
            "lab {} is not up; see `podgate lab up{option} --help`",
            lab.name()
        )));
    };
    let place = find(&plan, &arguments.pod)?;
    let file = netns::open(&place.netns)?;
    netns::enter(&file)
        .map_err(|error| Failure::bad(format!("enter network namespace {}: {error}", place.netns)))?;
    if let Some(namespace) = &place.namespace
        && let Err(error) = resolver::use_cluster_dns(&lab, &plan, namespace)
    {
        style::warning(&format!("the command does not use the cluster's DNS: {error}"));
    }
    let error = Command::new(&arguments.command[0]).args(&arguments.command[1..]).exec();
    let code = if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE };
    Err(Failure { message: format!("{}: {error}", arguments.command[0]), code })
}

/// Where a command is to run.
struct Place {
    netns: String,
    /// The pod's namespace, whose names the resolver completes.
    namespace: Option<String>,
}

fn find(plan: &Plan, wanted: &str) -> Result<Place, Failure> {
    if wanted == "outside" {
        return Ok(Place { netns: plan.outside.netns.clone(), namespace: None });
    }
    if let Some(node) =
        wanted.strip_prefix("node/").and_then(|name| plan.nodes.iter().find(|n| n.name == name))
    {
        return Ok(Place { netns: node.netns.clone(), namespace: None });
    }
    let matches = |namespace: Option<&str>, name: &str| {
        let inside = |pod: &&podgate_lab::plan::PodPlan| namespace.is_none_or(|n| pod.namespace == n);
        let named = plan.pods.iter().filter(inside).filter(|pod| pod.name == name).collect::<Vec<_>>();
        let owned =
            |pod: &&podgate_lab::plan::PodPlan| pod.owner.as_ref().is_some_and(|(_, owner)| owner == name);
        match named.is_empty() {
            true => plan.pods.iter().filter(inside).filter(owned).collect(),
            false => named,
        }
    };
    let found = match wanted.split_once('/') {
        Some((namespace, name)) => matches(Some(namespace), name),
        None => matches(None, wanted),
    };
    let Some(first) = found.first() else {
        let known: Vec<String> = plan.pods.iter().take(5).map(|pod| pod.key()).collect();
        return Err(Failure::bad(format!(
            "no pod or workload {wanted} in lab {}; pods are {}{}; `podgate lab status{}` lists all",
            plan.lab,
            known.join(", "),
            if plan.pods.len() > known.len() { ", ..." } else { "" },
            name_option(&plan.lab)
        )));
    };
    if let Some(other) = found.iter().find(|pod| pod.namespace != first.namespace) {
        return Err(Failure::bad(format!(
            "{wanted} is in several namespaces; write {} or {}",
            first.key(),
            other.key()
        )));
    }
    Ok(Place { netns: first.netns.clone(), namespace: Some(first.namespace.clone()) })
}
