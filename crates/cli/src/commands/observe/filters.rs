//! The filters of `podgate observe`, each of which `--not` in front of it turns round.
//!
//! Flags that name one end ask both of their filters; flags that name neither ask the source in the one and the
//! destination in the other, and a flow has to fit either.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use podgate_flow::TcpFlags;
use podgate_hubble::proto::flow::{
    DropReason, EventTypeFilter, FlowFilter, IpVersion, TcpFlags as ProtoFlags, TrafficDirection, Verdict,
    Workload,
};
use podgate_hubble::proto::podgate::v1::Filter;

use crate::outcome::Failure;

/// The filters in the order that they were given in.
#[derive(Clone, Debug, Default)]
pub struct Filters(Vec<Given>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    flag: &'static str,
    value: String,
    not: bool,
}

struct Flag {
    long: &'static str,
    short: Option<char>,
    value: Option<&'static str>,
    help: &'static str,
}

const fn flag(long: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { long, short: None, value: Some(value), help }
}

const fn short(long: &'static str, short: char, value: Option<&'static str>, help: &'static str) -> Flag {
    Flag { long, short: Some(short), value, help }
}

const FLAGS: &[Flag] = &[
    flag("pod", "NAME", "Either end is a pod whose name begins so: [namespace/]name"),
    flag("from-pod", "NAME", "The source is one"),
    flag("to-pod", "NAME", "The destination is one"),
    short("namespace", 'n', Some("NAME"), "Either end is in this namespace"),
    flag("from-namespace", "NAME", "The source is"),
    flag("to-namespace", "NAME", "The destination is"),
    short(
        "label",
        'l',
        Some("SELECTOR"),
        "Either end has these labels: app=web,tier in (a, b), reserved:world",
    ),
    flag("from-label", "SELECTOR", "The source has"),
    flag("to-label", "SELECTOR", "The destination has"),
    flag("service", "NAME", "Either end was asked for by a Service whose name begins so: [namespace/]name"),
    flag("from-service", "NAME", "The source was"),
    flag("to-service", "NAME", "The destination was"),
    flag("workload", "NAME", "Either end belongs to this workload: [Kind/]name"),
    flag("from-workload", "NAME", "The source does"),
    flag("to-workload", "NAME", "The destination does"),
    flag("ip", "IP", "Either end has this address, or one of this block"),
    flag("from-ip", "IP", "The source has"),
    flag("to-ip", "IP", "The destination has"),
    flag("snat-ip", "IP", "The destination was asked for by this address"),
    flag("port", "PORT", "Either end has this port"),
    flag("from-port", "PORT", "The source has"),
    flag("to-port", "PORT", "The destination has"),
    flag("fqdn", "NAME", "Either end has this name in DNS; * stands for anything"),
    flag("from-fqdn", "NAME", "The source has"),
    flag("to-fqdn", "NAME", "The destination has"),
    flag("identity", "NUMBER", "Either end has this identity: a number, host or world"),
    flag("from-identity", "NUMBER", "The source has"),
    flag("to-identity", "NUMBER", "The destination has"),
    flag("verdict", "VERDICT", "What became of it: FORWARDED or ALLOWED, DROPPED or DENIED, UNKNOWN"),
    flag(
        "drop-reason-desc",
        "REASON",
        "Why it was dropped: POLICY_DENIED (no rule allows it), POLICY_DENY (a rule denies it)",
    ),
    flag("policy", "NAME", "A policy that decided or isolates: [namespace/]name, or 'Kind name'"),
    flag("rule", "RULE", "The rule that decided: 'ingress[0]' or 'shop/web ingress[0]'"),
    flag("protocol", "NAME", "tcp, udp, sctp, icmp, icmpv4, icmpv6, or a number"),
    flag("tcp-flags", "FLAGS", "Flags of the judged packet, such as SYN,ACK"),
    flag("traffic-direction", "DIRECTION", "Which direction was decided: ingress or egress"),
    short("ipv4", '4', None, "IPv4"),
    short("ipv6", '6', None, "IPv6"),
    flag("ip-version", "VERSION", "v4 or v6"),
    flag("node-name", "NAME", "The node that decided; * stands for anything"),
    short("type", 't', Some("TYPE"), "policy-verdict (all), drop (denied) or trace (allowed)"),
    flag("uuid", "ID", "The flow with this id"),
    Flag { long: "staged", short: None, value: None, help: "What staged policies would decide otherwise" },
    Flag { long: "cut", short: None, value: None, help: "Connections that a policy change cut" },
];

impl Args for Filters {
    fn augment_args(command: Command) -> Command {
        let not = Arg::new("not")
            .long("not")
            .help("Turns the next filter round")
            .help_heading("Filters")
            .action(ArgAction::Append)
            .num_args(0)
            .default_missing_value("true");
        FLAGS.iter().fold(command.arg(not), |command, flag| {
            let mut arg = Arg::new(flag.long)
                .long(flag.long)
                .help(flag.help)
                .help_heading("Filters")
                .action(ArgAction::Append);
            arg = match flag.value {
                Some(name) => arg.value_name(name),
                None => arg.num_args(0).default_missing_value("true"),
            };
            command.arg(match flag.short {
                Some(letter) => arg.short(letter),
                None => arg,
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Filters {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Filters, clap::Error> {
        let nots: Vec<usize> = matches.indices_of("not").into_iter().flatten().collect();
        let mut given = Vec::new();
        for flag in FLAGS {
            let values = matches.get_many::<String>(flag.long).into_iter().flatten();
            for (at, value) in matches.indices_of(flag.long).into_iter().flatten().zip(values) {
                // A flag and its value count one each, and so do `--not` and the value that it stands for.
                let not = at.checked_sub(2).is_some_and(|before| nots.contains(&before));
                given.push((at, Given { flag: flag.long, value: value.clone(), not }));
            }
        }
        let turned = given.iter().filter(|(_, given)| given.not).count();
        if turned != nots.len() {
            return Err(clap::Error::raw(
                clap::error::ErrorKind::ValueValidation,
                "--not has to stand in front of a filter, such as --not --verdict FORWARDED\n",
            ));
        }
        given.sort_by_key(|(at, _)| *at);
        Ok(Filters(given.into_iter().map(|(_, given)| given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Filters::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The filter that asks the source, and the one that asks the destination.
#[derive(Default)]
struct Pair {
    left: Filter,
    right: Filter,
}

impl Filters {
    /// What has to fit, or with `not`, what must not.
    pub fn of(&self, not: bool) -> Result<Vec<Filter>, Failure> {
        let mut pair = Pair::default();
        let mut namespaces = Vec::new();
        for given in self.0.iter().filter(|given| given.not == not) {
            match given.flag {
                "namespace" | "from-namespace" | "to-namespace" => namespaces.push(given),
                _ => pair
                    .add(given)
                    .map_err(|why| Failure::bad(format!("--{} {}: {why}", given.flag, given.value)))?,
            }
        }
        pair.narrow(&namespaces);
        if pair.left == Filter::default() && pair.right == Filter::default() {
            return Ok(Vec::new());
        }
        Ok(if pair.left == pair.right { vec![pair.left] } else { vec![pair.left, pair.right] })
    }
}

impl Pair {
    fn add(&mut self, given: &Given) -> Result<(), String> {
        let value = || given.value.clone();
        let (end, name) = match given.flag.split_once('-') {
            Some(("from", name)) => (Some(true), name),
            Some(("to", name)) => (Some(false), name),
            _ => (None, given.flag),
        };
        match name {
            "pod" => self.ends(end, named(&given.value), |f| &mut f.source_pod, |f| &mut f.destination_pod),
            "service" => {
                self.ends(end, named(&given.value), |f| &mut f.source_service, |f| &mut f.destination_service)
            }
            "label" => self.ends(end, value(), |f| &mut f.source_label, |f| &mut f.destination_label),
            "workload" => {
                self.ends(
                    end,
                    workload(&given.value)?,
                    |f| &mut f.source_workload,
                    |f| &mut f.destination_workload,
                );
            }
            "ip" => self.ends(end, value(), |f| &mut f.source_ip, |f| &mut f.destination_ip),
            "port" => self.ends(end, value(), |f| &mut f.source_port, |f| &mut f.destination_port),
            "fqdn" => self.ends(end, value(), |f| &mut f.source_fqdn, |f| &mut f.destination_fqdn),
            "identity" => {
                self.ends(
                    end,
                    identity(&given.value)?,
                    |f| &mut f.source_identity,
                    |f| &mut f.destination_identity,
                );
            }
            "snat-ip" => self.both(|f| f.source_ip_xlated.push(value())),
            "verdict" => {
                let verdict = verdict(&given.value)?;
                self.both(|f| f.verdict.push(verdict.into()));
            }
            "drop-reason-desc" => {
                let reason = DropReason::from_str_name(&given.value.to_uppercase())
                    .ok_or("no such reason: POLICY_DENIED or POLICY_DENY")?;
                self.both(|f| f.drop_reason_desc.push(reason.into()));
            }
            "policy" => self.whole(|filter| filter.policy.push(value())),
            "rule" => self.whole(|filter| filter.rule.push(value())),
            "staged" => self.whole(|filter| filter.staged = true),
            "cut" => self.whole(|filter| filter.cut = true),
            "protocol" => self.both(|f| f.protocol.push(value())),
            "tcp-flags" => {
                let flags = given.value.parse::<TcpFlags>()?;
                self.both(|f| f.tcp_flags.push(proto_flags(flags)));
            }
            "traffic-direction" => {
                let direction = TrafficDirection::from_str_name(&given.value.to_uppercase())
                    .filter(|direction| *direction != TrafficDirection::Unknown)
                    .ok_or("ingress or egress")?;
                self.both(|f| f.traffic_direction.push(direction.into()));
            }
            "ipv4" => self.both(|f| f.ip_version.push(IpVersion::IPv4.into())),
            "ipv6" => self.both(|f| f.ip_version.push(IpVersion::IPv6.into())),
            "ip-version" => {
                let version = match given.value.trim_start_matches("ip").trim_start_matches('v') {
                    "4" => IpVersion::IPv4,
                    "6" => IpVersion::IPv6,
                    _ => return Err("v4 or v6".to_owned()),
                };
                self.both(|f| f.ip_version.push(version.into()));
            }
            "node-name" => self.both(|f| f.node_name.push(value())),
            "type" => {
                let number = event_type(&given.value)?;
                self.both(|f| f.event_type.push(EventTypeFilter { r#type: number, ..Default::default() }));
            }
            _ => self.both(|f| f.uuid.push(value())),
        }
        Ok(())
    }

    fn whole(&mut self, change: impl Fn(&mut Filter)) {
        change(&mut self.left);
        change(&mut self.right);
    }

    fn both(&mut self, change: impl Fn(&mut FlowFilter)) {
        self.whole(|filter| change(filter.flow.get_or_insert_default()));
    }

    /// `end`: whether it is the source's or the destination's; `None`: either's.
    fn ends<T: Clone>(
        &mut self,
        end: Option<bool>,
        value: T,
        source: impl Fn(&mut FlowFilter) -> &mut Vec<T>,
        destination: impl Fn(&mut FlowFilter) -> &mut Vec<T>,
    ) {
        match end {
            Some(true) => self.both(|f| source(f).push(value.clone())),
            Some(false) => self.both(|f| destination(f).push(value.clone())),
            None => {
                source(self.left.flow.get_or_insert_default()).push(value.clone());
                destination(self.right.flow.get_or_insert_default()).push(value);
            }
        }
    }

    /// Puts namespaces before the names of pods and Services that have none; without any, all pods of them are meant.
    fn narrow(&mut self, namespaces: &[&Given]) {
        let of = |flag: &str| -> Vec<&str> {
            namespaces.iter().filter(|given| given.flag == flag).map(|given| given.value.as_str()).collect()
        };
        let (either, from, to) = (of("namespace"), of("from-namespace"), of("to-namespace"));
        for filter in [&mut self.left, &mut self.right] {
            add_namespaces(filter, &from, source_names);
            add_namespaces(filter, &to, destination_names);
        }
        add_namespaces(&mut self.left, &either, source_names);
        add_namespaces(&mut self.right, &either, destination_names);
    }
}

type Names = fn(&mut FlowFilter) -> (&mut Vec<String>, &mut Vec<String>);

fn source_names(filter: &mut FlowFilter) -> (&mut Vec<String>, &mut Vec<String>) {
    (&mut filter.source_pod, &mut filter.source_service)
}

fn destination_names(filter: &mut FlowFilter) -> (&mut Vec<String>, &mut Vec<String>) {
    (&mut filter.destination_pod, &mut filter.destination_service)
}

fn add_namespaces(filter: &mut Filter, namespaces: &[&str], names: Names) {
    if namespaces.is_empty() {
        return;
    }
    let (pods, services) = names(filter.flow.get_or_insert_default());
    if pods.is_empty() && services.is_empty() {
        pods.push("/".to_owned());
    }
    for list in [pods, services] {
        let narrowed = list.iter().flat_map(|name| match name.strip_prefix('/') {
            Some(bare) => namespaces.iter().map(|namespace| format!("{namespace}/{bare}")).collect(),
            None => vec![name.clone()],
        });
        *list = narrowed.collect();
    }
}

/// A name without a namespace is one of whatever namespace; the API would take it for one of `default`.
fn named(text: &str) -> String {
    if text.contains('/') { text.to_owned() } else { format!("/{text}") }
}

fn workload(text: &str) -> Result<Workload, String> {
    let read: podgate_flow::WorkloadName = text.parse()?;
    if read.namespace.is_some() {
        return Err("say the namespace with --namespace, --from-namespace or --to-namespace".to_owned());
    }
    Ok(Workload { kind: read.kind.unwrap_or_default(), name: read.name.unwrap_or_default() })
}

fn identity(text: &str) -> Result<u32, String> {
    match text {
        "host" | "reserved:host" => Ok(1),
        "world" | "reserved:world" => Ok(2),
        number => number.parse().map_err(|_| "a number, host or world".to_owned()),
    }
}

fn verdict(text: &str) -> Result<Verdict, String> {
    match text.to_uppercase().as_str() {
        "ALLOWED" => Ok(Verdict::Forwarded),
        "DENIED" => Ok(Verdict::Dropped),
        "UNKNOWN" => Ok(Verdict::Unknown),
        other => Verdict::from_str_name(other).ok_or_else(|| "FORWARDED, DROPPED or UNKNOWN".to_owned()),
    }
}

fn event_type(text: &str) -> Result<i32, String> {
    match text.split(':').next().unwrap_or_default() {
        "drop" => Ok(1),
        "capture" => Ok(3),
        "trace" => Ok(4),
        "policy-verdict" => Ok(5),
        "trace-sock" => Ok(7),
        "l7" => Ok(129),
        _ => Err("policy-verdict, drop or trace".to_owned()),
    }
}

fn proto_flags(flags: TcpFlags) -> ProtoFlags {
    ProtoFlags {
        fin: flags.has("FIN"),
        syn: flags.has("SYN"),
        rst: flags.has("RST"),
        psh: flags.has("PSH"),
        ack: flags.has("ACK"),
        urg: flags.has("URG"),
        ece: flags.has("ECE"),
        cwr: flags.has("CWR"),
        ns: false,
    }
}

#[cfg(test)]
mod tests;
