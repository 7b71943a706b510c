//! Words, keys and rows as a datapath keeps them: what is published, in numbers. The BPF backend shares them with its
//! program, in `bpf/kernel/layout.h`.

use std::mem::offset_of;

pub(crate) const LOCAL: u64 = 1 << 62;
pub(crate) const POD: u64 = 1 << 63;
pub(crate) const INGRESS_SHIFT: u32 = 20;
pub(crate) const CLASS_SHIFT: u32 = 40;
pub(crate) const PROGRAMS: u32 = 1 << 20;
pub(crate) const CLASSES: u32 = 1 << 22;

/// The program that denies all.
pub(crate) const CLOSED: u32 = 1;
/// Programs below are fixed.
pub(crate) const FIRST_PROGRAM: u32 = 2;
pub(crate) const DEFAULT_ANY: u32 = 0;
pub(crate) const DEFAULT_POD: u32 = 1;
/// In a default row's class: for IPv6.
pub(crate) const DEFAULT_V6: u32 = 2;
/// Classes below stand for default rows.
pub(crate) const FIRST_CLASS: u32 = 4;
/// In a row's class: what a program says to that class's pods when they reach themselves through a Service.
pub(crate) const ITSELF: u32 = 1 << 31;

pub(crate) const RANGE_SIZE: usize = 24;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RowKey {
    pub(crate) program: u32,
    pub(crate) class: u32,
}

impl RowKey {
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.program.to_ne_bytes());
        bytes[4..].copy_from_slice(&self.class.to_ne_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let fields = Fields::new(bytes, size_of::<RowKey>())?;
        Some(RowKey { program: fields.u32(0), class: fields.u32(4) })
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawRow {
    pub(crate) offset: u32,
    pub(crate) length: u16,
    pub(crate) allowed: u8,
    pub(crate) pad: u8,
    pub(crate) decider: u64,
}

impl RawRow {
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.offset.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.length.to_ne_bytes());
        bytes[6] = self.allowed;
        bytes[8..].copy_from_slice(&self.decider.to_ne_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let fields = Fields::new(bytes, size_of::<RawRow>())?;
        Some(RawRow {
            offset: fields.u32(0),
            length: fields.u16(4),
            allowed: bytes[6],
            pad: 0,
            decider: fields.u64(8),
        })
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RawRange {
    pub(crate) lo: u32,
    pub(crate) hi: u32,
    pub(crate) decider: u64,
    pub(crate) allowed: u32,
    pub(crate) pad: u32,
}

const _: () = {
    assert!(size_of::<RowKey>() == 8);
    assert!(size_of::<RawRow>() == 16);
    assert!(offset_of!(RawRow, allowed) == 6);
    assert!(offset_of!(RawRow, decider) == 8);
    assert!(size_of::<RawRange>() == RANGE_SIZE);
    assert!(offset_of!(RawRange, allowed) == 16);
};

/// Reads numbers out of bytes whose length was checked once.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// `None` when there are fewer than `size` bytes.
    pub(crate) fn new(bytes: &'a [u8], size: usize) -> Option<Self> {
        bytes.get(..size).map(Fields)
    }

    pub(crate) fn bytes<const N: usize>(self, at: usize) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.0[at..at + N]);
        out
    }

    pub(crate) fn u8(self, at: usize) -> u8 {
        self.0[at]
    }

    pub(crate) fn u16(self, at: usize) -> u16 {
        u16::from_ne_bytes(self.bytes(at))
    }

    pub(crate) fn u32(self, at: usize) -> u32 {
        u32::from_ne_bytes(self.bytes(at))
    }

    pub(crate) fn u64(self, at: usize) -> u64 {
        u64::from_ne_bytes(self.bytes(at))
    }
}
