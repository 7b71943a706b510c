//! What is asked for.

/// A kind to list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version of the group.
    pub version: &'static str,
    /// Plural name in paths.
    pub resource: &'static str,
    /// Kind of each object.
    pub kind: &'static str,
    /// Without it an answer would be wrong rather than incomplete.
    pub essential: bool,
}

impl Kind {
    /// `networking.k8s.io/v1`.
    pub fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// The path that lists all of them.
    pub fn path(&self) -> String {
        match self.group {
            "" => format!("/api/{}/{}", self.version, self.resource),
            group => format!("/apis/{group}/{}/{}", self.version, self.resource),
        }
    }

    /// As RBAC tools write it: `networkpolicies.networking.k8s.io`.
    pub fn qualified(&self) -> String {
        match self.group {
            "" => self.resource.to_owned(),
            group => format!("{}.{group}", self.resource),
        }
    }
}

const fn built_in(group: &'static str, resource: &'static str, kind: &'static str, essential: bool) -> Kind {
    Kind { group, version: "v1", resource, kind, essential }
}

/// What every API server has.
pub(crate) const BUILT_IN: [Kind; 13] = [
    built_in("", "namespaces", "Namespace", true),
    built_in("", "nodes", "Node", false),
    built_in("", "pods", "Pod", true),
    built_in("", "services", "Service", false),
    built_in("", "replicationcontrollers", "ReplicationController", false),
    built_in("apps", "deployments", "Deployment", false),
    built_in("apps", "replicasets", "ReplicaSet", false),
    built_in("apps", "statefulsets", "StatefulSet", false),
    built_in("apps", "daemonsets", "DaemonSet", false),
    built_in("batch", "jobs", "Job", false),
    built_in("batch", "cronjobs", "CronJob", false),
    built_in("networking.k8s.io", "networkpolicies", "NetworkPolicy", true),
    built_in("networking.k8s.io", "ingresses", "Ingress", false),
];

/// An API group that a server may have.
#[derive(Debug)]
pub(crate) struct Custom {
    pub group: &'static str,
    pub kinds: &'static [CustomKind],
    pub essential: bool,
}

/// A kind of an optional group.
#[derive(Debug)]
pub(crate) struct CustomKind {
    pub resource: &'static str,
    pub kind: &'static str,
    /// What podgate reads, the best first.
    pub versions: &'static [&'static str],
}

const fn custom(resource: &'static str, kind: &'static str, versions: &'static [&'static str]) -> CustomKind {
    CustomKind { resource, kind, versions }
}

/// Installed as custom resources, where they are.
pub(crate) const CUSTOM: &[Custom] = &[
    Custom {
        group: "policy.networking.k8s.io",
        // They stand before and behind NetworkPolicies: without them verdicts would be wrong.
        essential: true,
        kinds: &[
            custom("clusternetworkpolicies", "ClusterNetworkPolicy", &["v1beta1", "v1alpha2"]),
            custom("adminnetworkpolicies", "AdminNetworkPolicy", &["v1alpha1"]),
            custom("baselineadminnetworkpolicies", "BaselineAdminNetworkPolicy", &["v1alpha1"]),
        ],
    },
    Custom {
        group: "gateway.networking.k8s.io",
        essential: false,
        kinds: &[
            custom("gateways", "Gateway", &["v1", "v1beta1"]),
            custom("httproutes", "HTTPRoute", &["v1", "v1beta1"]),
            custom("grpcroutes", "GRPCRoute", &["v1"]),
            custom("tlsroutes", "TLSRoute", &["v1", "v1alpha3", "v1alpha2"]),
            custom("tcproutes", "TCPRoute", &["v1", "v1alpha2"]),
            custom("udproutes", "UDPRoute", &["v1", "v1alpha2"]),
        ],
    },
];
