//! What a lab leaves in the run directory, and what it was asked for.
//!
//! ```text
//! /run/podgate/lab/<name>/
//!   spec.json       what `up` was asked for: manifests, nodes, policies or not
//!   plan.json       the plan in force
//!   lock            held by whoever changes the lab
//!   responder.pid   pid and start time; responder.log
//!   enforce.pid     pid and start time; enforce.log
//!   enforce.ready   made by the enforcement daemon when the first policies are in force
//!   bpf/            a bpffs of the lab's own, for pins
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::plan::Plan;

/// Directory of all labs.
pub const RUN_DIR: &str = "/run/podgate/lab";

/// The longest name that still leaves room in names of namespaces.
const MAX_NAME: usize = 32;

/// A lab's place on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lab {
    name: String,
    dir: PathBuf,
}

/// What `podgate lab up` was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Manifests: files and directories, absolute.
    pub paths: Vec<PathBuf>,
    /// Number of nodes, as in [`Plan::new`].
    pub nodes: usize,
    /// Whether policies are enforced.
    pub policies: bool,
    /// Where the page is served; `None`: nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<SocketAddr>,
}

/// Held while a lab is changed; released when dropped.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl Lab {
    /// The place of the lab with this name.
    ///
    /// # Errors
    /// When the name is not made of 1 to 32 lower-case letters, digits and inner dashes.
    pub fn new(name: &str) -> Result<Lab> {
        let fits = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        if !fits {
            return Err(Error::message(format!(
                "lab name {name:?}: use 1 to {MAX_NAME} lower-case letters, digits and inner dashes"
            )));
        }
        Ok(Lab { name: name.to_owned(), dir: Path::new(RUN_DIR).join(name) })
    }

    /// Names of all labs with a run directory, sorted.
    pub fn all() -> Vec<String> {
        let Ok(entries) = fs::read_dir(RUN_DIR) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| Lab::new(name).is_ok())
            .collect();
        names.sort();
        names
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The run directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file or directory in the run directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Mount point of the lab's bpffs.
    pub fn bpffs(&self) -> PathBuf {
        self.file("bpf")
    }

    /// The plan in force; `None` when the lab is not up.
    ///
    /// # Errors
    /// When the file can't be read or is damaged.
    pub fn plan(&self) -> Result<Option<Plan>> {
        self.read("plan.json")
    }

    /// Replaces the stored plan.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn store_plan(&self, plan: &Plan) -> Result<()> {
        self.store("plan.json", plan)
    }

    /// What `up` was asked for; `None` when the lab is not up.
    ///
    /// # Errors
    /// When the file can't be read or is damaged.
    pub fn spec(&self) -> Result<Option<Spec>> {
        self.read("spec.json")
    }

    /// Replaces the stored request.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn store_spec(&self, spec: &Spec) -> Result<()> {
        self.store("spec.json", spec)
    }

    /// Waits for the right to change the lab. Makes the run directory.
    ///
    /// # Errors
    /// When the run directory can't be made.
    pub fn lock(&self) -> Result<Lock> {
        let failed = |error| Error::io(format!("lock {}", self.dir.display()), error);
        loop {
            fs::create_dir_all(&self.dir).map_err(failed)?;
            let path = self.file("lock");
            let file = match File::create(&path) {
                // Between the two calls, `down` may have removed the directory.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(failed)?,
            };
            flock(&file, FlockOperation::LockExclusive).map_err(|e| failed(e.into()))?;
            // A lock on a file that `down` has removed since protects nothing.
            if same_file(&file, &path) {
                return Ok(Lock(file));
            }
        }
    }

    /// Reads a JSON file of the run directory; `None` when there is none.
    ///
    /// # Errors
    /// When the file can't be read or is damaged.
    pub fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Result<Option<T>> {
        let path = self.file(name);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| Error::io(format!("read {}", path.display()), e))?,
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::message(format!(
                "{} is damaged ({error}); run `podgate lab down --name {}` and `up` again",
                path.display(),
                self.name
            ))
        })
    }

    /// Replaces a JSON file of the run directory, as [`store`] does.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(crate) fn store<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        store(&self.file(name), value)
    }
}

/// Replaces a JSON file; readers see the old or the new one, never half of one.
///
/// # Errors
/// When the file can't be written.
pub fn store<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    let failed = |error| Error::io(format!("write {}", path.display()), error);
    let text = serde_json::to_vec_pretty(value).map_err(|e| failed(e.into()))?;
    let mut file = File::create(&next).map_err(failed)?;
    file.write_all(&text).map_err(failed)?;
    fs::rename(&next, path).map_err(failed)
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}
