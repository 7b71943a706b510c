//! One pod's life on a node: start, status, end.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod, PodSpec};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use podgate_lab::{Error, Result};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::actions::{farewell, initialization, pod_ending};
use super::follow::beside;
use super::sandbox::{Sandbox, Sandboxes};
use super::status::{State, patch};
use super::{Kubelet, log, said};

/// Waiting times between attempts to start or end a pod.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a container that failed waits before it is started again.
const RESTART_PAUSE: Duration = Duration::from_secs(2);

/// Removes what is remembered of pods that are none of the listed ones.
pub(super) async fn sweep(kubelet: Arc<Kubelet>, listed: Vec<String>) {
    for sandbox in kubelet.sandboxes.all() {
        if !listed.contains(&sandbox.uid) {
            end(&kubelet, &sandbox).await;
        }
    }
    if let Err(error) = blocking(&kubelet, Sandboxes::collect).await {
        log(&format!("collecting what pods left: {error}"));
    }
}

/// Looks after a pod until its object is gone.
pub(super) async fn keep(kubelet: Arc<Kubelet>, uid: String, pod: watch::Receiver<Option<Pod>>) {
    let mut life = Life { kubelet, uid, pod, state: State::Waiting { ips: Vec::new(), message: None } };
    let sandbox = life.start().await;
    if let Some(sandbox) = &sandbox {
        life.serve(sandbox).await;
    }
    // Asked to end, gone, or done: in each case the network goes first.
    if let Some(sandbox) = life.kubelet.sandboxes.find(&life.uid) {
        end(&life.kubelet, &sandbox).await;
    }
    life.leave().await;
}

struct Life {
    kubelet: Arc<Kubelet>,
    uid: String,
    pod: watch::Receiver<Option<Pod>>,
    state: State,
}

impl Life {
    /// The Pod as it is now; `None` when its object is gone.
    fn now(&self) -> Option<Pod> {
        self.pod.borrow().clone()
    }

    /// The Pod, unless it was asked to end or has ended.
    fn wanted(&self) -> Option<Pod> {
        self.now().filter(|pod| pod.metadata.deletion_timestamp.is_none() && !is_terminal(pod))
    }

    /// Makes the pod's network; `None` when it is no longer wanted.
    async fn start(&mut self) -> Option<Sandbox> {
        let mut pause = FIRST_PAUSE;
        loop {
            let pod = self.wanted()?;
            let known = self.kubelet.sandboxes.find(&self.uid);
            let made = match known.filter(|known| !known.ips.is_empty()) {
                Some(sandbox) => Ok(sandbox),
                None => {
                    let pod = pod.clone();
                    blocking(&self.kubelet, move |sandboxes| sandboxes.make(&pod)).await
                }
            };
            match made {
                Ok(sandbox) => return Some(sandbox),
                Err(error) => {
                    log(&format!("{}: {error}", key(&pod)));
                    self.complain(&pod, &error.to_string()).await;
                    self.report(State::Waiting { ips: Vec::new(), message: Some(error.to_string()) }).await;
                }
            }
            self.pause(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Keeps the pod running until it ends or is asked to.
    async fn serve(&mut self, sandbox: &Sandbox) {
        let Some(pod) = self.wanted() else { return };
        let spec = pod.spec.clone().unwrap_or_default();
        let ips = sandbox.ips.clone();
        let initialization = initialization(&spec);
        let begun = Instant::now() - age(sandbox);
        if !initialization.is_zero() && begun + initialization > Instant::now() {
            self.report(State::Waiting { ips: ips.clone(), message: None }).await;
            if !self.stay(begun + initialization).await {
                return;
            }
        }
        let opened = {
            let (sandbox, pod) = (sandbox.clone(), pod.clone());
            blocking(&self.kubelet, move |sandboxes| sandboxes.open_ports(&sandbox, &pod)).await
        };
        if let Err(error) = opened {
            // The pod runs all the same; its silence will be noticed.
            log(&format!("{}: {error}", key(&pod)));
        }
        let mut restarts = 0;
        let mut begun = begun + initialization;
        loop {
            self.report(State::Running { ips: ips.clone(), restarts }).await;
            let Some(ending) = pod_ending(&spec) else {
                self.stay_for_ever().await;
                break;
            };
            if !self.stay(begun + ending.after).await {
                break;
            }
            if !is_final(&spec, ending.code) {
                restarts += 1;
                if !self.stay(Instant::now() + RESTART_PAUSE).await {
                    break;
                }
                begun = Instant::now();
                continue;
            }
            // As the address goes back before anybody is told that the pod has finished, nobody is told of
            // two pods with one address.
            end(&self.kubelet, sandbox).await;
            self.report(State::Finished { ips, code: ending.code }).await;
            return;
        }
        if let Some(pod) = self.now() {
            // It was asked to end: it still runs, and still has its policies, for as long as it takes its leave.
            let farewell = farewell(&spec, pod.metadata.deletion_grace_period_seconds);
            self.pause_unless_gone(farewell).await;
            end(&self.kubelet, sandbox).await;
            self.report(State::Finished { ips: sandbox.ips.clone(), code: 0 }).await;
        }
    }

    /// Deletes the object of a pod that was asked to end and has; a pod that has finished waits for that.
    async fn leave(&mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let Some(pod) = self.now() else { return };
            if pod.metadata.deletion_timestamp.is_some() {
                let api: Api<Pod> = self.api(&pod);
                let parameters = DeleteParams {
                    grace_period_seconds: Some(0),
                    preconditions: Some(Preconditions { uid: Some(self.uid.clone()), ..Default::default() }),
                    ..DeleteParams::default()
                };
                match api.delete(pod.metadata.name.as_deref().unwrap_or_default(), &parameters).await {
                    Ok(_) => {}
                    // Gone, or a new one of this name.
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
                    Err(error) => log(&format!("{}: delete: {}", key(&pod), said(&error))),
                }
                // Something may hold the object: a finalizer, or an API server that is away.
                self.pause(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            } else if self.pod.changed().await.is_err() {
                return;
            }
        }
    }

    // === waiting ===

    /// Waits until then, reporting what changes meanwhile. `false`: the pod is no longer wanted.
    async fn stay(&mut self, until: Instant) -> bool {
        loop {
            if self.wanted().is_none() {
                return false;
            }
            tokio::select! {
                () = sleep_until(until) => return true,
                changed = self.pod.changed() => {
                    if changed.is_err() {
                        return false;
                    }
                    self.report(self.state.clone()).await;
                }
            }
        }
    }

    async fn stay_for_ever(&mut self) {
        while self.wanted().is_some() && self.pod.changed().await.is_ok() {
            self.report(self.state.clone()).await;
        }
    }

    /// Waits, but not on when the Pod changes.
    async fn pause(&mut self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = self.pod.changed() => {}
        }
    }

    async fn pause_unless_gone(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && self.now().is_some() {
            tokio::select! {
                () = sleep_until(until) => {}
                changed = self.pod.changed() => if changed.is_err() { return },
            }
        }
    }

    // === saying ===

    fn api<K>(&self, pod: &Pod) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        beside(self.kubelet.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default())
    }

    /// Reports a state, until the API server has taken it or the pod is gone.
    async fn report(&mut self, state: State) {
        self.state = state;
        let mut pause = FIRST_PAUSE;
        while let Some(pod) = self.now() {
            let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let host_ips = &self.kubelet.plan().addresses;
            let Some(mut patch) = patch(&pod, &self.state, host_ips, &now) else { return };
            // A pod recreated under the same name is another.
            patch["metadata"] = json!({ "uid": self.uid });
            let api: Api<Pod> = self.api(&pod);
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            match api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {
                    log(&format!("{}: status: {}", key(&pod), status.message));
                    return;
                }
                Err(error) => log(&format!("{}: status: {}", key(&pod), said(&error))),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// An Event, as `kubectl describe pod` shows it.
    async fn complain(&self, pod: &Pod, message: &str) {
        let now = jiff::Timestamp::now();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let event = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": { "name": format!("{name}.{:x}", now.as_nanosecond()), "namespace": pod.metadata.namespace },
            "involvedObject": {
                "apiVersion": "v1", "kind": "Pod",
                "namespace": pod.metadata.namespace, "name": name, "uid": self.uid,
            },
            "type": "Warning",
            "reason": "FailedCreatePodSandBox",
            "message": message,
            "source": { "component": "kubelet", "host": self.kubelet.name },
            "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "count": 1,
        });
        let told = match serde_json::from_value::<Event>(event) {
            Ok(event) => self.api::<Event>(pod).create(&PostParams::default(), &event).await.map(drop),
            Err(error) => Err(kube::Error::SerdeError(error)),
        };
        // The status says it too.
        if let Err(error) = told {
            log(&format!("{}: event: {}", key(pod), said(&error)));
        }
    }
}

/// Closes the pod's ports, detaches it and removes its namespace; tried until it works.
async fn end(kubelet: &Arc<Kubelet>, sandbox: &Sandbox) {
    let mut pause = FIRST_PAUSE;
    loop {
        let ended = {
            let sandbox = sandbox.clone();
            blocking(kubelet, move |sandboxes| {
                sandboxes.close_ports(&sandbox)?;
                sandboxes.remove(&sandbox)
            })
            .await
        };
        match ended {
            Ok(()) => return,
            Err(error) => log(&format!("{}/{}: end: {error}", sandbox.namespace, sandbox.name)),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Does what waits for plugins and files, without keeping other pods waiting.
async fn blocking<T: Send + 'static>(
    kubelet: &Arc<Kubelet>,
    work: impl FnOnce(&Sandboxes) -> Result<T> + Send + 'static,
) -> Result<T> {
    let kubelet = kubelet.clone();
    let done = tokio::task::spawn_blocking(move || work(&kubelet.sandboxes)).await;
    done.unwrap_or_else(|panic| Err(Error::message(format!("it failed: {panic}"))))
}

/// Whether containers that ended with this code stay ended.
fn is_final(spec: &PodSpec, code: i32) -> bool {
    match spec.restart_policy.as_deref() {
        Some("Never") => true,
        Some("OnFailure") => code == 0,
        _ => false,
    }
}

fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn age(sandbox: &Sandbox) -> Duration {
    let seconds = jiff::Timestamp::now().as_second() - sandbox.started;
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn key(pod: &Pod) -> String {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    format!("{}/{}", name(&pod.metadata.namespace), name(&pod.metadata.name))
}
