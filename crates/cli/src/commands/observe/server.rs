//! What a server says of itself.

use std::time::Duration;

use podgate_hubble::proto::relay::NodeState;

use crate::input::flows::server::{Server, failed};
use crate::outcome::{FINDINGS, FINE, Outcome};
use crate::style;

/// `observe status`.
pub fn status(server: &Server) -> Outcome {
    let status = server.connect()?.status().map_err(failed)?;
    style::line(&format!("version   {}", status.version));
    style::line(&format!(
        "flows     {} of {} that it keeps, {} seen",
        status.num_flows, status.max_flows, status.seen_flows
    ));
    style::line(&format!("rate      {:.1} a second", status.flows_rate));
    let uptime = Duration::from_nanos(status.uptime_ns).as_secs();
    style::line(&format!("up        {}h{:02}m{:02}s", uptime / 3600, uptime / 60 % 60, uptime % 60));
    let away = status.num_unavailable_nodes.unwrap_or(0);
    if let Some(connected) = status.num_connected_nodes {
        style::line(&format!("nodes     {connected} heard, {away} away"));
    }
    for node in &status.unavailable_nodes {
        style::warning(&format!("node {node} is away: its flows are missing"));
    }
    Ok(if away == 0 { FINE } else { FINDINGS })
}

/// `observe nodes`.
pub fn nodes(server: &Server) -> Outcome {
    let nodes = server.connect()?.nodes().map_err(failed)?.nodes;
    let row = |node: &podgate_hubble::proto::observer::Node| {
        let state = match node.state() {
            NodeState::NodeConnected => "heard",
            NodeState::NodeUnavailable => "away",
            NodeState::NodeGone => "gone",
            NodeState::NodeError => "failing",
            NodeState::UnknownNodeState => "unknown",
        };
        let tls = if node.tls.as_ref().is_some_and(|tls| tls.enabled) { "yes" } else { "no" };
        let flows = format!("{}/{}", node.num_flows, node.max_flows);
        vec![
            node.name.clone(),
            state.to_owned(),
            flows,
            tls.to_owned(),
            node.version.clone(),
            node.address.clone(),
        ]
    };
    let rows: Vec<_> = nodes.iter().map(row).collect();
    style::table(&["NODE", "STATE", "FLOWS", "TLS", "VERSION", "ADDRESS"], &rows);
    let all_heard = nodes.iter().all(|node| node.state() == NodeState::NodeConnected);
    Ok(if all_heard { FINE } else { FINDINGS })
}

/// `observe namespaces`.
pub fn namespaces(server: &Server) -> Outcome {
    for namespace in server.connect()?.namespaces().map_err(failed)?.namespaces {
        style::line(&namespace.namespace);
    }
    Ok(FINE)
}
