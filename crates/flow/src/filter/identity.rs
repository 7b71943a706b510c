//! Numbers for sets of labels, where others expect one.

use crate::Party;

/// Neither pod nor node.
pub(super) const WORLD: u32 = 2;
/// A node.
pub(super) const HOST: u32 = 1;
/// The first that stands for labels.
const FIRST: u32 = 256;
/// Above the last that stands for labels.
const END: u32 = 1 << 24;

/// Labels that tell pods of one workload apart.
const OF_ONE_POD: [&str; 8] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "controller-uid",
];

/// A number that pods of one namespace have in common when their labels are the same, but for those that name a single
/// pod. It is made from the names alone, so every node comes to the same; it decides nothing.
pub fn identity(party: &Party) -> u32 {
    let Party::Pod { namespace, labels, .. } = party else {
        return if matches!(party, Party::Node { .. }) { HOST } else { WORLD };
    };
    // FNV-1a: the number must not change with a library.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(namespace);
    for (key, value) in labels.iter().filter(|(key, _)| !OF_ONE_POD.contains(&key.as_str())) {
        add(key);
        add(value);
    }
    FIRST + (hash % u64::from(END - FIRST)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, labels: &[(&str, &str)]) -> Party {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Party::Pod { namespace: namespace.into(), pod: "p".into(), owner: None, node: None, labels }
    }

    #[test]
    fn pods_of_a_workload_share_a_number_and_others_do_not() {
        let web = identity(&pod("shop", &[("app", "web"), ("pod-template-hash", "a")]));
        assert_eq!(web, identity(&pod("shop", &[("app", "web"), ("pod-template-hash", "b")])));
        assert_ne!(web, identity(&pod("shop", &[("app", "db")])));
        assert_ne!(web, identity(&pod("other", &[("app", "web")])));
        assert!((FIRST..END).contains(&web), "{web}");
        assert_eq!(identity(&Party::Outside { name: None }), WORLD);
        assert_eq!(identity(&Party::Node { node: "n".into() }), HOST);
    }
}
