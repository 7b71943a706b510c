//! Descriptors of everything that is pinned. What somebody removes from the file system, or detaches, is
//! still held by this process, and is put back.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use libbpf_rs::query::LinkTypeInfo;
use libbpf_rs::{Link, MapHandle};

use super::load::{FAMILIES, attach_family, maps_of, open_program};
use super::maps::{NAMES, open_map};
use super::sys::{Hook, attach_netfilter, pin};
use crate::netns::NetNs;
use crate::{Error, Repair};

#[derive(Debug)]
pub(crate) struct Held {
    program: OwnedFd,
    maps: Vec<(&'static str, MapHandle)>,
    /// In the order of [`FAMILIES`].
    links: [Option<(OwnedFd, Hook)>; FAMILIES.len()],
}

impl Held {
    /// Opens what is pinned in a directory. Links need not be there yet.
    pub(crate) fn open(directory: &Path) -> Result<Held, Error> {
        let maps = maps_of(directory);
        let open = |name: &'static str| Ok((name, open_map(&maps, name)?));
        let mut held = Held {
            program: open_program(directory)?,
            maps: NAMES.into_iter().map(open).collect::<Result<_, Error>>()?,
            links: [const { None }; FAMILIES.len()],
        };
        for (at, (name, family)) in FAMILIES.into_iter().enumerate() {
            let path = directory.join(name);
            if path.exists() {
                held.links[at] = Some(open_link(&path, family)?);
            }
        }
        Ok(held)
    }

    /// Attaches and pins what isn't, and pins again what was unpinned. Returns what had to be done.
    pub(crate) fn restore(&mut self, directory: &Path, netns: &NetNs) -> Result<Vec<Repair>, Error> {
        let (mut is_unpinned, mut is_detached) = (false, false);
        let maps = maps_of(directory);
        for (name, map) in &self.maps {
            is_unpinned |= put_back(map, &maps.join(name), &maps)?;
        }
        is_unpinned |= put_back(&self.program, &directory.join("prog"), directory)?;
        for (at, (name, family)) in FAMILIES.into_iter().enumerate() {
            let path = directory.join(name);
            if !self.is_in_place(at, netns)? {
                is_detached = true;
                let attached = netns.run(|| attach_family(directory, &self.program, family))??;
                // What is there holds a link that has ended.
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(Error::io(format!("remove {}", path.display()), error));
                    }
                    _ => {}
                }
                put_back(&attached, &path, directory)?;
                self.links[at] = Some(open_link(&path, family)?);
            } else if let Some((link, _)) = &self.links[at] {
                is_unpinned |= put_back(link, &path, directory)?;
            }
        }
        let repairs = [(is_detached, Repair::Hook), (is_unpinned, Repair::Pin)];
        Ok(repairs.into_iter().filter(|(is_so, _)| *is_so).map(|(_, repair)| repair).collect())
    }

    /// Whether a link still sees packets. A detached one can't say so, but its place is free.
    fn is_in_place(&self, at: usize, netns: &NetNs) -> Result<bool, Error> {
        let Some((_, hook)) = self.links[at] else { return Ok(false) };
        match netns.run(|| attach_netfilter(self.program.as_fd(), hook))? {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(true),
            Err(error) => Err(Error::io("try the place of a link", error)),
            // Dropping what was attached for the try ends it.
            Ok(_) => Ok(false),
        }
    }
}

fn open_link(path: &Path, family: u32) -> Result<(OwnedFd, Hook), Error> {
    let failed = |error| Error::bpf(format!("open {}", path.display()), error);
    let link = Link::open(path).map_err(failed)?;
    let LinkTypeInfo::Netfilter(info) = link.info().map_err(failed)?.info else {
        return Err(Error::OtherNamespace { path: path.to_owned() });
    };
    let fd = link.as_fd().try_clone_to_owned();
    let fd = fd.map_err(|error| Error::io(format!("hold {}", path.display()), error))?;
    Ok((fd, Hook { family, number: info.hooknum, priority: info.priority, flags: 0 }))
}

/// Pins an object where it isn't. `true`: it wasn't.
fn put_back(object: impl AsFd, path: &Path, directory: &Path) -> Result<bool, Error> {
    if path.exists() {
        return Ok(false);
    }
    fs::create_dir_all(directory)
        .map_err(|error| Error::io(format!("create {}", directory.display()), error))?;
    pin(object, path).map_err(|error| Error::io(format!("pin {}", path.display()), error))?;
    Ok(true)
}
