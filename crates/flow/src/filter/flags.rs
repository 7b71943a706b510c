//! The filters that people give by name: flags of `podgate observe`, and parameters of the page's API.

/// A filter.
///
/// One that names an end (`from-`, `to-`) asks that end. One that could ask either asks both, and a flow has to fit at
/// one of them.
#[derive(Debug)]
pub struct Flag {
    /// Its name, such as `from-pod`.
    pub name: &'static str,
    /// Its name with `not-` in front, for what must not fit.
    pub not: &'static str,
    /// Its letter on a command line.
    pub short: Option<char>,
    /// What its value is called; `None`: it is on or absent.
    pub value: Option<&'static str>,
    /// What fits, in a sentence.
    pub help: &'static str,
}

macro_rules! flags {
    ($($name:literal, $short:expr, $value:expr, $help:literal;)+) => {
        &[$(Flag { name: $name, not: concat!("not-", $name), short: $short, value: $value, help: $help }),+]
    };
}

/// All of them, in the order in which they are shown.
pub const FLAGS: &[Flag] = flags! {
    "verdict", None, Some("VERDICT"), "What became of it: ALLOWED or FORWARDED, DENIED or DROPPED, UNKNOWN";
    "namespace", Some('n'), Some("NAME"), "Either end is in this namespace";
    "from-namespace", None, Some("NAME"), "The source is in this namespace";
    "to-namespace", None, Some("NAME"), "The destination is in this namespace";
    "workload", None, Some("NAME"), "Either end belongs to this workload: [namespace/][Kind/]name";
    "from-workload", None, Some("NAME"), "The source belongs to this workload";
    "to-workload", None, Some("NAME"), "The destination belongs to this workload";
    "pod", None, Some("NAME"), "Either end is a pod whose name begins so: [namespace/]name";
    "from-pod", None, Some("NAME"), "The source is such a pod";
    "to-pod", None, Some("NAME"), "The destination is such a pod";
    "label", Some('l'), Some("SELECTOR"), "Either end has these labels: app=web,tier in (a, b), reserved:world";
    "from-label", None, Some("SELECTOR"), "The source has these labels";
    "to-label", None, Some("SELECTOR"), "The destination has these labels";
    "service", None, Some("NAME"), "Either end was asked for by a Service whose name begins so: [namespace/]name";
    "from-service", None, Some("NAME"), "The source was asked for by such a Service";
    "to-service", None, Some("NAME"), "The destination was asked for by such a Service";
    "port", None, Some("PORT"), "Either end has this port";
    "from-port", None, Some("PORT"), "The source has this port";
    "to-port", None, Some("PORT"), "The destination has this port";
    "protocol", None, Some("NAME"), "tcp, udp, sctp, icmp, icmpv4, icmpv6, or a number";
    "ip", None, Some("IP"), "Either end has this address, or one of this block";
    "from-ip", None, Some("IP"), "The source has this address, or one of this block";
    "to-ip", None, Some("IP"), "The destination has this address, or one of this block";
    "snat-ip", None, Some("IP"), "The destination was asked for by this address";
    "fqdn", None, Some("NAME"), "Either end has this name in DNS; * stands for anything";
    "from-fqdn", None, Some("NAME"), "The source has this name in DNS";
    "to-fqdn", None, Some("NAME"), "The destination has this name in DNS";
    "policy", None, Some("NAME"), "A policy that decided or isolates: [namespace/]name, 'Kind name' or Kind/namespace/name";
    "rule", None, Some("RULE"), "The rule that decided: 'ingress[0]' or 'shop/web ingress[0]'";
    "traffic-direction", None, Some("DIRECTION"), "Which direction was decided: ingress or egress";
    "drop-reason-desc", None, Some("REASON"), "Why it was dropped: POLICY_DENIED (no rule allows it), POLICY_DENY (a rule denies it)";
    "node-name", None, Some("NAME"), "The node that decided; * stands for anything";
    "tcp-flags", None, Some("FLAGS"), "Flags of the judged packet, such as SYN,ACK";
    "ipv4", Some('4'), None, "IPv4";
    "ipv6", Some('6'), None, "IPv6";
    "ip-version", None, Some("VERSION"), "Version of IP: v4 or v6";
    "identity", None, Some("NUMBER"), "Either end has this identity: a number, host or world";
    "from-identity", None, Some("NUMBER"), "The source has this identity";
    "to-identity", None, Some("NUMBER"), "The destination has this identity";
    "type", Some('t'), Some("TYPE"), "policy-verdict (all), drop (denied) or trace (allowed)";
    "uuid", None, Some("ID"), "The flow with this id";
    "staged", None, None, "What staged policies would decide otherwise";
    "cut", None, None, "Connections that a policy change cut";
};

impl Flag {
    /// The filter of this name, and whether the name turns it round.
    pub fn named(name: &str) -> Option<(&'static Flag, bool)> {
        FLAGS.iter().find_map(|flag| match name {
            name if name == flag.name => Some((flag, false)),
            name if name == flag.not => Some((flag, true)),
            _ => None,
        })
    }
}
