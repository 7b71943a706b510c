//! A record as a reader sees it: whole, or one direction of it.

use podgate_policy::{Direction, Verdict};

use crate::{Decision, Endpoint, FlowRecord, FlowVerdict, Party, ServiceName};

/// A record, or one direction of it as the node that decided it reports it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    record: &'a FlowRecord,
    half: Option<Direction>,
}

/// One end of what is viewed.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The address and its owner.
    pub endpoint: &'a Endpoint,
    /// The Service that was asked for, at the end that it stands for.
    pub service: Option<&'a ServiceName>,
}

impl<'a> View<'a> {
    /// The whole record.
    pub fn whole(record: &'a FlowRecord) -> View<'a> {
        View { record, half: None }
    }

    /// One direction of it; `None` when nobody decided that direction. A view of a reply has its ends as they are in
    /// the packet.
    pub fn half(record: &'a FlowRecord, direction: Direction) -> Option<View<'a>> {
        let view = View { record, half: Some(direction) };
        view.decision(direction).map(|_| view)
    }

    /// The record.
    pub fn record(self) -> &'a FlowRecord {
        self.record
    }

    /// The direction, when it is only one.
    pub fn direction(self) -> Option<Direction> {
        self.half
    }

    /// The verdict of what is viewed.
    pub fn verdict(self) -> FlowVerdict {
        match self.half.and_then(|half| self.decision(half)) {
            Some(Decision { verdict: Verdict::Allowed, .. }) => FlowVerdict::Allowed,
            Some(Decision { verdict: Verdict::Denied, .. }) => FlowVerdict::Denied,
            None => self.record.verdict,
        }
    }

    /// The decisions in view: egress before ingress.
    pub fn decisions(self) -> impl Iterator<Item = (Direction, &'a Decision)> {
        [Direction::Egress, Direction::Ingress]
            .into_iter()
            .filter(move |direction| self.half.is_none_or(|half| half == *direction))
            .filter_map(move |direction| Some((direction, self.decision(direction)?)))
    }

    /// Source and destination: of the connection, or of the packet where one direction of a reply is viewed.
    pub fn ends(self) -> (End<'a>, End<'a>) {
        let source = End { endpoint: &self.record.source, service: None };
        let service = self.record.service.as_deref();
        let destination = End { endpoint: &self.record.destination, service };
        if self.half.is_some() && self.record.reply { (destination, source) } else { (source, destination) }
    }

    /// The node that decided: that of the pod whose policies were asked, where it is known.
    pub fn node(self) -> &'a str {
        let end = match self.half {
            Some(Direction::Egress) => Some(&self.record.source),
            Some(Direction::Ingress) => Some(&self.record.destination),
            None => None,
        };
        match end.map(|end| &*end.party) {
            Some(Party::Pod { node: Some(node), .. } | Party::Node { node }) => node,
            _ => &self.record.node,
        }
    }

    fn decision(self, direction: Direction) -> Option<&'a Decision> {
        match direction {
            Direction::Egress => self.record.egress.as_ref(),
            Direction::Ingress => self.record.ingress.as_ref(),
        }
    }
}
