//! How an agent is told to run.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;
use ipnet::IpNet;
use podgate_archive::export::{Bucket, Secret};
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
    /// Where they are kept on disk, and how much of them; `None`: nowhere.
    pub disk: Option<(PathBuf, podgate_archive::Caps)>,
    /// Where they are served to other machines in Hubble's interface; `None`: on the node's socket only. Without
    /// [`ApiOptions::client_ca`] only an address of this machine will do.
    pub hubble: Option<SocketAddr>,
    /// Enforce nothing: all policies are staged, whatever they are annotated with.
    pub stage_all: bool,
    /// Where else they go.
    pub exports: ExportOptions,
}

/// Where copies of flows go.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// The cluster's name in what is sent; empty: none.
    pub cluster: String,
    /// A collector of OpenTelemetry.
    pub otlp: Option<OtlpOptions>,
    /// A database.
    pub clickhouse: Option<ClickHouseOptions>,
    /// Storage for the hours on disk, which takes [`FlowOptions::disk`]. The node's name is added to the prefix.
    pub s3: Option<Bucket>,
}

/// A collector that takes OTLP over HTTP: logs and metrics.
#[derive(Clone, Debug)]
pub struct OtlpOptions {
    /// Its base, without `/v1/logs`.
    pub endpoint: Url,
    /// Headers of each request, such as one with a token.
    pub headers: Vec<(String, Secret)>,
}

/// A ClickHouse server.
#[derive(Clone, Debug)]
pub struct ClickHouseOptions {
    /// Its HTTP interface.
    pub url: Url,
    /// The database with podgate's tables.
    pub database: String,
    /// Who writes to it; empty: the server's default.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// Make the database and the tables when they are missing.
    pub create: bool,
}

/// The base of a server's HTTP API, such as `http://127.0.0.1:8123`, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Url, String> {
        const EXAMPLE: &str = "write it like http://127.0.0.1:8123";
        let uri: Uri = text.parse().map_err(|error| format!("{error}: {EXAMPLE}"))?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => {
                Err("every process of the node can read arguments: give passwords in --export-secrets"
                    .to_owned())
            }
            Some(_) if is_http && uri.query().is_none() => Ok(Url(text.trim_end_matches('/').to_owned())),
            _ => Err(format!("no base of an HTTP API: {EXAMPLE}")),
        }
    }
}

/// What is learned from answers of name servers to this node's pods.
#[derive(Clone, Debug)]
pub struct NameOptions {
    /// Whose answers open addresses.
    pub resolvers: podgate_observe::Resolvers,
    /// Ports of name servers, after Service DNAT.
    pub ports: Vec<u16>,
    /// So much longer than its TTL counts an answer.
    pub grace: Duration,
}

impl Default for NameOptions {
    fn default() -> Self {
        NameOptions {
            resolvers: podgate_observe::Resolvers::default(),
            ports: podgate_datapath::DnsAnswers::default().ports,
            grace: podgate_observe::BindingLimits::default().grace,
        }
    }
}

/// Where a collector of OpenTelemetry takes OTLP over HTTP, such as `http://127.0.0.1:4318`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

impl Endpoint {
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// A base, to which the path of traces is added, as for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    fn from_str(text: &str) -> Result<Endpoint, String> {
        const EXAMPLE: &str = "write it like http://127.0.0.1:4318";
        let whole = format!("{}/v1/traces", text.trim_end_matches('/'));
        let uri: Uri = whole.parse().map_err(|error| format!("{error}: {EXAMPLE}"))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http" | "https"), Some(_)) => Ok(Endpoint(uri)),
            _ => Err(format!("no URL of http or https: {EXAMPLE}")),
        }
    }
}

/// What is told of changes, and to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceOptions {
    /// The collector.
    pub endpoint: Endpoint,
    /// The part of the changes that is told in which no policy and no namespace took part, from 0 to 1.
    pub pod_ratio: f64,
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
    /// What is learned from DNS.
    pub names: NameOptions,
    /// Where changes are traced; `None`: nowhere.
    pub traces: Option<TraceOptions>,
    /// Hands memory back to the system that the allocator keeps of what was freed; called some seconds after a list of the
    /// API server's was taken in. `None`: the allocator does as it likes.
    pub hand_back: Option<fn()>,
}

impl Options {
    /// An agent of this node, in these directories, with what the command line has by default for all else.
    pub fn new(
        node: impl Into<String>,
        kube: podgate_kube::Options,
        pin_dir: impl Into<PathBuf>,
        run_dir: impl Into<PathBuf>,
        state_dir: impl Into<PathBuf>,
    ) -> Options {
        Options {
            node: node.into(),
            kube,
            pin_dir: pin_dir.into(),
            run_dir: run_dir.into(),
            state_dir: state_dir.into(),
            backend: Backend::Auto,
            pod_cidrs: Vec::new(),
            unknown_pods: UnknownPods::Closed,
            icmp_echo: false,
            capacity: Capacity::default(),
            metrics: None,
            api: None,
            pod_conditions: PodConditions::Gated,
            flows: FlowOptions::default(),
            names: NameOptions::default(),
            traces: None,
            hand_back: None,
        }
    }

    /// Where the CNI plugin finds the agent.
    pub fn cni_socket(&self) -> PathBuf {
        self.run_dir.join("cni.sock")
    }

    /// Where `podgate observe` and `hubble` find the node's flows.
    pub fn hubble_socket(&self) -> PathBuf {
        self.run_dir.join("hubble.sock")
    }

    /// Where `podgate status` finds the agent.
    pub fn socket(&self) -> PathBuf {
        self.run_dir.join("agent.sock")
    }
}
