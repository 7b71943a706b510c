//! Plugin and agent: one request and one reply a connection, each one line of JSON.

use std::io::{self, BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What makes an attachment: one interface of one container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attachment {
    /// `CNI_CONTAINERID`: the sandbox, another one after each restart of it.
    pub container: String,
    /// `CNI_IFNAME`.
    pub interface: String,
}

/// The pod that a container is of, from `CNI_ARGS`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodName {
    /// `K8S_POD_NAMESPACE`.
    pub namespace: String,
    /// `K8S_POD_NAME`.
    pub name: String,
    /// `K8S_POD_UID`; empty with runtimes that don't tell.
    #[serde(default)]
    pub uid: String,
}

/// What the plugin asks of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub enum Request {
    /// The pod has these addresses: answer when its policies are in the kernel.
    Add {
        /// Which interface.
        attachment: Attachment,
        /// Whose.
        pod: PodName,
        /// The addresses that the chain gave it.
        ips: Vec<IpAddr>,
        /// How long the plugin waits for the answer.
        patience_ms: u64,
    },
    /// Are the policies of this pod still in the kernel for these addresses?
    Check {
        /// Which interface.
        attachment: Attachment,
        /// The addresses that it should have.
        ips: Vec<IpAddr>,
    },
    /// The interface goes away; its addresses are no pod's.
    Delete {
        /// Which interface.
        attachment: Attachment,
    },
    /// All attachments but these are gone.
    Collect {
        /// Those that there are.
        valid: Vec<Attachment>,
    },
    /// Could a pod start now?
    Status,
}

/// What the agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Reply {
    /// It is so.
    Done,
    /// It is not, and why.
    Refused(Refusal),
}

/// Why the agent can't do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Trying again later may help.
    pub retry: bool,
    /// What is wrong, for the pod's events.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub help: String,
}

/// Asks the agent that listens on a socket.
///
/// # Errors
/// When nobody listens, or no answer comes within the patience.
pub fn ask(socket: &Path, request: &Request, patience: Duration) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    if BufReader::new(stream).read_line(&mut answer)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the agent hung up without an answer"));
    }
    Ok(serde_json::from_str(&answer)?)
}
