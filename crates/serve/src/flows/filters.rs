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
