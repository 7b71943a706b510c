//! `kubectl podgate`: the same binary under the name by which kubectl finds its plugins.

use std::path::Path;

use rustix::fs::FileType;

/// The file name that makes podgate a plugin.
const NAME: &str = "kubectl-podgate";

/// How the command was started, for usage texts; `None`: by its own name.
pub fn name() -> Option<&'static str> {
    let started = std::env::args_os().next()?;
    let file = Path::new(&started).file_stem()?;
    (file == NAME).then_some("kubectl podgate")
}

/// Started as a plugin with no manifests named and none piped in: the cluster that kubectl talks to is meant.
pub fn means_the_cluster() -> bool {
    let piped = rustix::fs::fstat(std::io::stdin())
        .is_ok_and(|about| FileType::from_raw_mode(about.st_mode) == FileType::Fifo);
    name().is_some() && !piped
}
