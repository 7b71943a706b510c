//! What outlives the process: flows and totals, with the policies that were in force.

use std::sync::Arc;

use podgate_api::Object;
use podgate_archive::Archive;
use podgate_flow::{EdgeMinute, FlowRecord, PolicyVersion};
use podgate_policy::Cluster;

/// Hands everything to an archive.
pub struct Keeper {
    archive: Arc<Archive>,
    /// The policies that the archive was told last.
    told: PolicyVersion,
}

impl Keeper {
    /// A keeper for an archive that is open.
    pub fn new(archive: impl Into<Arc<Archive>>) -> Keeper {
        Keeper { archive: archive.into(), told: PolicyVersion::default() }
    }

    /// Keeps what [`crate::Observer::turn`] returned, made under the policies that the cluster has. Never waits.
    pub fn keep(&mut self, records: &[Arc<FlowRecord>], minutes: &[Arc<EdgeMinute>], cluster: &Cluster) {
        if records.is_empty() && minutes.is_empty() {
            return;
        }
        let version = PolicyVersion(cluster.policy_version());
        if version != self.told {
            let namespaced = cluster.policies().map(|policy| Object::NetworkPolicy(policy.clone()));
            let others = cluster.cluster_policies().map(|policy| Object::ClusterPolicy(policy.clone()));
            self.archive.remember_policies(version, &namespaced.chain(others).collect::<Vec<_>>());
            self.told = version;
        }
        self.archive.append(records);
        self.archive.append_edges(minutes);
    }

    /// Where it keeps them.
    pub fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// How many records and minutes could not be kept.
    pub fn lost(&self) -> u64 {
        let state = self.archive.state();
        state.flows_lost + state.edges_lost
    }

    /// What went wrong, each thing once.
    pub fn problems(&self) -> Vec<String> {
        self.archive.state().problems.iter().map(ToString::to_string).collect()
    }
}
