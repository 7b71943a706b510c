//! Puts the plugin where a node's container runtime runs it, and takes it away again.
//!
//! ```text
//! 10-net.conflist: "plugins": [ ptp, portmap ]  <->  "plugins": [ ptp, portmap, podgate-cni ]
//! ```
//!
//! A configuration belongs to the network that wrote it: nothing of its text changes but the plugin's own entry.
//! Runtimes read these files at any time, so that each change is one rename.

mod edit;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::PLUGIN;

/// What runtimes look at, in the order of names.
const ENDINGS: [&str; 3] = ["conf", "conflist", "json"];
/// Behind the name of a configuration of one plugin that a list stands in for.
const ASIDE: &str = "podgate";

/// What the plugin's entry in the configuration says; what isn't said is as the plugin has it by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Where the agent listens.
    pub socket: Option<PathBuf>,
    /// Whether a pod whose policies don't come into force in time may not start.
    pub strict: Option<bool>,
    /// How many seconds a pod waits.
    pub timeout_seconds: Option<u64>,
}

/// What happened to a node's network configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chained {
    /// The entry is there as it should be.
    Already(PathBuf),
    /// The entry was added or brought up to date.
    Now(PathBuf),
}

/// Why the plugin can't be installed or taken away.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// No other network yet.
    #[error(
        "no network configuration in {}: install the cluster's network first, or name the directory that its \
         container runtime reads (conf_dir of containerd, network_dir of CRI-O)",
        directory.display()
    )]
    NoNetwork {
        /// Where there is none.
        directory: PathBuf,
    },
    /// The configuration isn't what the specification says.
    #[error("{}: {fault}", path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        fault: String,
    },
    /// A file or directory.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl InstallError {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> InstallError {
        move |source| InstallError::Io { what, path: path.to_owned(), source }
    }

    fn configuration(path: &Path) -> impl FnOnce(String) -> InstallError {
        move |fault| InstallError::Configuration { path: path.to_owned(), fault }
    }
}

/// Copies a program to where runtimes look for plugins, under the plugin's name. `false`: it is there.
///
/// # Errors
/// When it can't be read or written.
pub fn put_program(program: &Path, bin_dir: &Path) -> Result<bool, InstallError> {
    let target = bin_dir.join(PLUGIN);
    let bytes = fs::read(program).map_err(InstallError::io("read", program))?;
    if fs::read(&target).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    fs::create_dir_all(bin_dir).map_err(InstallError::io("make the directory", bin_dir))?;
    // A runtime may be running the one that is there, which is why it is replaced and not overwritten.
    replace(&target, &bytes, 0o755)?;
    Ok(true)
}

/// Takes the program away. `false`: it wasn't there.
///
/// # Errors
/// When it can't be removed.
pub fn take_program(bin_dir: &Path) -> Result<bool, InstallError> {
    remove(&bin_dir.join(PLUGIN))
}

/// Puts the plugin into the configuration that runtimes use: the first by name that can be read. One of a
/// single plugin becomes a list.
///
/// # Errors
/// When there is none, or when it can't be read, understood or written.
pub fn chain(conf_dir: &Path, entry: &Entry) -> Result<Chained, InstallError> {
    let mut first_fault = None;
    for path in configurations(conf_dir)? {
        let text = fs::read_to_string(&path).map_err(InstallError::io("read", &path))?;
        let is_list = path.extension().is_some_and(|ending| ending == "conflist");
        let edited = match is_list {
            true => edit::with_entry(&text, entry),
            false => edit::as_list(&text, entry).map(Some),
        };
        match edited {
            Ok(None) => return Ok(Chained::Already(path)),
            Ok(Some(new)) if is_list => {
                replace_text(&path, &new)?;
                return Ok(Chained::Now(path));
            }
            Ok(Some(new)) => {
                // Runtimes go by names, and the list's sorts behind: it is in use once the other is aside.
                let list = path.with_extension("conflist");
                replace_like(&list, &new, &path)?;
                fs::rename(&path, aside(&path)).map_err(InstallError::io("move aside", &path))?;
                return Ok(Chained::Now(list));
            }
            // Runtimes leave out what they can't read.
            Err(edit::Fault::Unreadable(fault)) => {
                first_fault.get_or_insert(InstallError::Configuration { path, fault });
            }
            Err(edit::Fault::Unusable(fault)) => return Err(InstallError::Configuration { path, fault }),
        }
    }
    Err(first_fault.unwrap_or_else(|| InstallError::NoNetwork { directory: conf_dir.to_owned() }))
}

/// Takes the plugin out of every configuration, and returns those that were changed. What else is in them stays
/// as it is.
///
/// # Errors
/// When a file can't be read or written.
pub fn unchain(conf_dir: &Path) -> Result<Vec<PathBuf>, InstallError> {
    let mut changed = Vec::new();
    if !conf_dir.exists() {
        return Ok(changed);
    }
    for saved in listed(conf_dir)? {
        // 10-net.conf.podgate: the list that stands in for 10-net.conf goes.
        let original = saved.with_extension("");
        let is_aside = saved.extension().is_some_and(|ending| ending == ASIDE);
        if !is_aside || !original.extension().is_some_and(|ending| ENDINGS.iter().any(|e| ending == *e)) {
            continue;
        }
        match original.exists() {
            // Its network has written it anew.
            true => drop(remove(&saved)?),
            false => fs::rename(&saved, &original).map_err(InstallError::io("move back", &saved))?,
        }
        remove(&original.with_extension("conflist"))?;
        changed.push(original);
    }
    for path in configurations(conf_dir)? {
        let text = fs::read_to_string(&path).map_err(InstallError::io("read", &path))?;
        // What can't be read has no plugin of ours that a runtime would run.
        let Ok(Some(new)) = edit::without_entry(&text) else { continue };
        replace_text(&path, &new)?;
        changed.push(path);
    }
    Ok(changed)
}

/// The files that a runtime looks at, in its order.
fn configurations(conf_dir: &Path) -> Result<Vec<PathBuf>, InstallError> {
    let mut paths = match listed(conf_dir) {
        Err(InstallError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Err(InstallError::NoNetwork { directory: conf_dir.to_owned() });
        }
        other => other?,
    };
    paths.retain(|path| path.extension().is_some_and(|ending| ENDINGS.iter().any(|e| ending == *e)));
    Ok(paths)
}

fn listed(directory: &Path) -> Result<Vec<PathBuf>, InstallError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(InstallError::io("list", directory))? {
        let path = entry.map_err(InstallError::io("list", directory))?.path();
        if !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ASIDE);
    name.into()
}

fn remove(path: &Path) -> Result<bool, InstallError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(InstallError::io("remove", path)(error)),
    }
}

/// Replaces a configuration's text; where it is a link, that of the file it leads to.
fn replace_text(path: &Path, text: &str) -> Result<(), InstallError> {
    let real = fs::canonicalize(path).map_err(InstallError::io("read", path))?;
    replace_like(&real, text, &real)
}

/// Replaces a configuration, with the owner and mode of another.
fn replace_like(path: &Path, text: &str, model: &Path) -> Result<(), InstallError> {
    let about = fs::metadata(model).map_err(InstallError::io("read", model))?;
    edit::check(text).map_err(InstallError::configuration(path))?;
    replace(path, text.as_bytes(), about.mode() & 0o7777)?;
    let new = fs::metadata(path).map_err(InstallError::io("read", path))?;
    if (new.uid(), new.gid()) == (about.uid(), about.gid()) {
        return Ok(());
    }
    chown(path, Some(about.uid()), Some(about.gid())).map_err(InstallError::io("set the owner of", path))
}

/// Replaces a file at once; a crash leaves the one before.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), InstallError> {
    let mut half = path.as_os_str().to_owned();
    half.push(".half");
    let half = PathBuf::from(half);
    let write = |half: &Path| {
        let mut file = File::create(half)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write(&half).map_err(InstallError::io("write", &half))?;
    fs::rename(&half, path).map_err(InstallError::io("write", path))
}
