use podgate_policy::{Connection, Settings, Verdict};

use super::fixture::Response;
use super::*;

const OBJECTS: &str = r#"
{kind: Pod, apiVersion: v1, metadata: {name: web, namespace: shop}, spec: {containers: [{name: c, image: i}]}, status: {podIPs: [{ip: 10.0.0.1}]}}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: outside}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  egress:
  - {action: Accept, to: [{domainNames: ["api.example.com", "*.cdn.net"]}]}
  - {action: Deny, to: [{networks: ["0.0.0.0/0", "::/0"]}]}
"#;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

struct Node {
    dns: Dns,
    cluster: Cluster,
    names: Names,
    now: Duration,
}

impl Node {
    fn new() -> Node {
        let loaded = podgate_api::load_text("o.yaml", OBJECTS);
        assert_eq!(loaded.diagnostics.len(), 0, "{:?}", loaded.diagnostics);
        let mut cluster = Cluster::new(Settings::default());
        loaded.objects.into_iter().for_each(|object| cluster.apply(object));
        cluster.commit();
        let mut dns = Dns::new(BindingLimits::default());
        dns.set_resolvers(Resolvers::Networks(vec!["10.96.0.0/16".parse().unwrap()]));
        Node { dns, cluster, names: Names::new(), now: Duration::from_secs(100) }
    }

    fn packet(&self, payload: &[u8]) -> DnsMessage {
        DnsMessage {
            ktime: self.now,
            server: ip("10.96.0.10"),
            server_port: 53,
            client: ip("10.0.0.1"),
            client_port: 4000,
            protocol: 17,
            tcp_seq: None,
            payload: payload.to_vec(),
            length: payload.len() as u32,
        }
    }

    fn hear(&mut self, response: &Response) -> bool {
        let packet = self.packet(&response.bytes());
        self.hear_packet(&packet)
    }

    fn hear_packet(&mut self, packet: &DnsMessage) -> bool {
        self.dns.take(packet, &self.cluster);
        self.turn()
    }

    fn turn(&mut self) -> bool {
        let is_news = self.dns.tell(self.now, &mut [&mut self.cluster], &mut self.names);
        assert_eq!(is_news, !self.cluster.commit().is_empty(), "news are told, and only then");
        is_news
    }

    fn may_reach(&self, to: &str) -> bool {
        let connection = Connection { from: ip("10.0.0.1"), to: ip(to), protocol: 6, port: 443 };
        self.cluster.evaluate(&connection).verdict == Verdict::Allowed
    }

    fn called(&self, to: &str) -> Vec<String> {
        let end = self.names.endpoint(SocketAddr::new(ip(to), 443));
        end.dns.iter().flat_map(|names| names.iter().map(|name| name.to_string())).collect()
    }
}

#[test]
fn an_answer_opens_its_addresses_until_it_ends() {
    let mut node = Node::new();
    assert!(!node.may_reach("192.0.2.1"));
    assert!(node.hear(&Response::to("api.example.com").with("api.example.com", 30, "192.0.2.1")));
    assert!(node.may_reach("192.0.2.1") && !node.may_reach("192.0.2.2"));
    assert_eq!(node.called("192.0.2.1"), ["api.example.com"]);
    node.now += Duration::from_secs(89);
    assert!(!node.turn() && node.may_reach("192.0.2.1"));
    node.now += Duration::from_secs(1);
    assert!(node.turn() && !node.may_reach("192.0.2.1"));
    assert!(node.called("192.0.2.1").is_empty());
}

#[test]
fn other_names_are_known_and_open_nothing() {
    let mut node = Node::new();
    for name in ["example.com", "www.example.com", "cdn.net", "xcdn.net"] {
        assert!(!node.hear(&Response::to(name).with(name, 30, "192.0.2.1")), "{name}");
    }
    assert!(!node.may_reach("192.0.2.1"));
    assert_eq!(node.called("192.0.2.1"), ["cdn.net", "example.com", "www.example.com", "xcdn.net"]);
    assert!(node.hear(&Response::to("a.b.cdn.net").with("a.b.cdn.net", 30, "192.0.2.1")));
    assert!(node.may_reach("192.0.2.1"));
}

#[test]
fn every_name_of_a_chain_has_the_addresses() {
    let mut node = Node::new();
    let chain = Response::to("www.shop.org").with("www.shop.org", 30, "e1.cdn.net").with(
        "e1.cdn.net",
        30,
        "192.0.2.7",
    );
    assert!(node.hear(&chain));
    assert!(node.may_reach("192.0.2.7"), "by *.cdn.net");
    assert_eq!(node.called("192.0.2.7"), ["e1.cdn.net", "www.shop.org"]);
}

#[test]
fn a_rule_that_comes_later_finds_what_was_answered_before() {
    let mut node = Node::new();
    node.hear(&Response::to("later.org").with("later.org", 30, "192.0.2.1"));
    let text = OBJECTS.replace("api.example.com", "later.org");
    let policy = podgate_api::load_text("o.yaml", &text).objects.remove(1);
    node.cluster.apply(policy);
    node.cluster.commit();
    assert!(node.may_reach("192.0.2.1"));
    node.turn();
    assert_eq!((node.dns.counts().wanted, node.dns.counts().others), (1, 0));
    // An engine that is new hears it from the bindings.
    let mut other = Cluster::new(Settings::default());
    podgate_api::load_text("o.yaml", &text).objects.into_iter().for_each(|object| other.apply(object));
    node.dns.tell_all(&mut other);
    other.commit();
    assert_eq!(other.addresses_of("later.org"), [ip("192.0.2.1")]);
}

#[test]
fn whoever_isn_t_trusted_opens_nothing() {
    let mut node = Node::new();
    let answer = Response::to("api.example.com").with("api.example.com", 30, "192.0.2.1").bytes();
    let packet = DnsMessage { server: ip("198.51.100.53"), ..node.packet(&answer) };
    assert!(!node.hear_packet(&packet) && !node.may_reach("192.0.2.1"));
    assert_eq!(node.dns.counts().untrusted, 1);
}

#[test]
fn answers_over_tcp_count_when_they_are_whole() {
    let mut node = Node::new();
    let answer = Response::to("api.example.com").with("api.example.com", 30, "2001:db8::7").bytes();
    let bytes = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
    for (seq, part, is_news) in
        [(9, &bytes[..1], false), (10, &bytes[1..20], false), (29, &bytes[20..], true)]
    {
        let packet = DnsMessage { protocol: TCP, tcp_seq: Some(seq), ..node.packet(part) };
        assert_eq!(node.hear_packet(&packet), is_news, "{seq}");
    }
    assert!(node.may_reach("2001:db8::7"));
}

#[test]
fn a_successor_goes_on_with_what_rules_ask_for() {
    let mut node = Node::new();
    node.hear(&Response::to("api.example.com").with("api.example.com", 900, "192.0.2.1").with(
        "api.example.com",
        1,
        "2001:db8::1",
    ));
    node.hear(&Response::to("other.org").with("other.org", 900, "192.0.2.2"));
    let saved = node.dns.saved();
    let mut next = Node::new();
    next.now += Duration::from_secs(30);
    next.dns.restore(&format!("{saved}\nno line\na.org 1.2.3.4 soon\n"), next.now);
    assert!(next.turn());
    assert!(next.may_reach("192.0.2.1") && next.may_reach("2001:db8::1") && !next.may_reach("192.0.2.2"));
    next.now += Duration::from_secs(60);
    assert!(next.turn());
    assert!(next.may_reach("192.0.2.1") && !next.may_reach("2001:db8::1"));
    next.now += Duration::from_secs(870);
    next.turn();
    assert!(!next.may_reach("192.0.2.1"));
}

#[test]
fn rubbish_is_counted() {
    let mut node = Node::new();
    let packet = node.packet(b"podgate");
    assert!(!node.hear_packet(&packet));
    assert_eq!((node.dns.counts().malformed, node.dns.counts().answers), (1, 0));
}
