use std::io;
use std::path::PathBuf;

/// Why an agent can't run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel or another podgate stands in the way.
    #[error("{0}; `podgate doctor` tells what this node lacks")]
    Datapath(#[from] podgate_datapath::Error),
    /// The API server's address or credentials can't be found.
    #[error(transparent)]
    Kube(#[from] podgate_kube::Error),
    /// Traces can't be sent to this collector.
    #[error("cannot trace to {endpoint}: {why}")]
    Traces {
        /// The collector.
        endpoint: crate::Endpoint,
        /// What is missing.
        why: String,
    },
    /// A file, directory or socket.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// What is kept of flows can't be read or written.
    #[error("cannot keep flows: {0}")]
    Archive(podgate_archive::Problem),
    /// Hours are uploaded from the disk.
    #[error("the export to S3 sends the hours that are kept on disk, and none are: give --flow-disk a size")]
    NothingToUpload,
    /// Flows can't be served to other machines like this.
    #[error("cannot serve flows on {address}: {why}")]
    Hubble {
        /// Where.
        address: std::net::SocketAddr,
        /// Why, and what to do.
        why: String,
    },
    /// The process can't start its own threads.
    #[error("cannot start: {0}")]
    Start(io::Error),
}

impl Error {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Error {
        Error::Io { what, path: path.into(), source: source.into() }
    }
}
