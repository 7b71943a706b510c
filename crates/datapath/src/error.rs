use std::io;
use std::path::PathBuf;

/// Why the kernel couldn't be made to do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pin directory isn't on a BPF file system.
    #[error("{dir} is not on a bpf file system, mount one: mount -t bpf bpf {dir}", dir = path.display())]
    NotBpffs {
        /// The directory.
        path: PathBuf,
    },
    /// Another process has the pin directory.
    #[error("{} is in use by another podgate, stop that one first", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The pinned links are in another network namespace.
    #[error("the links pinned in {} filter another network namespace, remove them first", path.display())]
    OtherNamespace {
        /// The directory.
        path: PathBuf,
    },
    /// What is pinned there enforces, and is to observe, or the other way round: that would end it.
    #[error(
        "{} holds a podgate that {}, give what enforces and what observes a directory each",
        path.display(), if *observes { "observes" } else { "enforces" }
    )]
    OtherMode {
        /// The directory.
        path: PathBuf,
        /// What is there only observes.
        observes: bool,
    },
    /// Every priority at the POSTROUTING hook that would do is taken.
    #[error("no free priority from {first} to {last} at the postrouting hook, see: nft list hooks")]
    NoPriority {
        /// The first one that would do.
        first: i32,
        /// The last one.
        last: i32,
    },
    /// The kernel has no room for the rules of the nftables backend, or no idea of them.
    #[error(
        "cannot make nftables rules: {source}, use a kernel from 5.7 on with CONFIG_NF_TABLES_INET, CONFIG_NFT_CT, \
         CONFIG_NFT_LOG, CONFIG_NFT_FIB_INET, CONFIG_NETFILTER_NETLINK_LOG and CONFIG_CGROUP_NET_CLASSID"
    )]
    Rules {
        /// What the kernel said.
        source: io::Error,
    },
    /// The log group that the nftables backend's events go to is another process's, or needs privileges.
    #[error(
        "log group {group} can't be bound, stop the other podgate that reads it, or run with CAP_NET_ADMIN"
    )]
    LogGroup {
        /// The group.
        group: u16,
    },
    /// The kernel's state isn't known: the next publication has to be a full one.
    #[error("the kernel's state isn't known, publish the full state")]
    NeedsFull,
    /// A setting is out of range.
    #[error("{0}")]
    Settings(String),
    /// A BPF operation failed.
    #[error("cannot {what}: {source}")]
    Bpf {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: libbpf_rs::Error,
    },
    /// The kernel refused the program.
    #[error("cannot load the kernel program: {source}, run the probe to learn what the kernel lacks")]
    Verifier {
        /// Why.
        source: libbpf_rs::Error,
        /// What libbpf and the verifier said.
        log: String,
    },
    /// A system call failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A program that podgate runs failed.
    #[error("{command} failed: {message}")]
    Command {
        /// The program.
        command: &'static str,
        /// What it said.
        message: String,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Error::Io { what: what.into(), source: source.into() }
    }

    pub(crate) fn bpf(what: impl Into<String>, source: libbpf_rs::Error) -> Self {
        Error::Bpf { what: what.into(), source }
    }
}
