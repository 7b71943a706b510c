//! The crate's only unsafe code: memory shared with the kernel, and calls that have no safe form yet.

use std::ffi::CString;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use libbpf_rs::libbpf_sys;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// A map's memory, shared with the kernel. All access is atomic and checked against its length.
#[derive(Debug)]
pub(crate) struct Shared {
    base: NonNull<u8>,
    length: NonZeroUsize,
}

// SAFETY: the memory is reached through atomics only, and unmapped once, by `drop`.
unsafe impl Send for Shared {}

impl Shared {
    /// Maps `length` bytes of a map created with `BPF_F_MMAPABLE`.
    pub(crate) fn map(fd: BorrowedFd<'_>, length: usize) -> io::Result<Shared> {
        let page = rustix::param::page_size();
        let length = NonZeroUsize::new(length.next_multiple_of(page)).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a null address lets the kernel choose unused memory, so no other object is overlapped.
        let base = unsafe {
            mmap(ptr::null_mut(), length.get(), ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)?
        };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Shared { base, length })
    }

    fn address(&self, offset: usize, size: usize) -> *mut u8 {
        assert!(
            offset.is_multiple_of(size) && offset + size <= self.length.get(),
            "offset {offset} out of map"
        );
        // SAFETY: the assertion keeps the result inside the mapping.
        unsafe { self.base.as_ptr().add(offset) }
    }

    fn u64_at(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: `address` checks bounds and alignment; the memory lives as long as `self`, and the only
        // other users are this type's atomics and the kernel.
        unsafe { AtomicU64::from_ptr(self.address(offset, 8).cast()) }
    }

    fn u32_at(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as in `u64_at`.
        unsafe { AtomicU32::from_ptr(self.address(offset, 4).cast()) }
    }

    pub(crate) fn load(&self, offset: usize) -> u64 {
        self.u64_at(offset).load(Ordering::Acquire)
    }

    pub(crate) fn load_u32(&self, offset: usize) -> u32 {
        self.u32_at(offset).load(Ordering::Relaxed)
    }

    pub(crate) fn store(&self, offset: usize, value: u64) {
        self.u64_at(offset).store(value, Ordering::Relaxed);
    }

    /// Stores after everything stored before it.
    pub(crate) fn store_release(&self, offset: usize, value: u64) {
        self.u64_at(offset).store(value, Ordering::Release);
    }

    pub(crate) fn store_u32(&self, offset: usize, value: u32) {
        self.u32_at(offset).store(value, Ordering::Relaxed);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: base and length are those of `map`, and no reference into the memory outlives `self`.
        // A failure would leave the memory mapped, which harms nobody.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.length.get()) };
    }
}

/// What a call of [`take_batch`] has found.
#[derive(Debug)]
pub(crate) struct Batch {
    /// How many entries.
    pub(crate) count: usize,
    /// There are no more.
    pub(crate) is_last: bool,
}

/// Reads entries of a hash map of the kernel and removes them: as many as there is room for in `keys` and `values`,
/// which are multiples of the map's key size and of the size of a value for all CPUs. `cursor` says where to go on;
/// without one it begins.
pub(crate) fn take_batch(
    map: BorrowedFd<'_>,
    cursor: &mut Option<u32>,
    room: u32,
    (keys, values): (&mut [u8], &mut [u8]),
    (key_size, value_size): (usize, usize),
) -> io::Result<Batch> {
    assert!(keys.len() >= room as usize * key_size && values.len() >= room as usize * value_size);
    let options = libbpf_sys::bpf_map_batch_opts {
        sz: size_of::<libbpf_sys::bpf_map_batch_opts>() as u64,
        ..Default::default()
    };
    let mut from = cursor.unwrap_or_default();
    let (mut to, mut count) = (0u32, room);
    let start = if cursor.is_some() { (&raw mut from).cast() } else { ptr::null_mut() };
    // SAFETY: hash maps have cursors of four bytes; the assertion keeps `count` entries inside of `keys` and `values`;
    // all pointers outlive the call.
    let error = unsafe {
        libbpf_sys::bpf_map_lookup_and_delete_batch(
            map.as_raw_fd(),
            start,
            (&raw mut to).cast(),
            keys.as_mut_ptr().cast(),
            values.as_mut_ptr().cast(),
            &raw mut count,
            &raw const options,
        )
    };
    let is_last = match io::Error::from_raw_os_error(-error) {
        _ if error == 0 => false,
        // No more, after what was found.
        error if error.kind() == io::ErrorKind::NotFound => true,
        error => return Err(error),
    };
    *cursor = Some(to);
    Ok(Batch { count: count as usize, is_last })
}

/// Where a netfilter program is attached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hook {
    pub(crate) family: u32,
    pub(crate) number: u32,
    pub(crate) priority: i32,
    pub(crate) flags: u32,
}

/// Attaches a netfilter program in the calling thread's network namespace.
pub(crate) fn attach_netfilter(program: BorrowedFd<'_>, hook: Hook) -> io::Result<OwnedFd> {
    let mut options = libbpf_sys::bpf_link_create_opts {
        sz: size_of::<libbpf_sys::bpf_link_create_opts>() as u64,
        ..Default::default()
    };
    options.__bindgen_anon_1.netfilter.pf = hook.family;
    options.__bindgen_anon_1.netfilter.hooknum = hook.number;
    options.__bindgen_anon_1.netfilter.priority = hook.priority;
    options.__bindgen_anon_1.netfilter.flags = hook.flags;
    // SAFETY: `options` is initialised, names its own size, and outlives the call.
    let fd = unsafe {
        libbpf_sys::bpf_link_create(program.as_raw_fd(), 0, libbpf_sys::BPF_NETFILTER, &raw const options)
    };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the call succeeded, so `fd` is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins a BPF object.
pub(crate) fn pin(object: impl AsFd, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` ends with a NUL and outlives the call.
    match unsafe { libbpf_sys::bpf_obj_pin(object.as_fd().as_raw_fd(), path.as_ptr()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

/// Moves the calling thread into a network namespace of its own.
pub(crate) fn new_network_namespace() -> rustix::io::Result<()> {
    // SAFETY: only unsharing the table of file descriptors is dangerous, and `NEWNET` leaves it shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}
