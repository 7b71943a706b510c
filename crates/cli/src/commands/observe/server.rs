//! Which server, and what it says of itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use podgate_hubble::client::{Address, Tls};
use podgate_hubble::proto::relay::NodeState;

use super::local_sockets;
use crate::outcome::{FINDINGS, FINE, Failure, Outcome};
use crate::style;

#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct Server {
    /// Who is asked: `unix:///path`, `host:port` or `tls://host:port`; an agent, a lab, a relay, or any server of the
    /// Hubble API. Without it, the agent of this node or the lab that is up.
    #[arg(long, env = "PODGATE_SERVER", value_name = "ADDRESS")]
    server: Option<Address>,
    /// How long to wait for a connection, in seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    timeout: u64,
    #[command(flatten)]
    tls: TlsArguments,
}

/// How to speak TLS to a server.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Server")]
pub struct TlsArguments {
    /// Use TLS.
    #[arg(long)]
    tls: bool,
    /// Authorities that the server's certificate may be from, PEM; without one, the system's.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    tls_ca_cert_files: Vec<PathBuf>,
    /// The certificate to show, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_client_key_file")]
    tls_client_cert_file: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_client_cert_file")]
    tls_client_key_file: Option<PathBuf>,
    /// The name that the server's certificate has, where it is not the host's.
    #[arg(long, value_name = "NAME")]
    tls_server_name: Option<String>,
}

impl Server {
    /// Connects to the server that was named, or to the one that there is.
    pub fn connect(&self) -> Result<podgate_hubble::Server, Failure> {
        let address = match &self.server {
            Some(address) => address.clone(),
            None => local()?,
        };
        let tls = self.tls.config(matches!(address, Address::Tcp { tls: true, .. }))?;
        podgate_hubble::Server::connect(address, tls.as_ref(), Duration::from_secs(self.timeout))
            .map_err(failed)
    }
}

impl TlsArguments {
    /// TLS, when an argument or the address asks for it.
    pub fn config(&self, is_asked_for: bool) -> Result<Option<Tls>, Failure> {
        let has_files = !self.tls_ca_cert_files.is_empty() || self.tls_client_cert_file.is_some();
        if !(is_asked_for || self.tls || has_files) {
            return Ok(None);
        }
        let identity = self.tls_client_cert_file.as_deref().zip(self.tls_client_key_file.as_deref());
        let tls = Tls::from_files(&self.tls_ca_cert_files, identity, self.tls_server_name.clone());
        tls.map(Some).map_err(Failure::bad)
    }
}

fn failed(error: podgate_hubble::ReadError) -> Failure {
    Failure::bad(error.to_string())
}

fn local() -> Result<Address, Failure> {
    let mut sockets = local_sockets();
    match sockets.len() {
        0 => Err(Failure::bad(
            "nothing on this machine serves flows: say who does with --server, or bring a lab up \
             (`podgate lab up DIR`); in a cluster, run it in the podgate pod of a node",
        )),
        1 => Ok(Address::Unix(sockets.remove(0))),
        _ => {
            let all: Vec<_> =
                sockets.iter().map(|path| format!("--server unix://{}", path.display())).collect();
            Err(Failure::bad(format!(
                "more than one on this machine serves flows; say which: {}",
                all.join(", or ")
            )))
        }
    }
}

/// `observe status`.
pub fn status(server: &Server) -> Outcome {
    let status = server.connect()?.status().map_err(failed)?;
    style::line(&format!("version   {}", status.version));
    style::line(&format!(
        "flows     {} of {} that it keeps, {} seen",
        status.num_flows, status.max_flows, status.seen_flows
    ));
    style::line(&format!("rate      {:.1} a second", status.flows_rate));
    let uptime = Duration::from_nanos(status.uptime_ns).as_secs();
    style::line(&format!("up        {}h{:02}m{:02}s", uptime / 3600, uptime / 60 % 60, uptime % 60));
    let away = status.num_unavailable_nodes.unwrap_or(0);
    if let Some(connected) = status.num_connected_nodes {
        style::line(&format!("nodes     {connected} heard, {away} away"));
    }
    for node in &status.unavailable_nodes {
        style::warning(&format!("node {node} is away: its flows are missing"));
    }
    Ok(if away == 0 { FINE } else { FINDINGS })
}

/// `observe nodes`.
pub fn nodes(server: &Server) -> Outcome {
    let nodes = server.connect()?.nodes().map_err(failed)?.nodes;
    let row = |node: &podgate_hubble::proto::observer::Node| {
        let state = match node.state() {
            NodeState::NodeConnected => "heard",
            NodeState::NodeUnavailable => "away",
            NodeState::NodeGone => "gone",
            NodeState::NodeError => "failing",
            NodeState::UnknownNodeState => "unknown",
        };
        let tls = if node.tls.as_ref().is_some_and(|tls| tls.enabled) { "yes" } else { "no" };
        let flows = format!("{}/{}", node.num_flows, node.max_flows);
        vec![
            node.name.clone(),
            state.to_owned(),
            flows,
            tls.to_owned(),
            node.version.clone(),
            node.address.clone(),
        ]
    };
    let rows: Vec<_> = nodes.iter().map(row).collect();
    style::table(&["NODE", "STATE", "FLOWS", "TLS", "VERSION", "ADDRESS"], &rows);
    let all_heard = nodes.iter().all(|node| node.state() == NodeState::NodeConnected);
    Ok(if all_heard { FINE } else { FINDINGS })
}

/// `observe namespaces`.
pub fn namespaces(server: &Server) -> Outcome {
    for namespace in server.connect()?.namespaces().map_err(failed)?.namespaces {
        style::line(&namespace.namespace);
    }
    Ok(FINE)
}
