//! The words of the CNI specification that the plugin uses.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Attachment;

/// Versions of the specification that the plugin speaks. In all of them a result's `ips` have `address`.
pub(crate) const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// The newest of them.
pub(crate) const NEWEST: &str = "1.1.0";

/// The network configuration that a runtime writes to the plugin's standard input.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Config<'a> {
    #[serde(default)]
    pub cni_version: String,
    /// What the plugins before this one made.
    #[serde(borrow)]
    pub prev_result: Option<&'a RawValue>,
    /// Of GC alone.
    #[serde(default, rename = "cni.dev/valid-attachments")]
    pub valid_attachments: Option<Vec<ValidAttachment>>,
    /// Where the agent listens.
    #[serde(default = "default_socket")]
    pub socket: PathBuf,
    /// Fail ADD when the pod's policies don't come into force in time; otherwise the pod starts, and its
    /// addresses are treated as those of an unknown pod until they do.
    #[serde(default = "default_strict")]
    pub strict: bool,
    /// How many seconds ADD waits.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u64,
}

fn default_socket() -> PathBuf {
    crate::SOCKET.into()
}

fn default_strict() -> bool {
    true
}

fn default_timeout_seconds() -> u64 {
    20
}

#[derive(Debug, Deserialize)]
pub(crate) struct ValidAttachment {
    #[serde(rename = "containerID")]
    container: String,
    ifname: String,
}

impl From<ValidAttachment> for Attachment {
    fn from(valid: ValidAttachment) -> Self {
        Attachment { container: valid.container, interface: valid.ifname }
    }
}

/// A result, as far as the plugin looks at it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PreviousResult {
    #[serde(default)]
    ips: Vec<ResultIp>,
}

#[derive(Debug, Deserialize)]
struct ResultIp {
    address: IpNet,
}

impl PreviousResult {
    pub fn ips(&self) -> Vec<IpAddr> {
        self.ips.iter().map(|ip| ip.address.addr()).collect()
    }
}

/// What the plugin supports.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VersionResult {
    pub cni_version: String,
    pub supported_versions: [&'static str; VERSIONS.len()],
}

/// An error as a runtime reads it from standard output.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failure {
    pub cni_version: String,
    pub code: u32,
    pub msg: String,
    pub details: String,
}

/// Error codes: those below 100 are the specification's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    IncompatibleVersion = 1,
    InvalidEnvironment = 4,
    Io = 5,
    Decoding = 6,
    InvalidConfig = 7,
    TryAgainLater = 11,
    /// STATUS: no pod can be added now.
    NotAvailable = 50,
    /// The agent says no, and trying again won't help.
    Refused = 100,
}
