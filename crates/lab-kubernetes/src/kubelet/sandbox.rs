//! The namespaces of a node's pods: made through CNI, answered in by the responder, and remembered in files.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use podgate_api::Protocol;
use podgate_lab::responder::{Place, READY_FILE, Ready, stamp};
use podgate_lab::state::store;
use podgate_lab::{Error, Result, netns, network};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::actions::is_sidecar;
use super::cni::{Attachment, Chain, addresses};
use super::{PLACES_FILE, log};
use crate::processes::agent_dir;
use crate::site::{Site, node_name};

/// Where the configuration list is, in a node's directory.
const CONFLIST: &str = "cni/10-podgate-lab.conflist";
/// Where plugins are looked for, after the node's own directory.
const PLUGIN_DIRS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// Numbers of namespaces that each node may use.
const NUMBERS: u32 = 1_000_000;

const RESPONDER_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);

/// A pod's place on its node: what a kubelet remembers of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// `metadata.uid`.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The container id that CNI plugins know it by.
    pub id: String,
    /// Named network namespace; the node's for a pod in the host network.
    pub netns: String,
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// Addresses, as the plugins gave them; none before they have.
    pub ips: Vec<IpAddr>,
    /// The last plugin's result.
    pub result: Value,
    /// Seconds since the epoch, when it was made.
    pub started: i64,
}

impl Sandbox {
    fn attachment(&self) -> Attachment {
        Attachment {
            container: self.id.clone(),
            netns: if netns::exists(&self.netns) {
                netns::path(&self.netns).display().to_string()
            } else {
                String::new()
            },
            args: vec![
                ("IgnoreUnknown", "1".to_owned()),
                ("K8S_POD_NAMESPACE", self.namespace.clone()),
                ("K8S_POD_NAME", self.name.clone()),
                ("K8S_POD_INFRA_CONTAINER_ID", self.id.clone()),
                ("K8S_POD_UID", self.uid.clone()),
            ],
        }
    }
}

/// All sandboxes of a node.
pub(super) struct Sandboxes {
    dir: PathBuf,
    node_netns: String,
    node_ips: Vec<IpAddr>,
    plugin_dirs: Vec<PathBuf>,
    agent_socket: Option<PathBuf>,
    chain: Mutex<Option<Chain>>,
    places: Mutex<BTreeMap<String, Place>>,
    /// Prefix of the pods' namespaces, and the last number in use.
    prefix: String,
    number: Mutex<u32>,
}

impl Sandboxes {
    /// Takes over what an earlier kubelet left.
    pub fn open(site: &Site, number: usize, agent: bool) -> Result<Sandboxes> {
        let dir = site.node_dir(&node_name(number));
        let prefix = format!("pg-{}-p", site.lab());
        let own = u32::try_from(number).unwrap_or(0) * NUMBERS;
        let used = netns::list(&prefix).into_iter().filter_map(|name| name[prefix.len()..].parse().ok());
        let last = used.filter(|used| (own..own + NUMBERS).contains(used)).max();
        let plan = site.underlay(number)?;
        let places = match fs::read(dir.join(PLACES_FILE)) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(_) => BTreeMap::new(),
        };
        Ok(Sandboxes {
            node_netns: plan.nodes[number].netns.clone(),
            node_ips: plan.nodes[number].addresses.clone(),
            plugin_dirs: [dir.join("bin")].into_iter().chain(PLUGIN_DIRS.map(PathBuf::from)).collect(),
            agent_socket: agent.then(|| agent_dir(site, number).join("cni.sock")),
            chain: Mutex::default(),
            places: Mutex::new(places),
            prefix,
            number: Mutex::new(last.unwrap_or(own)),
            dir,
        })
    }

    /// Writes the configuration list for these blocks of pod addresses, and makes ready to attach pods.
    pub fn configure(&self, pod_cidrs: &[String]) -> Result<()> {
        let file = self.dir.join(CONFLIST);
        let failed = |error| Error::io(format!("write {}", file.display()), error);
        fs::create_dir_all(file.parent().unwrap_or(&self.dir)).map_err(failed)?;
        let ranges: Vec<Value> = pod_cidrs.iter().map(|cidr| json!([{ "subnet": cidr }])).collect();
        let mut plugins = vec![json!({
            "type": "ptp",
            "mtu": 1500,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": self.dir.join("ipam"),
                "ranges": ranges,
                "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
            },
        })];
        plugins.extend(
            self.agent_socket.as_ref().map(|socket| json!({ "type": "podgate-cni", "socket": socket })),
        );
        let list = json!({
            "cniVersion": "1.0.0",
            "cniVersions": ["1.0.0", "1.1.0"],
            "name": "podgate-lab",
            "plugins": plugins,
        });
        store(&file, &list)?;
        let chain = Chain::read(&file, &self.plugin_dirs)?;
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain);
        Ok(())
    }

    fn chain(&self) -> Result<Chain> {
        let chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone();
        chain.ok_or_else(|| Error::message("the node has no pod addresses yet"))
    }

    /// Makes a pod's namespace and attaches it.
    ///
    /// # Errors
    /// When a plugin refuses, or an earlier attempt can't be undone.
    pub fn make(&self, pod: &Pod) -> Result<Sandbox> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if let Some(earlier) = self.find(&uid) {
            self.remove(&earlier)?;
        }
        let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
        let number = {
            let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
            *number += 1;
            *number
        };
        let mut sandbox = Sandbox {
            id: format!("{uid}-{number}"),
            uid,
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            netns: if host_network { self.node_netns.clone() } else { format!("{}{number}", self.prefix) },
            host_network,
            ips: if host_network { self.node_ips.clone() } else { Vec::new() },
            result: Value::Null,
            started: jiff::Timestamp::now().as_second(),
        };
        if !host_network {
            let chain = self.chain()?;
            network::create_namespace(&sandbox.netns, false)?;
            // Before ADD: what it does has to be undone also when this process ends now.
            self.remember(&sandbox)?;
            match chain.add(&sandbox.attachment()) {
                Ok(result) => {
                    sandbox.ips = addresses(&result);
                    sandbox.result = result;
                }
                Err(error) => {
                    // What this leaves, the next attempt or the pod's end removes.
                    if let Err(also) = self.remove(&sandbox) {
                        log(&format!("{}/{}: undo: {also}", sandbox.namespace, sandbox.name));
                    }
                    return Err(error);
                }
            }
        }
        self.remember(&sandbox)?;
        Ok(sandbox)
    }

    /// Detaches a pod and removes its namespace. Fine when it is gone already.
    pub fn remove(&self, sandbox: &Sandbox) -> Result<()> {
        if !sandbox.host_network {
            self.chain()?.delete(&sandbox.attachment(), &sandbox.result)?;
            netns::delete(&sandbox.netns)?;
        }
        match fs::remove_file(self.record(&sandbox.uid)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("forget {}", sandbox.id), error))
            }
            _ => Ok(()),
        }
    }

    /// What is remembered of a pod.
    pub fn find(&self, uid: &str) -> Option<Sandbox> {
        read(&self.record(uid))
    }

    /// Everything that is remembered, sorted.
    pub fn all(&self) -> Vec<Sandbox> {
        all(&self.dir)
    }

    /// Tells the plugins which attachments are left.
    pub fn collect(&self) -> Result<()> {
        let attached = self.all().into_iter().filter(|sandbox| !sandbox.host_network);
        self.chain()?.collect(&attached.map(|sandbox| sandbox.attachment()).collect::<Vec<_>>())
    }

    fn record(&self, uid: &str) -> PathBuf {
        self.dir.join("sandboxes").join(format!("{uid}.json"))
    }

    fn remember(&self, sandbox: &Sandbox) -> Result<()> {
        let file = self.record(&sandbox.uid);
        let made = file.parent().map_or(Ok(()), fs::create_dir_all);
        made.map_err(|error| Error::io(format!("write {}", file.display()), error))?;
        store(&file, sandbox)
    }

    // === responder ===

    /// Answers on the pod's declared ports, and waits until that is so.
    pub fn open_ports(&self, sandbox: &Sandbox, pod: &Pod) -> Result<()> {
        let key = format!("{}/{}", sandbox.namespace, sandbox.name);
        self.change_places(|places| {
            let place = places.entry(sandbox.netns.clone()).or_default();
            place.ips.extend(&sandbox.ips);
            for port in declared(pod) {
                place.ports.entry(port).or_insert_with(|| key.clone());
            }
        })
    }

    /// Answers no more, as when the pod's processes have ended.
    pub fn close_ports(&self, sandbox: &Sandbox) -> Result<()> {
        let key = format!("{}/{}", sandbox.namespace, sandbox.name);
        self.change_places(|places| {
            if let Some(place) = places.get_mut(&sandbox.netns) {
                place.ports.retain(|_, who| *who != key);
                if !sandbox.host_network || place.ports.is_empty() {
                    places.remove(&sandbox.netns);
                }
            }
        })
    }

    fn change_places(&self, change: impl FnOnce(&mut BTreeMap<String, Place>)) -> Result<()> {
        let file = self.dir.join(PLACES_FILE);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut places);
        // The lock is kept: the responder acknowledges the file that it sees, which has to be this one.
        store(&file, &*places)?;
        let wanted = stamp(&file)?;
        let deadline = Instant::now() + RESPONDER_PATIENCE;
        let ready = self.dir.join(READY_FILE);
        while Instant::now() < deadline {
            let said: Option<Ready> =
                fs::read(&ready).ok().and_then(|text| serde_json::from_slice(&text).ok());
            if said.is_some_and(|said| said.stamp == wanted) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        Err(Error::message(format!("the responder has not read {} within 30 s", file.display())))
    }
}

/// What the kubelet of this directory remembers, sorted.
pub(crate) fn all(node_dir: &Path) -> Vec<Sandbox> {
    let entries = fs::read_dir(node_dir.join("sandboxes")).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    let mut all: Vec<Sandbox> =
        files.filter(|file| file.extension().is_some_and(|e| e == "json")).filter_map(|f| read(&f)).collect();
    all.sort_by(|a, b| (&a.namespace, &a.name, a.started).cmp(&(&b.namespace, &b.name, b.started)));
    all
}

fn read(file: &Path) -> Option<Sandbox> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// The ports on which the pod's long-running containers would answer.
fn declared(pod: &Pod) -> Vec<(Protocol, u16)> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let sidecars = spec.init_containers.iter().flatten().filter(|container| is_sidecar(container));
    let ports = spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let protocol = match port.protocol.as_deref() {
                Some("UDP") => Protocol::Udp,
                Some("SCTP") => Protocol::Sctp,
                _ => Protocol::Tcp,
            };
            Some((protocol, u16::try_from(port.container_port).ok()?))
        })
        .collect()
}
