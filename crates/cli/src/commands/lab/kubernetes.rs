//! `podgate lab kubernetes`: a cluster with a real API server.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use podgate_lab::up::require_root;
use podgate_lab::{interrupt, netns, process};
use podgate_lab_kubernetes::cluster::{down, find_control_plane};
use podgate_lab_kubernetes::{Cluster, Options, Part, Room, Site, kubelet};

use crate::outcome::{FINE, Failure, Outcome};
use crate::style::{self, BAD, BOLD, FAINT, GOOD};

const DEFAULT_NAME: &str = "kubernetes";

/// Which cluster.
#[derive(Debug, Args)]
pub struct Name {
    /// The cluster's name.
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring a cluster up: control plane, nodes, and podgate's agent on each.
    Up(UpArguments),
    /// Take a cluster down: processes, namespaces and files.
    Down(DownArguments),
    /// Show a cluster's processes and pods.
    Status(Name),
    /// Run kubectl with a cluster.
    Kubectl(KubectlArguments),
    /// Run a command in a pod's network.
    Exec(ExecArguments),
    /// Kill a part of a cluster, as when memory is short: apiserver, kubelet-1, agent-2.
    Kill(PartArguments),
    /// Start a part of a cluster that was killed.
    Start(PartArguments),
}

#[derive(Debug, Args)]
pub struct UpArguments {
    #[command(flatten)]
    cluster: Name,
    /// Number of nodes besides the control plane.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=50))]
    nodes: u16,
    /// Without `podgate agent` on the nodes: policies are not enforced.
    #[arg(long)]
    no_agent: bool,
    /// One more argument for the agents, such as --agent-arg=--backend=nft.
    #[arg(long = "agent-arg", value_name = "ARG", allow_hyphen_values = true, conflicts_with = "no_agent")]
    agent_arguments: Vec<String>,
    /// The binary with the control plane's parts; by default the newest that scripts/control-plane has built.
    #[arg(long, value_name = "FILE")]
    control_plane: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct DownArguments {
    #[command(flatten)]
    cluster: Name,
    /// Take all clusters of this machine down.
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

#[derive(Debug, Args)]
pub struct KubectlArguments {
    #[command(flatten)]
    cluster: Name,
    /// kubectl's own arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ExecArguments {
    #[command(flatten)]
    cluster: Name,
    /// NAMESPACE/POD, `node/NAME` or `outside`.
    pod: String,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct PartArguments {
    #[command(flatten)]
    cluster: Name,
    /// etcd, apiserver, controllers, scheduler, kubelet-N, responder-N or agent-N.
    part: String,
}

/// Arguments of a node's own process.
#[derive(Debug, Args)]
pub struct KubeletArguments {
    #[arg(long)]
    cluster: String,
    #[arg(long)]
    node: usize,
}

/// Arguments of a node's responder.
#[derive(Debug, Args)]
pub struct ResponderArguments {
    #[arg(long)]
    places: PathBuf,
}

pub fn run(command: Command) -> Outcome {
    match command {
        Command::Up(arguments) => up(&arguments),
        Command::Down(arguments) => take_down(&arguments),
        Command::Status(name) => status(&name),
        Command::Kubectl(arguments) => kubectl(&arguments),
        Command::Exec(arguments) => exec(&arguments),
        Command::Kill(arguments) => {
            cluster(&arguments.cluster)?.kill(arguments.part.parse::<Part>()?)?;
            Ok(FINE)
        }
        Command::Start(arguments) => start(&arguments),
    }
}

pub fn kubelet(arguments: &KubeletArguments) -> Outcome {
    process::detach();
    kubelet::run(&Site::new(&arguments.cluster)?, arguments.node)?;
    Ok(FINE)
}

pub fn responder(arguments: &ResponderArguments) -> Outcome {
    process::detach();
    podgate_lab::responder::run_places(&arguments.places)?;
    Ok(FINE)
}

fn up(arguments: &UpArguments) -> Outcome {
    require_root()?;
    let begun = Instant::now();
    let podgate = std::env::current_exe()
        .map_err(|error| Failure::bad(format!("find the podgate binary itself: {error}")))?;
    let control_plane = arguments.control_plane.clone().map_or_else(find_control_plane, Ok)?;
    interrupt::catch()?;
    let options = Options {
        name: arguments.cluster.name.clone(),
        nodes: arguments.nodes.into(),
        control_plane,
        podgate,
        agent: !arguments.no_agent,
        agent_arguments: arguments.agent_arguments.clone(),
        room: Room::Usual,
    };
    let mut cluster = Cluster::start(&options)?;
    cluster.leave_up();
    style::line(&format!(
        "{GOOD}cluster {} is up{GOOD:#} {FAINT}({:.1} s){FAINT:#}",
        options.name,
        begun.elapsed().as_secs_f64()
    ));
    let policies = if options.agent { "enforced" } else { "not enforced (--no-agent)" };
    style::line(&format!("  nodes     {}", options.nodes));
    style::line(&format!("  policies  {policies}"));
    let option = name_option(&options.name);
    let next = [
        (
            format!("podgate lab kubernetes kubectl{option} apply -f FILE"),
            "change something; any kubectl command works",
        ),
        (format!("podgate lab kubernetes kubectl{option} get pods -A -o wide"), "see what runs where"),
        (format!("podgate lab kubernetes exec{option} NS/POD -- CMD"), "run a command in a pod's network"),
        (
            format!("podgate lab kubernetes kill{option} apiserver"),
            "see what goes on without it; `start` brings it back",
        ),
        (format!("podgate lab kubernetes down{option}"), "take it down"),
    ];
    style::line("next:");
    let width = next.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    for (command, what) in next {
        style::line(&format!("  {BOLD}{command:width$}{BOLD:#}  {what}"));
    }
    Ok(FINE)
}

fn take_down(arguments: &DownArguments) -> Outcome {
    require_root()?;
    let names = match arguments.all {
        true => Site::all(),
        false => vec![arguments.cluster.name.clone()],
    };
    if names.is_empty() {
        style::line("no cluster is up");
    }
    for name in names {
        let existed = down(&Site::new(&name)?)?;
        style::line(&match existed {
            true => format!("cluster {name} is down"),
            false => format!("cluster {name} was not up"),
        });
    }
    Ok(FINE)
}

fn status(name: &Name) -> Outcome {
    require_root()?;
    let cluster = cluster(name)?;
    let parts: Vec<Vec<String>> = Part::all(cluster.spec())
        .into_iter()
        .map(|part| {
            let state = match cluster.process(part) {
                Some(pid) => format!("{GOOD}running{GOOD:#} {FAINT}(pid {pid}){FAINT:#}"),
                None => format!("{BAD}not running{BAD:#}"),
            };
            vec![part.to_string(), state, part.log(cluster.site()).display().to_string()]
        })
        .collect();
    style::table(&["PART", "STATE", "LOG"], &parts);
    let pods: Vec<Vec<String>> = cluster
        .pods()
        .into_iter()
        .map(|(node, pod)| {
            let ips: Vec<String> = pod.ips.iter().map(ToString::to_string).collect();
            vec![format!("{}/{}", pod.namespace, pod.name), node, ips.join(" "), pod.netns]
        })
        .collect();
    if !pods.is_empty() {
        style::line("");
        style::table(&["POD", "NODE", "ADDRESSES", "NETNS"], &pods);
    }
    Ok(FINE)
}

fn kubectl(arguments: &KubectlArguments) -> Outcome {
    require_root()?;
    let cluster = cluster(&arguments.cluster)?;
    enter(&cluster.site().netns(0))?;
    let error = cluster.kubectl_command().args(&arguments.arguments).exec();
    Err(Failure::bad(format!("run kubectl: {error}")))
}

fn exec(arguments: &ExecArguments) -> Outcome {
    require_root()?;
    let cluster = cluster(&arguments.cluster)?;
    let underlay = cluster.site().underlay(cluster.spec().nodes)?;
    let node = arguments.pod.strip_prefix("node/");
    let place = match (arguments.pod.as_str(), node, arguments.pod.split_once('/')) {
        ("outside", ..) => underlay.outside.netns,
        (_, Some(name), _) => match underlay.nodes.into_iter().find(|node| node.name == name) {
            Some(node) => node.netns,
            None => {
                return Err(Failure::bad(format!("no node {name}; there are control-plane, node-1, ...")));
            }
        },
        (_, _, Some((namespace, pod))) => cluster.pod(namespace, pod)?.netns,
        _ => cluster.pod("default", &arguments.pod)?.netns,
    };
    enter(&place)?;
    let error = std::process::Command::new(&arguments.command[0]).args(&arguments.command[1..]).exec();
    Err(Failure::bad(format!("{}: {error}", arguments.command[0])))
}

fn start(arguments: &PartArguments) -> Outcome {
    require_root()?;
    let cluster = cluster(&arguments.cluster)?;
    let part: Part = arguments.part.parse()?;
    if let Some(pid) = cluster.process(part) {
        return Err(Failure::bad(format!("{part} runs already (pid {pid}); `kill` it first")));
    }
    cluster.start_part(part)?;
    Ok(FINE)
}

fn cluster(name: &Name) -> Result<Cluster, Failure> {
    let option = name_option(&name.name);
    if !Path::new(podgate_lab_kubernetes::site::RUN_DIR).join(&name.name).exists() {
        return Err(Failure::bad(format!(
            "cluster {} is not up; bring it up with `podgate lab kubernetes up{option}`",
            name.name
        )));
    }
    Ok(Cluster::attach(&name.name)?)
}

fn enter(place: &str) -> Result<(), Failure> {
    let file = netns::open(place)?;
    netns::enter(&file).map_err(|error| Failure::bad(format!("enter network namespace {place}: {error}")))
}

/// The option that names this cluster, for commands that a text suggests; empty for the default.
fn name_option(name: &str) -> String {
    if name == DEFAULT_NAME { String::new() } else { format!(" --name {name}") }
}
