//! Whether this node can be enforced on, and what to do where it can't.
//!
//! Each check reads what the node says about itself and changes nothing.

mod cni;
mod kernel;
mod network;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, with a limit that one should know.
    Warning,
    /// Policies aren't enforced, or not all of them.
    Error,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The check's name.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What is so.
    pub message: String,
    /// What to do about it; empty where nothing is to be done.
    pub help: String,
}

impl Finding {
    fn ok(check: &'static str, message: impl Into<String>) -> Finding {
        Finding { check, level: Level::Ok, message: message.into(), help: String::new() }
    }

    fn warning(check: &'static str, message: impl Into<String>, help: impl Into<String>) -> Finding {
        Finding { check, level: Level::Warning, message: message.into(), help: help.into() }
    }

    fn error(check: &'static str, message: impl Into<String>, help: impl Into<String>) -> Finding {
        Finding { check, level: Level::Error, message: message.into(), help: help.into() }
    }
}

/// Where to look.
#[derive(Clone, Debug)]
pub struct Node {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// Where the container runtime finds network configurations.
    pub cni_conf_dir: PathBuf,
    /// Where it finds plugins.
    pub cni_bin_dir: PathBuf,
    /// Where the agent pins its state.
    pub pin_dir: PathBuf,
}

impl Default for Node {
    fn default() -> Self {
        Node {
            proc: "/proc".into(),
            sys: "/sys".into(),
            cni_conf_dir: "/etc/cni/net.d".into(),
            cni_bin_dir: "/opt/cni/bin".into(),
            pin_dir: "/sys/fs/bpf/podgate".into(),
        }
    }
}

impl Node {
    fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.trim().parse().ok()
    }

    fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.proc.join(path)).ok()
    }
}

/// Runs all checks, in a fixed order.
pub fn examine(node: &Node) -> Vec<Finding> {
    let nft = output("nft", &["-j", "list", "ruleset"]);
    let links = output("ip", &["-j", "-d", "link", "show"]);
    vec![
        kernel::version(node),
        kernel::bpf(),
        kernel::capabilities(node),
        kernel::bpf_file_system(node),
        network::nft(&nft),
        network::conntrack(node),
        network::forwarding(node),
        network::bridges(node, &links),
        network::flowtables(&nft),
        cni::network(node),
        cni::plugin(node),
    ]
}

/// What a command says; `Err`: why it can't.
fn output(command: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(command).args(arguments).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests;
