//! Single changes to large clusters, each with its way back, so that they can be measured again
//! and again on one engine.

use ipnet::{IpNet, Ipv4Net};
use podgate_api::{IpBlock, LabelSelector, Object, ObjectKey, Peer, Source};
use podgate_policy::{Cluster, Delta};

use crate::large::{ingress_policy, label_in, namespace, pod, pods, rule, tcp};

/// One thing that happens to a cluster.
#[derive(Clone, Debug)]
pub enum Step {
    /// An object is there or has changed.
    Apply(Box<Object>),
    /// An object is gone.
    Delete(ObjectKey),
}

/// A change and its way back.
#[derive(Clone, Debug)]
pub struct Change {
    /// What happens, in a few words.
    pub name: &'static str,
    /// The change.
    pub there: Step,
    /// What undoes it.
    pub back: Step,
}

impl Step {
    /// Applies and commits.
    pub fn run(self, cluster: &mut Cluster) -> Delta {
        match self {
            Step::Apply(object) => cluster.apply(*object),
            Step::Delete(key) => cluster.delete(&key),
        }
        cluster.commit()
    }
}

fn apply(object: Object) -> Step {
    Step::Apply(Box::new(object))
}

fn added(name: &'static str, object: Object) -> Change {
    let back = Step::Delete(object.key());
    Change { name, there: apply(object), back }
}

/// Changes to a cluster of [`crate::antrea_like_of`] or [`crate::monitored_of`] with more than seven namespaces. The first step
/// only prepares the others: it must be run once and left.
pub fn changes() -> (Step, Vec<Change>) {
    let ports = |port| Some(vec![tcp(port)]);
    let one = |key: &str, value: &str| label_in(&[(key, value)]);
    let gold = pods(None, Some(one("tier", "gold")));
    let prepare =
        apply(ingress_policy("ns-7", "gold", one("app", "back"), vec![rule(Some(vec![gold]), ports(81))]));
    let new_pod = |ns: &str, labels: &[(&str, &str)]| Object::Pod(pod(ns, "new", 9_000_000, 1, labels));
    let from_back = |port| {
        let back = pods(None, Some(one("app", "back")));
        ingress_policy("ns-7", "new", one("app", "front"), vec![rule(Some(vec![back]), ports(port))])
    };
    let from_everywhere = |name: &str| {
        let fronts = pods(Some(LabelSelector::default()), Some(one("app", "front")));
        ingress_policy("ns-7", name, one("app", "back"), vec![rule(Some(vec![fronts]), ports(82))])
    };
    let net = |address: [u8; 4], length| IpNet::V4(Ipv4Net::new_assert(address.into(), length));
    let (cidr, except) = (net([10, 0, 0, 0], 8), vec![net([10, 0, 1, 0], 24)]);
    let block = Peer::IpBlock(IpBlock { cidr, except, source: Source::default() });
    let nearly_all = vec![rule(Some(vec![block]), ports(83))];
    let from_nearly_all = ingress_policy("ns-7", "nearly-all", one("app", "back"), nearly_all);
    let edited = Change {
        name: "a policy's rule is edited",
        there: apply(ingress_policy(
            "ns-7",
            "back",
            one("app", "back"),
            vec![rule(Some(vec![pods(None, Some(one("app", "front")))]), ports(5433))],
        )),
        back: apply(ingress_policy(
            "ns-7",
            "back",
            one("app", "back"),
            vec![rule(Some(vec![pods(None, Some(one("app", "front")))]), ports(5432))],
        )),
    };
    let relabelled = Change {
        name: "a namespace is relabelled",
        there: apply(namespace("ns-7", &[("purpose", "monitoring")])),
        back: apply(namespace("ns-7", &[("purpose", "tenant")])),
    };
    let changes = vec![
        added(
            "a pod joins a known class",
            new_pod("ns-7", &[("app", "front"), ("pod-template-hash", "new")]),
        ),
        added("a pod makes a new class", new_pod("ns-7", &[("app", "front"), ("tier", "gold")])),
        added("a pod of ns-0 makes a new class", new_pod("ns-0", &[("app", "other")])),
        added("a policy is added", from_back(8080)),
        edited,
        relabelled,
        added("a policy that names pods of every namespace is added", from_everywhere("everywhere")),
        added("a policy with a block that holds nearly all pods is added", from_nearly_all),
    ];
    (prepare, changes)
}
