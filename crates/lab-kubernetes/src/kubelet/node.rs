//! The Node: registered, kept ready, and routed to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use podgate_lab::command::ip_batch;
use podgate_lab::{Error, Result};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::follow::{News, follow};
use super::{Kubelet, log, said};

/// Half the time after which kubelets usually renew: a busy machine must not cost a node its pods.
const HEARTBEAT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(200);
/// Where kubelets' leases are.
const LEASES: &str = "kube-node-lease";
/// How many pods fit: what a /24 has addresses for, with some on their way out.
const PODS: &str = "220";

/// Registers the node, keeps its lease, its status and the routes. Tells when its network is ready.
pub(super) async fn keep(kubelet: Arc<Kubelet>, network: watch::Sender<bool>) {
    while let Err(error) = register(&kubelet).await {
        log(&format!("register {}: {}", kubelet.name, said(&error)));
        tokio::time::sleep(RETRY).await;
    }
    let ready = network.subscribe();
    tokio::join!(heartbeat(&kubelet), status(&kubelet, ready), routes(&kubelet, network));
}

async fn register(kubelet: &Kubelet) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(kubelet.client.clone());
    let node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": kubelet.name,
            "labels": {
                "kubernetes.io/hostname": kubelet.name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
            },
        },
        // No pod comes before its network can be made.
        "spec": { "taints": [{ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" }] },
    });
    let node = serde_json::from_value(node).map_err(kube::Error::SerdeError)?;
    match nodes.create(&PostParams::default(), &node).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error),
    }
}

async fn heartbeat(kubelet: &Kubelet) {
    let leases: Api<Lease> = Api::namespaced(kubelet.client.clone(), LEASES);
    loop {
        let renewed = renew(kubelet, &leases).await;
        let pause = if renewed.is_ok() { HEARTBEAT } else { RETRY };
        if let Err(error) = renewed {
            log(&format!("renew the lease of {}: {}", kubelet.name, said(&error)));
        }
        tokio::time::sleep(pause).await;
    }
}

async fn renew(kubelet: &Kubelet, leases: &Api<Lease>) -> kube::Result<()> {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": { "name": kubelet.name, "namespace": LEASES },
        "spec": { "holderIdentity": kubelet.name, "leaseDurationSeconds": 40, "renewTime": now },
    });
    match leases.patch(&kubelet.name, &PatchParams::default(), &Patch::Merge(&lease)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
            leases.create(&PostParams::default(), &lease).await.map(drop)
        }
        other => other.map(drop),
    }
}

/// Reports addresses and room, and that the node is ready once it can make pods' networks.
async fn status(kubelet: &Kubelet, mut ready: watch::Receiver<bool>) {
    let nodes: Api<Node> = Api::all(kubelet.client.clone());
    loop {
        let is_ready = *ready.borrow_and_update();
        let patch = node_status(kubelet, is_ready);
        let parameters = PatchParams::default();
        if let Err(error) = nodes.patch_status(&kubelet.name, &parameters, &Patch::Strategic(patch)).await {
            log(&format!("status of {}: {}", kubelet.name, said(&error)));
            tokio::time::sleep(RETRY).await;
            continue;
        }
        // Besides, at intervals: somebody may have deleted the Node or changed its status.
        tokio::select! {
            changed = ready.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(HEARTBEAT * 12) => {}
        }
    }
}

fn node_status(kubelet: &Kubelet, is_ready: bool) -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
        json!({
            "type": kind,
            "status": if holds { "True" } else { "False" },
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        })
    };
    let mut addresses: Vec<Value> =
        kubelet.plan().addresses.iter().map(|ip| json!({ "type": "InternalIP", "address": ip })).collect();
    addresses.push(json!({ "type": "Hostname", "address": kubelet.name }));
    // A patch would merge them by type, of which there are two alike.
    addresses.push(json!({ "$patch": "replace" }));
    let room = json!({ "cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": PODS });
    let uname = rustix::system::uname();
    let version = format!("podgate-lab-{}", env!("CARGO_PKG_VERSION"));
    let ready = match is_ready {
        true => condition("Ready", true, "KubeletReady", "the network of pods can be made"),
        false => condition("Ready", false, "KubeletNotReady", "no block of pod addresses yet"),
    };
    json!({ "status": {
        "addresses": addresses,
        "capacity": room,
        "allocatable": room,
        "conditions": [
            ready,
            condition("MemoryPressure", false, "KubeletHasSufficientMemory", ""),
            condition("DiskPressure", false, "KubeletHasNoDiskPressure", ""),
            condition("PIDPressure", false, "KubeletHasSufficientPID", ""),
        ],
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "",
            "containerRuntimeVersion": format!("podgate-lab://{}", env!("CARGO_PKG_VERSION")),
            "kernelVersion": uname.release().to_string_lossy(),
            "kubeProxyVersion": "",
            "kubeletVersion": version,
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "a network namespace",
            "systemUUID": "",
        },
    }})
}

// === routes ===

/// What is known of a node: blocks of its pods, its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    pod_cidrs: Vec<String>,
    addresses: Vec<IpAddr>,
}

/// Keeps routes to the other nodes' pods on this node, and those to this node's pods where no kubelet runs:
/// on the control plane and the fabric.
async fn routes(kubelet: &Arc<Kubelet>, network: watch::Sender<bool>) {
    // A kubelet may not read other nodes' objects; kube-proxy may.
    let nodes: Api<Node> = Api::all(kubelet.proxy_client.clone());
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    follow(nodes, "", |news| {
        let changed: Vec<(String, Seen)> = match news {
            News::All(all) => {
                let all: BTreeMap<String, Seen> = all.iter().map(read).collect();
                let gone = seen.keys().filter(|name| !all.contains_key(*name));
                let gone: Vec<(String, Seen)> = gone.map(|name| (name.clone(), Seen::default())).collect();
                gone.into_iter().chain(all).collect()
            }
            News::Applied(node) => vec![read(&node)],
            News::Deleted(node) => vec![(read(&node).0, Seen::default())],
        };
        for (name, now) in changed {
            let before = seen.get(&name).cloned().unwrap_or_default();
            if before == now {
                continue;
            }
            match route(kubelet, &name, &before, &now, &network) {
                Ok(()) => {
                    seen.insert(name, now);
                }
                Err(error) => log(&format!("routes to {name}: {error}")),
            }
        }
    })
    .await;
}

fn read(node: &Node) -> (String, Seen) {
    let cidrs = node.spec.as_ref().and_then(|spec| spec.pod_cidrs.clone()).unwrap_or_default();
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal =
        addresses.filter(|one| one.type_ == "InternalIP").filter_map(|one| one.address.parse().ok());
    (node.metadata.name.clone().unwrap_or_default(), Seen { pod_cidrs: cidrs, addresses: internal.collect() })
}

fn route(
    kubelet: &Kubelet,
    name: &str,
    before: &Seen,
    now: &Seen,
    network: &watch::Sender<bool>,
) -> Result<()> {
    let gone = before.pod_cidrs.iter().filter(|cidr| !now.pod_cidrs.contains(cidr));
    let mut lines: Vec<String> = gone.map(|cidr| format!("route del {cidr}")).collect();
    for cidr in &now.pod_cidrs {
        if let Some(via) = now.addresses.iter().find(|ip| ip.is_ipv6() == cidr.contains(':')) {
            lines.push(format!("route replace {cidr} via {via}"));
        }
    }
    if name != kubelet.name {
        return ip_batch(&kubelet.plan().netns, &lines);
    }
    for place in [&kubelet.underlay.fabric_netns, &kubelet.underlay.nodes[0].netns] {
        ip_batch(place, &lines)?;
    }
    if now.pod_cidrs.is_empty() {
        // Pods that run keep what they have.
        return Ok(());
    }
    kubelet.sandboxes.configure(&now.pod_cidrs).map_err(|error| {
        Error::message(format!("{error}: no pods can start on {name} before that is mended"))
    })?;
    network.send_replace(true);
    Ok(())
}
