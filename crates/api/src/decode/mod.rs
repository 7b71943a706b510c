//! From a tree to objects: one file for each group of kinds.

mod cluster;
mod cluster_policy;
mod connectivity_test;
mod entry;
mod environment;
mod meta;
mod network_policy;
mod pod;
mod selector;
mod workload;

pub(crate) use environment::{ConfigMap, ConfigRef};

use std::collections::BTreeMap;

use crate::cursor::{Cursor, ITEMS};
use crate::tree::shorten;
use crate::{ClusterPolicyKind, Object, ObjectKey, Owner, RouteKind, Severity, WorkloadKind};

/// What one text yields.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub objects: Vec<Object>,
    /// Kinds that podgate has no use for, as "apiVersion Kind".
    pub ignored: BTreeMap<String, usize>,
    /// ReplicaSets and Jobs that another workload made.
    pub owners: Vec<(ObjectKey, Owner)>,
    /// ConfigMaps that an object of [`Decoded::objects`] uses.
    pub refs: Vec<(usize, ConfigRef)>,
    pub config_maps: Vec<ConfigMap>,
}

/// Kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Namespace,
    Node,
    Pod,
    Service,
    Workload(WorkloadKind),
    NetworkPolicy,
    ClusterPolicy(ClusterPolicyKind),
    ConnectivityTest,
    Ingress,
    Gateway,
    Route(RouteKind),
}

/// Groups whose kinds podgate knows: a kind of ours in another version of these is a mistake, while the same
/// kind in any other group is somebody else's.
const OWN_GROUPS: [&str; 8] = [
    "",
    "apps",
    "batch",
    "extensions",
    "gateway.networking.k8s.io",
    "networking.k8s.io",
    "podgate.dev",
    "policy.networking.k8s.io",
];

impl Kind {
    const ALL: [(&'static str, Kind); 23] = [
        ("Namespace", Kind::Namespace),
        ("Node", Kind::Node),
        ("Pod", Kind::Pod),
        ("Service", Kind::Service),
        ("NetworkPolicy", Kind::NetworkPolicy),
        ("ClusterNetworkPolicy", Kind::ClusterPolicy(ClusterPolicyKind::ClusterNetworkPolicy)),
        ("AdminNetworkPolicy", Kind::ClusterPolicy(ClusterPolicyKind::AdminNetworkPolicy)),
        ("BaselineAdminNetworkPolicy", Kind::ClusterPolicy(ClusterPolicyKind::BaselineAdminNetworkPolicy)),
        ("ConnectivityTest", Kind::ConnectivityTest),
        ("Ingress", Kind::Ingress),
        ("Gateway", Kind::Gateway),
        ("HTTPRoute", Kind::Route(RouteKind::Http)),
        ("GRPCRoute", Kind::Route(RouteKind::Grpc)),
        ("TLSRoute", Kind::Route(RouteKind::Tls)),
        ("TCPRoute", Kind::Route(RouteKind::Tcp)),
        ("UDPRoute", Kind::Route(RouteKind::Udp)),
        ("Deployment", Kind::Workload(WorkloadKind::Deployment)),
        ("ReplicaSet", Kind::Workload(WorkloadKind::ReplicaSet)),
        ("StatefulSet", Kind::Workload(WorkloadKind::StatefulSet)),
        ("DaemonSet", Kind::Workload(WorkloadKind::DaemonSet)),
        ("Job", Kind::Workload(WorkloadKind::Job)),
        ("CronJob", Kind::Workload(WorkloadKind::CronJob)),
        ("ReplicationController", Kind::Workload(WorkloadKind::ReplicationController)),
    ];

    /// The `apiVersion` that today's API servers serve, the newest first.
    fn api_versions(self) -> &'static [&'static str] {
        match self {
            Kind::NetworkPolicy => &["networking.k8s.io/v1"],
            Kind::ClusterPolicy(ClusterPolicyKind::ClusterNetworkPolicy) => {
                &["policy.networking.k8s.io/v1beta1", "policy.networking.k8s.io/v1alpha2"]
            }
            Kind::Ingress => &["networking.k8s.io/v1"],
            Kind::Route(RouteKind::Tcp | RouteKind::Udp) => &[
                "gateway.networking.k8s.io/v1alpha2",
                "gateway.networking.k8s.io/v1",
                "gateway.networking.k8s.io/v1beta1",
                "gateway.networking.k8s.io/v1alpha3",
            ],
            Kind::Gateway | Kind::Route(_) => &[
                "gateway.networking.k8s.io/v1",
                "gateway.networking.k8s.io/v1beta1",
                "gateway.networking.k8s.io/v1alpha3",
                "gateway.networking.k8s.io/v1alpha2",
            ],
            Kind::ConnectivityTest => &["podgate.dev/v1alpha1"],
            Kind::ClusterPolicy(_) => &["policy.networking.k8s.io/v1alpha1"],
            Kind::Workload(WorkloadKind::ReplicationController) => &["v1"],
            Kind::Workload(WorkloadKind::Job | WorkloadKind::CronJob) => &["batch/v1"],
            Kind::Workload(_) => &["apps/v1"],
            _ => &["v1"],
        }
    }

    /// Belongs to no namespace.
    fn is_cluster_scoped(self) -> bool {
        matches!(self, Kind::Namespace | Kind::Node | Kind::ClusterPolicy(_))
    }

    /// A policy: to leave it out would open what it closes.
    fn is_policy(self) -> bool {
        matches!(self, Kind::NetworkPolicy | Kind::ClusterPolicy(_))
    }

    /// Versions that were served once, with the release that stopped.
    fn served_until(self, api_version: &str) -> Option<&'static str> {
        use WorkloadKind::{CronJob, DaemonSet, Deployment, ReplicaSet, StatefulSet};
        match (self, api_version) {
            (
                Kind::Workload(Deployment | DaemonSet | ReplicaSet) | Kind::NetworkPolicy,
                "extensions/v1beta1",
            )
            | (Kind::Workload(Deployment | StatefulSet), "apps/v1beta1")
            | (Kind::Workload(Deployment | DaemonSet | ReplicaSet | StatefulSet), "apps/v1beta2") => {
                Some("1.16")
            }
            (Kind::Ingress, "extensions/v1beta1" | "networking.k8s.io/v1beta1") => Some("1.22"),
            (Kind::Workload(CronJob), "batch/v1beta1") => Some("1.25"),
            (Kind::Workload(CronJob), "batch/v2alpha1") => Some("1.21"),
            _ => None,
        }
    }
}

fn is_own_group(api_version: &str) -> bool {
    OWN_GROUPS.contains(&api_version.rsplit_once('/').map_or("", |(group, _)| group))
}

/// The kind of a list's items, empty for a `List` of any; nothing for what is no list of ours.
pub(crate) fn list_kind<'k>(api_version: &str, kind: &'k str) -> Option<&'k str> {
    let item_kind = kind.strip_suffix("List").filter(|_| is_own_group(api_version))?;
    (item_kind.is_empty() || Kind::ALL.iter().any(|(name, _)| *name == item_kind)).then_some(item_kind)
}

/// Reads one document, or one item of a list.
///
/// `implied` is the `apiVersion` and kind that a list gives to items which do not name theirs.
pub(crate) fn document(
    root: &Cursor<'_>,
    default_namespace: &str,
    implied: Option<(&str, &str)>,
    out: &mut Decoded,
) {
    if !root.expect_mapping() {
        return;
    }
    let read = |name: &str, implied: Option<&str>| match root.field(name) {
        Some(field) => field.text().map(str::to_owned),
        None if implied.is_some() => implied.map(str::to_owned),
        None => {
            let help = match name {
                "kind" => "name the object's kind, as in `kind: NetworkPolicy`",
                _ => "name the kind's version, as in `apiVersion: networking.k8s.io/v1`",
            };
            root.missing(Severity::Error, name, &format!("`{name}` is missing"), help);
            None
        }
    };
    let kind = read("kind", implied.map(|(_, kind)| kind));
    let api_version = read("apiVersion", implied.map(|(version, _)| version));
    let (Some(kind), Some(api_version)) = (kind, api_version) else { return };

    if let Some(item_kind) = list_kind(&api_version, &kind) {
        let implied = (!item_kind.is_empty()).then_some((api_version.as_str(), item_kind));
        if let Some(items) = root.list(ITEMS) {
            for item in items.items() {
                document(&item, default_namespace, implied, out);
            }
        }
        return;
    }
    let found = Kind::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(&kind));
    let found = found.filter(|_| is_own_group(&api_version));
    let Some((name, found)) = found else {
        if (api_version.as_str(), kind.as_str()) == ("v1", "ConfigMap") {
            out.config_maps.extend(environment::config_map(root, default_namespace));
            return;
        }
        *out.ignored.entry(format!("{api_version} {kind}")).or_default() += 1;
        return;
    };
    if *name != kind
        && let Some(field) = root.field("kind")
    {
        field.error(format!("there is no kind `{}`", shorten(&kind)), format!("did you mean `{name}`?"));
    }
    let served = found.api_versions();
    let retired = found.served_until(&api_version);
    if !served.contains(&api_version.as_str())
        && let Some(field) = root.field("apiVersion")
    {
        match retired {
            Some(release) => field.warning(
                format!("API servers since {release} do not serve {name} in `{api_version}`"),
                format!("write `apiVersion: {}`", served[0]),
            ),
            None => field.error(
                format!("there is no {name} in `{}`", shorten(&api_version)),
                format!("write `apiVersion: {}`", served[0]),
            ),
        }
    }
    let namespace = match found {
        // Its ends know of no default: only the person who runs it does.
        Kind::ConnectivityTest => Some(""),
        found => (!found.is_cluster_scoped()).then_some(default_namespace),
    };
    let Some(meta) = meta::decode(root, *found, namespace) else { return };
    let owner = meta::controller(root);
    let mut refs = Vec::new();
    let object = match *found {
        Kind::Namespace => Object::Namespace(cluster::namespace(root, meta)),
        Kind::Node => Object::Node(cluster::node(root, meta)),
        Kind::Service => Object::Service(cluster::service(root, meta)),
        Kind::Pod => Object::Pod(pod::pod(root, meta, owner.clone(), &mut refs)),
        Kind::Workload(kind) => match workload::workload(root, meta, kind, retired.is_some(), &mut refs) {
            Some(workload) => Object::Workload(workload),
            None => return,
        },
        Kind::NetworkPolicy => Object::NetworkPolicy(network_policy::network_policy(root, meta)),
        Kind::Ingress => Object::Ingress(entry::ingress(root, meta)),
        Kind::Gateway => Object::Gateway(entry::gateway(root, meta)),
        Kind::Route(kind) => Object::Route(entry::route(root, meta, kind)),
        Kind::ConnectivityTest => Object::ConnectivityTest(connectivity_test::connectivity_test(root, meta)),
        Kind::ClusterPolicy(kind) => {
            Object::ClusterPolicy(cluster_policy::cluster_policy(root, meta, kind, &api_version))
        }
    };
    if let (Object::Workload(_), Some(owner)) = (&object, owner) {
        out.owners.push((object.key(), owner));
    }
    out.refs.extend(refs.into_iter().map(|found| (out.objects.len(), found)));
    out.objects.push(object);
}
