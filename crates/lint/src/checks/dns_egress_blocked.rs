#![doc = include_str!("../../../../docs/book/src/checks/dns-egress-blocked.md")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use podgate_analysis::{PodId, PortSet};
use podgate_api::{LabelSelector, Peer, PortMatch, Protocol, Service};
use podgate_policy::{Direction, PortKey, ProgramId, Programs, Verdict};
use rustc_hash::FxHashMap;

use crate::context::dns::{NODE_LOCAL, Server};
use crate::context::{Policy, word};
use crate::text;
use crate::{CheckInfo, Context, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "dns-egress-blocked",
    severity: Severity::Warning,
    title: "Pods may call others but can't resolve names",
    why: "A policy that limits egress also cuts off DNS unless a rule allows it: the pods find nobody by name, \
          which looks like an outage of everything they call.",
    page: include_str!("../../../../docs/book/src/checks/dns-egress-blocked.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    report(context, findings, Missing::Both);
}

/// Which way to DNS is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Missing {
    Both,
    Tcp,
    Udp,
}

/// Pods with no way to DNS, by the policy to blame.
pub(super) fn report(context: &Context<'_>, findings: &mut Findings<'_>, wanted: Missing) {
    let mut by_policy: BTreeMap<usize, Vec<PodId>> = BTreeMap::new();
    let mut judge = Judge { context, opens: FxHashMap::default(), cluster_ips: context.cluster_ips() };
    for variant in &context.world.variants {
        let workload = context.world.workload(variant.workload);
        let pod = variant.pods[0];
        let is_real = workload.hypothesis.is_none() && !workload.host_network;
        if !is_real || context.dns.is_server(pod) || !judge.calls_somebody(pod) {
            continue;
        }
        if judge.missing(pod) == Some(wanted)
            && let Some(policy) = blamed(context, pod)
        {
            by_policy.entry(policy).or_default().push(pod);
        }
    }
    for (policy, pods) in by_policy {
        tell(context, findings, policy, &pods, wanted);
    }
}

/// The policy that isolates most pods; of several, one with rules: it is the one to look at.
fn blamed(context: &Context<'_>, pod: PodId) -> Option<usize> {
    let isolating = context.policies_of(pod).filter(|(_, policy)| policy.object.egress_in_force);
    let rank = |(at, policy): &(usize, &Policy<'_>)| {
        (policy.subjects.len(), !policy.object.egress.is_empty(), std::cmp::Reverse(*at))
    };
    isolating.max_by_key(rank).map(|(at, _)| at)
}

fn tell(context: &Context<'_>, findings: &mut Findings<'_>, policy: usize, pods: &[PodId], missing: Missing) {
    let policy = &context.policies[policy];
    let names = text::workloads(context.world, pods.iter().copied());
    let place = if policy.object.egress.is_empty() { "policyTypes" } else { "egress" };
    let source = context.key_of(&policy.object.meta.source, place);
    let server = context.dns.servers.first();
    let (may, lets) = match missing {
        Missing::Both => ("can't resolve names", "reach a DNS server"),
        Missing::Tcp => ("can't resolve long answers", "reach a DNS server over TCP, only over UDP"),
        Missing::Udp => ("can't resolve names", "reach a DNS server over UDP, only over TCP"),
    };
    let mut message = format!(
        "{} {may}: {} limits {} and no rule lets {} {lets}",
        text::list(&names),
        policy.name(),
        text::verb(names.len(), "its egress", "their egress"),
        text::verb(names.len(), "it", "them"),
    );
    if let Some(port) = server.and_then(|server| wrong_port(context, pods[0], server)) {
        message.push_str(&format!(" (rules open port 53, but the server listens on {port})"));
    }
    let finding = findings.report(&source, policy.object_ref(), message);
    if let Some((server, closed)) =
        server.and_then(|server| Some((server, closed_by(context, pods[0], server)?)))
    {
        let name = text::list(&text::workloads(context.world, [server.pod]));
        finding.advice(format!("let {} in at {name}: {closed} closes it there", text::list(&names)));
    } else {
        // A policy for pods whose egress nothing limits yet would close it.
        let own = context.pods_in(policy.namespace()).iter().filter(|pod| !context.is_host(**pod));
        let all = own.into_iter().all(|pod| context.is_isolated(*pod, Direction::Egress));
        let everything = LabelSelector::default();
        let (whom, selector) = match all {
            true => (format!("all pods of {}", policy.namespace()), &everything),
            false => (format!("the pods of {}", policy.name()), &policy.object.pod_selector),
        };
        finding.fix(format!("allow DNS for {whom}"), allow_dns(context, policy.namespace(), selector));
    }
}

/// The port on which a server answers, when the pod may only call it on the Service's.
fn wrong_port(context: &Context<'_>, pod: PodId, server: &Server) -> Option<u16> {
    let open = context.reaches(pod, server.pod);
    let udp = *server.udp.first()?;
    (udp != 53 && open.contains(PortKey::new(Protocol::Udp.number(), 53))).then_some(udp)
}

/// What closes the server's own side, when the pod's side is open.
fn closed_by(context: &Context<'_>, pod: PodId, server: &Server) -> Option<String> {
    if context.dns.hypothetical {
        return None;
    }
    let decision = context.ask(pod, server.pod, Protocol::Udp.number(), *server.udp.first()?)?;
    (decision.egress.verdict == Verdict::Allowed && decision.ingress.verdict == Verdict::Denied)
        .then(|| decision.ingress.reason.to_string().replace("isolated by ", ""))
}

struct Judge<'a, 'w> {
    context: &'a Context<'w>,
    /// Whether programs let anything out at all.
    opens: FxHashMap<ProgramId, bool>,
    cluster_ips: FxHashMap<IpAddr, &'w Service>,
}

impl Judge<'_, '_> {
    /// Whether policy limits whom the pod calls, and still lets it call somebody: pods that call nobody need no DNS.
    fn calls_somebody(&mut self, pod: PodId) -> bool {
        let Some(egress) = self.context.identity(pod).and_then(|identity| identity.egress) else {
            return false;
        };
        if !self.context.is_isolated(pod, Direction::Egress) {
            return false;
        }
        let cluster = &self.context.world.cluster;
        *self.opens.entry(egress).or_insert_with(|| {
            let Some(program) = cluster.program(egress) else { return false };
            let mut rows = program.rows().map(|(_, row)| row).chain(program.default_rows());
            rows.any(|row| !PortSet::allowed(row).intersection(&PortSet::named_protocols()).is_empty())
        })
    }

    fn missing(&self, pod: PodId) -> Option<Missing> {
        let (udp, tcp) = (self.has_way(pod, Protocol::Udp), self.has_way(pod, Protocol::Tcp));
        match (udp, tcp) {
            (true, true) => None,
            (false, false) => Some(Missing::Both),
            (true, false) => Some(Missing::Tcp),
            (false, true) => Some(Missing::Udp),
        }
    }

    fn has_way(&self, pod: PodId, protocol: Protocol) -> bool {
        let context = self.context;
        let mut asked = Vec::new();
        for server in &context.dns.servers {
            let ports = if protocol == Protocol::Udp { &server.udp } else { &server.tcp };
            let question = (context.variant_of(server.pod), ports);
            if asked.contains(&question) {
                continue;
            }
            asked.push(question);
            let open = context.reaches(pod, server.pod);
            if ports.iter().any(|port| open.contains(PortKey::new(protocol.number(), *port))) {
                return true;
            }
        }
        self.reaches_cache(pod, protocol) || self.is_named(pod, protocol)
    }

    /// Whether a pod reaches the node-local cache, where there is one: the input has it, or a rule names its address.
    /// A rule for the internet at large names it by chance.
    fn reaches_cache(&self, pod: PodId, protocol: Protocol) -> bool {
        let names = |policy: &Policy<'_>| {
            let peers = policy.object.egress.iter().flat_map(|rule| rule.peers.iter().flatten());
            peers.into_iter().any(|peer| match peer {
                Peer::IpBlock(block) => block.cidr.prefix_len() >= 16 && block.cidr.contains(&NODE_LOCAL),
                Peer::Pods(_) => false,
            })
        };
        let context = self.context;
        let is_meant = context.dns.local_cache || context.policies_of(pod).any(|(_, policy)| names(policy));
        let open = || context.ask_address(pod, NODE_LOCAL, protocol.number(), 53);
        is_meant && open().is_some_and(|decision| decision.verdict == Verdict::Allowed)
    }

    /// Whether a rule opens port 53 by number or name towards addresses, or towards pods that the input doesn't
    /// have: somebody thought of DNS, and knows a server that we don't.
    fn is_named(&self, pod: PodId, protocol: Protocol) -> bool {
        let context = self.context;
        context.policies_of(pod).filter(|(_, policy)| policy.object.egress_in_force).any(|(_, policy)| {
            policy.object.egress.iter().any(|rule| {
                let is_dns = rule.ports.iter().flatten().any(|port| {
                    port.protocol == protocol
                        && match &port.port {
                            PortMatch::Range(lo, hi) => (*lo..=*hi).contains(&53) && hi - lo < 100,
                            PortMatch::Named(name) => name.starts_with("dns"),
                            PortMatch::All => false,
                        }
                });
                let mut peers = rule.peers.iter().flatten();
                is_dns
                    && peers.any(|peer| match peer {
                        Peer::IpBlock(block) => !self.cluster_ips.contains_key(&block.cidr.addr()),
                        Peer::Pods(peer) => {
                            context.dns.hypothetical && context.peer_pods(peer, policy.namespace()).is_empty()
                        }
                    })
            })
        })
    }
}

/// A policy that lets pods of a namespace reach DNS.
fn allow_dns(context: &Context<'_>, namespace: &str, pods: &LabelSelector) -> String {
    let server = context.dns.servers.iter().find(|_| !context.dns.hypothetical);
    let (home, label, udp, tcp) = match server {
        None => ("kube-system", "k8s-app: kube-dns".to_owned(), 53, 53),
        Some(server) => {
            let workload = context.world.workload(context.world.pod(server.pod).workload);
            let known = ["k8s-app", "app.kubernetes.io/name", "app"];
            let label = known.iter().find_map(|key| Some((*key, workload.labels.get(*key)?)));
            let label =
                label.or_else(|| workload.labels.iter().next().map(|(key, value)| (key.as_str(), value)));
            let label = label.map_or_else(String::new, |(key, value)| format!("{key}: {value}"));
            (workload.namespace.as_str(), label, server.udp[0], server.tcp[0])
        }
    };
    let direction = word(Direction::Egress);
    let pods = text::selector_yaml("podSelector", pods, 2);
    format!(
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-dns
  namespace: {namespace}
spec:
{pods}  policyTypes: [Egress]
  {direction}:
    - to:
        - namespaceSelector:
            matchLabels:
              kubernetes.io/metadata.name: {home}
          podSelector:
            matchLabels:
              {label}
      ports:
        - protocol: UDP
          port: {udp}
        - protocol: TCP
          port: {tcp}
"
    )
}
