//! Keeps connection tracking on: a netfilter program reads it, but attaching one doesn't turn it on.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use crate::Error;

/// One rule that needs connection tracking, in a chain that no hook calls: it costs nothing a packet.
const RULES: &str = "\
add table inet podgate
add chain inet podgate conntrack
flush chain inet podgate conntrack
add rule inet podgate conntrack ct state new
";

/// Makes sure that the calling thread's network namespace tracks connections. `true`: something had to be
/// done for that.
pub(crate) fn assert_on() -> Result<bool, Error> {
    let there = nft(&["list", "chain", "inet", "podgate", "conntrack"], "");
    if there.is_ok_and(|chain| chain.contains("ct state new")) {
        return Ok(false);
    }
    nft(&["-f", "-"], RULES).map(|_| true)
}

/// Takes the rule away.
pub(crate) fn withdraw() -> Result<(), Error> {
    nft(&["-f", "-"], "add table inet podgate\ndelete table inet podgate\n").map(drop)
}

fn nft(arguments: &[&str], input: &str) -> Result<String, Error> {
    let failed = |message: String| Error::Command { command: "nft", message };
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => failed("not found, install the package nftables".into()),
            _ => failed(error.to_string()),
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}
