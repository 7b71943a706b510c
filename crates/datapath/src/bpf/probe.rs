//! Whether this kernel, and this process, can do what the backend needs.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use super::sys::{Hook, attach_netfilter, new_network_namespace};
use libbpf_rs::ObjectBuilder;
use rustix::thread::{MembarrierCommand, membarrier};

/// What is missing, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// No privileges.
    #[error("no permission to {what}, run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")]
    Privileges {
        /// What was refused.
        what: &'static str,
    },
    /// No type information of the kernel.
    #[error("the kernel has no /sys/kernel/btf/vmlinux, use one built with CONFIG_DEBUG_INFO_BTF=y")]
    NoBtf,
    /// No netfilter programs.
    #[error(
        "the kernel ({release}) can't {what} ({error}), use 6.4 or newer with CONFIG_BPF_SYSCALL=y, \
         CONFIG_NETFILTER_BPF_LINK=y and CONFIG_NF_CONNTRACK"
    )]
    Kernel {
        /// What failed.
        what: &'static str,
        /// How.
        error: String,
        /// `uname -r`.
        release: String,
    },
    /// No way to wait until packets have left the program.
    #[error("the kernel has no global membarrier, use CONFIG_MEMBARRIER=y and boot without nohz_full")]
    NoMembarrier,
    /// No `nft`.
    #[error("the command nft is missing, install the package nftables")]
    NoNft,
}

#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static PROGRAM: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/probe.bpf.o")));

/// Tries the backend's needs, on a network namespace that it throws away where it may make one.
///
/// # Errors
/// The first need that isn't met.
pub fn probe() -> Result<(), Unsupported> {
    if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Err(Unsupported::NoBtf);
    }
    membarrier(MembarrierCommand::Global).map_err(|_| Unsupported::NoMembarrier)?;
    thread::spawn(try_program).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let nft = Command::new("nft").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    nft.map_err(|_| Unsupported::NoNft).map(drop)
}

fn try_program() -> Result<(), Unsupported> {
    // Only CAP_SYS_ADMIN makes namespaces, which enforcing doesn't need. A kernel that loads such a program can
    // attach it as well: the type comes with the link.
    let has_own_namespace = new_network_namespace().is_ok();
    libbpf_rs::set_print(None);
    let what = "load a netfilter program";
    let open = ObjectBuilder::default().open_memory(&PROGRAM.0).map_err(|error| failed(what, &error))?;
    let object = open.load().map_err(|error| match error.kind() {
        libbpf_rs::ErrorKind::PermissionDenied => Unsupported::Privileges { what },
        _ => failed(what, &error),
    })?;
    if !has_own_namespace {
        return Ok(());
    }
    let hook = Hook { family: 2, number: 4, priority: 90, flags: 0 };
    for program in object.progs() {
        attach_netfilter(program.as_fd(), hook)
            .map_err(|error| refused("attach a netfilter program", error))?;
    }
    Ok(())
}

fn refused(what: &'static str, error: std::io::Error) -> Unsupported {
    match error.kind() {
        ErrorKind::PermissionDenied => Unsupported::Privileges { what },
        _ => failed(what, &error),
    }
}

fn failed(what: &'static str, error: &dyn std::error::Error) -> Unsupported {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Unsupported::Kernel { what, error: error.to_string(), release }
}
