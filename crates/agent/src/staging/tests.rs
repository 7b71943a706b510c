use std::net::IpAddr;

use ipnet::IpNet;
use podgate_api::load_text;
use podgate_datapath::{
    Backend, Capabilities, Counters, DnsMessage, EdgeTotal, Error, Event, PublishReport, Repair, Taken,
    UnknownPods,
};
use podgate_kube::Item;
use podgate_policy::{Cluster, Connection, Delta, Programs, Settings, Verdict};

use super::*;

/// A kernel that takes everything and sees nothing.
struct Deaf;

impl Datapath for Deaf {
    fn publish(&mut self, _: &dyn Programs, _: &Delta) -> Result<PublishReport, Error> {
        Ok(PublishReport::default())
    }

    fn publish_full(&mut self, _: &dyn Programs, _: &Delta) -> Result<PublishReport, Error> {
        Ok(PublishReport::default())
    }

    fn settle(&mut self) -> Result<bool, Error> {
        Ok(true)
    }

    fn poll_events(&mut self, _: &mut dyn FnMut(Event)) -> Result<usize, Error> {
        Ok(0)
    }

    fn take_totals(&mut self, _: &mut dyn FnMut(EdgeTotal)) -> Result<Taken, Error> {
        Ok(Taken::default())
    }

    fn poll_answers(&mut self, _: &mut dyn FnMut(DnsMessage)) -> Result<usize, Error> {
        Ok(0)
    }

    fn counters(&self) -> Result<Counters, Error> {
        Ok(Counters::default())
    }

    fn set_unknown_pods(&mut self, _: UnknownPods) {}

    fn set_pod_cidrs(&mut self, _: &[IpNet]) -> Result<(), Error> {
        Ok(())
    }

    fn is_attached(&self) -> bool {
        true
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            backend: Backend::Bpf,
            packet_time: true,
            original_destination: true,
            suppressed_by_source: true,
            events_outlive_process: true,
            totals: true,
            observing: true,
            answers: true,
        }
    }

    fn reassert(&mut self) -> Result<Vec<Repair>, Error> {
        Ok(Vec::new())
    }
}

struct World {
    staging: Staging,
    inventory: Inventory,
    gate: Gate,
}

const POLICY: &str = "spec: {podSelector: {}, policyTypes: [Ingress]}";

impl World {
    /// Namespace `shop` with two pods of this node.
    fn new(all: bool) -> World {
        let options = Options::new("n1", "/nowhere/podgate");
        let mut world = World {
            staging: Staging::new(all, options, |_| Ok(Box::new(Deaf))),
            inventory: Inventory::new("n1", Vec::new()),
            gate: Gate::new(Box::new(Deaf), Settings::default()),
        };
        world.namespace("");
        for last in 1..=2 {
            world.apply(&format!(
                "kind: Pod\napiVersion: v1\nmetadata: {{name: p{last}, namespace: shop, uid: u{last}}}\n\
                 spec: {{nodeName: n1}}\nstatus: {{phase: Running, podIPs: [{{ip: 10.0.0.{last}}}]}}"
            ));
        }
        world
    }

    fn take(&mut self, news: News) -> bool {
        let is_change = self.staging.take(news, &mut self.inventory, &mut self.gate).is_change;
        self.gate.publish(Instant::now()).unwrap();
        self.staging.publish(Instant::now());
        is_change
    }

    fn apply(&mut self, text: &str) -> bool {
        let object = load_text("t.yaml", text).objects.remove(0);
        let what = Watched::ALL.into_iter().find(|what| what.kind() == object.key().kind).unwrap();
        self.take(News::Applied(what, Item { object, generation: 1, resource_version: "".into() }))
    }

    fn namespace(&mut self, annotations: &str) -> bool {
        self.apply(&format!(
            "kind: Namespace\napiVersion: v1\nmetadata: {{name: shop, annotations: {{{annotations}}}}}"
        ))
    }

    /// A policy that closes all pods of the namespace.
    fn policy(&mut self, annotations: &str) -> bool {
        self.apply(&format!(
            "kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\n\
             metadata: {{name: closed, namespace: shop, annotations: {{{annotations}}}}}\n{POLICY}"
        ))
    }

    fn delete_policy(&mut self) -> bool {
        let key = ObjectKey { kind: "NetworkPolicy", namespace: "shop".into(), name: "closed".into() };
        self.take(News::Deleted(Watched::NetworkPolicies, key, String::new()))
    }

    /// What is in force, and what the staged policies would say; `None`: nothing is staged.
    #[track_caller]
    fn check(&self, in_force: Verdict, staged: Option<Verdict>) {
        let ask = |cluster: &Cluster| {
            let ip = |text: &str| text.parse::<IpAddr>().unwrap();
            let connection = Connection { from: ip("10.0.0.1"), to: ip("10.0.0.2"), protocol: 6, port: 80 };
            cluster.evaluate(&connection).verdict
        };
        assert_eq!(ask(&self.gate.cluster), in_force, "in force");
        assert_eq!(self.staging.shadow.as_ref().map(|shadow| ask(&shadow.gate.cluster)), staged, "staged");
    }
}

const STAGED: &str = "podgate.dev/mode: staged";
const ENFORCED: &str = "podgate.dev/mode: enforced";

#[test]
fn a_staged_policy_decides_nothing_until_it_is_enforced() {
    let mut world = World::new(false);
    assert!(!world.policy(STAGED), "nothing changes for what is in force");
    world.check(Verdict::Allowed, Some(Verdict::Denied));
    assert!(world.policy(""));
    world.check(Verdict::Denied, None);
    assert!(world.policy(STAGED), "it decides no more");
    world.check(Verdict::Allowed, Some(Verdict::Denied));
    assert!(!world.delete_policy());
    world.check(Verdict::Allowed, None);
}

#[test]
fn a_namespace_stages_its_policies_but_those_that_say_otherwise() {
    let mut world = World::new(false);
    world.policy("");
    world.check(Verdict::Denied, None);
    assert!(world.namespace(STAGED));
    world.check(Verdict::Allowed, Some(Verdict::Denied));
    assert!(world.policy(ENFORCED));
    world.check(Verdict::Denied, None);
    assert!(world.policy(""));
    world.check(Verdict::Allowed, Some(Verdict::Denied));
    assert!(world.namespace(""));
    world.check(Verdict::Denied, None);
}

#[test]
fn a_slip_in_the_annotation_opens_nothing() {
    let mut world = World::new(false);
    world.policy("podgate.dev/mode: Staged");
    world.check(Verdict::Denied, None);
    world.namespace("podgate.dev/mode: dry-run");
    world.check(Verdict::Denied, None);
}

#[test]
fn everything_can_be_staged_at_once() {
    let mut world = World::new(true);
    world.policy(ENFORCED);
    world.check(Verdict::Allowed, Some(Verdict::Denied));
}

#[test]
fn the_shadow_follows_pods_and_a_list_that_no_longer_names_a_policy_ends_it() {
    let mut world = World::new(false);
    world.policy(STAGED);
    let policies = Watched::NetworkPolicies;
    world.take(News::Listing(policies));
    world.take(News::Synced(policies));
    assert_eq!(world.staging.count(), 1, "the first list has no end before: nothing is swept");
    world.take(News::Listing(policies));
    world.take(News::Synced(policies));
    world.check(Verdict::Allowed, None);
    world.policy(STAGED);
    world.apply(
        "kind: Pod\napiVersion: v1\nmetadata: {name: p2, namespace: shop, uid: u2}\n\
         spec: {nodeName: n1}\nstatus: {phase: Succeeded, podIPs: [{ip: 10.0.0.2}]}",
    );
    world.check(Verdict::Allowed, Some(Verdict::Allowed));
}
