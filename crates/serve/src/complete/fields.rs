//! The fields of policies, with what each means and what stands behind its colon.

/// A field.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What follows it: a value, a block, or a list.
    shape: Shape,
    /// Which values it takes.
    pub value: Value,
    /// What it means, in a sentence.
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Scalar,
    Block,
    List,
}

/// Values of a field.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// Nobody knows.
    Any,
    /// One of these, with what each means.
    OneOf(&'static [(&'static str, &'static str)]),
    /// A namespace.
    Namespace,
    /// A label's key.
    LabelKey,
    /// A port's number or name.
    Port,
}

/// Kinds of policies that are described here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A NetworkPolicy, and what has no kind yet.
    Network,
    /// A ClusterNetworkPolicy.
    Cluster,
}

impl Kind {
    /// By the word behind `kind:`.
    pub fn of(text: &str) -> Kind {
        if text == "ClusterNetworkPolicy" { Kind::Cluster } else { Kind::Network }
    }
}

impl Field {
    /// The text that is written for it.
    pub fn text(&self) -> String {
        match self.shape {
            Shape::Scalar => format!("{}: ", self.name),
            Shape::Block | Shape::List => format!("{}:", self.name),
        }
    }
}

const fn scalar(name: &'static str, value: Value, help: &'static str) -> Field {
    Field { name, shape: Shape::Scalar, value, help }
}

const fn block(name: &'static str, help: &'static str) -> Field {
    Field { name, shape: Shape::Block, value: Value::Any, help }
}

const fn list(name: &'static str, help: &'static str) -> Field {
    Field { name, shape: Shape::List, value: Value::Any, help }
}

const TOP: &[Field] = &[
    scalar(
        "apiVersion",
        Value::OneOf(&[
            ("networking.k8s.io/v1", "NetworkPolicy"),
            ("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy"),
        ]),
        "The version of the API that it is written for.",
    ),
    scalar(
        "kind",
        Value::OneOf(&[
            ("NetworkPolicy", "Isolates pods of its namespace, and allows what its rules say."),
            (
                "ClusterNetworkPolicy",
                "Allows, denies or passes on before or after NetworkPolicies, in any namespace.",
            ),
        ]),
        "What it is.",
    ),
    block("metadata", "Its name and namespace."),
    block("spec", "What it says."),
];

const METADATA: &[Field] = &[
    scalar("name", Value::Any, "Its name."),
    scalar("namespace", Value::Namespace, "The namespace of the pods that it selects."),
    block("labels", "Labels of its own."),
    block("annotations", "Notes, such as podgate.dev/mode."),
];

const ANNOTATIONS: &[Field] = &[
    scalar(
        "podgate.dev/mode",
        Value::OneOf(&[("staged", "It is evaluated and decides nothing."), ("enforced", "It decides.")]),
        "Whether it decides.",
    ),
    scalar("podgate.dev/ignore", Value::Any, "Checks that are not to find fault with it."),
];

const NETWORK_SPEC: &[Field] = &[
    block("podSelector", "The pods that it isolates; {} is all of its namespace."),
    Field {
        name: "policyTypes",
        shape: Shape::Scalar,
        value: Value::OneOf(&[
            ("Ingress", "It isolates its pods for connections made to them."),
            ("Egress", "It isolates its pods for connections that they make."),
        ]),
        help: "The directions in which it isolates.",
    },
    list("ingress", "Connections to its pods that it allows."),
    list("egress", "Connections of its pods that it allows."),
];

const NETWORK_INGRESS: &[Field] =
    &[list("from", "Who may connect; absent: everybody."), list("ports", "On which ports; absent: on all.")];

const NETWORK_EGRESS: &[Field] = &[
    list("to", "To whom they may connect; absent: to everybody."),
    list("ports", "On which ports; absent: on all."),
];

const PEER: &[Field] = &[
    block("podSelector", "Pods of the policy's namespace, or of those that namespaceSelector selects."),
    block("namespaceSelector", "All pods of these namespaces, or those that podSelector selects of them."),
    block("ipBlock", "Addresses; not together with selectors."),
];

const IP_BLOCK: &[Field] = &[
    scalar(
        "cidr",
        Value::OneOf(&[("0.0.0.0/0", "every IPv4 address"), ("::/0", "every IPv6 address")]),
        "A block of addresses.",
    ),
    list("except", "Blocks within it that are not meant."),
];

const SELECTOR: &[Field] = &[
    block("matchLabels", "Labels with their values, all of them."),
    list("matchExpressions", "Requirements on labels, all of them."),
];

const EXPRESSION: &[Field] = &[
    scalar("key", Value::LabelKey, "The label."),
    scalar(
        "operator",
        Value::OneOf(&[
            ("In", "its value is one of values"),
            ("NotIn", "its value is none of values, or it is absent"),
            ("Exists", "it is there"),
            ("DoesNotExist", "it is absent"),
        ]),
        "How it is compared.",
    ),
    scalar("values", Value::Any, "The values of In and NotIn."),
];

const PROTOCOLS: Value = Value::OneOf(&[("TCP", "the default"), ("UDP", ""), ("SCTP", "")]);

const PORT: &[Field] = &[
    scalar("protocol", PROTOCOLS, "TCP, UDP or SCTP."),
    scalar("port", Value::Port, "The pods' port, by number or name: not the Service's."),
    scalar("endPort", Value::Port, "The last port of a range that begins with port."),
];

const CLUSTER_SPEC: &[Field] = &[
    scalar(
        "tier",
        Value::OneOf(&[("Admin", "asked before NetworkPolicies"), ("Baseline", "asked after them")]),
        "When it is asked.",
    ),
    scalar("priority", Value::Any, "0 to 1000 within its tier; the lowest is asked first."),
    block("subject", "The pods that it is about."),
    list("ingress", "Rules for connections to its pods, in order."),
    list("egress", "Rules for connections of its pods, in order."),
];

const SUBJECT: &[Field] =
    &[block("namespaces", "All pods of these namespaces."), block("pods", "Some pods of some namespaces.")];

const PODS: &[Field] =
    &[block("namespaceSelector", "The namespaces."), block("podSelector", "The pods in them.")];

const ACTION: Field = scalar(
    "action",
    Value::OneOf(&[
        ("Accept", "allowed, finally"),
        ("Deny", "denied, finally"),
        ("Pass", "left to NetworkPolicies"),
    ]),
    "What becomes of connections that match.",
);

const CLUSTER_INGRESS: &[Field] = &[
    scalar("name", Value::Any, "What to call the rule."),
    ACTION,
    list("from", "Who connects."),
    list("protocols", "On which ports; absent: on all."),
];

const CLUSTER_EGRESS: &[Field] = &[
    scalar("name", Value::Any, "What to call the rule."),
    ACTION,
    list("to", "To whom they connect."),
    list("protocols", "On which ports; absent: on all."),
];

const CLUSTER_FROM: &[Field] =
    &[block("namespaces", "All pods of these namespaces."), block("pods", "Some pods of some namespaces.")];

const CLUSTER_TO: &[Field] = &[
    block("namespaces", "All pods of these namespaces."),
    block("pods", "Some pods of some namespaces."),
    list("networks", "Blocks of addresses."),
    block("nodes", "Nodes with these labels."),
    list("domainNames", "Names in DNS; only in rules that accept."),
];

const CLUSTER_PROTOCOL: &[Field] = &[
    block("tcp", "TCP."),
    block("udp", "UDP."),
    block("sctp", "SCTP."),
    scalar("destinationNamedPort", Value::Port, "A port by its name."),
];

const CLUSTER_PORT: &[Field] = &[block("destinationPort", "The destination's port.")];

const CLUSTER_NUMBER: &[Field] =
    &[scalar("number", Value::Port, "One port."), block("range", "Several ports.")];

const RANGE: &[Field] =
    &[scalar("start", Value::Port, "The first."), scalar("end", Value::Port, "The last.")];

/// The fields that a block may have, by the fields above it.
pub fn fields_at(kind: Kind, path: &[String]) -> &'static [Field] {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    if path.last() == Some(&"matchExpressions") {
        return EXPRESSION;
    }
    if path.last().is_some_and(|last| last.ends_with("elector")) {
        return SELECTOR;
    }
    match (kind, &path[..]) {
        (_, []) => TOP,
        (_, ["metadata"]) => METADATA,
        (_, ["metadata", "annotations"]) => ANNOTATIONS,
        (Kind::Network, ["spec"]) => NETWORK_SPEC,
        (Kind::Network, ["spec", "ingress"]) => NETWORK_INGRESS,
        (Kind::Network, ["spec", "egress"]) => NETWORK_EGRESS,
        (Kind::Network, ["spec", _, "from" | "to"]) => PEER,
        (Kind::Network, ["spec", _, "from" | "to", "ipBlock"]) => IP_BLOCK,
        (Kind::Network, ["spec", _, "ports"]) => PORT,
        (Kind::Cluster, ["spec"]) => CLUSTER_SPEC,
        (Kind::Cluster, ["spec", "subject"]) => SUBJECT,
        (Kind::Cluster, ["spec", "ingress"]) => CLUSTER_INGRESS,
        (Kind::Cluster, ["spec", "egress"]) => CLUSTER_EGRESS,
        (Kind::Cluster, ["spec", "ingress", "from"]) => CLUSTER_FROM,
        (Kind::Cluster, ["spec", "egress", "to"]) => CLUSTER_TO,
        (Kind::Cluster, [.., "pods"]) => PODS,
        (Kind::Cluster, [.., "namespaces" | "nodes"]) => SELECTOR,
        (Kind::Cluster, ["spec", _, "protocols"]) => CLUSTER_PROTOCOL,
        (Kind::Cluster, ["spec", _, "protocols", "tcp" | "udp" | "sctp"]) => CLUSTER_PORT,
        (Kind::Cluster, [.., "destinationPort"]) => CLUSTER_NUMBER,
        (Kind::Cluster, [.., "destinationPort", "range"]) => RANGE,
        _ => &[],
    }
}
