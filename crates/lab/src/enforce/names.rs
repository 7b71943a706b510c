//! What DNS answers to the lab's pods, for rules with domain names.

use std::fs;
use std::io::ErrorKind;

use ipnet::IpNet;
use podgate_observe::{Observer, Resolvers};

use super::daemon::Daemon;
use super::engine::Engine;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::resolver::dns_service;
use crate::state::Lab;

/// In the run directory: names that rules ask for, with their addresses. A daemon that ends leaves the kernel as it is,
/// and its successor must not cut what it has opened.
const FILE: &str = "names";

/// The pods behind the lab's DNS Service; in a lab without, whatever a cluster trusts.
pub(super) fn resolvers(plan: &Plan) -> Resolvers {
    let Some(service) = dns_service(plan) else { return Resolvers::Cluster };
    let pods = service.endpoints.iter().filter_map(|index| plan.pod(*index));
    Resolvers::Networks(pods.flat_map(|pod| &pod.ips).map(|ip| IpNet::from(*ip)).collect())
}

/// Takes over what an earlier daemon knew.
pub(super) fn restore(lab: &Lab, observer: &mut Observer) -> Result<()> {
    let file = lab.file(FILE);
    match fs::read_to_string(&file) {
        Ok(saved) => observer.restore_names(&saved),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io(format!("read {}", file.display()), error)),
    }
    Ok(())
}

impl Daemon {
    /// Hears what was answered, and makes it current at once: a pod that has an answer goes there.
    pub(super) fn names(&mut self) -> Result<()> {
        let Daemon { enforced, candidate, observer, .. } = self;
        let Engine { cluster, kernels, .. } = enforced;
        let polled = kernels.poll_answers(|message| observer.answer(&message, cluster));
        let mut clusters = vec![cluster];
        clusters.extend(candidate.as_mut().map(|candidate| &mut candidate.cluster));
        if observer.turn_names(&mut clusters) {
            self.save_names()?;
            let Daemon { lab, plan, .. } = self;
            for engine in [&mut self.enforced].into_iter().chain(&mut self.candidate) {
                engine.publish(lab, plan)?;
            }
        }
        polled
    }

    /// Times go on while names stay; once a second is often enough for those.
    pub(super) fn save_names(&mut self) -> Result<()> {
        let saved = self.observer.saved_names();
        if saved == self.saved_names {
            return Ok(());
        }
        let (file, half) = (self.lab.file(FILE), self.lab.file("names.half"));
        let written = fs::write(&half, &saved).and_then(|()| fs::rename(&half, &file));
        written.map_err(|error| Error::io(format!("write {}", file.display()), error))?;
        self.saved_names = saved;
        Ok(())
    }
}
