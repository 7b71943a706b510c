//! kube-proxy's part: Services and their endpoints as nft rules of the node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::{Api, ResourceExt};
use podgate_api::Protocol;
use podgate_lab::command::nft;
use podgate_lab::plan::{Plan, PodPlan, ServicePlan, ServicePortPlan};
use podgate_lab::services::ruleset;
use tokio::sync::Notify;

use super::follow::{News, follow};
use super::{Kubelet, log};

/// Changes within this time are made at once.
const TOGETHER: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_secs(1);

/// Namespace and name.
type Key = (String, String);

#[derive(Default)]
struct Known {
    services: BTreeMap<Key, Service>,
    slices: BTreeMap<Key, EndpointSlice>,
}

/// Keeps the rules in step.
pub(super) async fn keep(kubelet: Arc<Kubelet>) {
    let client = kubelet.proxy_client.clone();
    let known = Mutex::new(Known::default());
    let changed = Notify::new();
    let services = follow(Api::<Service>::all(client.clone()), "", |news| {
        note(&mut locked(&known).services, news);
        changed.notify_one();
    });
    let slices = follow(Api::<EndpointSlice>::all(client), "", |news| {
        note(&mut locked(&known).slices, news);
        changed.notify_one();
    });
    let rules = async {
        let mut in_force = String::new();
        loop {
            changed.notified().await;
            tokio::time::sleep(TOGETHER).await;
            let plan = {
                let known = locked(&known);
                plan(&kubelet.underlay, &known.services, &known.slices)
            };
            let script = ruleset(&plan, kubelet.number);
            if script == in_force {
                continue;
            }
            let netns = kubelet.plan().netns.clone();
            let (applied, script) =
                match tokio::task::spawn_blocking(move || (nft(&netns, &script), script)).await {
                    Ok(done) => done,
                    Err(panic) => {
                        log(&format!("services: {panic}"));
                        continue;
                    }
                };
            match applied {
                Ok(()) => in_force = script,
                Err(error) => {
                    log(&format!("services: {error}"));
                    tokio::time::sleep(RETRY).await;
                    changed.notify_one();
                }
            }
        }
    };
    tokio::join!(services, slices, rules);
}

fn locked(known: &Mutex<Known>) -> std::sync::MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note<K: ResourceExt>(known: &mut BTreeMap<Key, K>, news: News<K>) {
    let key = |object: &K| (object.namespace().unwrap_or_default(), object.name_any());
    match news {
        News::All(all) => *known = all.into_iter().map(|object| (key(&object), object)).collect(),
        News::Applied(object) => {
            known.insert(key(&object), object);
        }
        News::Deleted(object) => {
            known.remove(&key(&object));
        }
    }
}

/// The lab's plan of what Services lead to: each address that answers is a pod of its own to it.
fn plan(underlay: &Plan, services: &BTreeMap<Key, Service>, slices: &BTreeMap<Key, EndpointSlice>) -> Plan {
    let mut plan = Plan { pods: Vec::new(), services: Vec::new(), ..underlay.clone() };
    let mut indices: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for ((namespace, name), service) in services {
        let Some(spec) = &service.spec else { continue };
        let cluster_ips: Vec<IpAddr> =
            spec.cluster_ips.iter().flatten().filter_map(|ip| ip.parse().ok()).collect();
        if cluster_ips.is_empty() {
            continue;
        }
        let own = slices.iter().filter(|((in_namespace, _), slice)| {
            in_namespace == namespace
                && slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"))
                    == Some(name)
        });
        let own: Vec<&EndpointSlice> = own.map(|(_, slice)| slice).collect();
        let ports = spec.ports.iter().flatten().filter_map(|port| {
            let port_name = port.name.clone().unwrap_or_default();
            let backends = backends(&own, &port_name).into_iter().map(|(ip, number, node)| {
                let next = u32::try_from(indices.len()).unwrap_or(u32::MAX);
                let index = *indices.entry(ip).or_insert_with(|| {
                    plan.pods.push(answering(underlay, next, ip, node));
                    next
                });
                (index, number)
            });
            Some(ServicePortPlan {
                backends: backends.collect(),
                protocol: protocol(port.protocol.as_deref()),
                port: u16::try_from(port.port).ok()?,
                node_port: port.node_port.and_then(|number| u16::try_from(number).ok()),
                name: port_name,
            })
        });
        let ports: Vec<ServicePortPlan> = ports.collect();
        plan.services.push(ServicePlan {
            namespace: namespace.clone(),
            name: name.clone(),
            cluster_ips,
            headless: false,
            external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
            endpoints: Vec::new(),
            ports,
        });
    }
    plan
}

/// Addresses, port and node behind a Service's port, sorted: those that are ready, or else those that still
/// answer on their way out.
fn backends<'a>(slices: &[&'a EndpointSlice], port: &str) -> Vec<(IpAddr, u16, Option<&'a str>)> {
    let in_state = |state: &dyn Fn(&Endpoint) -> bool| {
        let mut found = Vec::new();
        for slice in slices {
            let mut ports = slice.ports.iter().flatten();
            let number = ports.find(|one| one.name.as_deref().unwrap_or_default() == port);
            let Some(number) = number.and_then(|one| u16::try_from(one.port?).ok()) else { continue };
            for endpoint in slice.endpoints.iter().flatten().filter(|one| state(one)) {
                let ips = endpoint.addresses.iter().filter_map(|ip| ip.parse::<IpAddr>().ok());
                found.extend(ips.map(|ip| (ip, number, endpoint.node_name.as_deref())));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    };
    let ready = in_state(&|endpoint| {
        endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
    });
    if !ready.is_empty() {
        return ready;
    }
    in_state(&|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.is_some_and(|one| one.serving == Some(true) && one.terminating == Some(true))
    })
}

fn answering(underlay: &Plan, index: u32, ip: IpAddr, node: Option<&str>) -> PodPlan {
    let position = underlay.nodes.iter().position(|one| Some(one.name.as_str()) == node);
    PodPlan {
        index,
        namespace: String::new(),
        name: String::new(),
        uid: String::new(),
        labels: Default::default(),
        owner: None,
        node: position.unwrap_or(0),
        netns: String::new(),
        ips: vec![ip],
        host_network: false,
        terminating: false,
        ports: Vec::new(),
        listen: Vec::new(),
        source: (String::new(), 0, 0),
    }
}

fn protocol(name: Option<&str>) -> Protocol {
    match name {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Site;

    fn slice(text: &str) -> EndpointSlice {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_cluster_ip_leads_to_what_is_ready_behind_each_port() {
        let underlay = Site::new("x").unwrap().underlay(2).unwrap();
        let service: Service = serde_json::from_str(
            r#"{"metadata":{"namespace":"shop","name":"web"},"spec":{"clusterIPs":["10.96.0.7","fd00:10:96::7"],
                "ports":[{"name":"http","port":80,"nodePort":30080},{"name":"dns","port":53,"protocol":"UDP"}]}}"#,
        )
        .unwrap();
        let v4 = slice(
            r#"{"metadata":{"namespace":"shop","name":"web-1","labels":{"kubernetes.io/service-name":"web"}},
                "addressType":"IPv4","ports":[{"name":"http","port":8080},{"name":"dns","port":5353,"protocol":"UDP"}],
                "endpoints":[{"addresses":["10.244.1.2"],"nodeName":"node-2","conditions":{"ready":true}},
                             {"addresses":["10.244.0.9"],"conditions":{"ready":false}}]}"#,
        );
        let other = slice(
            r#"{"metadata":{"namespace":"shop","name":"api-1","labels":{"kubernetes.io/service-name":"api"}},
                "addressType":"IPv4","ports":[{"name":"http","port":1}],"endpoints":[{"addresses":["10.244.3.3"]}]}"#,
        );
        let key = |name: &str| ("shop".to_owned(), name.to_owned());
        let services = BTreeMap::from([(key("web"), service)]);
        let slices = BTreeMap::from([(key("web-1"), v4), (key("api-1"), other)]);
        let plan = plan(&underlay, &services, &slices);
        let rules = ruleset(&plan, 1);
        assert!(rules.contains("10.96.0.7 . tcp . 80 : goto"), "{rules}");
        assert!(rules.contains("dnat ip to 10.244.1.2:8080"), "{rules}");
        assert!(rules.contains("dnat ip to 10.244.1.2:5353"), "{rules}");
        // The second family has no endpoints: refused, not lost.
        assert!(rules.contains("fd00:10:96::7 . tcp . 80"), "{rules}");
        assert!(!rules.contains("10.244.0.9") && !rules.contains("10.244.3.3"), "{rules}");
    }

    #[test]
    fn pods_on_their_way_out_answer_when_nobody_else_does() {
        let leaving = r#"{"metadata":{},"addressType":"IPv4","ports":[{"port":80}],
            "endpoints":[{"addresses":["10.244.1.2"],"conditions":{"ready":false,"serving":true,"terminating":true}}]}"#;
        let leaving = slice(leaving);
        assert_eq!(backends(&[&leaving], "").len(), 1);
        let ready = slice(
            r#"{"metadata":{},"addressType":"IPv4","ports":[{"port":80}],"endpoints":[{"addresses":["10.244.1.3"]}]}"#,
        );
        let both: Vec<IpAddr> = backends(&[&leaving, &ready], "").into_iter().map(|(ip, ..)| ip).collect();
        assert_eq!(both, ["10.244.1.3".parse::<IpAddr>().unwrap()]);
    }
}
