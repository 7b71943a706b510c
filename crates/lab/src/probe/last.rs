//! What the last probe of a lab found, kept for those who show it.

use std::net::IpAddr;

use podgate_flow::{Protocol, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Measured, PlaceKind, ProbeReport, TargetKind};
use crate::error::Result;
use crate::state::Lab;

/// Name of the file in the run directory.
const FILE: &str = "probe.json";

/// Connections to pods and addresses that a probe tried. Attempts through Services are not among them: they say
/// less about a pair of pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastProbe {
    /// When it ended.
    pub at: Timestamp,
    /// The connections.
    pub tries: Vec<Try>,
}

/// A connection that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// `namespace/name` of a pod, or an address.
    pub from: String,
    /// The same of whom it connected to.
    pub to: String,
    /// IANA number of the protocol.
    pub protocol: u8,
    /// Port; 0 for ICMP.
    pub port: u16,
    /// Whether it came through.
    pub reached: bool,
}

impl Try {
    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        Protocol(self.protocol)
    }
}

impl LastProbe {
    /// What a report says of pods and addresses.
    pub fn new(at: Timestamp, report: &ProbeReport) -> LastProbe {
        let tries = report.cells.iter().filter_map(|cell| {
            let (source, target) = (&report.sources[cell.from], &report.targets[cell.to]);
            if !matches!(target.kind, TargetKind::Pod | TargetKind::Outside) {
                return None;
            }
            let reached = match cell.measured {
                Measured::Reached { .. } => true,
                Measured::Dropped => false,
                Measured::Failed { .. } => return None,
            };
            let end =
                |is_pod: bool, name: &str, ip: IpAddr| if is_pod { name.to_owned() } else { ip.to_string() };
            Some(Try {
                from: end(source.kind == PlaceKind::Pod, &source.name, cell.source_ip),
                to: end(target.kind == TargetKind::Pod, &target.name, cell.target_ip),
                protocol: target.wire.number(cell.target_ip.is_ipv4()),
                port: target.port,
                reached,
            })
        });
        LastProbe { at, tries: tries.collect() }
    }

    /// Keeps it in a lab's run directory.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn keep(&self, lab: &Lab) -> Result<()> {
        lab.store(FILE, self)
    }

    /// The last probe of a lab; `None`: there was none.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn of(lab: &Lab) -> Result<Option<LastProbe>> {
        lab.read(FILE)
    }
}
