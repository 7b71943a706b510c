//! `podgate status`: what the agent of this node says about itself.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use podgate_agent::Status;

use crate::outcome::{FINDINGS, FINE, Failure, Outcome};
use crate::{output, render};

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the agent of this node enforces, and what is wrong with it.
///
/// Ends with exit code 1 when something is: not synced, a pod closed for lack of room, a policy that can't be
/// enforced as written.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the agent's socket is.
    #[arg(long, default_value = "/run/podgate", value_name = "DIR")]
    run_dir: PathBuf,
    /// The form of the answer.
    #[arg(short, long, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let status = ask(&arguments.run_dir.join("agent.sock"))?;
    match arguments.output {
        Form::Text => render::print(&render::status::text(&status)),
        Form::Json => output::json(&status)?,
        Form::Yaml => output::yaml(&status)?,
    }
    let is_fine = status.synced
        && status.enforcing
        && status.failures.is_empty()
        && status.faults.is_empty()
        && status.kernel.closed.is_empty()
        && status.kernel.unplaced.is_empty();
    Ok(if is_fine { FINE } else { FINDINGS })
}

fn ask(socket: &Path) -> Result<Status, Failure> {
    let unreachable = |error: std::io::Error| {
        Failure::bad(format!(
            "no agent answers at {}: {error}; does one run on this node, and are you root? \
             (in a cluster: kubectl exec the podgate pod of the node)",
            socket.display()
        ))
    };
    let mut stream = UnixStream::connect(socket).map_err(unreachable)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
    // HTTP/1.0: the answer ends with the connection.
    stream.write_all(b"GET /v1/status HTTP/1.0\r\nHost: podgate\r\n\r\n").map_err(unreachable)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(unreachable)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let first = head.lines().next().unwrap_or_default();
    if first.split(' ').nth(1) != Some("200") {
        return Err(Failure::bad(format!("the agent answers {first}: {}", body.trim())));
    }
    serde_json::from_str(body).map_err(|error| {
        Failure::bad(format!("the agent's answer can't be read: {error}: is it of another version?"))
    })
}
