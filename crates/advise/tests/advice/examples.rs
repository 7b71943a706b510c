//! Applications with policies that are known to be good: flows for everything that these allow and deny teach policies
//! that say the same.

use std::path::{Path, PathBuf};

use podgate_advise::recommend::{Options, Recommendation};
use podgate_advise::{Judge, Replay};
use podgate_analysis::{World, WorldOptions};
use podgate_api::{Input, Object, load};
use podgate_flow::{Endpoint, FlowVerdict, OwnerName, Party, Protocol};
use podgate_policy::{Connection, Verdict};

use crate::support::*;

/// A connection attempt from every pod to every declared port of every other one, with the verdict of the policies.
fn everything_tried(world: &World) -> Recorder {
    let mut recorder = Recorder::default();
    let endpoint = |pod: &podgate_analysis::world::WorldPod, port: u16, v4: bool| {
        let workload = world.workload(pod.workload);
        let ip = pod.ips.iter().find(|ip| ip.is_ipv4() == v4)?;
        let owner = (workload.kind != "Pod")
            .then(|| OwnerName { kind: workload.kind.clone(), name: workload.name.clone() });
        let party = Party::Pod {
            namespace: workload.namespace.clone(),
            pod: pod.name.to_string(),
            owner,
            node: None,
            labels: workload.labels.clone(),
        };
        Some(Endpoint::new(*ip, port, party))
    };
    for from in &world.pods {
        for (to, object) in world.pods.iter().zip(world.pod_objects()) {
            for port in &object.ports {
                for v4 in [true, false] {
                    let client = 40_000 + (recorder.records.len() % 20_000) as u16;
                    let (Some(source), Some(destination)) =
                        (endpoint(from, client, v4), endpoint(to, port.port, v4))
                    else {
                        continue;
                    };
                    if source.ip == destination.ip {
                        continue;
                    }
                    let protocol = Protocol(port.protocol.number());
                    let decision = world.cluster.evaluate(&Connection {
                        from: source.ip,
                        to: destination.ip,
                        protocol: protocol.0,
                        port: port.port,
                    });
                    let verdict = match decision.verdict {
                        Verdict::Allowed => FlowVerdict::Allowed,
                        Verdict::Denied => FlowVerdict::Denied,
                    };
                    recorder.add(source, destination, protocol, verdict);
                }
            }
        }
    }
    recorder
}

#[track_caller]
fn closes(paths: &[PathBuf]) {
    let inputs: Vec<Input> = paths.iter().cloned().map(Input::Path).collect();
    let objects = load(&inputs).objects;
    let world = World::new(objects.clone(), &WorldOptions::default());
    let recorder = everything_tried(&world);
    let is_policy = |object: &Object| matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_));
    assert!(objects.iter().any(is_policy), "{paths:?} have policies");
    let app: Vec<Object> = objects.into_iter().filter(|object| !is_policy(object)).collect();
    let seen = recorder.seen(&app);
    assert!(seen.flows.len() > 20, "{paths:?}: {} kinds of connections", seen.flows.len());
    let recommendation = Recommendation::new(app.clone(), &seen, &Options::default());
    assert!(recommendation.proof.holds(), "{:#?}\n{}", recommendation.proof, recommendation.to_yaml());
    let mut with = app;
    let printed = podgate_api::load_text("recommended.yaml", &recommendation.to_yaml());
    assert!(printed.diagnostics.is_empty(), "{:?}", printed.diagnostics);
    with.extend(printed.objects);
    let replay = Replay::new(&seen, &mut Judge::new(with, Default::default(), &seen));
    assert!(replay.cut.is_empty() && replay.unjudged.is_empty(), "{replay:#?}");
    // Namespaces that Kubernetes runs in get no policies: what is denied to them is denied elsewhere or not at all.
    let opened: Vec<_> =
        replay.opened.iter().filter(|change| !change.flow.to.starts_with("kube-system/")).collect();
    assert!(opened.is_empty(), "{opened:#?}");
}

#[test]
fn what_the_shop_does_teaches_what_its_policies_say() {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shop");
    closes(&[shop.join("app"), shop.join("policies")]);
}
