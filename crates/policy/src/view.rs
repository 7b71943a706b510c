//! What the engine tells of the pods and namespaces it knows: no more than decides.

use std::net::IpAddr;

use crate::cluster::Cluster;
use crate::intern::LabelsView;
use crate::pods::PodIx;

/// A pod, as far as policy is concerned.
#[derive(Clone, Copy, Debug)]
pub struct PodView<'a> {
    cluster: &'a Cluster,
    ix: PodIx,
}

impl<'a> PodView<'a> {
    /// The namespace.
    pub fn namespace(&self) -> &'a str {
        self.cluster.namespaces.name(self.cluster.pods.get(self.ix).namespace)
    }

    /// The name.
    pub fn name(&self) -> &'a str {
        &self.cluster.pods.get(self.ix).name
    }

    /// The node it runs on, when known.
    pub fn node(&self) -> Option<&'a str> {
        self.cluster.nodes.name(self.cluster.pods.get(self.ix).node()).map(|name| &**name)
    }

    /// Its labels.
    pub fn labels(&self) -> LabelsView<'a> {
        self.cluster.pods.labels(self.cluster.pods.get(self.ix))
    }

    /// Its addresses; none when it takes no part in policy: in the host network, or completed.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        self.cluster.pods.ips(self.ix)
    }

    /// Name, IANA protocol number and number of each declared port that has a name.
    pub fn named_ports(&self) -> impl Iterator<Item = (&'a str, u8, u16)> + use<'a> {
        self.cluster.pods.ports(self.cluster.pods.get(self.ix))
    }
}

/// A namespace, declared or only mentioned.
#[derive(Clone, Copy, Debug)]
pub struct NamespaceView<'a> {
    /// The name.
    pub name: &'a str,
    /// Its labels, with the one that every namespace has.
    pub labels: LabelsView<'a>,
}

impl Cluster {
    /// All pods, in no particular order.
    pub fn pods(&self) -> impl Iterator<Item = PodView<'_>> {
        self.pods.iter().map(|(ix, _)| PodView { cluster: self, ix })
    }

    /// The pod that owns an address.
    pub fn pod_at(&self, ip: IpAddr) -> Option<PodView<'_>> {
        let ix = self.pods.find_address(ip)?.owner()?;
        Some(PodView { cluster: self, ix })
    }

    /// The node that an address belongs to; the first by age of several.
    pub fn node_at(&self, ip: IpAddr) -> Option<&str> {
        self.nodes.at(ip).map(|name| &**name)
    }

    /// The pod of this name.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<PodView<'_>> {
        let ix = self.pods.find(self.namespaces.find(namespace)?, name)?;
        Some(PodView { cluster: self, ix })
    }

    /// All namespaces, declared or mentioned, in no particular order.
    pub fn namespaces(&self) -> impl Iterator<Item = NamespaceView<'_>> {
        self.namespaces.iter().map(|id| self.namespace_view(id))
    }

    /// The namespace of this name, declared or mentioned.
    pub fn namespace(&self, name: &str) -> Option<NamespaceView<'_>> {
        Some(self.namespace_view(self.namespaces.find(name)?))
    }

    fn namespace_view(&self, id: crate::predicates::NsId) -> NamespaceView<'_> {
        NamespaceView { name: self.namespaces.name(id), labels: self.namespaces.labels(id) }
    }
}
