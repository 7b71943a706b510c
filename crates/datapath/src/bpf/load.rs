//! The program and its maps as pinned files: loading, attaching, finding again, replacing.
//!
//! ```text
//! PIN_DIR/v1-HASH/maps/NAME     HASH: of the program and its maps' sizes; o1-HASH for one that only observes
//!                /link4, link6  filter for as long as they are there
//!                /prog          pinned last: without it the directory is half made
//! ```

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libbpf_rs::query::LinkTypeInfo;
use libbpf_rs::{Link, MapCore, ObjectBuilder, OpenObject, PrintLevel, Program};
use rustix::fs::{FlockOperation, flock, statfs};

use super::layout::{ANSWER_PORTS, Constants, ENFORCE, OBSERVE_ALL, OBSERVE_DENIED};
use super::maps::NAMES;
use super::sys::{Hook, attach_netfilter, pin};
use crate::netns::NetNs;
use crate::{Error, Mode, Options};

/// Bytes of an ELF file, aligned as its reader wants them.
#[repr(align(8))]
struct Aligned<T: ?Sized>(T);

static PROGRAM: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/podgate.bpf.o")));

/// Directories of the same version have the same event layout.
const VERSION: &str = "v1-";
/// Of what only observes. A name of its own, so that nobody takes the one for the other.
const OBSERVER: &str = "o1-";
const BPFFS_MAGIC: u64 = 0xcafe_4a11;
const POST_ROUTING: u32 = 4;
/// Before source NAT, which is at 100.
const ENFORCING: std::ops::RangeInclusive<i32> = 90..=99;
/// Before what drops packets.
const OBSERVING: std::ops::RangeInclusive<i32> = 80..=89;
const DEFRAGMENT: u32 = 1;
/// A process that has just ended may have left a child between fork and exec, which has the lock too.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
pub(crate) const FAMILIES: [(&str, u32); 2] = [("link4", 2), ("link6", 10)];

/// Takes hold of a pin directory: it is let go when the result is dropped or the process ends.
pub(crate) fn lock(pin_dir: &Path) -> Result<fs::File, Error> {
    let what = || format!("open {}", pin_dir.display());
    let magic = |path: &Path| statfs(path).map(|found| found.f_type as u64);
    let parent = pin_dir.parent().unwrap_or(pin_dir);
    if magic(pin_dir).or_else(|_| magic(parent)).map_err(|error| Error::io(what(), error))? != BPFFS_MAGIC {
        return Err(Error::NotBpffs { path: pin_dir.to_owned() });
    }
    fs::create_dir_all(pin_dir).map_err(|error| Error::io(what(), error))?;
    let directory = fs::File::open(pin_dir).map_err(|error| Error::io(what(), error))?;
    let patience = Instant::now() + LOCK_PATIENCE;
    loop {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(directory),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < patience => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::InUse { path: pin_dir.to_owned() }),
            Err(error) => return Err(Error::io(format!("lock {}", pin_dir.display()), error)),
        }
    }
}

/// The directory of this program with maps of this size and what else is settled when it's loaded.
pub(crate) fn directory(options: &Options) -> PathBuf {
    let Options { pin_dir, capacity, totals, mode, answers, .. } = options;
    let settled = format!("{capacity:?} {totals:?} {mode:?} {answers:?}");
    let kind = if *mode == Mode::Enforce { VERSION } else { OBSERVER };
    pin_dir.join(format!("{kind}{:016x}", fnv(PROGRAM.0.iter().chain(settled.as_bytes()))))
}

/// All directories that some podgate made.
pub(crate) fn directories(pin_dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let what = || format!("list {}", pin_dir.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(pin_dir).map_err(|error| Error::io(what(), error))? {
        let path = entry.map_err(|error| Error::io(what(), error))?.path();
        let name = name_of(&path);
        if path.is_dir() && name.starts_with(['v', 'o']) && name.contains('-') {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether its events can be read by this podgate.
pub(crate) fn is_same_version(directory: &Path) -> bool {
    [VERSION, OBSERVER].iter().any(|version| name_of(directory).starts_with(version))
}

/// Whether what is pinned there only observes.
pub(crate) fn is_observer(directory: &Path) -> bool {
    name_of(directory).starts_with('o')
}

fn name_of(directory: &Path) -> &str {
    directory.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

pub(crate) fn maps_of(directory: &Path) -> PathBuf {
    directory.join("maps")
}

/// Loads the program and pins it with its maps. Nothing is attached.
pub(crate) fn load(directory: &Path, options: &Options) -> Result<(), Error> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).clear();
    libbpf_rs::set_print(Some((PrintLevel::Warn, keep_log)));
    let mut open = ObjectBuilder::default()
        .open_memory(&PROGRAM.0)
        .map_err(|error| Error::bpf("open the kernel program", error))?;
    set_sizes(&mut open, options)?;
    let loaded = open.load();
    libbpf_rs::set_print(None);
    let mut object = loaded.map_err(|error| Error::Verifier {
        source: error,
        log: LOG.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    })?;
    let maps = maps_of(directory);
    fs::create_dir_all(&maps).map_err(|error| Error::io(format!("create {}", maps.display()), error))?;
    for map in object.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        if NAMES.contains(&name.as_str()) {
            pin(map.as_fd(), &maps.join(&name))
                .map_err(|error| Error::io(format!("pin map {name}"), error))?;
        }
    }
    for program in object.progs_mut() {
        pin(program.as_fd(), &directory.join("prog")).map_err(|error| Error::io("pin the program", error))?;
    }
    Ok(())
}

/// What libbpf said while loading, the verifier's log included.
static LOG: Mutex<String> = Mutex::new(String::new());

fn keep_log(_: PrintLevel, line: String) {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
}

fn set_sizes(open: &mut OpenObject, options: &Options) -> Result<(), Error> {
    let Options { capacity, totals, answers, .. } = options;
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        let entries = match name.as_str() {
            "idents" => capacity.idents(),
            "addr4" | "addr6" => with_spare(capacity.addresses),
            "lpm4" | "lpm6" => with_spare(capacity.prefixes),
            // What is in force, and what replaces it.
            "rows" => 2 * capacity.rows,
            "ranges" => 2 * capacity.ranges,
            "events" => capacity.ring_bytes,
            "answers" => answers.as_ref().map_or(4096, |answers| answers.ring_bytes),
            "edges0" | "edges1" => totals.unwrap_or(1),
            _ if name.ends_with(".rodata") => {
                map.set_initial_value(&constants(options).to_bytes())
                    .map_err(|error| Error::bpf("set the program's constants", error))?;
                continue;
            }
            _ => continue,
        };
        map.set_max_entries(entries).map_err(|error| Error::bpf(format!("size map {name}"), error))?;
    }
    Ok(())
}

fn constants(options: &Options) -> Constants {
    let ports = options.answers.as_ref().map_or(&[][..], |answers| &answers.ports);
    let mut answer_ports = [0; ANSWER_PORTS];
    answer_ports.iter_mut().zip(ports).for_each(|(to, port)| *to = *port);
    Constants {
        weakly_ordered: u8::from(cfg!(not(any(target_arch = "x86_64", target_arch = "s390x")))),
        totals: u8::from(options.totals.is_some()),
        observe: match options.mode {
            Mode::Enforce => ENFORCE,
            Mode::Observe { allowed: false } => OBSERVE_DENIED,
            Mode::Observe { allowed: true } => OBSERVE_ALL,
        },
        answers: ports.len() as u8,
        answer_ports,
    }
}

/// Room for entries that wait to be removed.
pub(crate) fn with_spare(entries: u32) -> u32 {
    entries + entries / 8 + 64
}

/// Attaches a directory's program for one family, at the first free priority.
pub(crate) fn attach_family(directory: &Path, program: &OwnedFd, family: u32) -> Result<OwnedFd, Error> {
    let priorities = if is_observer(directory) { OBSERVING } else { ENFORCING };
    let (first, last) = (*priorities.start(), *priorities.end());
    for priority in priorities {
        // A kernel without the defragmentation module refuses the flag; conntrack defragments as well.
        let attached = [DEFRAGMENT, 0].into_iter().find_map(|flags| {
            let hook = Hook { family, number: POST_ROUTING, priority, flags };
            match attach_netfilter(program.as_fd(), hook) {
                Err(error) if flags != 0 && error.kind() != ErrorKind::ResourceBusy => None,
                result => Some(result),
            }
        });
        match attached {
            Some(Ok(link)) => return Ok(link),
            Some(Err(error)) if error.kind() != ErrorKind::ResourceBusy => {
                return Err(Error::io("attach to the postrouting hook", error));
            }
            _ => {}
        }
    }
    Err(Error::NoPriority { first, last })
}

/// Whether both links are there.
pub(crate) fn is_attached(directory: &Path) -> bool {
    FAMILIES.iter().all(|(name, _)| directory.join(name).exists())
}

/// Makes sure that the pinned links filter this namespace: a link can't say which one it is in, but its
/// place is taken only there.
pub(crate) fn check_namespace(directory: &Path, netns: &NetNs) -> Result<(), Error> {
    let program = open_program(directory)?;
    for (name, family) in FAMILIES {
        let path = directory.join(name);
        if !path.exists() {
            continue;
        }
        let link =
            Link::open(&path).map_err(|error| Error::bpf(format!("open {}", path.display()), error))?;
        let info = link.info().map_err(|error| Error::bpf(format!("read {}", path.display()), error))?;
        let LinkTypeInfo::Netfilter(info) = info.info else {
            return Err(Error::OtherNamespace { path: directory.to_owned() });
        };
        let hook = Hook { family, number: info.hooknum, priority: info.priority, flags: 0 };
        let taken = netns.run(|| attach_netfilter(program.as_fd(), hook))?;
        if taken.map_err(|error| error.kind()).err() != Some(ErrorKind::ResourceBusy) {
            return Err(Error::OtherNamespace { path: directory.to_owned() });
        }
    }
    Ok(())
}

/// Whether a directory was made to the end.
pub(crate) fn is_complete(directory: &Path) -> bool {
    directory.join("prog").exists()
}

/// Stops filtering by this directory's links; its maps stay.
pub(crate) fn detach(directory: &Path) -> Result<(), Error> {
    for (name, _) in FAMILIES {
        let path = directory.join(name);
        if path.exists() {
            let what = || format!("detach {}", path.display());
            Link::open(&path).and_then(|link| link.detach()).map_err(|error| Error::bpf(what(), error))?;
            fs::remove_file(&path).map_err(|error| Error::io(what(), error))?;
        }
    }
    Ok(())
}

/// Removes a directory with all that is in it. Its links, if there are any, end.
pub(crate) fn remove(directory: &Path) -> Result<(), Error> {
    let failed = |error: io::Error| Error::io(format!("remove {}", directory.display()), error);
    let prog = directory.join("prog");
    if prog.exists() {
        fs::remove_file(&prog).map_err(failed)?;
    }
    // A file system without hard links and with a flat tree: nothing below is anyone else's.
    fs::remove_dir_all(directory).map_err(failed)
}

pub(crate) fn open_program(directory: &Path) -> Result<OwnedFd, Error> {
    let path = directory.join("prog");
    Program::fd_from_pinned_path(&path).map_err(|error| Error::bpf(format!("open {}", path.display()), error))
}

/// FNV-1a, 64 bits: the same in every build of podgate.
fn fnv<'a>(bytes: impl Iterator<Item = &'a u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
