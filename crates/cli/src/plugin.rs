//! The same binary under other names: as a plugin of kubectl (`kubectl podgate`), and of container runtimes.

use std::path::Path;

use rustix::fs::FileType;

/// The file name that makes podgate a plugin.
const NAME: &str = "kubectl-podgate";

/// How the command was started, for usage texts; `None`: by its own name.
pub fn name() -> Option<&'static str> {
    is_started_as(NAME).then_some("kubectl podgate")
}

/// Whether a container runtime runs it as a CNI plugin.
pub fn is_cni() -> bool {
    is_started_as(podgate_cni::PLUGIN)
}

fn is_started_as(name: &str) -> bool {
    let started = std::env::args_os().next().unwrap_or_default();
    Path::new(&started).file_stem().is_some_and(|file| file == name)
}

/// Started as a plugin with no manifests named and none piped in: the cluster that kubectl talks to is meant.
pub fn means_the_cluster() -> bool {
    let piped = rustix::fs::fstat(std::io::stdin())
        .is_ok_and(|about| FileType::from_raw_mode(about.st_mode) == FileType::Fifo);
    name().is_some() && !piped
}
