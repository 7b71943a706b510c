//! `podgate uninstall-node`: everything that enforcement leaves on a node goes.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;

use super::cni;
use crate::outcome::{FINE, Failure, Outcome};
use crate::style;

/// End enforcement on this node, and remove what podgate left there.
///
/// What the agent put into the kernel stays in force when it ends. This takes it out: first the CNI plugin, so
/// that pods start without the agent, then the programs and tables in the kernel, then podgate's files. No policy is
/// enforced from then on. End the agent before.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    directories: cni::Directories,
    /// Where the kernel's state is pinned.
    #[arg(long, default_value = "/sys/fs/bpf/podgate", value_name = "DIR")]
    pin_dir: PathBuf,
    /// The agent's sockets.
    #[arg(long, default_value = "/run/podgate", value_name = "DIR")]
    run_dir: PathBuf,
    /// What the agent remembers over reboots.
    #[arg(long, default_value = "/var/lib/podgate", value_name = "DIR")]
    state_dir: PathBuf,
    /// Stay until SIGTERM when all is done, as the container of a DaemonSet has to.
    #[arg(long)]
    stay: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    cni::uninstall(&arguments.directories)?;
    podgate_datapath::remove(&arguments.pin_dir, None).map_err(|error| Failure::bad(error.to_string()))?;
    // The directory itself is its mount's owner's, if it is one.
    let _ = fs::remove_dir(&arguments.pin_dir);
    style::line("kernel: nothing of podgate is in it any more");
    for directory in [&arguments.run_dir, &arguments.state_dir] {
        clear(directory)?;
    }
    style::line("no policy is enforced on this node");
    if arguments.stay {
        stay()?;
    }
    Ok(FINE)
}

/// Removes what is in a directory, and the directory itself unless it is mounted here.
fn clear(directory: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::bad(format!("cannot remove what is in {}: {error}", directory.display()))
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.map_err(failed)?;
    }
    let _ = fs::remove_dir(directory);
    style::line(&format!("{}: cleared", directory.display()));
    Ok(())
}

fn stay() -> Result<(), Failure> {
    let (ended, end) = std::sync::mpsc::channel();
    ctrlc::set_handler(move || ended.send(()).unwrap_or_default())
        .map_err(|error| Failure::bad(format!("cannot wait for signals: {error}")))?;
    // The sender lives as long as the handler: this ends with a signal.
    let _ = end.recv();
    Ok(())
}
