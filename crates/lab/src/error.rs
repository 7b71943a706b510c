//! What can go wrong in the lab.

use std::io;

/// A result with the lab's error.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, where, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        error: io::Error,
    },
    /// A command such as `ip` or `nft` failed.
    #[error("`{command}` in network namespace {netns}: {message}")]
    Command {
        /// The namespace in which it ran.
        netns: String,
        /// The command, or the line of its input that failed.
        command: String,
        /// What it printed.
        message: String,
    },
    /// The manifests can't become a cluster.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// Something else that the user can do something about.
    #[error("{0}")]
    Message(String),
}

impl Error {
    /// The operating system's refusal of `what`: a phrase such as `open /etc/hosts`.
    pub fn io(what: impl Into<String>, error: io::Error) -> Self {
        Error::Io { what: what.into(), error }
    }

    /// A sentence of one's own, without a final dot.
    pub fn message(text: impl Into<String>) -> Self {
        Error::Message(text.into())
    }
}
