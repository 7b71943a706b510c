//! Where a cluster lives on this machine: directories, files, network namespaces.
//!
//! ```text
//! /run/podgate/kubernetes/<name>/
//!   spec.json             what `up` was asked for
//!   pki/                  the authority, the API server's certificate, the key of service account tokens
//!   kubeconfigs/          one for each user
//!   etcd/                 the store
//!   logs/                 one file for each process
//!   bpf/                  a bpffs, for the agents' pins
//!   nodes/<node>/         a kubelet's files: CNI configuration, IPAM, sandboxes, places of the responder
//! ```

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use podgate_lab::{Error, Lab, Plan, Result};
use serde::{Deserialize, Serialize};

/// Directory of all clusters.
pub const RUN_DIR: &str = "/run/podgate/kubernetes";

/// What `up` was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Number of nodes besides the control plane.
    pub nodes: usize,
    /// The binary with the control plane's parts.
    pub control_plane: PathBuf,
    /// The podgate binary, for kubelets, responders and agents.
    pub podgate: PathBuf,
    /// Whether each node runs `podgate agent`.
    pub agent: bool,
    /// More arguments for the agents.
    pub agent_arguments: Vec<String>,
    /// How many pod addresses each node has.
    pub room: Room,
}

/// How many pod addresses each node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Room {
    /// A /24 and a /64, as usual.
    #[default]
    Usual,
    /// A /28 and a /124: addresses change hands soon.
    Scarce,
}

impl Room {
    /// The blocks of all pods, and the masks of a node's.
    pub fn networks(self) -> (String, [u8; 2]) {
        match self {
            Room::Usual => (podgate_lab::plan::POD_NETWORKS.join(","), [24, 64]),
            // The controller manager gives out at most 65,536 blocks. This one is inside the usual one.
            Room::Scarce => ("10.244.0.0/16,fd00:10:244::/112".to_owned(), [28, 124]),
        }
    }
}

/// A cluster's place on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    name: String,
    dir: PathBuf,
}

impl Site {
    /// The place of the cluster with this name.
    ///
    /// # Errors
    /// When the name would not do for a lab.
    pub fn new(name: &str) -> Result<Site> {
        Lab::new(name)?;
        Ok(Site { name: name.to_owned(), dir: Path::new(RUN_DIR).join(name) })
    }

    /// Names of all clusters with a run directory, sorted.
    pub fn all() -> Vec<String> {
        let entries = fs::read_dir(RUN_DIR).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| Site::new(name).is_ok())
            .collect();
        names.sort();
        names
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The run directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file or directory in the run directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The kubeconfig of a user.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.file("kubeconfigs").join(user)
    }

    /// A node's directory.
    pub fn node_dir(&self, node: &str) -> PathBuf {
        self.file("nodes").join(node)
    }

    /// Where a node's agent pins its programs and maps.
    pub fn pins(&self, node: &str) -> PathBuf {
        self.file("bpf").join(node)
    }

    /// What `up` was asked for.
    ///
    /// # Errors
    /// When the cluster is not up, or the file is damaged.
    pub fn spec(&self) -> Result<Spec> {
        let text = fs::read(self.file("spec.json"))
            .map_err(|_| Error::message(format!("cluster {} is not up", self.name)))?;
        serde_json::from_slice(&text).map_err(|error| {
            Error::message(format!("{} is damaged: {error}", self.file("spec.json").display()))
        })
    }

    /// The name under which the lab keeps the cluster's namespaces. No lab can have it, so the two are never
    /// mistaken for one another.
    pub fn lab(&self) -> String {
        format!("k8s.{}", self.name)
    }

    /// Namespaces, links and addresses below the cluster: the control plane first, then the nodes, without pods.
    ///
    /// # Errors
    /// When there are more nodes than addresses.
    pub fn underlay(&self, nodes: usize) -> Result<Plan> {
        let mut plan = Plan::new(&self.lab(), &[], nodes + 1, None)?;
        for (number, node) in plan.nodes.iter_mut().enumerate() {
            node.name = if number == 0 { "control-plane".to_owned() } else { node_name(number) };
            // The controller manager gives them out.
            node.pod_cidrs.clear();
        }
        Ok(plan)
    }

    /// The network namespace of the control plane (0) or of a node (from 1 on).
    pub fn netns(&self, number: usize) -> String {
        format!("pg-{}-n{number}", self.lab())
    }
}

/// The Node's name: nodes count from 1.
pub fn node_name(number: usize) -> String {
    format!("node-{number}")
}

/// Where the API server answers.
pub fn api_server(underlay: &Plan) -> (IpAddr, u16) {
    (underlay.nodes[0].v4(), 6443)
}
