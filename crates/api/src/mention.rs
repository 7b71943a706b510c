//! Host names in environments, arguments and configuration: the connections that a workload was told to make.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::decode::{ConfigMap, ConfigRef};
use crate::{Object, Source};

/// A host that a container is told of by its environment, its command line or a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mention {
    /// The host's name, with the scheme and port that are written with it: `redis`, `redis:6379`,
    /// `http://catalogue.shop.svc.cluster.local:80`. Never a path, a user or a password.
    pub text: String,
    /// Where it is written; in a ConfigMap when it comes from there.
    pub source: Source,
}

impl Mention {
    /// The host's name.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        authority.split_once(':').map_or(authority, |(host, _)| host)
    }

    /// The scheme, such as `https`, in lower case.
    pub fn scheme(&self) -> Option<&str> {
        self.text.split_once("://").map(|(scheme, _)| scheme)
    }

    /// The port that is written, or else the one that the scheme implies.
    pub fn port(&self) -> Option<u16> {
        match self.authority().split_once(':') {
            Some((_, port)) => port.parse().ok(),
            None => default_port(self.scheme()?),
        }
    }

    fn authority(&self) -> &str {
        self.text.split_once("://").map_or(&self.text, |(_, rest)| rest)
    }
}

/// The port of a URL that names none.
fn default_port(scheme: &str) -> Option<u16> {
    Some(match scheme {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        "amqp" => 5672,
        "amqps" => 5671,
        "ldap" => 389,
        "ldaps" => 636,
        "memcached" => 11211,
        "mongodb" => 27017,
        "mqtt" => 1883,
        "mqtts" => 8883,
        "mysql" | "mariadb" => 3306,
        "nats" => 4222,
        "postgres" | "postgresql" => 5432,
        "redis" | "rediss" => 6379,
        "sqlserver" => 1433,
        _ => return None,
    })
}

/// Collects the mentions of one pod or one ConfigMap, each text once.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    pub found: Vec<Mention>,
    seen: HashSet<String>,
}

/// The most mentions of one object: no program is told of more, and no input can make many out of few.
const MOST: usize = 1000;

/// The longest text that variables are put into.
const LONGEST_EXPANSION: usize = 4096;

impl Mentions {
    /// Reads one text. A lone word counts only when it is the whole text or the value of a setting: among
    /// other words it is more likely a word.
    pub fn read(&mut self, text: &str, source: impl Fn() -> Source) {
        let lone = !text.contains(char::is_whitespace);
        for part in text.split(is_separator) {
            match part.split_once('=') {
                // The setting's name is no host. What follows a path is no setting.
                Some((name, values)) => {
                    self.address(name, false, &source);
                    for value in values.split('=') {
                        self.address(value, !name.contains('/'), &source);
                    }
                }
                None => self.address(part, lone, &source),
            }
        }
    }

    fn address(&mut self, text: &str, lone: bool, source: &impl Fn() -> Source) {
        if self.found.len() < MOST
            && let Some(found) = host_of(text, lone)
            && self.seen.insert(found.clone())
        {
            self.found.push(Mention { text: found, source: source() });
        }
    }
}

fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            ',' | ';' | '"' | '\'' | '`' | '|' | '(' | ')' | '{' | '}' | '<' | '>' | '[' | ']' | '&'
        )
}

/// `[scheme://]host[:port]` of a text that is an address, in lower case.
fn host_of(text: &str, lone: bool) -> Option<String> {
    let (scheme, rest) = match text.split_once("://") {
        // `jdbc:postgresql://…` is about the last of its schemes.
        Some((schemes, rest)) => (Some(schemes.rsplit(':').next().filter(|s| is_scheme(s))?), rest),
        None => (None, text),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let mut parts = authority.split(':');
    let host = parts.next().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host);
    let port = match parts.next() {
        // What follows a colon is a port, or the text is no address: `app:v1`.
        Some(port) => Some(port.parse::<u16>().ok().filter(|port| *port != 0)?),
        None => None,
    };
    if !is_host(host) {
        return None;
    }
    if scheme.is_none() && port.is_none() && !host.contains('.') && (!lone || rest.contains(['/', '@'])) {
        return None;
    }
    let mut found = String::with_capacity(text.len());
    if let Some(scheme) = scheme {
        found.push_str(scheme);
        found.push_str("://");
    }
    found.push_str(host);
    found.make_ascii_lowercase();
    if let Some(port) = port {
        found.push(':');
        found.push_str(&port.to_string());
    }
    Some(found)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// A DNS name that is no address and no number. The first label is what a Service may be named.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        !bytes.is_empty()
            && bytes.len() <= 63
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && bytes[0] != b'-'
            && bytes[bytes.len() - 1] != b'-'
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253 && host.split('.').all(is_label) && last.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Adds what the pods' ConfigMaps mention, and leaves out what is neither a Service nor plainly an address.
pub(crate) fn settle(objects: &mut [Object], refs: Vec<(usize, ConfigRef)>, config_maps: Vec<ConfigMap>) {
    // Of two with one name the last one counts.
    let maps: HashMap<_, _> =
        config_maps.into_iter().map(|map| ((map.namespace, map.name), map.mentions)).collect();
    let services: HashSet<String> = objects
        .iter()
        .filter(|object| matches!(object, Object::Service(_)))
        .map(|object| object.meta().name.clone())
        .collect();
    for (object, reference) in refs {
        let object = &mut objects[object];
        let key = (object.meta().namespace.clone(), reference.name);
        let (Some(map), Some(mentions)) = (maps.get(&key), mentions_of(object)) else { continue };
        for (_, found) in map.iter().filter(|(key, _)| reference.key.as_ref().is_none_or(|k| k == key)) {
            for mention in found {
                if mentions.len() < MOST && !mentions.iter().any(|known| known.text == mention.text) {
                    mentions.push(mention.clone());
                }
            }
        }
    }
    for object in objects {
        if let Some(mentions) = mentions_of(object).filter(|mentions| !mentions.is_empty()) {
            mentions.retain(|mention| {
                let host = mention.host();
                let is_service = host.split('.').take(2).any(|label| services.contains(label));
                is_service || (host.contains('.') && mention.text.contains(':'))
            });
            mentions.shrink_to_fit();
        }
    }
}

fn mentions_of(object: &mut Object) -> Option<&mut Vec<Mention>> {
    match object {
        Object::Pod(pod) => Some(&mut pod.mentions),
        Object::Workload(workload) => Some(&mut workload.template.mentions),
        _ => None,
    }
}

/// Puts the values of variables where `$(NAME)` or `${NAME}` refers to them.
pub(crate) fn expand<'t>(text: &'t str, variables: &HashMap<&str, &str>) -> Cow<'t, str> {
    if !text.contains('$') {
        return Cow::Borrowed(text);
    }
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        let close = match rest.as_bytes().get(1) {
            Some(b'(') => ')',
            Some(b'{') => '}',
            _ => '\0',
        };
        let name = (close != '\0').then(|| rest[2..].split_once(close)).flatten();
        match name.and_then(|(name, after)| Some((*variables.get(name)?, after))) {
            Some((value, after)) if expanded.len() + value.len() <= LONGEST_EXPANSION => {
                expanded.push_str(value);
                rest = after;
            }
            _ => {
                expanded.push('$');
                rest = &rest[1..];
            }
        }
    }
    expanded.push_str(rest);
    Cow::Owned(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut mentions = Mentions::default();
        mentions.read(text, Source::default);
        mentions.found.into_iter().map(|mention| mention.text).collect()
    }

    #[test]
    fn addresses_are_found_in_texts() {
        for (text, expect) in [
            ("redis:6379", &["redis:6379"][..]),
            ("catalogue", &["catalogue"]),
            (
                "http://catalogue.shop.svc.cluster.local:80/x?y=z",
                &["http://catalogue.shop.svc.cluster.local:80"],
            ),
            ("--db=carts-db:27017", &["carts-db:27017"]),
            ("--db=carts-db", &["carts-db"]),
            ("postgres://user:secret@db:5432/shop", &["postgres://db:5432"]),
            ("user:secret@tcp(db:3306)/shop", &["db:3306"]),
            ("jdbc:mysql://db/shop", &["mysql://db"]),
            ("kafka-0.kafka:9092,kafka-1.kafka:9092", &["kafka-0.kafka:9092", "kafka-1.kafka:9092"]),
            ("server.1=zk-0:2888:3888", &["zk-0:2888"]),
            ("curl -s http://web/ || nc db 5432", &["http://web"]),
            ("host=db port=5432", &["db"]),
            ("http://a/?b=c", &["http://a"]),
            ("DB.Shop.", &["db.shop"]),
            ("a a:1 a:1", &["a:1"]),
            ("10.0.0.1:80", &[]),
            ("http://10.0.0.1/", &[]),
            ("1.5", &[]),
            ("8080", &[]),
            ("app:v1", &[]),
            ("db:0", &[]),
            ("db:70000", &[]),
            ("/etc/app/config", &[]),
            ("registry/app", &[]),
            ("-v", &[]),
            ("a_b", &[]),
            ("", &[]),
            ("the words of a sentence", &[]),
            ("http://", &[]),
            ("://x", &[]),
            ("é:80", &[]),
        ] {
            assert_eq!(found(text), expect, "{text:?}");
        }
    }

    #[test]
    fn a_mention_tells_host_scheme_and_port() {
        for (text, host, scheme, port) in [
            ("redis", "redis", None, None),
            ("redis:6379", "redis", None, Some(6379)),
            ("http://a.b", "a.b", Some("http"), Some(80)),
            ("https://a.b:8443", "a.b", Some("https"), Some(8443)),
            ("thing://a", "a", Some("thing"), None),
        ] {
            let mention = Mention { text: text.to_owned(), source: Source::default() };
            assert_eq!((mention.host(), mention.scheme(), mention.port()), (host, scheme, port));
        }
    }

    #[test]
    fn variables_are_put_in_once() {
        let variables = HashMap::from([("HOST", "db"), ("SELF", "$(SELF)$(SELF)"), ("PORT", "5432")]);
        for (text, expect) in [
            ("$(HOST):$(PORT)", "db:5432"),
            ("http://${HOST}/", "http://db/"),
            ("$(SELF)", "$(SELF)$(SELF)"),
            ("$$ $( $(NONE) ${ $HOST", "$$ $( $(NONE) ${ $HOST"),
            ("é$(HOST)é", "édbé"),
        ] {
            assert_eq!(expand(text, &variables), expect);
        }
        let long = "x".repeat(LONGEST_EXPANSION);
        assert_eq!(
            expand(&"$(A)".repeat(1000), &HashMap::from([("A", long.as_str())])).len(),
            LONGEST_EXPANSION + 999 * 4
        );
    }
}
