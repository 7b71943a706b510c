//! Keeps the plugin in the configuration: networks write theirs anew when they are upgraded or restarted.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::Ordering;

use podgate_cni::install::{Chained, Entry, InstallError, chain};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::ENDED;
use crate::outcome::{FINE, Outcome};
use crate::style;

/// How often is looked without being told: for signals, and for a directory that isn't there yet.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Runs until a signal came. `put` puts the plugin there when somebody has cleared its directory.
pub fn run(
    conf_dir: &Path,
    entry: &Entry,
    plugin: &Path,
    put: &dyn Fn() -> Result<bool, InstallError>,
) -> Outcome {
    let mut said = String::new();
    let mut eye = None;
    while !ENDED.load(Ordering::Relaxed) {
        if eye.is_none() {
            eye = open(conf_dir);
        }
        let there = if plugin.exists() { Ok(false) } else { put() };
        match there.and_then(|_| chain(conf_dir, entry)) {
            Ok(Chained::Now(path)) => {
                super::say(&Chained::Now(path));
                said.clear();
            }
            Ok(already) => {
                if !said.is_empty() {
                    super::say(&already);
                    said.clear();
                }
            }
            Err(error) if error.to_string() != said => {
                said = error.to_string();
                style::warning(&format!("{said}; waiting"));
            }
            Err(_) => {}
        }
        wait(eye.as_ref());
    }
    Ok(FINE)
}

fn open(directory: &Path) -> Option<OwnedFd> {
    let eye = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
    let changes =
        WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE;
    inotify::add_watch(&eye, directory, changes).ok()?;
    Some(eye)
}

/// Until something changes in the directory, or the time is up.
fn wait(eye: Option<&OwnedFd>) {
    let mut fds: Vec<PollFd<'_>> = eye.iter().map(|eye| PollFd::new(*eye, PollFlags::IN)).collect();
    // Whether it ended by a signal or by the clock makes no difference.
    let _ = poll(&mut fds, Some(&LOOK_EVERY));
    let Some(eye) = eye else { return };
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(eye, &mut buffer);
    // What changed is seen by looking.
    loop {
        match reader.next() {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
