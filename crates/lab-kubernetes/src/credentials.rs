//! Who may ask the API server: a token and a kubeconfig for each user.
//!
//! The users are those that Kubernetes' own roles are bound to, so that what a kubelet or an agent may do is
//! decided as in any cluster.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use podgate_lab::{Error, Result};
use serde_json::json;

use crate::site::{Site, node_name};

/// The user of `kubectl`, who may do everything.
pub const ADMIN: &str = "admin";
/// kube-proxy's user.
pub const PROXY: &str = "proxy";

/// File name of the kubeconfig, user name and groups.
fn users(nodes: usize) -> Vec<(String, String, &'static str)> {
    let mut users = vec![
        (ADMIN.to_owned(), ADMIN.to_owned(), "system:masters"),
        ("controllers".to_owned(), "system:kube-controller-manager".to_owned(), ""),
        ("scheduler".to_owned(), "system:kube-scheduler".to_owned(), ""),
        (PROXY.to_owned(), "system:kube-proxy".to_owned(), ""),
    ];
    users.extend((1..=nodes).map(|number| {
        let node = node_name(number);
        (node.clone(), format!("system:node:{node}"), "system:nodes")
    }));
    users
}

/// Writes `tokens.csv` for the API server, and the kubeconfigs.
///
/// # Errors
/// When a file can't be written.
pub fn write(site: &Site, nodes: usize, server: &str) -> Result<()> {
    let mut tokens = String::new();
    for (file, user, groups) in users(nodes) {
        let token = token()?;
        tokens.push_str(&format!("{token},{user},{user},\"{groups}\"\n"));
        write_kubeconfig(site, &file, server, &token)?;
    }
    secret(&site.file("pki/tokens.csv"), &tokens)
}

/// Writes the kubeconfig of a user who shows this token.
///
/// # Errors
/// When the file can't be written.
pub fn write_kubeconfig(site: &Site, user: &str, server: &str, token: &str) -> Result<()> {
    let name = format!("podgate-{}", site.name());
    // JSON is YAML too.
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{ "name": name, "context": { "cluster": name, "user": user } }],
        "clusters": [{
            "name": name,
            "cluster": { "server": server, "certificate-authority": site.file("pki/ca.crt") },
        }],
        "users": [{ "name": user, "user": { "token": token } }],
    });
    secret(&site.kubeconfig(user), &format!("{kubeconfig:#}\n"))
}

fn secret(path: &Path, text: &str) -> Result<()> {
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    });
    written.map_err(|error| Error::io(format!("write {}", path.display()), error))
}

fn token() -> Result<String> {
    let mut bytes = [0_u8; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|error| Error::io("read /dev/urandom", error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
