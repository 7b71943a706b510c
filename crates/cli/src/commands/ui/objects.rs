//! The objects that the page is about, kept up to date.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use podgate_api::Loaded;
use podgate_lab::enforce::Files;
use podgate_serve::Inventory;
use podgate_serve::source::watch;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::cluster;
use crate::commands::check;
use crate::input::ManifestArguments;
use crate::outcome::Failure;
use crate::style;

/// The objects as they are now.
pub fn read(manifests: &ManifestArguments, paths: &[PathBuf]) -> Result<Inventory, Failure> {
    let loaded = manifests.load(paths)?;
    let options = manifests.world_options(false)?;
    let checks = check::config(None)?;
    Ok(Inventory { revision: 1, loaded, options, checks, ..Inventory::default() })
}

/// What the page calls manifests.
pub fn title(paths: &[PathBuf]) -> String {
    let here = [PathBuf::from(".")];
    let shown = |path: &PathBuf| match path.file_name() {
        Some(name) if name == "-" => "standard input".to_owned(),
        Some(_) => path.display().to_string(),
        // `.` and `..` say nothing to whoever sees the page.
        None => path.canonicalize().as_ref().unwrap_or(path).display().to_string(),
    };
    let paths = if paths.is_empty() { &here } else { paths };
    paths.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// Reads them again when they change, from a thread of its own.
pub fn follow(
    manifests: ManifestArguments,
    paths: Vec<PathBuf>,
    is_cluster: bool,
    sender: watch::Sender<Arc<Inventory>>,
) {
    let named = manifests.paths(&paths);
    let is_still = manifests.git.is_some() || named.iter().any(|path| path == Path::new("-"));
    if is_still {
        // The page goes on with what there is as long as somebody could tell it of more.
        std::mem::forget(sender);
        return;
    }
    std::thread::spawn(move || {
        if is_cluster {
            return cluster::follow(&manifests, &paths, &sender);
        }
        let roots = if named.is_empty() { vec![PathBuf::from(".")] } else { named };
        match Files::new(roots) {
            Ok(files) => watch_files(files, || tell(&sender, Ok(manifests.read_again(&paths)))),
            Err(error) => style::warning(&format!("{error}: changes of the manifests are not seen")),
        }
    });
}

/// Calls when some file changed.
fn watch_files(mut files: Files, mut changed: impl FnMut()) {
    // The first look begins to watch. What changed before it, after the manifests were read, nobody would tell.
    files.look(Instant::now());
    changed();
    loop {
        let wait = files.due().map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = wait
            .map(|wait| Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) });
        let fd = files.fd();
        // However it ends, looking shows what happened.
        let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], timeout.as_ref());
        if files.take_events(Instant::now()) && !files.look(Instant::now()).is_empty() {
            changed();
        }
    }
}

/// Tells the page what is there now, or why it can't be read.
pub fn tell(sender: &watch::Sender<Arc<Inventory>>, read: Result<Loaded, Failure>) {
    let last = sender.borrow().clone();
    let next = match read.and_then(not_empty) {
        Ok(loaded) if loaded == last.loaded && last.stale.is_none() => return,
        Ok(loaded) if loaded == last.loaded => Inventory { stale: None, ..(*last).clone() },
        Ok(loaded) => Inventory { revision: last.revision + 1, loaded, stale: None, ..(*last).clone() },
        Err(failure) => return stale(sender, &failure.message),
    };
    sender.send_replace(Arc::new(next));
}

/// Tells the page that what it has is old from now on.
pub fn stale(sender: &watch::Sender<Arc<Inventory>>, why: &str) {
    let last = sender.borrow().clone();
    // The page says since when: the first time counts.
    if last.stale.is_none() {
        let since = jiff::Timestamp::now().strftime("%H:%M:%S");
        let stale = Some(format!("since {since} UTC: {why}"));
        sender.send_replace(Arc::new(Inventory { stale, ..(*last).clone() }));
    }
}

fn not_empty(loaded: Loaded) -> Result<Loaded, Failure> {
    let nothing = loaded.objects.is_empty();
    if nothing && let Some(first) = loaded.diagnostics.first() {
        return Err(Failure::bad(first.to_string().lines().next().unwrap_or_default()));
    }
    if nothing { Err(Failure::bad("no manifest is there any more")) } else { Ok(loaded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_called_by_names_that_say_something() {
        let title = |paths: &[&str]| title(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        let here = std::env::current_dir().unwrap().display().to_string();
        assert_eq!(title(&[]), here);
        assert_eq!(title(&["."]), here);
        assert_eq!(title(&["deploy/", "-"]), "deploy/, standard input");
        assert_eq!(title(&["missing/.."]), "missing/..");
    }
}
