//! `ip` and `nft`, run inside a network namespace with their script on standard input.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::netns;

/// Runs `ip -batch` in a namespace: one process for all lines. Does nothing for an empty script.
///
/// # Errors
/// When a line fails: the error names the namespace, the line and the kernel's answer.
pub fn ip_batch(netns: &str, lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let output = run(netns, "ip", &["-batch", "-"], &lines.join("\n"))?;
    output.map_err(|message| {
        // iproute2 says `Command failed -:<line>` after the kernel's answer.
        let failed = message.lines().find_map(|line| line.strip_prefix("Command failed -:"));
        let line = failed.and_then(|number| number.trim().parse::<usize>().ok()).unwrap_or(1);
        let command = format!("ip {}", lines.get(line.saturating_sub(1)).map_or("", String::as_str));
        let answer: Vec<&str> = message.lines().filter(|l| !l.starts_with("Command failed")).collect();
        Error::Command { netns: netns.to_owned(), command, message: answer.join("; ") }
    })
}

/// Applies an nft script in a namespace, as one transaction.
///
/// # Errors
/// When nft or the kernel refuses it: nothing of it is in force then.
pub fn nft(netns: &str, script: &str) -> Result<()> {
    run(netns, "nft", &["-f", "-"], script)?.map_err(|message| Error::Command {
        netns: netns.to_owned(),
        command: "nft -f -".to_owned(),
        message: message.lines().take(6).collect::<Vec<_>>().join("; "),
    })
}

/// `Err` inside `Ok`: what a command that failed printed.
fn run(netns: &str, program: &str, args: &[&str], input: &str) -> Result<std::result::Result<(), String>> {
    let started = netns::run(netns, || {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        // A child that fails early closes its end; its message says more than this error.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        child.wait_with_output()
    })?;
    let output = started.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let package = if program == "ip" { "iproute2" } else { "nftables" };
            Error::message(format!("`{program}` is not installed; install the package {package}"))
        }
        _ => Error::io(format!("run `{program}` in network namespace {netns}"), error),
    })?;
    match output.status.success() {
        true => Ok(Ok(())),
        false => Ok(Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

/// Does independent work on a few threads, in order of the items; the first error wins.
pub(crate) fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let threads =
        std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16).min(items.len().max(1));
    let next = std::sync::atomic::AtomicUsize::new(0);
    let failed = std::sync::Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    if crate::interrupt::requested() {
                        break;
                    }
                    if let Err(error) = work(item) {
                        failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(error);
                        break;
                    }
                }
            });
        }
    });
    crate::interrupt::check()?;
    failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).map_or(Ok(()), Err)
}
