//! Named network namespaces, in the place where `ip netns` keeps them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::fstatfs;
use rustix::mount::{
    MountPropagationFlags, UnmountFlags, mount_bind, mount_bind_recursive, mount_change, unmount,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::error::{Error, Result};

/// Where named network namespaces are mounted, as in ip-netns(8).
pub const NETNS_DIR: &str = "/run/netns";

/// `NSFS_MAGIC` of linux/magic.h: tells a mounted namespace from the plain file that a crash leaves.
const NSFS_MAGIC: i128 = 0x6e73_6673;

/// Path of a named network namespace.
pub fn path(name: &str) -> PathBuf {
    Path::new(NETNS_DIR).join(name)
}

/// Whether a named network namespace exists.
pub fn exists(name: &str) -> bool {
    File::open(path(name))
        .and_then(|file| Ok(fstatfs(&file)?))
        .is_ok_and(|fs| i128::from(fs.f_type) == NSFS_MAGIC)
}

/// Opens a named network namespace.
///
/// # Errors
/// When there is none with this name.
pub fn open(name: &str) -> Result<File> {
    File::open(path(name)).map_err(|error| Error::io(format!("open network namespace {name}"), error))
}

/// Makes [`NETNS_DIR`] as ip-netns(8) expects it: a shared mount of itself. `true` when it was not there.
///
/// # Errors
/// When mounts are not permitted.
pub fn prepare_dir() -> Result<bool> {
    let failed = |error| Error::io(format!("prepare {NETNS_DIR}"), error);
    let made = !Path::new(NETNS_DIR).exists();
    fs::create_dir_all(NETNS_DIR).map_err(failed)?;
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    if mount_change(NETNS_DIR, shared).is_err() {
        mount_bind_recursive(NETNS_DIR, NETNS_DIR).map_err(|e| failed(e.into()))?;
        mount_change(NETNS_DIR, shared).map_err(|e| failed(e.into()))?;
    }
    Ok(made)
}

/// Takes [`NETNS_DIR`] away when no namespace is in it: what [`prepare_dir`] made.
pub fn remove_dir_if_empty() {
    if fs::read_dir(NETNS_DIR).is_ok_and(|mut entries| entries.next().is_none()) {
        // Best effort: somebody else may start to use the directory at this moment.
        let _ = unmount(NETNS_DIR, UnmountFlags::empty());
        let _ = fs::remove_dir(NETNS_DIR);
    }
}

/// Creates a named network namespace. [`prepare_dir`] comes first.
///
/// # Errors
/// When the name is in use or namespaces are not permitted.
pub fn create(name: &str) -> Result<()> {
    let target = path(name);
    let failed = |error: io::Error| Error::io(format!("create network namespace {name}"), error);
    OpenOptions::new().write(true).create_new(true).open(&target).map_err(failed)?;
    let mounted = std::thread::scope(|scope| {
        scope
            .spawn(|| -> io::Result<()> {
                unshare_net()?;
                mount_bind("/proc/thread-self/ns/net", &target)?;
                Ok(())
            })
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    });
    if mounted.is_err() {
        let _ = fs::remove_file(&target);
    }
    mounted.map_err(failed)
}

/// Deletes a named network namespace; fine when there is none, or only a file that a crash left.
///
/// # Errors
/// When the mount or the file can't be removed.
pub fn delete(name: &str) -> Result<()> {
    let target = path(name);
    // A name can be mounted over several times when a crash and a restart interleave.
    while exists(name) {
        unmount(&target, UnmountFlags::DETACH)
            .map_err(|error| Error::io(format!("unmount network namespace {name}"), error.into()))?;
    }
    match fs::remove_file(&target) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", target.display()), error))
        }
        _ => Ok(()),
    }
}

/// Names of all namespaces that start with `prefix`, sorted; leftovers of a crash included.
pub fn list(prefix: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(NETNS_DIR) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

/// Runs a closure inside a named network namespace, on a thread of its own that ends with it. Sockets
/// that it opens and processes that it starts belong to the namespace.
///
/// # Errors
/// When the namespace can't be entered.
///
/// # Panics
/// When the closure panics.
pub fn run<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
    let file = open(name)?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| -> Result<T> {
            enter(&file).map_err(|e| Error::io(format!("enter network namespace {name}"), e))?;
            Ok(work())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Moves the calling thread into an open network namespace, for good.
///
/// # Errors
/// When the file is no network namespace or entering is not permitted.
pub fn enter(netns: impl AsFd) -> io::Result<()> {
    Ok(move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?)
}

fn unshare_net() -> io::Result<()> {
    // SAFETY: a new network namespace changes nothing that memory safety rests on (file descriptors and
    // memory stay shared).
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?)
}
