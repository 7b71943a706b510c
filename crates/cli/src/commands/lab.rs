//! `podgate lab`: clusters of network namespaces.

mod exec;
mod kubernetes;
mod probe;
mod probe_tests;
mod status;
mod up;
mod watch;

pub use up::PAGE;

use clap::{Args, Subcommand};
use podgate_lab::{Lab, process, responder};

use crate::outcome::{FINE, Outcome};
use crate::style;

/// Which lab.
#[derive(Debug, Args)]
pub struct Name {
    /// The lab's name.
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
}

const DEFAULT_NAME: &str = "lab";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring a lab up from manifests, or bring it in line with changed ones.
    Up(up::Arguments),
    /// Take a lab down: processes, namespaces and files.
    Down(DownArguments),
    /// Show a lab's nodes, pods and Services.
    Status(status::Arguments),
    /// Run a command in a pod.
    Exec(exec::Arguments),
    /// Show every flow as it happens: verdict, from, to, and the policy and rule that decided.
    Watch(watch::Arguments),
    /// Try every connection for real, and compare with what policy says of it.
    Probe(probe::Arguments),
    /// A cluster of network namespaces with a real Kubernetes API server, for kubectl.
    #[command(subcommand)]
    Kubernetes(kubernetes::Command),
    /// A node of `lab kubernetes`; started by it.
    #[command(hide = true)]
    Kubelet(kubernetes::KubeletArguments),
    /// Answers in the pods of a node of `lab kubernetes`; started by it.
    #[command(hide = true)]
    Responder(kubernetes::ResponderArguments),
}

#[derive(Debug, Args)]
pub struct DownArguments {
    #[command(flatten)]
    lab: Name,
    /// Take all labs of this machine down.
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

/// Arguments of the lab's own processes.
#[derive(Debug, Args)]
pub struct DaemonArguments {
    /// The lab's name.
    #[arg(long)]
    lab: String,
}

pub fn run(command: Command) -> Outcome {
    match command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Down(arguments) => down(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Exec(arguments) => exec::run(&arguments),
        Command::Watch(arguments) => watch::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Kubernetes(command) => kubernetes::run(command),
        Command::Kubelet(arguments) => kubernetes::kubelet(&arguments),
        Command::Responder(arguments) => kubernetes::responder(&arguments),
    }
}

/// `__lab-responder`.
pub fn responder(arguments: &DaemonArguments) -> Outcome {
    let lab = Lab::new(&arguments.lab)?;
    process::detach();
    responder::run(&lab)?;
    Ok(FINE)
}

/// `__lab-enforce`.
pub fn enforce(arguments: &DaemonArguments) -> Outcome {
    let lab = Lab::new(&arguments.lab)?;
    process::detach();
    podgate_lab::enforce::run(&lab)?;
    Ok(FINE)
}

/// `__lab-page`.
pub fn page(arguments: &DaemonArguments) -> Outcome {
    process::detach();
    super::ui::of_lab(&Lab::new(&arguments.lab)?)
}

fn down(arguments: &DownArguments) -> Outcome {
    podgate_lab::up::require_root()?;
    let names = match arguments.all {
        true => podgate_lab::up::all(),
        false => vec![arguments.lab.name.clone()],
    };
    if names.is_empty() {
        style::line("no lab is up");
    }
    for name in names {
        let existed = podgate_lab::up::down(&Lab::new(&name)?)?;
        style::line(&match existed {
            true => format!("lab {name} is down"),
            false => format!("lab {name} was not up"),
        });
    }
    Ok(FINE)
}

/// The option that names this lab, for commands that a text suggests; empty for the default.
fn name_option(name: &str) -> String {
    if name == DEFAULT_NAME { String::new() } else { format!(" --name {name}") }
}
