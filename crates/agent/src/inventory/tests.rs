use podgate_api::load_text;
use podgate_cni::PodName;
use podgate_policy::{Connection, Settings, Verdict};

use super::*;

const NODE: &str = "node-1";

struct World {
    inventory: Inventory,
    cluster: Cluster,
}

impl World {
    /// Synced, with the namespaces `shop` and `other`.
    fn new() -> World {
        let mut world =
            World { inventory: Inventory::new(NODE, Vec::new()), cluster: Cluster::new(Settings::default()) };
        for what in JUDGING {
            world.take(News::Listing(what));
        }
        for name in ["shop", "other"] {
            world.apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"));
        }
        for what in JUDGING {
            assert!(!world.inventory.is_synced());
            world.take(News::Synced(what));
        }
        assert!(world.inventory.is_synced());
        world
    }

    fn take(&mut self, news: News) -> Effect {
        self.inventory.take(news, &mut self.cluster)
    }

    fn apply(&mut self, text: &str) -> Effect {
        let object = object(text);
        let what = Watched::ALL.into_iter().find(|what| what.kind() == object.key().kind).unwrap();
        self.take(News::Applied(what, item(object)))
    }

    fn pod(&mut self, name: &str, uid: &str, node: &str, ips: &[&str]) -> Effect {
        let ips: Vec<String> = ips.iter().map(|ip| format!("{{ip: \"{ip}\"}}")).collect();
        self.apply(&format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, uid: {uid}, labels: {{app: {name}}}}}, \
             spec: {{nodeName: {node}}}, status: {{phase: Running, podIPs: [{}]}}}}",
            ips.join(", ")
        ))
    }

    fn claim(&mut self, container: &str, name: &str, uid: &str, ip: &str) {
        let claim = Claim {
            attachment: attachment(container),
            pod: PodName { namespace: "shop".into(), name: name.into(), uid: uid.into() },
            ips: vec![ip.parse().unwrap()],
        };
        self.inventory.claim_addresses(claim, &mut self.cluster);
    }

    fn owner(&mut self, ip: &str) -> Option<String> {
        self.cluster.commit();
        self.cluster.pod_at(ip.parse().unwrap()).map(|pod| pod.name().to_owned())
    }

    fn is_allowed(&mut self, from: &str, to: &str) -> bool {
        self.cluster.commit();
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        let connection = Connection { from, to, protocol: 6, port: 80 };
        self.cluster.evaluate(&connection).verdict == Verdict::Allowed
    }
}

fn object(text: &str) -> Object {
    let loaded = load_text("test", text);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    loaded.objects.into_iter().next().unwrap()
}

fn item(object: Object) -> Item {
    Item { object, resource_version: "1".into(), generation: 1 }
}

fn attachment(container: &str) -> Attachment {
    Attachment { container: container.into(), interface: "eth0".into() }
}

fn deny_all(namespace: &str) -> String {
    format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: deny, namespace: {namespace}}}, \
         spec: {{podSelector: {{}}, policyTypes: [Ingress]}}}}"
    )
}

#[test]
fn only_policies_that_may_judge_local_pods_reach_the_engine() {
    let mut world = World::new();
    world.pod("far", "u1", "node-2", &["10.0.2.1"]);
    assert!(!world.apply(&deny_all("shop")).is_change);
    assert!(!world.apply(&deny_all("other")).is_change);
    assert_eq!(world.inventory.policies(), (2, 0));
    assert!(world.is_allowed("10.0.9.9", "10.0.2.1"), "another node's business");
    world.pod("near", "u2", NODE, &["10.0.1.1"]);
    assert_eq!(world.inventory.policies(), (2, 1));
    assert!(!world.is_allowed("10.0.9.9", "10.0.1.1"), "known as soon as there is a pod to judge");
    let key = ObjectKey { kind: "Pod", namespace: "shop".into(), name: "near".into() };
    world.take(News::Deleted(Watched::Pods, key, "u2".into()));
    assert_eq!(world.inventory.policies(), (2, 0));
    assert_eq!(world.cluster.policies().count(), 0);
}

#[test]
fn a_policy_that_changes_or_goes_is_followed_where_it_matters() {
    let mut world = World::new();
    world.pod("near", "u", NODE, &["10.0.1.1"]);
    assert!(world.apply(&deny_all("shop")).is_change);
    assert!(!world.is_allowed("10.0.9.9", "10.0.1.1"));
    assert!(!world.apply(&deny_all("shop")).is_change, "the same again");
    let key = ObjectKey { kind: "NetworkPolicy", namespace: "shop".into(), name: "deny".into() };
    assert!(world.take(News::Deleted(Watched::NetworkPolicies, key.clone(), String::new())).is_change);
    assert!(world.is_allowed("10.0.9.9", "10.0.1.1"));
    assert!(!world.take(News::Deleted(Watched::NetworkPolicies, key, String::new())).is_change);
    assert_eq!(world.inventory.policies(), (0, 0));
}

#[test]
fn the_plugin_is_believed_before_the_status() {
    let mut world = World::new();
    world.pod("web", "u1", NODE, &[]);
    world.claim("c1", "web", "u1", "10.0.1.1");
    assert_eq!(world.owner("10.0.1.1").as_deref(), Some("web"));
    // The sandbox was made anew; the status still has the first one's address.
    world.pod("web", "u1", NODE, &["10.0.1.1"]);
    world.inventory.give_back(&attachment("c1"), &mut world.cluster);
    assert_eq!(world.owner("10.0.1.1"), None, "given back, whatever the status says");
    world.claim("c2", "web", "u1", "10.0.1.2");
    assert_eq!(world.owner("10.0.1.2").as_deref(), Some("web"));
    assert_eq!(world.owner("10.0.1.1"), None);
}

#[test]
fn a_reused_address_is_the_new_pods_at_once() {
    let mut world = World::new();
    world.pod("old", "u1", NODE, &["10.0.1.1"]);
    assert_eq!(world.owner("10.0.1.1").as_deref(), Some("old"));
    world.pod("new", "u2", NODE, &[]);
    world.claim("c2", "new", "u2", "10.0.1.1");
    assert_eq!(world.owner("10.0.1.1").as_deref(), Some("new"), "though the old one's status still has it");
    // News of the old pod don't bring it back.
    world.pod("old", "u1", NODE, &["10.0.1.1"]);
    assert_eq!(world.owner("10.0.1.1").as_deref(), Some("new"));
}

#[test]
fn a_claim_of_an_earlier_pod_of_the_name_is_not_the_new_ones() {
    let mut world = World::new();
    world.claim("c1", "db-0", "u1", "10.0.1.1");
    world.pod("db-0", "u2", NODE, &[]);
    assert_eq!(world.owner("10.0.1.1"), None);
    world.claim("c2", "db-0", "u2", "10.0.1.2");
    assert_eq!(world.owner("10.0.1.2").as_deref(), Some("db-0"));
}

#[test]
fn a_late_goodbye_does_not_take_the_new_pod_away() {
    let mut world = World::new();
    world.pod("db-0", "u2", NODE, &["10.0.1.2"]);
    let key = ObjectKey { kind: "Pod", namespace: "shop".into(), name: "db-0".into() };
    world.take(News::Deleted(Watched::Pods, key.clone(), "u1".into()));
    assert_eq!(world.owner("10.0.1.2").as_deref(), Some("db-0"));
    world.take(News::Deleted(Watched::Pods, key, "u2".into()));
    assert_eq!(world.owner("10.0.1.2"), None);
}

#[test]
fn a_new_list_takes_away_what_it_does_not_name() {
    let mut world = World::new();
    world.apply(&deny_all("shop"));
    world.pod("stays", "u1", NODE, &["10.0.1.1"]);
    world.pod("goes", "u2", NODE, &["10.0.1.2"]);
    world.pod("far", "u3", "node-2", &["10.0.2.1"]);
    world.take(News::Listing(Watched::Pods));
    // Nothing goes before the list is complete.
    assert_eq!(world.owner("10.0.1.2").as_deref(), Some("goes"));
    world.pod("stays", "u1", NODE, &["10.0.1.1"]);
    assert!(world.take(News::Synced(Watched::Pods)).is_change);
    assert_eq!(world.owner("10.0.1.1").as_deref(), Some("stays"));
    assert_eq!((world.owner("10.0.1.2"), world.owner("10.0.2.1")), (None, None));
    world.take(News::Listing(Watched::NetworkPolicies));
    assert!(!world.is_allowed("10.0.9.9", "10.0.1.1"));
    world.take(News::Synced(Watched::NetworkPolicies));
    assert!(world.is_allowed("10.0.9.9", "10.0.1.1"));
    world.take(News::Absent(Watched::ClusterNetworkPolicies));
}

#[test]
fn pods_that_ended_or_have_the_nodes_network_are_no_residents() {
    let mut world = World::new();
    world.apply(&deny_all("shop"));
    world.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: host, namespace: shop}}, \
         spec: {{nodeName: {NODE}, hostNetwork: true}}, status: {{podIP: 172.16.0.1}}}}"
    ));
    assert_eq!(world.inventory.policies(), (1, 0));
    world.pod("job", "u1", NODE, &["10.0.1.1"]);
    assert_eq!(world.inventory.policies(), (1, 1));
    world.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: job, namespace: shop, uid: u1}}, \
         spec: {{nodeName: {NODE}}}, status: {{phase: Succeeded, podIP: 10.0.1.1}}}}"
    ));
    assert_eq!(world.inventory.policies(), (1, 0));
    assert_eq!(world.owner("10.0.1.1"), None);
}

#[test]
fn attachments_that_the_runtime_no_longer_has_are_found() {
    let mut world = World::new();
    world.claim("c1", "a", "u1", "10.0.1.1");
    world.claim("c2", "b", "u2", "10.0.1.2");
    assert_eq!(world.inventory.stale(&[attachment("c2")]), [attachment("c1")]);
}

#[test]
fn the_own_nodes_pod_cidrs_are_noticed() {
    let mut world = World::new();
    let node = |name: &str, cidr: &str| {
        format!("{{apiVersion: v1, kind: Node, metadata: {{name: {name}}}, spec: {{podCIDR: {cidr}}}}}")
    };
    assert!(!world.apply(&node("node-2", "10.0.2.0/24")).is_own_node);
    assert!(world.apply(&node(NODE, "10.0.1.0/24")).is_own_node);
    assert!(!world.apply(&node(NODE, "10.0.1.0/24")).is_own_node);
    assert_eq!(world.inventory.pod_cidrs, ["10.0.1.0/24".parse().unwrap()]);
}

#[test]
fn an_unreadable_object_keeps_its_last_good_version() {
    let mut world = World::new();
    world.pod("near", "u", NODE, &["10.0.1.1"]);
    world.apply(&deny_all("shop"));
    world.take(News::Listing(Watched::NetworkPolicies));
    let key = ObjectKey { kind: "NetworkPolicy", namespace: "shop".into(), name: "deny".into() };
    world.take(News::Unreadable(Watched::NetworkPolicies, key, Vec::new()));
    world.take(News::Synced(Watched::NetworkPolicies));
    assert!(!world.is_allowed("10.0.9.9", "10.0.1.1"));
}
