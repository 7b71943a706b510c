//! What to answer where, by network namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use podgate_api::Protocol;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// What the responder does in one network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Addresses on which it answers.
    pub ips: BTreeSet<IpAddr>,
    /// Ports and who answers there: `namespace/pod`, or `outside`.
    #[serde(with = "as_list")]
    pub ports: BTreeMap<(Protocol, u16), String>,
}

/// JSON has no maps with such keys.
mod as_list {
    use serde::{Deserializer, Serializer};

    use super::{BTreeMap, Deserialize, Protocol};

    type Ports = BTreeMap<(Protocol, u16), String>;

    pub fn serialize<S: Serializer>(ports: &Ports, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ports)
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Ports, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

/// The places of a plan by namespace name. Pods in the host network share their node's; where two of
/// them declare one port, the first answers.
pub fn places(plan: &Plan) -> BTreeMap<String, Place> {
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    for pod in &plan.pods {
        let place = places.entry(pod.netns.clone()).or_default();
        place.ips.extend(&pod.ips);
        for port in &pod.listen {
            place.ports.entry(*port).or_insert_with(|| pod.key());
        }
    }
    let outside = places.entry(plan.outside.netns.clone()).or_default();
    outside.ips.extend(&plan.outside.addresses);
    outside.ports.extend(plan.outside.listen.iter().map(|port| (*port, "outside".to_owned())));
    places
}
