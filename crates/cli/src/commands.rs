//! The commands: arguments in, calls to the crates that do the work, text out.

mod agent;
mod can;
mod check;
mod cni;
mod completion;
mod demo;
mod diff;
mod doctor;
mod exposure;
mod graph;
mod lab;
mod man;
mod matrix;
mod observe;
mod reach;
mod recommend;
mod relay;
mod replay;
mod status;
mod suggest;
mod test;
mod ui;
mod uninstall_node;
mod why;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::outcome::finish;
use crate::plugin;

/// Kubernetes network policies: see them, test them, rely on them.
#[derive(Debug, Parser)]
#[command(name = "podgate", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Can(can::Arguments),
    Test(test::Arguments),
    Reach(reach::Arguments),
    Matrix(matrix::Arguments),
    Exposure(exposure::Arguments),
    Graph(graph::Arguments),
    Diff(diff::Arguments),
    Replay(replay::Arguments),
    Recommend(Box<recommend::Arguments>),
    Why(why::Arguments),
    /// A cluster made of network namespaces on this machine, from manifests.
    #[command(subcommand)]
    Lab(lab::Command),
    /// See Kubernetes network policies enforced, step by step, in a lab made for it.
    Demo(demo::Arguments),
    Suggest(suggest::Arguments),
    Check(check::Arguments),
    Ui(Box<ui::Arguments>),
    Observe(Box<observe::Arguments>),
    Relay(relay::Arguments),
    Agent(agent::Arguments),
    Status(status::Arguments),
    Doctor(doctor::Arguments),
    /// The plugin by which pods of a node start when their policies are in force.
    #[command(subcommand)]
    Cni(cni::Command),
    UninstallNode(uninstall_node::Arguments),
    Completion(completion::Arguments),
    Man(man::Arguments),
    /// Answers in a lab's pods; started by `lab up`.
    #[command(name = "__lab-responder", hide = true)]
    LabResponder(lab::DaemonArguments),
    /// Enforces policies in a lab; started by `lab up`.
    #[command(name = "__lab-enforce", hide = true)]
    LabEnforce(lab::DaemonArguments),
    /// Serves a lab's page; started by `lab up --ui`.
    #[command(name = "__lab-page", hide = true)]
    LabPage(lab::DaemonArguments),
}

/// The whole command line, for texts made from it.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    if plugin::is_cni() {
        let variable = |name: &str| std::env::var(name).ok();
        return podgate_cni::run(variable, std::io::stdin(), std::io::stdout(), std::io::stderr());
    }
    let named = match plugin::name() {
        Some(name) => command().bin_name(name),
        None => command(),
    };
    let arguments = Arguments::from_arg_matches(&named.get_matches()).unwrap_or_else(|error| error.exit());
    let outcome = match arguments.command {
        Command::Can(arguments) => can::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Reach(arguments) => reach::run(&arguments),
        Command::Matrix(arguments) => matrix::run(&arguments),
        Command::Exposure(arguments) => exposure::run(&arguments),
        Command::Graph(arguments) => graph::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Recommend(arguments) => recommend::run(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Lab(command) => lab::run(command),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Suggest(arguments) => suggest::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Ui(arguments) => ui::run(*arguments),
        Command::Observe(arguments) => observe::run(&arguments),
        Command::Relay(arguments) => relay::run(&arguments),
        Command::Agent(arguments) => agent::run(arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Cni(command) => cni::run(&command),
        Command::UninstallNode(arguments) => uninstall_node::run(&arguments),
        Command::Completion(arguments) => completion::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
        Command::LabResponder(arguments) => lab::responder(&arguments),
        Command::LabEnforce(arguments) => lab::enforce(&arguments),
        Command::LabPage(arguments) => lab::page(&arguments),
    };
    finish(outcome)
}
