//! What the agent says about itself.

use podgate_datapath::Capabilities;
use serde::{Deserialize, Serialize};

/// The whole of it: `podgate status` shows it, `/v1/status` serves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// The agent's version.
    pub version: String,
    /// The cluster, as the connection calls it.
    pub cluster: String,
    /// Which backend enforces: `bpf` or `nft`.
    pub backend: String,
    /// Why it isn't BPF, where that was to be tried; otherwise empty.
    pub without_bpf: String,
    /// What the backend can't tell about packets; it enforces all the same.
    pub untold: Vec<String>,
    /// Seconds since the agent started.
    pub uptime_seconds: u64,
    /// Enforcement by an earlier agent went on while there was none, and was taken over.
    pub adopted: bool,
    /// Packets are judged now.
    pub enforcing: bool,
    /// Everything that verdicts depend on has been listed at least once.
    pub synced: bool,
    /// The kinds that are followed.
    pub sources: Vec<SourceStatus>,
    /// Pods of this node.
    pub pods: Vec<PodStatus>,
    /// Policies in the cluster.
    pub policies: usize,
    /// Policies that may judge pods of this node.
    pub policies_here: usize,
    /// Policies that are evaluated beside those in force, and decide nothing.
    #[serde(default)]
    pub staged: usize,
    /// Policies that can't be enforced as written, and why.
    pub faults: Vec<Fault>,
    /// What the kernel's tables hold, and what they did.
    pub kernel: KernelStatus,
    /// What is wrong now; empty when nothing is.
    pub failures: Vec<String>,
}

/// One kind of the API server's objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// The resource, such as `networkpolicies`.
    pub resource: String,
    /// A complete list has been seen, or the server doesn't have the kind.
    pub synced: bool,
    /// The server doesn't have the kind.
    pub absent: bool,
    /// Why it can't be followed now; empty when it can.
    pub interrupted: String,
    /// How often it was interrupted.
    pub interruptions: u64,
    /// News heard.
    pub news: u64,
}

/// A pod of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Its addresses.
    pub ips: Vec<String>,
    /// Whether its policies are in the kernel: `in-force`, `closed`, `waiting`, or `exempt` for pods with the
    /// node's network and pods that have ended.
    pub state: String,
    /// Policies isolate it as a source.
    pub egress_isolated: bool,
    /// Policies isolate it as a destination.
    pub ingress_isolated: bool,
}

/// A policy that can't be enforced as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// The object: kind, namespace, name.
    pub object: String,
    /// What is wrong, with the field's path.
    pub message: String,
}

/// The kernel's side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelStatus {
    /// Addresses of pods in the whole cluster.
    pub pods: usize,
    /// Classes of addresses.
    pub classes: usize,
    /// Verdict tables.
    pub programs: usize,
    /// Publications since the agent started.
    pub publications: u64,
    /// How long the last one took, in microseconds.
    pub last_publication_micros: u64,
    /// Addresses of pods that are closed, because the tables have no room for them.
    pub closed: Vec<String>,
    /// Addresses and prefixes without room: nothing passes between them and this node's pods.
    pub unplaced: Vec<String>,
    /// Packets seen since the tables were loaded.
    pub packets: u64,
    /// Packets allowed.
    pub allowed: u64,
    /// Packets denied, by reason.
    pub denied: std::collections::BTreeMap<String, u64>,
    /// Events lost because the buffer was full.
    pub events_lost: u64,
    /// Packets of name servers to pods that the kernel handed over.
    #[serde(default)]
    pub answers: u64,
    /// Such packets that were lost because the buffer was full: what rules with `domainNames` allow may open late.
    #[serde(default)]
    pub answers_lost: u64,
    /// What others had undone and was restored, by kind.
    pub repairs: std::collections::BTreeMap<String, u64>,
}

/// What a backend can't tell, and what is missing without it.
pub(crate) fn untold(capabilities: &Capabilities) -> Vec<&'static str> {
    let told = [
        (capabilities.packet_time, "the time of each packet (its event's is told)"),
        (capabilities.original_destination, "destinations as they were before translation, and so Services"),
        (capabilities.suppressed_by_source, "whose events were suppressed (their sum is told)"),
        (capabilities.events_outlive_process, "what happens while no agent runs"),
        (capabilities.totals, "packets, bytes and connections by edge and rule"),
        (capabilities.observing, "what staged policies would do"),
        (capabilities.answers, "answers of name servers, so that rules with domainNames allow nothing"),
    ];
    told.into_iter().filter(|(is_told, _)| !is_told).map(|(_, what)| what).collect()
}
