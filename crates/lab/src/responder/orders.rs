//! Where a responder learns what to answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::dns::Names;
use super::places::{Place, places};
use super::{READY_FILE, Ready};
use crate::error::{Error, Result};
use crate::state::{Lab, store};

/// A file to follow.
#[derive(Debug)]
pub(super) enum Orders {
    /// The plan of a lab.
    Plan(Lab),
    /// A JSON map of places.
    Places(PathBuf),
}

impl Orders {
    /// The file.
    pub fn file(&self) -> PathBuf {
        match self {
            Orders::Plan(lab) => lab.file("plan.json"),
            Orders::Places(file) => file.clone(),
        }
    }

    /// The directory that it is in.
    pub fn dir(&self) -> PathBuf {
        self.file().parent().unwrap_or(Path::new(".")).to_owned()
    }

    /// What the file says now.
    pub fn read(&self) -> Result<(BTreeMap<String, Place>, Names)> {
        match self {
            Orders::Plan(lab) => match lab.plan()? {
                Some(plan) => Ok((places(&plan), Names::new(&plan))),
                None => Err(Error::message(format!("lab {} has no plan", lab.name()))),
            },
            Orders::Places(file) => {
                let text = fs::read(file).map_err(|e| Error::io(format!("read {}", file.display()), e))?;
                let places = serde_json::from_slice(&text)
                    .map_err(|error| Error::message(format!("{} is damaged: {error}", file.display())))?;
                Ok((places, Names::default()))
            }
        }
    }

    /// Tells whoever waits that what was read is in force.
    pub fn acknowledge(&self, ready: &Ready) -> Result<()> {
        store(&self.dir().join(READY_FILE), ready)
    }
}
