//! How an agent is told to run.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use podgate_datapath::{Backend, Capacity, UnknownPods};

/// Which pods get the condition that says whether their policies are in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodConditions {
    /// Those that have it among their readiness gates.
    #[default]
    Gated,
    /// All pods of this node that policy judges.
    All,
    /// None: nothing is written to pods.
    Off,
}

/// The API over TLS.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Where it is served.
    pub address: SocketAddr,
    /// Its certificate and those that lead to its authority, PEM. Read again when the file changes.
    pub certificate: PathBuf,
    /// The certificate's key, PEM.
    pub key: PathBuf,
    /// The authority of clients' certificates, PEM; `None`: clients need a bearer token.
    pub client_ca: Option<PathBuf>,
}

/// What is kept of the flows that were seen.
#[derive(Clone, Debug, Default)]
pub struct FlowOptions {
    /// How much of it in memory.
    pub memory: podgate_flow::Limits,
}

/// What an agent needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of this node, as its Node object has it.
    pub node: String,
    /// The API server.
    pub kube: podgate_kube::Options,
    /// A directory on a BPF file system, used by nobody else.
    pub pin_dir: PathBuf,
    /// For sockets and what need not outlive a reboot.
    pub run_dir: PathBuf,
    /// For what has to: the node's pod CIDRs, and that podgate enforced here before.
    pub state_dir: PathBuf,
    /// What enforces in the kernel.
    pub backend: Backend,
    /// The blocks that this node's pods get their addresses from; empty: those of the Node object.
    pub pod_cidrs: Vec<IpNet>,
    /// What happens to addresses out of those blocks that no pod is known to have.
    pub unknown_pods: UnknownPods,
    /// Let ICMP echo requests through to isolated pods.
    pub icmp_echo: bool,
    /// Sizes of the kernel's tables.
    pub capacity: Capacity,
    /// Where metrics and health are served in plain HTTP; `None`: on the agent's socket only.
    pub metrics: Option<SocketAddr>,
    /// Where everything is served to authenticated clients; `None`: on the agent's socket only.
    pub api: Option<ApiOptions>,
    /// Which pods get a condition.
    pub pod_conditions: PodConditions,
    /// What is kept of flows.
    pub flows: FlowOptions,
}

impl Options {
    /// Where the CNI plugin finds the agent.
    pub fn cni_socket(&self) -> PathBuf {
        self.run_dir.join("cni.sock")
    }

    /// Where `podgate status` finds the agent.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join("agent.sock")
    }
}
