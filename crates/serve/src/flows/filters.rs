//! The filters of flows: parameters with the names of `podgate observe`'s flags, and each with `not-` in front.

/// A filter.
pub struct Flag {
    /// Its name.
    pub name: &'static str,
    /// Its name when it has to be otherwise.
    pub not: &'static str,
    /// It is on or absent, and has no value to speak of.
    pub switch: bool,
    /// What fits, in words.
    pub help: &'static str,
}

macro_rules! flags {
    ($($name:literal $switch:literal $help:literal;)+) => {
        &[$(Flag { name: $name, not: concat!("not-", $name), switch: $switch, help: $help }),+]
    };
}

/// The filters: a flow fits when it fits each one that is given; of one that is given several times, any.
pub const FLAGS: &[Flag] = flags! {
    "pod" false "Either end is a pod whose name begins so: [namespace/]name";
    "from-pod" false "The source is one";
    "to-pod" false "The destination is one";
    "namespace" false "Either end is in this namespace";
    "from-namespace" false "The source is";
    "to-namespace" false "The destination is";
    "workload" false "Either end belongs to this workload: [namespace/][Kind/]name, or a place's id";
    "from-workload" false "The source does";
    "to-workload" false "The destination does";
    "label" false "Either end has these labels: app=web,tier in (a, b)";
    "from-label" false "The source has";
    "to-label" false "The destination has";
    "service" false "It was asked for by a Service whose name begins so: [namespace/]name";
    "ip" false "Either end has this address, or one of this block";
    "from-ip" false "The source has";
    "to-ip" false "The destination has";
    "port" false "The destination has this port; podgate observe asks both ends";
    "fqdn" false "Either end has this name in DNS; * stands for anything";
    "protocol" false "tcp, udp, sctp, icmp, icmpv6, or a number";
    "verdict" false "What became of it: allowed, denied, unknown";
    "policy" false "A policy that decided or isolates: [namespace/]name, 'Kind name', or a policy's id";
    "rule" false "The rule that decided: 'ingress[0]' or 'shop/web ingress[0]'";
    "node-name" false "The node that decided; * stands for anything";
    "staged" true "What staged policies would decide otherwise";
    "cut" true "Connections that a policy change cut";
};

use podgate_flow::{EndTerms, Filter, FlowVerdict, NamePrefix, PolicyName, Terms, WorkloadName};

/// Reads the filters among the parameters of a request.
pub fn parse(parameters: &[(String, String)]) -> Result<Filter, String> {
    let mut filter = Filter::default();
    for not in [false, true] {
        let mut pair = Pair::default();
        let mut namespaces = Vec::new();
        for (name, value) in parameters {
            let flag = FLAGS.iter().find(|flag| if not { flag.not } else { flag.name } == name);
            match flag.map(|flag| flag.name) {
                None => {}
                Some(name @ ("namespace" | "from-namespace" | "to-namespace")) => {
                    namespaces.push((name, value.as_str()))
                }
                Some(flag) => pair.add(flag, value).map_err(|why| format!("{name}={value}: {why}"))?,
            }
        }
        pair.narrow(&namespaces);
        let Pair { left, right } = pair;
        let list = if not { &mut filter.none_of } else { &mut filter.any_of };
        match (left == Terms::default(), left == right) {
            (true, true) => {}
            (false, true) => list.push(left),
            (_, false) => list.extend([left, right]),
        }
    }
    Ok(filter)
}

/// What asks the source, and what asks the destination, where a filter asks either.
#[derive(Default)]
struct Pair {
    left: Terms,
    right: Terms,
}

impl Pair {
    fn add(&mut self, flag: &str, value: &str) -> Result<(), String> {
        let (end, name) = match flag.split_once('-') {
            Some(("from", name)) => (Some(true), name),
            Some(("to", name)) => (Some(false), name),
            _ => (None, flag),
        };
        match name {
            "pod" => self.ends(end, value.parse()?, |end| &mut end.pods),
            "workload" => self.ends(end, workload(value)?, |end| &mut end.workloads),
            "label" => self.ends(end, value.parse()?, |end| &mut end.labels),
            "ip" => {
                let net = value.parse().or_else(|_| value.parse::<std::net::IpAddr>().map(Into::into));
                self.ends(end, net.map_err(|_| "write an address or a block such as 10.0.0.0/8")?, |end| {
                    &mut end.ips
                });
            }
            "fqdn" => self.ends(end, value.parse()?, |end| &mut end.fqdns),
            "service" => {
                let service: NamePrefix = value.parse()?;
                self.both(|terms| terms.destination.services.push(service.clone()));
            }
            "port" => {
                let port = value.parse().map_err(|_| "write a number from 0 to 65535")?;
                self.both(|terms| terms.destination.ports.push(port));
            }
            "protocol" => {
                let protocol = value.parse()?;
                self.both(|terms| terms.protocols.push(protocol));
            }
            "verdict" => {
                let verdict = verdict(value)?;
                self.both(|terms| terms.verdicts.push(verdict));
            }
            "policy" => {
                let policy = policy(value)?;
                self.both(|terms| terms.policies.push(policy.clone()));
            }
            "rule" => {
                let rule: podgate_flow::RuleName = value.parse()?;
                self.both(|terms| terms.rules.push(rule.clone()));
            }
            "node-name" => {
                let node: podgate_flow::Pattern = value.parse()?;
                self.both(|terms| terms.nodes.push(node.clone()));
            }
            "staged" => self.both(|terms| terms.staged = true),
            _ => self.both(|terms| terms.cut = true),
        }
        Ok(())
    }

    fn both(&mut self, change: impl Fn(&mut Terms)) {
        change(&mut self.left);
        change(&mut self.right);
    }

    /// `end`: whether it is the source's or the destination's; `None`: either's.
    fn ends<T: Clone>(&mut self, end: Option<bool>, value: T, list: impl Fn(&mut EndTerms) -> &mut Vec<T>) {
        match end {
            Some(true) => self.both(|terms| list(&mut terms.source).push(value.clone())),
            Some(false) => self.both(|terms| list(&mut terms.destination).push(value.clone())),
            None => {
                list(&mut self.left.source).push(value.clone());
                list(&mut self.right.destination).push(value);
            }
        }
    }

    /// Puts namespaces before the names of pods that have none; without any, all pods of them are meant.
    fn narrow(&mut self, namespaces: &[(&str, &str)]) {
        let of = |flag: &str| -> Vec<&str> {
            namespaces.iter().filter(|(name, _)| *name == flag).map(|(_, value)| *value).collect()
        };
        let (either, from, to) = (of("namespace"), of("from-namespace"), of("to-namespace"));
        for terms in [&mut self.left, &mut self.right] {
            add_namespaces(&mut terms.source, &from);
            add_namespaces(&mut terms.destination, &to);
        }
        add_namespaces(&mut self.left.source, &either);
        add_namespaces(&mut self.right.destination, &either);
    }
}

fn add_namespaces(end: &mut EndTerms, namespaces: &[&str]) {
    if namespaces.is_empty() {
        return;
    }
    if end.pods.is_empty() {
        end.pods.push(NamePrefix { namespace: None, prefix: String::new() });
    }
    let narrowed = end.pods.iter().flat_map(|pod| match &pod.namespace {
        Some(_) => vec![pod.clone()],
        None => {
            let within = |name: &&str| NamePrefix { namespace: Some((*name).to_owned()), ..pod.clone() };
            namespaces.iter().map(within).collect()
        }
    });
    end.pods = narrowed.collect();
}

/// A workload as `podgate observe` takes it, or a place's id: `shop/web[Deployment]`.
fn workload(text: &str) -> Result<WorkloadName, String> {
    let id = text.strip_suffix(']').and_then(|rest| rest.split_once('['));
    let parts = id.and_then(|(path, kind)| Some((path.split_once('/')?, kind)));
    match parts {
        Some(((namespace, name), kind)) => Ok(WorkloadName {
            kind: Some(kind.to_owned()),
            namespace: Some(namespace.to_owned()),
            name: Some(name.to_owned()),
        }),
        None => text.parse(),
    }
}

/// A policy as `podgate observe` takes it, or its id: `NetworkPolicy/shop/web`.
fn policy(text: &str) -> Result<PolicyName, String> {
    match text.split('/').collect::<Vec<_>>()[..] {
        [kind, namespace, name] => Ok(PolicyName {
            kind: Some(kind.to_owned()),
            namespace: Some(namespace.to_owned()),
            name: name.to_owned(),
        }),
        _ => text.parse(),
    }
}

fn verdict(text: &str) -> Result<FlowVerdict, String> {
    match text.to_ascii_lowercase().as_str() {
        "allowed" | "forwarded" => Ok(FlowVerdict::Allowed),
        "denied" | "dropped" => Ok(FlowVerdict::Denied),
        "unknown" => Ok(FlowVerdict::Unknown),
        _ => Err("write allowed, denied or unknown".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Filter, String> {
        parse(&form_urlencoded::parse(query.as_bytes()).into_owned().collect::<Vec<_>>())
    }

    #[test]
    fn every_filter_reads_a_value_of_its_own() {
        for flag in FLAGS {
            let name = flag.name.trim_start_matches("from-").trim_start_matches("to-");
            let value = match name {
                "workload" => "shop/web[Deployment]",
                "label" => "app=web,tier in (a, b)",
                "ip" => "10.0.0.0/8",
                "port" => "80",
                "protocol" => "tcp",
                "verdict" => "DROPPED",
                "policy" => "NetworkPolicy/shop/web",
                "rule" => "shop/web ingress[0]",
                "staged" | "cut" => "true",
                _ => "shop",
            };
            for name in [flag.name, flag.not] {
                let query: String =
                    form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
                let filter = read(&query).unwrap_or_else(|why| panic!("{query}: {why}"));
                let (there, other) = match name == flag.not {
                    true => (filter.none_of, filter.any_of),
                    false => (filter.any_of, filter.none_of),
                };
                assert!(!there.is_empty() && other.is_empty(), "{query}");
                assert!(there.iter().all(|terms| *terms != Terms::default()), "{query}");
            }
        }
    }

    #[test]
    fn a_namespace_narrows_the_pods_that_have_none() {
        let filter =
            read("from-pod=web&from-pod=ops%2Fprobe&from-namespace=shop&from-namespace=dev").unwrap();
        let pods: Vec<String> = filter.any_of[0]
            .source
            .pods
            .iter()
            .map(|pod| format!("{}/{}", pod.namespace.as_deref().unwrap_or("-"), pod.prefix))
            .collect();
        assert_eq!(pods, ["shop/web", "dev/web", "ops/probe"]);
    }

    #[test]
    fn what_means_nothing_is_said_to() {
        for (query, why) in [
            ("verdict=maybe", "allowed, denied"),
            ("port=x", "65535"),
            ("rule=7", "ingress[0]"),
            ("not-ip=x", "10.0.0.0/8"),
        ] {
            let error = read(query).unwrap_err();
            assert!(error.contains(why), "{query}: {error}");
        }
    }
}
