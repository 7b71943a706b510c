//! The kernel's tables as the publisher sees them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::layout::{RawRange, RawRow, RowKey};
use crate::Error;

/// What the publisher needs of the kernel. Nothing here is atomic but [`Store::flip`] and
/// [`Store::put_word`].
pub(crate) trait Store {
    /// Maps an address to an ident; `false`: the table is full.
    fn put_address(&mut self, address: IpAddr, index: u32) -> Result<bool, Error>;
    fn delete_address(&mut self, address: IpAddr) -> Result<(), Error>;
    /// Maps a prefix to an ident; `false`: the table is full.
    fn put_prefix(&mut self, prefix: IpNet, index: u32) -> Result<bool, Error>;
    fn delete_prefix(&mut self, prefix: IpNet) -> Result<(), Error>;
    /// `false`: the table is full.
    fn put_row(&mut self, key: RowKey, row: RawRow) -> Result<bool, Error>;
    fn delete_row(&mut self, key: RowKey) -> Result<(), Error>;
    fn write_ranges(&mut self, at: u32, ranges: &[RawRange]);
    fn word(&self, index: u32, slot: usize) -> u64;
    fn set_word(&mut self, index: u32, slot: usize, word: u64);
    /// As [`Store::set_word`], after all that was written before: for a slot in force. `false`: nothing was
    /// written, states change by flips alone here.
    fn put_word(&mut self, _index: u32, _slot: usize, _word: u64) -> bool {
        false
    }
    fn generation(&self) -> u64;
    /// Puts the other slot of every ident in force, after all that was written before.
    fn flip(&mut self, generation: u64);
    /// Marks addresses that found no room, besides those that are marked.
    fn add_marks(&mut self, addresses: &mut dyn Iterator<Item = IpAddr>);
    /// Marks these addresses and no others.
    fn replace_marks(&mut self, addresses: &mut dyn Iterator<Item = IpAddr>);
    /// Starts to wait until no packet uses what it found before this call.
    fn begin_grace(&mut self);
    /// Whether that is over; `wait`: waits for it.
    fn grace_over(&mut self, wait: bool) -> bool;
    /// Everything that the tables hold.
    fn contents(&self) -> Result<Contents, Error>;
}

/// See [`Store::contents`].
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) addresses: Vec<(IpAddr, u32)>,
    pub(crate) prefixes: Vec<(IpNet, u32)>,
    pub(crate) rows: Vec<(RowKey, RawRow)>,
}
