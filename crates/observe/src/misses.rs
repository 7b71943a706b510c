//! Which rule came nearest to allowing what was denied.

use std::net::IpAddr;
use std::sync::Arc;

use podgate_flow::{Decision, FlowRecord, NearMiss, PolicyVersion, Protocol, Reason, nearest};
use podgate_policy::{Cluster, Connection, Direction, Verdict};
use rustc_hash::FxHashMap;

/// Answers that are kept; a scan of addresses must not fill the memory.
const KEPT: usize = 4096;

/// What a denial was about.
type Denied = (IpAddr, IpAddr, Protocol, u16, Direction);

/// Answers of the engine for one state of the policies.
#[derive(Debug, Default)]
pub(crate) struct Misses {
    version: PolicyVersion,
    known: FxHashMap<Denied, Option<Arc<NearMiss>>>,
}

impl Misses {
    /// Adds to a record what its denial missed.
    pub(crate) fn explain(&mut self, record: &mut FlowRecord, cluster: &Cluster) {
        let version = PolicyVersion(cluster.policy_version());
        if version != self.version || self.known.len() >= KEPT {
            self.known.clear();
            self.version = version;
        }
        let (from, to) = (record.source.ip, record.destination.ip);
        let (protocol, port) = (record.protocol, record.destination.port);
        for (direction, decision) in
            [(Direction::Egress, &mut record.egress), (Direction::Ingress, &mut record.ingress)]
        {
            if let Some(decision) = decision
                && is_isolation(decision)
            {
                let connection = Connection { from, to, protocol: protocol.0, port };
                let miss = self.known.entry((from, to, protocol, port, direction));
                let miss = miss.or_insert_with(|| nearest(cluster, &connection, direction).map(Arc::new));
                decision.nearest = miss.clone();
            }
        }
    }
}

fn is_isolation(decision: &Decision) -> bool {
    decision.verdict == Verdict::Denied && matches!(*decision.reason, Reason::Isolated { .. })
}
