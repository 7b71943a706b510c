//! Questions about one end of a connection.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;

use super::{End, LabelTerms, Pattern, identity};
use crate::Party;

/// What one end has to be: each list that is not empty has to fit, one entry of it is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndTerms {
    /// Addresses and blocks.
    pub ips: Vec<IpNet>,
    /// Ports; none for protocols without ports.
    pub ports: Vec<u16>,
    /// Pods by the beginning of their names.
    pub pods: Vec<NamePrefix>,
    /// The Service that was asked for, by the beginning of its name.
    pub services: Vec<NamePrefix>,
    /// Label selectors.
    pub labels: Vec<LabelTerms>,
    /// The workload that a pod belongs to.
    pub workloads: Vec<WorkloadName>,
    /// Names from DNS.
    pub fqdns: Vec<Pattern>,
    /// Numbers of label sets: see [`identity()`].
    pub identities: Vec<u32>,
}

/// A namespace and the beginning of a name; without one, whatever is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePrefix {
    /// The namespace.
    pub namespace: Option<String>,
    /// The beginning of the name.
    pub prefix: String,
}

/// A workload's kind and name; without one, whatever is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadName {
    /// Kind, such as `Deployment`.
    pub kind: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// Name.
    pub name: Option<String>,
}

impl EndTerms {
    /// Whether the end fits.
    pub fn accept(&self, end: End<'_>) -> bool {
        let at = end.endpoint;
        let fits_dns =
            |pattern: &Pattern| at.dns.iter().flat_map(|names| &**names).any(|name| pattern.fits(name));
        asks(&self.ips, |block| block.contains(&at.ip))
            && asks(&self.ports, |port| *port == at.port)
            && asks(&self.pods, |pod| match &*at.party {
                Party::Pod { namespace, pod: name, .. } => pod.fits(namespace, name),
                _ => false,
            })
            && asks(&self.services, |service| {
                end.service.is_some_and(|at| service.fits(&at.namespace, &at.name))
            })
            && asks(&self.labels, |labels| labels.accept(&at.party))
            && asks(&self.workloads, |workload| workload.fits(&at.party))
            && asks(&self.fqdns, fits_dns)
            && asks(&self.identities, |number| *number == identity(&at.party))
    }
}

/// Whether nothing is asked, or one of the answers fits.
pub(super) fn asks<T>(answers: &[T], fits: impl FnMut(&T) -> bool) -> bool {
    answers.is_empty() || answers.iter().any(fits)
}

impl NamePrefix {
    /// Whether a name fits.
    pub fn fits(&self, namespace: &str, name: &str) -> bool {
        self.namespace.as_ref().is_none_or(|wanted| wanted == namespace) && name.starts_with(&self.prefix)
    }
}

/// `[namespace/]prefix`.
impl FromStr for NamePrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<NamePrefix, String> {
        let (namespace, prefix) = match text.split_once('/') {
            Some((namespace, prefix)) => (namespace, prefix),
            None => ("", text),
        };
        if prefix.contains('/') {
            return Err(format!("{text:?} has two slashes; names are written namespace/name"));
        }
        let namespace = (!namespace.is_empty()).then(|| namespace.to_owned());
        Ok(NamePrefix { namespace, prefix: prefix.to_owned() })
    }
}

/// `namespace/prefix`; without a namespace `/prefix`.
impl fmt::Display for NamePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace.as_deref().unwrap_or_default(), self.prefix)
    }
}

impl WorkloadName {
    fn fits(&self, party: &Party) -> bool {
        let Party::Pod { namespace, owner: Some(owner), .. } = party else { return false };
        let fits = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
        fits(&self.namespace, namespace) && fits(&self.kind, &owner.kind) && fits(&self.name, &owner.name)
    }
}

/// `namespace/Kind/name`, each where it is known.
impl fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.namespace, &self.kind].into_iter().flatten() {
            write!(f, "{part}/")?;
        }
        f.write_str(self.name.as_deref().unwrap_or_default())
    }
}

/// `name`, `namespace/name`, `Kind/name`, `namespace/Kind/name`: kinds begin with a capital, which no namespace does. Or,
/// as places of the page are called, `namespace/name[Kind]`.
impl FromStr for WorkloadName {
    type Err = String;

    fn from_str(text: &str) -> Result<WorkloadName, String> {
        let mut workload = WorkloadName { kind: None, namespace: None, name: None };
        let (text, kind) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            Some((text, kind)) => (text, Some(kind)),
            None => (text, None),
        };
        workload.kind = kind.map(str::to_owned);
        let (before, name) = match text.rsplit_once('/') {
            Some((before, name)) => (before, name),
            None => ("", text),
        };
        for part in before.split('/').filter(|part| !part.is_empty()) {
            let slot = match part.starts_with(|c: char| c.is_ascii_uppercase()) {
                true => &mut workload.kind,
                false => &mut workload.namespace,
            };
            if slot.replace(part.to_owned()).is_some() {
                return Err(format!("{text:?} is no workload: [namespace/][Kind/]name"));
            }
        }
        workload.name = (!name.is_empty()).then(|| name.to_owned());
        Ok(workload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_people_write_them() {
        let name = |text: &str| text.parse::<NamePrefix>().unwrap();
        assert!(name("web").fits("shop", "web-1") && name("web").fits("other", "web"));
        assert!(name("shop/").fits("shop", "x") && !name("shop/").fits("other", "x"));
        assert!(!name("shop/web").fits("shop", "db"));
        assert!("a/b/c".parse::<NamePrefix>().unwrap_err().contains("two slashes"));

        let workload = |text: &str| text.parse::<WorkloadName>().unwrap();
        let all = workload("shop/Deployment/web");
        assert_eq!(all.kind.as_deref(), Some("Deployment"));
        assert_eq!((all.namespace.as_deref(), all.name.as_deref()), (Some("shop"), Some("web")));
        assert_eq!(workload("DaemonSet/").name, None);
        assert_eq!(workload("shop/web[Deployment]"), all);
        for text in ["shop/Deployment/web", "Deployment/web", "shop/web", "web", "DaemonSet/"] {
            assert_eq!(workload(text).to_string(), text);
        }
        assert!("shop/DaemonSet/web[Deployment]".parse::<WorkloadName>().is_err());
        assert!("a/b/c".parse::<WorkloadName>().unwrap_err().contains("[Kind/]"));
    }
}
