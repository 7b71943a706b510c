//! The node's flows for others: in Hubble's interface, on a socket of the node and over TLS.

use std::future::pending;
use std::sync::Arc;

use podgate_flow::History;
use podgate_hubble::{Listener, ServerInfo, secured, serve, services};
use podgate_tls::{Clients, Identity};

use crate::doorman;
use crate::error::Error;
use crate::options::{ApiOptions, Options};

/// Serves a history until the process ends. Must be called within a runtime.
pub(crate) fn start(options: &Options, history: &Arc<History>) -> Result<(), Error> {
    let path = options.hubble_socket();
    let socket = doorman::listen(&path).map_err(|e| Error::io("listen on", &path, e))?;
    let info = ServerInfo::new(options.node.as_str());
    spawn(Listener::Unix(socket), history, info.clone())?;
    if let Some(address) = options.flows.hubble {
        let failed = |why: String| Error::Hubble { address, why };
        let socket = std::net::TcpListener::bind(address).map_err(|error| failed(error.to_string()))?;
        socket.set_nonblocking(true).map_err(Error::Start)?;
        let socket = tokio::net::TcpListener::from_std(socket).map_err(Error::Start)?;
        let is_here = address.ip().is_loopback();
        let listener = match &options.api {
            Some(ApiOptions { certificate, key, client_ca: Some(authority), .. }) => {
                let clients = Clients::MustShow(authority.clone());
                let identity = Identity { certificate: certificate.clone(), key: key.clone(), clients };
                let tell = |trouble: &str| tracing::error!(trouble, "flows over TLS");
                secured(socket, identity, tell).map_err(|error| failed(error.to_string()))?
            }
            _ if is_here => Listener::Tcp(socket),
            _ => {
                return Err(failed(
                    "other machines must say who they are: give --api-cert, --api-key and --api-client-ca, or an \
                     address of this machine such as 127.0.0.1"
                        .to_owned(),
                ));
            }
        };
        let is_secure = matches!(listener, Listener::Tls(..));
        spawn(listener, history, ServerInfo { address: address.to_string(), tls: is_secure, ..info })?;
    }
    Ok(())
}

fn spawn(listener: Listener, history: &Arc<History>, info: ServerInfo) -> Result<(), Error> {
    let services = services(history.clone(), info).map_err(Error::Start)?;
    tokio::spawn(async move {
        if let Err(error) = serve(listener, services, pending()).await {
            tracing::error!(%error, "flows are not served");
        }
    });
    Ok(())
}
