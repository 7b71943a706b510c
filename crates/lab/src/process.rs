//! The lab's long-running processes: starting, finding and ending them.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::interrupt;
use crate::state::Lab;

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(5);

/// A process that belongs to a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Answers in the pods.
    Responder,
    /// Enforces policies.
    Enforce,
    /// Serves the page.
    Page,
}

/// Content of a pid file. A number alone could be another process's by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    pid: i32,
    /// Field 22 of proc_pid_stat(5): clock ticks after boot.
    started: u64,
}

impl Role {
    /// The hidden subcommand that runs it, followed by `--lab NAME`.
    pub const fn subcommand(self) -> &'static str {
        match self {
            Role::Responder => "__lab-responder",
            Role::Enforce => "__lab-enforce",
            Role::Page => "__lab-page",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Role::Responder => "responder",
            Role::Enforce => "enforce",
            Role::Page => "page",
        }
    }

    fn pid_file(self) -> String {
        format!("{}.pid", self.name())
    }

    /// Name of its log in the run directory.
    pub fn log_file(self) -> String {
        format!("{}.log", self.name())
    }
}

/// Makes the calling process independent of the terminal from which it was started.
pub fn detach() {
    // Fails only for a process that leads its group already, which a terminal's signals then reach no more.
    let _ = rustix::process::setsid();
}

/// The process id of a lab's process, when it is alive.
///
/// # Errors
/// When the pid file is damaged.
pub fn find(lab: &Lab, role: Role) -> Result<Option<i32>> {
    let identity: Option<Identity> = lab.read(&role.pid_file())?;
    Ok(identity.filter(|known| started(known.pid) == Some(known.started)).map(|known| known.pid))
}

/// Starts a lab's process in the background: `exe` with the role's subcommand.
///
/// # Errors
/// When it can't be started.
pub(crate) fn start(lab: &Lab, role: Role, exe: &Path) -> Result<Child> {
    let failed = |error| Error::io(format!("start {} {}", exe.display(), role.subcommand()), error);
    let log = File::create(lab.file(&role.log_file())).map_err(failed)?;
    let child = Command::new(exe)
        .args([role.subcommand(), "--lab", lab.name()])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log)
        .spawn()
        .map_err(failed)?;
    let pid = i32::try_from(child.id()).unwrap_or(0);
    lab.store(&role.pid_file(), &Identity { pid, started: started(pid).unwrap_or(0) })?;
    Ok(child)
}

/// Waits until `ready` says so.
///
/// # Errors
/// When the process ends before, with the end of its log; after `patience`; or when interrupted.
pub(crate) fn wait_ready(
    lab: &Lab,
    role: Role,
    patience: Duration,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        if ready()? {
            return Ok(());
        }
        interrupt::check()?;
        if find(lab, role)?.is_none() {
            return Err(Error::message(format!("the lab's {} ended: {}", role.name(), log_end(lab, role))));
        }
        if Instant::now() > deadline {
            return Err(Error::message(format!(
                "the lab's {} is not ready after {} s: {}; its log is {}",
                role.name(),
                patience.as_secs(),
                log_end(lab, role),
                lab.file(&role.log_file()).display()
            )));
        }
        std::thread::sleep(POLL);
    }
}

/// Ends all processes of a lab with this role, also those without a pid file.
///
/// # Errors
/// When one can't be ended.
pub(crate) fn stop(lab: &Lab, role: Role) -> Result<()> {
    let pids = running(lab, role);
    for (signal, patience) in [(Signal::TERM, GRACE), (Signal::KILL, GRACE)] {
        let alive = || pids.iter().filter(|(pid, start)| started(pid.as_raw_nonzero().get()) == Some(*start));
        for (pid, _) in alive() {
            match kill_process(*pid, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => {
                    let what = format!("end process {} of lab {}", pid.as_raw_nonzero(), lab.name());
                    return Err(Error::io(what, error.into()));
                }
            }
        }
        let deadline = Instant::now() + patience;
        while alive().next().is_some() && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
    }
    let _ = fs::remove_file(lab.file(&role.pid_file()));
    Ok(())
}

/// Processes whose command line is that of [`start`]. A process that was started when `up` was killed has
/// no pid file.
fn running(lab: &Lab, role: Role) -> Vec<(Pid, u64)> {
    let wanted = [role.subcommand(), "--lab", lab.name()];
    let matches = |pid: i32| {
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).skip(1).take(3).collect();
        words.iter().map(|word| String::from_utf8_lossy(word)).eq(wanted)
    };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| matches(*pid))
        .filter_map(|pid| Some((Pid::from_raw(pid)?, started(pid)?)))
        .collect()
}

/// When a process started, in clock ticks after boot: with its id it names a process for good. `None` when
/// there is none, or only what is left of it until its parent asks.
pub fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the command in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

fn log_end(lab: &Lab, role: Role) -> String {
    let text = fs::read(lab.file(&role.log_file())).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim().lines().collect();
    match lines.len() {
        0 => "it said nothing".to_owned(),
        count => lines[count.saturating_sub(5)..].join("; "),
    }
}
