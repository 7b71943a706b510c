//! The status that a pod's kubelet reports, made purely from the Pod and what became of it.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use serde_json::{Value, json};

use super::actions::is_sidecar;

/// What became of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has no network yet, or its init containers run.
    Waiting {
        /// Addresses, when it has some.
        ips: Vec<IpAddr>,
        /// Why it has none, when that was tried.
        message: Option<String>,
    },
    /// Its containers run.
    Running {
        /// Addresses.
        ips: Vec<IpAddr>,
        /// How often the containers have ended and begun again.
        restarts: i32,
    },
    /// Its containers have ended for good.
    Finished {
        /// The addresses that it had.
        ips: Vec<IpAddr>,
        /// The worst exit code.
        code: i32,
    },
}

/// The patch for a pod's status, or `None` when the status says all of it already. `now`: RFC 3339.
pub(super) fn patch(pod: &Pod, state: &State, host_ips: &[IpAddr], now: &str) -> Option<Value> {
    let spec = pod.spec.as_ref()?;
    let reported = pod.status.clone().unwrap_or_default();
    let (phase, ips) = match state {
        State::Waiting { ips, .. } => ("Pending", ips),
        State::Running { ips, .. } => ("Running", ips),
        State::Finished { ips, code: 0 } => ("Succeeded", ips),
        State::Finished { ips, .. } => ("Failed", ips),
    };
    let is_running = matches!(state, State::Running { .. });
    let is_finished = matches!(state, State::Finished { .. });
    let gates = spec.readiness_gates.iter().flatten().map(|gate| gate.condition_type.as_str());
    let shut: Vec<&str> = gates.filter(|gate| !is_true(&reported, gate)).collect();
    let done = is_finished.then_some("PodCompleted");
    let conditions = [
        ("PodReadyToStartContainers", !ips.is_empty() && !is_finished, done, String::new()),
        ("Initialized", is_running || is_finished, None, String::new()),
        ("ContainersReady", is_running, done, String::new()),
        (
            "Ready",
            is_running && shut.is_empty(),
            done.or((!shut.is_empty()).then_some("ReadinessGatesNotReady")),
            if shut.is_empty() {
                String::new()
            } else {
                format!("corresponding condition of pod readiness gate {shut:?} is not \"True\"")
            },
        ),
    ];
    let as_wanted = |(kind, holds, ..): &(&str, bool, Option<&str>, String)| {
        reported.conditions.iter().flatten().any(|c| c.type_ == *kind && (c.status == "True") == *holds)
    };
    let statuses = container_statuses(spec.containers.iter(), state, &reported, now);
    let message = match state {
        State::Waiting { message, .. } => message.clone(),
        _ => None,
    };
    let shown: Vec<IpAddr> = reported.pod_ips.iter().flatten().filter_map(|ip| ip.ip.parse().ok()).collect();
    let restarts = reported.container_statuses.iter().flatten().map(|one| one.restart_count).max();
    let unchanged = reported.phase.as_deref() == Some(phase)
        && conditions.iter().all(as_wanted)
        && shown == *ips
        && reported.message == message
        && matches!(state, State::Running { restarts: wanted, .. } if restarts == Some(*wanted))
            == is_running;
    if unchanged {
        return None;
    }
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, holds, reason, message)| {
            let before = reported.conditions.iter().flatten().find(|one| one.type_ == *kind);
            let same = before.filter(|one| (one.status == "True") == *holds);
            let since = same.and_then(|one| serde_json::to_value(&one.last_transition_time).ok());
            json!({
                "type": kind,
                "status": if *holds { "True" } else { "False" },
                "reason": reason,
                "message": (!message.is_empty()).then_some(message),
                "lastTransitionTime": since.filter(|time| !time.is_null()).unwrap_or(json!(now)),
            })
        })
        .collect();
    let pod_ips: Vec<Value> = ips.iter().map(|ip| json!({ "ip": ip })).collect();
    let host_ips: Vec<Value> = host_ips.iter().map(|ip| json!({ "ip": ip })).collect();
    let init = container_statuses(spec.init_containers.iter().flatten(), state, &reported, now);
    Some(json!({ "status": {
        "phase": phase,
        "message": message,
        "conditions": conditions,
        "hostIP": host_ips.first().map(|ip| ip["ip"].clone()),
        "hostIPs": host_ips,
        "podIP": ips.first(),
        "podIPs": pod_ips,
        "startTime": reported.start_time.as_ref().map_or(json!(now), |time| json!(time)),
        "containerStatuses": statuses,
        "initContainerStatuses": init,
    }}))
}

fn is_true(status: &PodStatus, condition: &str) -> bool {
    status.conditions.iter().flatten().any(|one| one.type_ == condition && one.status == "True")
}

fn container_statuses<'a>(
    containers: impl Iterator<Item = &'a Container>,
    state: &State,
    reported: &PodStatus,
    now: &str,
) -> Vec<Value> {
    let started = |name: &str| {
        let known = reported.container_statuses.iter().flatten().find(|one| one.name == name);
        let running = known.and_then(|one| one.state.as_ref()?.running.as_ref()?.started_at.clone());
        running.map_or(json!(now), |time| json!(time))
    };
    containers
        .map(|container| {
            let name = container.name.as_str();
            // An ordinary init container is done when the others run.
            let is_init = reported.init_container_statuses.iter().flatten().any(|one| one.name == name)
                && !is_sidecar(container);
            let terminated = |code: i32| {
                json!({ "terminated": {
                    "exitCode": code,
                    "reason": if code == 0 { "Completed" } else { "Error" },
                    "startedAt": started(name),
                    "finishedAt": now,
                }})
            };
            let (state, ready, count) = match state {
                State::Waiting { .. } => (json!({ "waiting": { "reason": "ContainerCreating" } }), false, 0),
                State::Running { .. } if is_init => (terminated(0), true, 0),
                State::Running { restarts, .. } => {
                    (json!({ "running": { "startedAt": started(name) } }), true, *restarts)
                }
                State::Finished { code, .. } => (terminated(if is_init { 0 } else { *code }), false, 0),
            };
            let id = format!("podgate-lab://{name}");
            json!({
                "name": name,
                "image": container.image,
                "imageID": "",
                "containerID": id,
                "ready": ready,
                "started": state.get("running").is_some(),
                "restartCount": count,
                "state": state,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-02T03:04:05Z";

    fn pod(text: &str) -> Pod {
        serde_json::from_str(text).unwrap()
    }

    fn running() -> State {
        State::Running { ips: vec!["10.1.0.2".parse().unwrap(), "fd00::2".parse().unwrap()], restarts: 0 }
    }

    fn condition<'a>(patch: &'a Value, kind: &str) -> &'a Value {
        let conditions = patch["status"]["conditions"].as_array().unwrap();
        conditions.iter().find(|one| one["type"] == kind).unwrap()
    }

    /// The Pod as it is after the patch.
    fn patched(pod: &Pod, patch: &Value) -> Pod {
        let mut value = serde_json::to_value(pod).unwrap();
        value["status"] = patch["status"].clone();
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_running_pod_is_ready_and_says_so_once() {
        let pod = pod(r#"{"metadata":{},"spec":{"containers":[{"name":"web","image":"web:1"}]}}"#);
        let host = ["172.30.0.11".parse().unwrap()];
        let patch = super::patch(&pod, &running(), &host, NOW).unwrap();
        assert_eq!(patch["status"]["phase"], "Running");
        assert_eq!(patch["status"]["podIP"], "10.1.0.2");
        assert_eq!(patch["status"]["podIPs"][1]["ip"], "fd00::2");
        assert_eq!(patch["status"]["hostIP"], "172.30.0.11");
        assert_eq!(patch["status"]["containerStatuses"][0]["state"]["running"]["startedAt"], NOW);
        assert_eq!(condition(&patch, "Ready")["status"], "True");
        assert_eq!(super::patch(&patched(&pod, &patch), &running(), &host, "later"), None);
    }

    #[test]
    fn a_pod_is_not_ready_before_its_gates_are_open() {
        let gated = r#"{"metadata":{},"spec":{"containers":[{"name":"web"}],
            "readinessGates":[{"conditionType":"podgate.io/in-force"}]}}"#;
        let gated = pod(gated);
        let shut = super::patch(&gated, &running(), &[], NOW).unwrap();
        assert_eq!(condition(&shut, "ContainersReady")["status"], "True");
        assert_eq!(condition(&shut, "Ready")["status"], "False");
        assert_eq!(condition(&shut, "Ready")["reason"], "ReadinessGatesNotReady");
        let mut after = patched(&gated, &shut);
        let conditions = after.status.as_mut().unwrap().conditions.as_mut().unwrap();
        conditions.push(
            serde_json::from_value(json!({ "type": "podgate.io/in-force", "status": "True" })).unwrap(),
        );
        let open = super::patch(&after, &running(), &[], "2026-01-02T03:04:06Z").unwrap();
        assert_eq!(condition(&open, "Ready")["status"], "True");
        assert_eq!(condition(&open, "Ready")["lastTransitionTime"], "2026-01-02T03:04:06Z");
        // What did not change keeps its time.
        assert_eq!(condition(&open, "ContainersReady")["lastTransitionTime"], NOW);
    }

    #[test]
    fn a_finished_pod_keeps_its_address() {
        let job = pod(r#"{"metadata":{},"spec":{"containers":[{"name":"job"}]}}"#);
        let state = State::Finished { ips: vec!["10.1.0.2".parse().unwrap()], code: 3 };
        let patch = super::patch(&job, &state, &[], NOW).unwrap();
        assert_eq!(patch["status"]["phase"], "Failed");
        assert_eq!(patch["status"]["podIP"], "10.1.0.2");
        assert_eq!(patch["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
        assert_eq!(condition(&patch, "Ready")["reason"], "PodCompleted");
        assert_eq!(super::patch(&patched(&job, &patch), &state, &[], "later"), None);
    }

    #[test]
    fn a_refused_network_is_the_pod_s_message() {
        let waiting = State::Waiting { ips: Vec::new(), message: Some("CNI plugin x: no".to_owned()) };
        let pod = pod(r#"{"metadata":{},"spec":{"containers":[{"name":"web"}]}}"#);
        let patch = super::patch(&pod, &waiting, &[], NOW).unwrap();
        assert_eq!(patch["status"]["phase"], "Pending");
        assert_eq!(patch["status"]["message"], "CNI plugin x: no");
        assert_eq!(condition(&patch, "PodReadyToStartContainers")["status"], "False");
        assert_eq!(super::patch(&patched(&pod, &patch), &waiting, &[], "later"), None);
    }
}
