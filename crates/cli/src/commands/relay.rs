//! `podgate relay`: the flows of many nodes at one place.

use std::path::PathBuf;

use clap::Args;
use podgate_hubble::client::Address;
use podgate_hubble::relay::Peers;
use podgate_hubble::run_relay;
use podgate_tls::{Clients, Identity};

use crate::input::flows::server::TlsArguments;
use crate::outcome::{FINE, Failure, Outcome};
use crate::style;

/// The flows of many nodes at one place: a server of the Hubble API whose answers are those of its peers.
///
/// Answers come in order of time; a node that is away is named, and asked again. Ends with Ctrl-C or SIGTERM.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The nodes' servers: `host:port` or `unix:///path`. A name with many addresses, such as that of a headless
    /// Service, stands for all of them.
    #[arg(long, required = true, value_name = "ADDRESS", value_delimiter = ',')]
    peers: Vec<Address>,
    /// Where to be reached: `host:port` or `unix:///path`.
    #[arg(long, default_value = "localhost:4245", value_name = "ADDRESS")]
    listen: Address,
    /// The certificate to serve TLS with, PEM; without one, what is said can be read by whoever carries it.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The authority of clients' certificates, PEM: others are sent away.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsArguments,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let asks_for_tls = arguments.peers.iter().any(|peer| matches!(peer, Address::Tcp { tls: true, .. }));
    let peers = Peers::new(arguments.peers.clone(), arguments.tls.config(asks_for_tls)?);
    let identity = arguments.tls_cert.clone().zip(arguments.tls_key.clone());
    let identity = identity.map(|(certificate, key)| Identity {
        certificate,
        key,
        clients: arguments.tls_client_ca.clone().map_or(Clients::Anybody, Clients::MustShow),
    });
    let of = match &arguments.peers[..] {
        [peer] => peer.to_string(),
        peers => format!("{} peers", peers.len()),
    };
    let ready = |place: &str| style::note(&format!("flows of {of} at {place}"));
    run_relay(peers, &arguments.listen, identity.as_ref(), ready, style::warning)
        .map_err(|error| Failure::bad(format!("{}: {error}", arguments.listen)))?;
    Ok(FINE)
}
