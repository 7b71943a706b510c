//! The syntax of names, labels and networks, as API validation has it.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// RFC 1123 label: what namespaces are named.
pub(crate) fn is_dns_label(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(|b| alphanumeric(*b))
        && bytes.last().is_some_and(|b| alphanumeric(*b))
        && bytes.iter().all(|b| alphanumeric(*b) || *b == b'-')
}

/// RFC 1123 subdomain: what most objects are named. Its labels may be longer than 63 characters, as in
/// the API.
pub(crate) fn is_dns_subdomain(name: &str) -> bool {
    let alphanumeric = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= 253
        && name.split('.').all(|label| {
            let bytes = label.as_bytes();
            alphanumeric(bytes.first())
                && alphanumeric(bytes.last())
                && bytes.iter().all(|b| alphanumeric(Some(b)) || *b == b'-')
        })
}

/// IANA service name: what container ports are named. Says what is wrong.
pub(crate) fn port_name_fault(name: &str) -> Option<&'static str> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > 15 {
        Some("a port's name has 1 to 15 characters")
    } else if !bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-') {
        Some("a port's name holds lower-case letters, digits and `-` only")
    } else if !bytes.iter().any(u8::is_ascii_lowercase) {
        Some("a port's name holds at least one letter")
    } else if bytes[0] == b'-' || bytes[bytes.len() - 1] == b'-' || name.contains("--") {
        Some("a port's name has single `-`, between other characters")
    } else {
        None
    }
}

/// A label's key, `[prefix/]name`. Says what is wrong.
pub(crate) fn label_key_fault(key: &str) -> Option<&'static str> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_some_and(|prefix| !is_dns_subdomain(prefix)) {
        Some("the part before `/` must be a lower-case DNS name")
    } else if name.is_empty() {
        Some("the name must not be empty")
    } else if name.len() > 63 {
        Some("the name must not be longer than 63 characters")
    } else if !is_label_text(name) {
        Some("the name holds letters, digits, `-`, `_` and `.`, and starts and ends with a letter or digit")
    } else {
        None
    }
}

/// A label's value. Says what is wrong.
pub(crate) fn label_value_fault(value: &str) -> Option<&'static str> {
    if value.len() > 63 {
        Some("a value must not be longer than 63 characters")
    } else if !value.is_empty() && !is_label_text(value) {
        Some("a value holds letters, digits, `-`, `_` and `.`, and starts and ends with a letter or digit")
    } else {
        None
    }
}

fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// A network as it is used, and what to write instead if it was written in an unusual form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub net: IpNet,
    pub unusual: Option<Unusual>,
}

/// Forms of a network that are read, but that not every API accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusual {
    LeadingZeros,
    Mapped,
    HostBits,
}

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unusual::LeadingZeros => "octets with leading zeros",
            Unusual::Mapped => "an IPv4 network written as IPv6",
            Unusual::HostBits => "address bits beyond the prefix length",
        })
    }
}

/// Reads a CIDR; the error says what is wrong and what to write.
pub(crate) fn parse_cidr(text: &str) -> Result<Network, (&'static str, String)> {
    let example = || "write an address and a prefix length, as in `10.0.0.0/8` or `fd00::/8`".to_owned();
    let Some((address, length)) = text.split_once('/') else {
        return Err(match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => ("a network needs a prefix length", format!("write `{ip}/32`")),
            Ok(IpAddr::V6(ip)) => ("a network needs a prefix length", format!("write `{ip}/128`")),
            Err(_) => ("this is no network", example()),
        });
    };
    let mut unusual = None;
    let ip = match address.parse::<IpAddr>() {
        Ok(ip) => ip,
        Err(_) => {
            unusual = Some(Unusual::LeadingZeros);
            without_leading_zeros(address).ok_or_else(|| ("this is no network", example()))?
        }
    };
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let canonical = length == "0" || !length.starts_with('0');
    let length = length
        .parse::<u8>()
        .ok()
        .filter(|l| *l <= most && canonical && !text.contains('+'))
        .ok_or_else(|| {
            ("the prefix length is out of range", format!("write a length from 0 to {most} after the `/`"))
        })?;
    let net = IpNet::new(ip, length).map_err(|_| ("this is no network", example()))?;
    let (net, mapped) = unmapped(net);
    if mapped {
        unusual = Some(Unusual::Mapped);
    }
    if net.trunc() != net {
        unusual.get_or_insert(Unusual::HostBits);
    }
    Ok(Network { net: net.trunc(), unusual })
}

/// An IPv4-mapped network (`::ffff:10.0.0.0/104`) is the IPv4 network.
fn unmapped(net: IpNet) -> (IpNet, bool) {
    let IpNet::V6(v6) = net else { return (net, false) };
    match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(ip), Some(length)) => match Ipv4Net::new(ip, length) {
            Ok(v4) => (IpNet::V4(v4), true),
            Err(_) => (net, false),
        },
        _ => (net, false),
    }
}

/// The API server reads `010.0.0.1` as 10.0.0.1; the standard library refuses it.
fn without_leading_zeros(address: &str) -> Option<IpAddr> {
    let octets: Vec<&str> = address
        .split('.')
        .map(|octet| match octet.trim_start_matches('0') {
            "" if !octet.is_empty() => "0",
            rest => rest,
        })
        .collect();
    octets.join(".").parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4)
}

/// Whether `inner` is a part of `outer` and not all of it.
pub(crate) fn is_strict_part(inner: &IpNet, outer: &IpNet) -> bool {
    match (inner, outer) {
        (IpNet::V4(inner), IpNet::V4(outer)) => Ipv4Net::contains(outer, inner) && inner != outer,
        (IpNet::V6(inner), IpNet::V6(outer)) => Ipv6Net::contains(outer, inner) && inner != outer,
        _ => false,
    }
}

/// The candidate that was probably meant by `name`.
pub(crate) fn nearest<'n>(name: &str, candidates: &[&'n str]) -> Option<&'n str> {
    if name.len() > 40 {
        return None;
    }
    let name = name.to_lowercase();
    candidates
        .iter()
        .map(|candidate| (strsim::osa_distance(&name, &candidate.to_lowercase()), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .filter(|(distance, _)| *distance < name.len())
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_syntax_of_the_api() {
        let long = "a".repeat(64);
        for (name, label, subdomain) in [
            ("a", true, true),
            ("a-1", true, true),
            ("1a", true, true),
            ("a.b", false, true),
            ("", false, false),
            ("-a", false, false),
            ("a-", false, false),
            ("a..b", false, false),
            (".a", false, false),
            ("a.-b", false, false),
            ("A", false, false),
            ("a_b", false, false),
            ("é", false, false),
            (long.as_str(), false, true),
        ] {
            assert_eq!((is_dns_label(name), is_dns_subdomain(name)), (label, subdomain), "{name:?}");
        }
        assert!(is_dns_label(&long[1..]));
        assert!(is_dns_subdomain(&"a".repeat(253)) && !is_dns_subdomain(&"a".repeat(254)));
    }

    #[test]
    fn labels_have_the_syntax_of_the_api() {
        let (long, longer) = ("a".repeat(63), "a".repeat(64));
        for (key, valid) in [
            ("a", true),
            ("A.b_c-1", true),
            ("x.y/Z", true),
            (long.as_str(), true),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("a/b/c", false),
            ("X/a", false),
            ("_a", false),
            ("a.", false),
            ("a b", false),
            (longer.as_str(), false),
        ] {
            assert_eq!(label_key_fault(key).is_none(), valid, "{key:?}");
        }
        for (value, valid) in [
            ("", true),
            ("A_b.c-1", true),
            (long.as_str(), true),
            ("-a", false),
            ("a/b", false),
            (longer.as_str(), false),
        ] {
            assert_eq!(label_value_fault(value).is_none(), valid, "{value:?}");
        }
    }

    #[test]
    fn port_names_have_the_syntax_of_iana() {
        for (name, valid) in [
            ("http", true),
            ("h2-c", true),
            ("80a", true),
            ("a23456789012345", true),
            ("a234567890123456", false),
            ("", false),
            ("80", false),
            ("-a", false),
            ("a-", false),
            ("a--b", false),
            ("Http", false),
            ("a_b", false),
        ] {
            assert_eq!(port_name_fault(name).is_none(), valid, "{name:?}");
        }
    }

    #[test]
    fn networks_are_read_as_the_api_server_reads_them() {
        for (text, expect) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("010.000.0.1/32", Some("10.0.0.1/32")),
            ("::ffff:1.2.3.4/128", Some("1.2.3.4/32")),
            ("::ffff:1.2.3.4/96", Some("0.0.0.0/0")),
            ("10.0.0.0/08", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0/-1", None),
            ("10.0.0.0/", None),
            ("10.0.0/8", None),
            ("10.0.0.0/8/8", None),
            (" 10.0.0.0/8", None),
            ("1000.0.0.0/8", None),
            ("fe80::1%eth0/64", None),
            ("::/129", None),
            ("", None),
            ("/", None),
        ] {
            let found = parse_cidr(text).ok().map(|network| network.net.to_string());
            assert_eq!(found.as_deref(), expect, "{text:?}");
        }
    }

    #[test]
    fn the_nearest_name_is_one_that_was_probably_meant() {
        let fields = ["podSelector", "policyTypes", "ingress", "egress"];
        for (name, expect) in [
            ("podselector", Some("podSelector")),
            ("podSelectors", Some("podSelector")),
            ("policyType", Some("policyTypes")),
            ("ingres", Some("ingress")),
            ("Egress", Some("egress")),
            ("ergess", Some("egress")),
            ("vendor", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &fields), expect, "{name}");
        }
        assert_eq!(nearest("form", &["from", "ports"]), Some("from"));
    }
}
