//! Hears when anybody changes nftables in a network namespace, so that looking there can wait until then.

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

use crate::Error;

/// `NFNLGRP_NFTABLES`, as a bit.
const GROUP: u32 = 1 << (7 - 1);

#[derive(Debug)]
pub(crate) struct NftNews(OwnedFd);

impl NftNews {
    /// Listens in the calling thread's network namespace.
    pub(crate) fn listen() -> Result<NftNews, Error> {
        let failed = |error: Errno| Error::io("listen for changes of nftables", error);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::NETFILTER));
        let socket = socket.map_err(failed)?;
        bind(&socket, &SocketAddrNetlink::new(0, GROUP)).map_err(failed)?;
        Ok(NftNews(socket))
    }

    /// Whether there were changes since this was last asked; also when that isn't known.
    pub(crate) fn any(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let mut is_changed = false;
        loop {
            match recv(&self.0, &mut buffer, RecvFlags::TRUNC) {
                Err(Errno::AGAIN) => return is_changed,
                Err(Errno::INTR) => {}
                // More than the socket holds.
                Err(Errno::NOBUFS) | Ok(_) => is_changed = true,
                Err(_) => return true,
            }
        }
    }
}
