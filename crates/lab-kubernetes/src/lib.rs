//! Clusters of network namespaces with a real Kubernetes control plane.
//!
//! ```text
//!  control plane (a namespace)             node-1, node-2, ... (a namespace each)
//!  etcd, API server, controllers,  <---->  kubelet -- CNI plugins --> pods (a namespace each)
//!  scheduler: the real ones                responder: answers in the pods, in place of containers
//! ```
//!
//! `kubectl apply` of a Deployment is admitted, scheduled, wired and answered as in any cluster; only the
//! containers are missing. A [`kubelet`] does what the real one and kube-proxy do about networking: it
//! registers its Node, starts pods through a CNI plugin chain, reports their status, and keeps Services and
//! routes. The host's network is never changed.
//!
//! Absent on purpose: container images and processes, volumes, probes of containers, `kubectl exec` and `logs`.

mod agent;
pub mod cluster;
pub mod credentials;
pub mod edit;
pub mod kubelet;
pub mod processes;
pub mod site;

pub use cluster::{Cluster, Options, PodPlace};
pub use edit::Edit;
pub use podgate_lab::{Error, Result};
pub use processes::Part;
pub use site::{Room, Site};
