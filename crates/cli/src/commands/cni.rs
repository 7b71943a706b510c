//! `podgate cni`: the plugin by which a node's pods start when their policies are in force.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Subcommand};
use podgate_cni::install::{Chained, Entry, InstallError, chain, put_program, take_program, unchain};
use podgate_cni::{PLUGIN, Reply, Request, SOCKET, ask};

use crate::outcome::{FINE, Failure, Outcome};
use crate::style;

mod watch;

/// How long the agent has for an answer, and how often it is asked.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// SIGTERM or SIGINT came.
static ENDED: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Subcommand)]
pub enum Command {
    Install(InstallArguments),
    Uninstall(UninstallArguments),
}

/// Where a node's container runtime looks.
#[derive(Debug, Args)]
pub struct Directories {
    /// Where the runtime looks for CNI plugins.
    #[arg(long, default_value = "/opt/cni/bin", value_name = "DIR")]
    bin_dir: PathBuf,
    /// Where the runtime looks for network configurations.
    #[arg(long, default_value = "/etc/cni/net.d", value_name = "DIR")]
    conf_dir: PathBuf,
}

/// Make this node's pods wait for their policies.
///
/// Copies this program to where the container runtime looks for CNI plugins, as `podgate-cni`, and puts it into the
/// network configuration that the runtime uses, behind the plugins that are there. Nothing else of the
/// configuration changes. Start the agent first: from then on no pod of this node starts without it.
#[derive(Debug, Args)]
pub struct InstallArguments {
    #[command(flatten)]
    directories: Directories,
    /// Where the agent listens; without it /run/podgate/cni.sock.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Whether a pod whose policies don't come into force in time may not start; without it true.
    #[arg(long, value_name = "BOOL")]
    strict: Option<bool>,
    /// How long a pod waits for its policies; without it 20.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=110))]
    timeout_seconds: Option<u64>,
    /// Stay, and put it back whenever the network writes its configuration anew.
    #[arg(long)]
    watch: bool,
    /// Wait until the agent lets pods start, so that one that can't holds nothing up.
    #[arg(long)]
    after_agent: bool,
    /// Where the agent listens as seen from here, if that isn't where the plugin will find it.
    #[arg(long, requires = "after_agent", value_name = "PATH")]
    agent_socket: Option<PathBuf>,
}

/// Let this node's pods start without waiting for their policies.
///
/// Takes the plugin out of all network configurations, which stay as they are apart from that, and removes it.
#[derive(Debug, Args)]
pub struct UninstallArguments {
    #[command(flatten)]
    directories: Directories,
}

pub fn run(command: &Command) -> Outcome {
    match command {
        Command::Install(arguments) => install(arguments),
        Command::Uninstall(arguments) => uninstall(&arguments.directories),
    }
}

fn install(arguments: &InstallArguments) -> Outcome {
    let Directories { bin_dir, conf_dir } = &arguments.directories;
    let entry = Entry {
        socket: arguments.socket.clone(),
        strict: arguments.strict,
        timeout_seconds: arguments.timeout_seconds,
    };
    let own = std::env::current_exe()
        .map_err(|error| Failure::bad(format!("this program's own file can't be found: {error}")))?;
    if arguments.after_agent || arguments.watch {
        // In a container of its own no signal ends a process that doesn't listen to it.
        ctrlc::set_handler(|| ENDED.store(true, Ordering::Relaxed))
            .map_err(|error| Failure::bad(format!("cannot wait for signals: {error}")))?;
    }
    let agent = arguments.agent_socket.as_deref().or(arguments.socket.as_deref());
    if arguments.after_agent && !await_agent(agent.unwrap_or(Path::new(SOCKET))) {
        return Ok(FINE);
    }
    // The program first: a configuration that names a plugin that isn't there starts no pod.
    let put = move || put_program(&own, bin_dir);
    let plugin = bin_dir.join(PLUGIN);
    let is_new = put().map_err(failure)?;
    style::line(&format!("{}: {}", plugin.display(), if is_new { "installed" } else { "is there already" }));
    if arguments.watch {
        return watch::run(conf_dir, &entry, &plugin, &put);
    }
    say(&chain(conf_dir, &entry).map_err(failure)?);
    Ok(FINE)
}

/// Waits until the agent says that pods can start. `false`: a signal came first.
fn await_agent(socket: &Path) -> bool {
    let mut said = String::new();
    while !ENDED.load(Ordering::Relaxed) {
        let missing = match ask(socket, &Request::Status, PATIENCE) {
            Ok(Reply::Done) => return true,
            Ok(Reply::Refused(refusal)) => refusal.message,
            Err(error) => format!("{}: {error}", socket.display()),
        };
        if missing != said {
            style::note(&format!("waiting for the agent: {missing}"));
            said = missing;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    false
}

fn say(chained: &Chained) {
    style::line(&match chained {
        Chained::Already(path) => format!("{}: has {PLUGIN} already", path.display()),
        Chained::Now(path) => format!("{}: has {PLUGIN} now", path.display()),
    });
}

/// What `cni uninstall` does; removing podgate from a node begins with it.
pub fn uninstall(directories: &Directories) -> Outcome {
    // The other way round: no configuration may name a plugin that is gone.
    let changed = unchain(&directories.conf_dir).map_err(failure)?;
    for path in &changed {
        style::line(&format!("{}: has no {PLUGIN} any more", path.display()));
    }
    if changed.is_empty() {
        style::line(&format!("{}: {PLUGIN} is in no configuration", directories.conf_dir.display()));
    }
    let plugin = directories.bin_dir.join(PLUGIN).display().to_string();
    let was_there = take_program(&directories.bin_dir).map_err(failure)?;
    style::line(&format!("{plugin}: {}", if was_there { "removed" } else { "is not there" }));
    Ok(FINE)
}

fn failure(error: InstallError) -> Failure {
    Failure::bad(error.to_string())
}
