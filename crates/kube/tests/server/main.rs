//! Reads, follows and writes to a server made for the test.

mod faults;
mod followed;
mod read;
mod support;
mod watch;
mod write;
