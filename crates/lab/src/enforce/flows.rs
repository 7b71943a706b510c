//! The lab's flows for others: in Hubble's interface on a socket, and on disk.

use std::future::pending;
use std::sync::Arc;

use podgate_archive::{Archive, Caps};
use podgate_flow::History;
use podgate_hubble::{Listener, ServerInfo, serve, services};
use podgate_observe::Keeper;

use crate::error::{Error, Result};
use crate::state::Lab;

/// Name of the socket in the lab's run directory.
pub const HUBBLE_SOCKET: &str = "hubble.sock";
/// Name of the directory in the lab's run directory that flows are kept in.
pub const FLOWS: &str = "flows";
/// How much of them: the run directory may be in memory.
const BYTES: u64 = 64 << 20;

/// Keeps the lab's flows.
pub(super) fn keeper(lab: &Lab) -> Result<Keeper> {
    let caps = Caps { bytes: BYTES, ..Caps::default() };
    let archive = Archive::open(lab.file(FLOWS), caps);
    Ok(Keeper::new(archive.map_err(|problem| Error::message(format!("keep flows: {problem}")))?))
}

/// Serves the lab's flows on a thread of its own, until the process ends.
pub(super) fn start(lab: &Lab, history: Arc<History>) -> Result<()> {
    let path = lab.file(HUBBLE_SOCKET);
    let failed = |error| Error::io(format!("serve flows on {}", path.display()), error);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (services, socket) = {
        let _guard = runtime.enter();
        let services = services(history, ServerInfo::new(format!("lab-{}", lab.name()))).map_err(failed)?;
        (services, tokio::net::UnixListener::bind(&path).map_err(failed)?)
    };
    let work = move || {
        if let Err(error) = runtime.block_on(serve(Listener::Unix(socket), services, pending())) {
            super::daemon::log(&format!("flows are not served: {error}"));
        }
    };
    let named = std::thread::Builder::new().name("flows".to_owned());
    named.spawn(work).map(drop).map_err(|error| Error::io("start a thread", error))
}
