//! What the agent has to remember of attachments when it is restarted: which pod has which addresses,
//! before the API server knows.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Attachment, PodName};

/// A pod's addresses, as the CNI chain gave them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The interface.
    pub attachment: Attachment,
    /// The pod.
    pub pod: PodName,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
}

/// Claims as files of a directory, one each. They need not outlive a reboot: no pod does.
///
/// The plugin removes a claim by itself when the agent is away, so that no address stays a dead pod's.
#[derive(Clone, Debug)]
pub struct Claims {
    directory: PathBuf,
}

impl Claims {
    /// The claims beside an agent's socket.
    pub fn beside(socket: &Path) -> Claims {
        Claims { directory: socket.parent().unwrap_or(Path::new("/")).join("claims") }
    }

    /// All claims, in order of their containers; files that can't be read come as errors with their paths.
    ///
    /// # Errors
    /// When the directory can't be made or listed.
    pub fn load(&self) -> io::Result<Vec<Result<Claim, (PathBuf, io::Error)>>> {
        fs::create_dir_all(&self.directory)?;
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
        paths.sort();
        let read = |path: PathBuf| {
            let text = fs::read(&path);
            text.and_then(|text| Ok(serde_json::from_slice(&text)?)).map_err(|error| (path, error))
        };
        Ok(paths.into_iter().map(read).collect())
    }

    /// Remembers a claim. A half-written one is never found.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep(&self, claim: &Claim) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let path = self.path(&claim.attachment);
        let half = path.with_extension("half");
        fs::write(&half, serde_json::to_vec(claim)?)?;
        fs::rename(half, path)
    }

    /// Forgets a claim; fine when there is none.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn forget(&self, attachment: &Attachment) -> io::Result<()> {
        match fs::remove_file(self.path(attachment)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, attachment: &Attachment) -> PathBuf {
        // Both come from the runtime, which is trusted, but a file name is no place to rely on it.
        let plain = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
        };
        self.directory.join(format!("{}.{}.json", plain(&attachment.container), plain(&attachment.interface)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_outlive_the_process_and_go_with_the_attachment() {
        let directory = std::env::temp_dir().join(format!("podgate-claims-{}", std::process::id()));
        let claims = Claims::beside(&directory.join("cni.sock"));
        let attachment = Attachment { container: "../c1".into(), interface: "eth0".into() };
        let claim = Claim {
            attachment: attachment.clone(),
            pod: PodName { namespace: "shop".into(), name: "web".into(), uid: "u".into() },
            ips: vec!["10.0.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        };
        claims.keep(&claim).unwrap();
        let loaded: Vec<_> = claims.load().unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(loaded, [claim]);
        claims.forget(&attachment).unwrap();
        claims.forget(&attachment).unwrap();
        assert!(claims.load().unwrap().is_empty());
        fs::remove_dir_all(directory).unwrap();
    }
}
