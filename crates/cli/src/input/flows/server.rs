//! Which server is asked, and how it is spoken to.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use podgate_hubble::client::{Address, Tls};

use crate::outcome::Failure;

/// A server of flows.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// Who is asked: `unix:///path`, `host:port` or `tls://host:port`; an agent, a lab, a relay, or any server of the
    /// Hubble API. Without it, the agent of this node or the lab that is up.
    #[arg(long, env = "PODGATE_SERVER", value_name = "ADDRESS", help_heading = "Server")]
    server: Option<Address>,
    /// How long to wait for a connection, in seconds.
    #[arg(long, default_value_t = TIMEOUT, value_name = "SECONDS", help_heading = "Server")]
    timeout: u64,
    #[command(flatten)]
    tls: TlsArguments,
}

/// How to speak TLS to a server.
#[derive(Clone, Debug, Default, Args)]
pub struct TlsArguments {
    /// Use TLS.
    #[arg(long, help_heading = "Server")]
    tls: bool,
    /// Authorities that the server's certificate may be from, PEM; without one, the system's.
    #[arg(long, value_name = "FILE", value_delimiter = ',', help_heading = "Server")]
    tls_ca_cert_files: Vec<PathBuf>,
    /// The certificate to show, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_client_key_file", help_heading = "Server")]
    tls_client_cert_file: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_client_cert_file", help_heading = "Server")]
    tls_client_key_file: Option<PathBuf>,
    /// The name that the server's certificate has, where it is not the host's.
    #[arg(long, value_name = "NAME", help_heading = "Server")]
    tls_server_name: Option<String>,
}

/// How long a connection may take, in seconds.
const TIMEOUT: u64 = 5;

impl Server {
    /// The server at an address, without TLS.
    pub fn at(address: Address) -> Server {
        Server { server: Some(address), timeout: TIMEOUT, tls: TlsArguments::default() }
    }

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

/// What a reader could not do.
pub fn failed(error: podgate_hubble::ReadError) -> Failure {
    Failure::bad(error.to_string())
}

fn local() -> Result<Address, Failure> {
    let mut sockets = local_sockets();
    match sockets.len() {
        0 => Err(Failure::bad(
            "nothing on this machine serves flows: say who does with --server, name an archive with --flows or a file \
             with --input-file, or bring a lab up (`podgate lab up DIR`); in a cluster, run it in the podgate pod of a node",
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

/// The sockets of this machine that serve flows: the agent's, then those of labs.
fn local_sockets() -> Vec<PathBuf> {
    let agent = PathBuf::from("/run/podgate/hubble.sock");
    let labs = podgate_lab::Lab::all();
    let labs = labs.iter().filter_map(|name| podgate_lab::Lab::new(name).ok());
    let labs = labs.map(|lab| lab.file(podgate_lab::enforce::HUBBLE_SOCKET));
    std::iter::once(agent).chain(labs).filter(|path| path.exists()).collect()
}
