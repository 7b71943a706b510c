//! A node's kubelet and kube-proxy, as far as networking goes.
//!
//! ```text
//! Nodes ------> routes to the other nodes' pods
//! Services, EndpointSlices ------> nft rules                       (proxy)
//! Pods bound here ------> namespace, CNI ADD, responder, status    (pod, sandbox, cni)
//!                 ------> CNI DEL, final delete
//! ```
//!
//! It may be killed and started again: pods go on, and what it has to know is in its directory.

mod actions;
pub mod cni;
mod follow;
mod node;
mod pod;
mod proxy;
mod sandbox;
mod status;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use podgate_lab::plan::{NodePlan, Plan};
use podgate_lab::{Error, Result};
use tokio::sync::watch;

use crate::credentials::PROXY;
use crate::site::{Site, node_name};
use follow::{News, follow};
use sandbox::Sandboxes;

pub use sandbox::Sandbox;
pub(crate) use sandbox::all as sandboxes;

/// The responder's list of places, in a node's directory.
pub const PLACES_FILE: &str = "places.json";

/// How long a request may wait for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// What all parts of a kubelet share.
struct Kubelet {
    /// 1 and up.
    number: usize,
    /// The Node's name.
    name: String,
    underlay: Plan,
    client: Client,
    /// As kube-proxy's user.
    proxy_client: Client,
    sandboxes: Sandboxes,
}

impl Kubelet {
    fn plan(&self) -> &NodePlan {
        &self.underlay.nodes[self.number]
    }
}

/// Runs a node's kubelet until the process is ended. The calling process has to be in the node's namespace.
///
/// # Errors
/// When the cluster is not up. The API server may be away: it is asked again.
pub fn run(site: &Site, number: usize) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // CNI plugins that wait for an agent must not keep all others waiting.
        .max_blocking_threads(32)
        .build()
        .map_err(|error| Error::io("start the kubelet", error))?;
    runtime.block_on(work(site, number))
}

async fn work(site: &Site, number: usize) -> Result<()> {
    let spec = site.spec()?;
    let name = node_name(number);
    let kubelet = Arc::new(Kubelet {
        number,
        name: name.clone(),
        underlay: site.underlay(spec.nodes)?,
        client: client(&site.kubeconfig(&name)).await?,
        proxy_client: client(&site.kubeconfig(PROXY)).await?,
        sandboxes: Sandboxes::open(site, number, spec.agent)?,
    });
    let (network, ready) = watch::channel(false);
    let parts = [
        tokio::spawn(node::keep(kubelet.clone(), network)),
        tokio::spawn(proxy::keep(kubelet.clone())),
        tokio::spawn(pods(kubelet, ready)),
    ];
    // None of them ever ends by itself.
    let (ended, ..) = futures_util::future::select_all(parts).await;
    Err(Error::message(match ended {
        Err(panic) => format!("the kubelet of {name} failed: {panic}"),
        Ok(()) => format!("a part of the kubelet of {name} ended"),
    }))
}

/// A client as the kubeconfig says.
pub(crate) async fn client(path: &Path) -> Result<Client> {
    let failed = |error: &dyn std::fmt::Display| Error::message(format!("{}: {error}", path.display()));
    let kubeconfig = Kubeconfig::read_from(path).map_err(|e| failed(&e))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|e| failed(&e))?;
    config.connect_timeout = Some(CONNECT_PATIENCE);
    Client::try_from(config).map_err(|e| failed(&e))
}

/// Gives each pod that is bound here a task of its own, and tells it what becomes of its Pod.
async fn pods(kubelet: Arc<Kubelet>, mut network: watch::Receiver<bool>) {
    if network.wait_for(|ready| *ready).await.is_err() {
        return;
    }
    let api: Api<Pod> = Api::all(kubelet.client.clone());
    let mut known: HashMap<String, watch::Sender<Option<Pod>>> = HashMap::new();
    let mut first = true;
    follow(api, &format!("spec.nodeName={}", kubelet.name), |news| {
        let mut tell = |pod: Pod| {
            let Some(uid) = pod.metadata.uid.clone() else { return };
            match known.get(&uid) {
                Some(sender) if !sender.is_closed() => {
                    sender.send_replace(Some(pod));
                }
                _ => {
                    let (sender, receiver) = watch::channel(Some(pod));
                    tokio::spawn(pod::keep(kubelet.clone(), uid.clone(), receiver));
                    known.insert(uid, sender);
                }
            }
        };
        match news {
            News::Applied(pod) => tell(pod),
            News::Deleted(pod) => {
                if let Some(sender) = pod.metadata.uid.and_then(|uid| known.remove(&uid)) {
                    sender.send_replace(None);
                }
            }
            News::All(pods) => {
                let listed: Vec<String> = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
                pods.into_iter().for_each(&mut tell);
                known.retain(|uid, sender| {
                    let stays = listed.contains(uid);
                    if !stays {
                        sender.send_replace(None);
                    }
                    stays
                });
                if std::mem::take(&mut first) {
                    // Pods that were deleted while nobody looked have nobody else to clean up after them.
                    tokio::spawn(pod::sweep(kubelet.clone(), listed));
                }
            }
        }
    })
    .await;
}

/// What the API server said, or what kept it from being asked.
pub(crate) fn said(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[expect(clippy::print_stderr, reason = "the process's standard error is its log file")]
fn log(line: &str) {
    eprintln!("{} {line}", jiff::Timestamp::now().strftime("%H:%M:%S%.3f"));
}
