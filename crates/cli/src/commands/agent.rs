//! `podgate agent`: enforcement on one node of a cluster.

mod exports;
mod page;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use podgate_agent::{
    ApiOptions, Endpoint, FlowOptions, NameOptions, Options, PodConditions, Resolvers, TraceOptions,
};
use podgate_archive::Caps;
use podgate_datapath::{Backend, Capacity, UnknownPods};
use podgate_flow::Limits;

use crate::outcome::{FINE, Failure, Outcome};

/// Enforce policies on this node of a Kubernetes cluster.
///
/// Runs on every node, usually as a DaemonSet. It follows the API server and keeps the node's kernel in step.
/// What is in the kernel stays in force when it ends, however it ends.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The name of this node's Node object.
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node_name: String,
    /// The kubeconfig; without it the service account of the agent's pod is used.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Where the kernel's state is pinned: a directory on a BPF file system.
    #[arg(long, default_value = "/sys/fs/bpf/podgate", value_name = "DIR")]
    pin_dir: PathBuf,
    /// For the agent's sockets and the addresses that the CNI plugin told of.
    #[arg(long, default_value = "/run/podgate", value_name = "DIR")]
    run_dir: PathBuf,
    /// For what outlives a reboot: that podgate enforced here, and where pods' addresses come from.
    #[arg(long, default_value = "/var/lib/podgate", value_name = "DIR")]
    state_dir: PathBuf,
    /// What enforces in the kernel: bpf, nft, or the best that it can do.
    #[arg(long, default_value_t = Backend::Auto, value_name = "auto|bpf|nft")]
    backend: Backend,
    /// A block that this node's pods get their addresses from. Without it, those of the Node object.
    #[arg(long = "pod-cidr", value_name = "CIDR")]
    pod_cidrs: Vec<IpNet>,
    /// What happens to addresses in this node's pod CIDRs that no pod is known to have.
    #[arg(long, value_enum, default_value_t = Unknown::Closed)]
    unknown_pods: Unknown,
    /// Let ICMP and ICMPv6 echo requests through to isolated pods.
    #[arg(long)]
    icmp_echo: bool,
    /// Where /metrics, /healthz and /readyz are served in plain HTTP.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_address: Option<SocketAddr>,
    /// Where everything, the status with names of pods and policies included, is served over TLS to clients that say
    /// who they are.
    #[arg(long, value_name = "ADDRESS:PORT", requires_all = ["api_cert", "api_key"])]
    api_address: Option<SocketAddr>,
    /// The API's certificate, PEM. Read again when it changes.
    #[arg(long, value_name = "FILE", requires = "api_address")]
    api_cert: Option<PathBuf>,
    /// The key of the API's certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "api_address")]
    api_key: Option<PathBuf>,
    /// The authority of clients' certificates, PEM. Other clients need a bearer token whose bearer may GET the path.
    #[arg(long, value_name = "FILE", requires = "api_address")]
    api_client_ca: Option<PathBuf>,
    /// Where flows are served in Hubble's interface, beside the socket hubble.sock in the run directory: over TLS to clients
    /// with certificates of --api-client-ca; without that only an address of this machine will do.
    #[arg(long, value_name = "ADDRESS:PORT")]
    hubble_address: Option<SocketAddr>,
    /// How many flow records of the last hour are kept in memory, about 400 bytes each.
    #[arg(long, default_value_t = Limits::default().records, value_name = "COUNT")]
    flow_records: usize,
    /// How many MiB of flows are kept on disk, in the state directory; 0: none.
    #[arg(long, default_value_t = 1024, value_name = "MIB")]
    flow_disk: u64,
    /// How many days of flows are kept on disk.
    #[arg(long, default_value_t = 7, value_name = "DAYS")]
    flow_days: u64,
    /// Enforce nothing: all policies are evaluated, and flows tell what they would do. Without it, policies and
    /// namespaces say so with the annotation `podgate.dev/mode: staged`.
    #[arg(long)]
    stage_all: bool,
    /// Which pods get the condition `podgate.dev/in-force`.
    #[arg(long, value_enum, default_value_t = Conditions::Gated)]
    pod_conditions: Conditions,
    /// How many pod addresses of the whole cluster the kernel's tables hold.
    #[arg(long, default_value_t = 262_144, value_name = "COUNT")]
    capacity_addresses: u32,
    /// How many prefixes of policies the kernel's tables hold.
    #[arg(long, default_value_t = Capacity::default().prefixes, value_name = "COUNT")]
    capacity_prefixes: u32,
    /// How many rows the verdict tables of this node's pods hold.
    #[arg(long, default_value_t = Capacity::default().rows, value_name = "COUNT")]
    capacity_rows: u32,
    /// How many port ranges those rows hold.
    #[arg(long, default_value_t = Capacity::default().ranges, value_name = "COUNT")]
    capacity_ranges: u32,
    /// A network of name servers whose answers open addresses for rules with domainNames, their addresses after Service
    /// translation. Without it, the pods of kube-system with the label k8s-app=kube-dns, and nodes.
    #[arg(long = "dns-resolver", value_name = "CIDR")]
    dns_resolvers: Vec<IpNet>,
    /// A port of these name servers' pods; up to four.
    #[arg(long = "dns-port", value_name = "PORT", default_value = "53")]
    dns_ports: Vec<u16>,
    /// So many seconds longer than its TTL counts an answer.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    dns_grace: u64,
    /// A collector of OpenTelemetry that takes OTLP over HTTP, such as http://127.0.0.1:4318: changes of policies are
    /// traced from the API server into the kernel.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<Endpoint>,
    /// Which part of the changes of pods and nodes alone is traced as well, from 0 to 1.
    #[arg(long, default_value_t = 0.01, value_parser = ratio, value_name = "RATIO")]
    otlp_pod_ratio: f64,
    /// The form of the log, on standard error.
    #[arg(long, value_enum, default_value_t = LogForm::Auto, value_name = "FORM")]
    log_format: LogForm,
    /// What is logged: error, warn, info, debug, or as `tracing` filters are written.
    #[arg(long, env = "PODGATE_LOG", default_value = "info", value_name = "FILTER")]
    log: String,
    // Last: their headings would stand over what follows.
    #[command(flatten)]
    page: Box<page::PageArguments>,
    #[command(flatten)]
    exports: Box<exports::ExportArguments>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Unknown {
    /// Nothing passes to or from them.
    Closed,
    /// As if no policy isolated them.
    Open,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Conditions {
    /// Pods that have it among their readiness gates.
    Gated,
    /// All pods that policy judges.
    All,
    /// No pods.
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogForm {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Lines for people.
    Text,
    /// An object a line.
    Json,
}

pub fn run(arguments: Arguments) -> Outcome {
    log_to_stderr(&arguments)?;
    let flow_dir = arguments.state_dir.join("flows");
    let options = Options {
        node: arguments.node_name,
        kube: podgate_kube::Options { kubeconfig: arguments.kubeconfig, context: arguments.context },
        pin_dir: arguments.pin_dir,
        run_dir: arguments.run_dir,
        state_dir: arguments.state_dir,
        backend: arguments.backend,
        pod_cidrs: arguments.pod_cidrs,
        unknown_pods: match arguments.unknown_pods {
            Unknown::Closed => UnknownPods::Closed,
            Unknown::Open => UnknownPods::Open,
        },
        icmp_echo: arguments.icmp_echo,
        capacity: Capacity {
            addresses: arguments.capacity_addresses,
            prefixes: arguments.capacity_prefixes,
            rows: arguments.capacity_rows,
            ranges: arguments.capacity_ranges,
            ..Capacity::default()
        },
        metrics: arguments.metrics_address,
        api: match (arguments.api_address, arguments.api_cert, arguments.api_key) {
            (Some(address), Some(certificate), Some(key)) => {
                Some(ApiOptions { address, certificate, key, client_ca: arguments.api_client_ca })
            }
            _ => None,
        },
        flows: FlowOptions {
            memory: Limits { records: arguments.flow_records, ..Limits::default() },
            disk: (arguments.flow_disk > 0).then(|| {
                let age = Duration::from_secs(arguments.flow_days.saturating_mul(86_400));
                (flow_dir, Caps { bytes: arguments.flow_disk << 20, age })
            }),
            hubble: arguments.hubble_address,
            stage_all: arguments.stage_all,
            exports: arguments.exports.options()?,
        },
        names: NameOptions {
            resolvers: match arguments.dns_resolvers.is_empty() {
                true => Resolvers::Cluster,
                false => Resolvers::Networks(arguments.dns_resolvers),
            },
            ports: arguments.dns_ports,
            grace: Duration::from_secs(arguments.dns_grace),
        },
        pod_conditions: match arguments.pod_conditions {
            Conditions::Gated => PodConditions::Gated,
            Conditions::All => PodConditions::All,
            Conditions::Off => PodConditions::Off,
        },
        traces: arguments
            .otlp_endpoint
            .map(|endpoint| TraceOptions { endpoint, pod_ratio: arguments.otlp_pod_ratio }),
        hand_back: Some(hand_back),
    };
    let page = arguments.page.start(&options.kube, &options.hubble_socket())?;
    let ended = podgate_agent::run(options);
    if let Some(page) = page {
        page.stop();
    }
    ended.map_err(|error| Failure::bad(error.to_string()))?;
    Ok(FINE)
}

/// The allocator keeps what lists of large clusters took while they were read, several times what stays of them.
fn hand_back() {
    // SAFETY: looks at the calling thread's heap and at those of threads that have ended.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

fn ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "give a number from 0 to 1".to_owned())
}

fn log_to_stderr(arguments: &Arguments) -> Result<(), Failure> {
    let filter = tracing_subscriber::EnvFilter::try_new(&arguments.log)
        .map_err(|error| Failure::bad(format!("--log {}: {error}", arguments.log)))?;
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match arguments.log_format {
        LogForm::Json => log.json().flatten_event(true).init(),
        LogForm::Auto if !is_terminal => log.json().flatten_event(true).init(),
        LogForm::Text | LogForm::Auto => log.with_ansi(is_terminal).init(),
    }
    Ok(())
}
