//! What outlives a reboot: that podgate enforced on this node, and where its pods' addresses come from.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// What was known of the node when it was last enforced on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Known {
    pub(crate) node: String,
    pub(crate) pod_cidrs: Vec<IpNet>,
}

#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    known: Option<Known>,
}

impl Memory {
    /// What an earlier agent left. A file that can't be understood counts as none, and is said.
    pub(crate) fn open(directory: &std::path::Path, node: &str) -> Result<Memory, Error> {
        fs::create_dir_all(directory).map_err(|e| Error::io("make the directory", directory, e))?;
        let path = directory.join("node.json");
        let known = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .inspect_err(|error| {
                    tracing::warn!(path = %path.display(), %error, "left by an earlier agent, unreadable");
                })
                .ok(),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("read", path, error)),
        };
        // A disk image that was cloned, or a node that was renamed.
        let known = known.filter(|known: &Known| known.node == node);
        Ok(Memory { path, known })
    }

    pub(crate) fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// Remembers, if it is news.
    pub(crate) fn keep(&mut self, known: Known) -> Result<(), Error> {
        if self.known.as_ref() == Some(&known) {
            return Ok(());
        }
        let half = self.path.with_extension("half");
        let text = serde_json::to_vec(&known).map_err(|e| Error::io("write", &half, e))?;
        fs::write(&half, text).map_err(|e| Error::io("write", &half, e))?;
        fs::rename(&half, &self.path).map_err(|e| Error::io("write", &self.path, e))?;
        self.known = Some(known);
        Ok(())
    }
}
