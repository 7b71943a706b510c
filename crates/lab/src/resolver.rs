//! The cluster's DNS for commands that run in a pod: a `resolv.conf` of the pod's own.

use std::fs;
use std::net::IpAddr;

use podgate_api::Protocol;
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::thread::UnshareFlags;

use crate::error::{Error, Result};
use crate::plan::{Plan, ServicePlan};
use crate::responder::DOMAIN;
use crate::state::Lab;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The Service that answers the cluster's DNS queries: `kube-system/kube-dns`, or else one on UDP port 53.
pub fn dns_service(plan: &Plan) -> Option<&ServicePlan> {
    let answers = |service: &&ServicePlan| {
        !service.cluster_ips.is_empty()
            && service.ports.iter().any(|port| (port.protocol, port.port) == (Protocol::Udp, 53))
    };
    let usual = |service: &&ServicePlan| {
        (service.namespace.as_str(), service.name.as_str()) == ("kube-system", "kube-dns")
    };
    let services = || plan.services.iter().filter(answers);
    services().find(usual).or_else(|| services().next())
}

/// Gives the calling process a mount namespace of its own, in which `resolv.conf` leads to the cluster's DNS
/// and completes names as in a pod of `namespace`. Does nothing in a lab without DNS.
///
/// # Errors
/// When the mount is not possible, as where the machine has no `resolv.conf`.
pub fn use_cluster_dns(lab: &Lab, plan: &Plan, namespace: &str) -> Result<()> {
    let Some(service) = dns_service(plan) else { return Ok(()) };
    let file = lab.file(&format!("resolv.conf.{namespace}"));
    let failed = |error| Error::io(format!("mount {} over {RESOLV_CONF}", file.display()), error);
    fs::write(&file, resolv_conf(&service.cluster_ips, namespace)).map_err(failed)?;
    // SAFETY: the caller is about to run another program; no thread shares its view of the file system.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.map_err(|e| failed(e.into()))?;
    // Without this the mount would appear outside of the new namespace as well.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(|e| failed(e.into()))?;
    mount_bind(&file, RESOLV_CONF).map_err(|e| failed(e.into()))
}

fn resolv_conf(servers: &[IpAddr], namespace: &str) -> String {
    let servers: String = servers.iter().map(|ip| format!("nameserver {ip}\n")).collect();
    format!("{servers}search {namespace}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}\noptions ndots:5\n")
}
