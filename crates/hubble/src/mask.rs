//! Field masks: which fields of a flow a client wants.

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage, Value};

use crate::json;
use crate::proto::flow;

/// The fields to keep.
#[derive(Clone, Debug)]
pub struct Mask(Vec<Vec<String>>);

impl Mask {
    /// Reads the paths of a mask, such as `source.pod_name`; `None`: there are none, all fields are wanted.
    pub fn new(paths: &[String]) -> Result<Option<Mask>, String> {
        let mut kept = Vec::new();
        for path in paths {
            let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
            check(json::descriptor("flow.Flow"), &parts)
                .map_err(|part| format!("the field mask's path {path:?} names no field of a flow: {part}"))?;
            kept.push(parts);
        }
        Ok((!kept.is_empty()).then_some(Mask(kept)))
    }

    /// Whether a path is among those that are wanted, or a part of one.
    pub fn wants(&self, field: &str) -> bool {
        self.0.iter().any(|path| path[0] == field)
    }

    /// The flow with nothing but the fields that are wanted.
    pub fn apply(&self, flow: &flow::Flow) -> flow::Flow {
        let mut from = DynamicMessage::new(json::descriptor("flow.Flow"));
        let mut to = from.clone();
        // Both are made from one definition.
        if from.transcode_from(flow).is_err() {
            return flow.clone();
        }
        for path in &self.0 {
            copy(&from, &mut to, path);
        }
        to.transcode_to().unwrap_or_default()
    }
}

fn check(mut message: MessageDescriptor, path: &[String]) -> Result<(), String> {
    for (i, part) in path.iter().enumerate() {
        let field = message
            .get_field_by_name(part)
            .ok_or_else(|| format!("{} has no {part:?}", message.full_name()))?;
        match field.kind() {
            _ if i + 1 == path.len() => return Ok(()),
            Kind::Message(inner) if !field.is_list() => message = inner,
            _ => return Err(format!("{part:?} can only be taken whole")),
        }
    }
    Ok(())
}

fn copy(from: &DynamicMessage, to: &mut DynamicMessage, path: &[String]) {
    let Some((part, rest)) = path.split_first() else { return };
    let Some(field) = from.descriptor().get_field_by_name(part).filter(|field| from.has_field(field)) else {
        return;
    };
    let value = from.get_field(&field);
    match &*value {
        Value::Message(inner) if !rest.is_empty() => {
            if let Value::Message(target) = to.get_field_mut(&field) {
                copy(inner, target, rest);
            }
        }
        whole => to.set_field(&field, whole.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_stays() {
        let end = |pod: &str| flow::Endpoint { pod_name: pod.into(), identity: 5, ..Default::default() };
        let tcp = flow::Tcp { source_port: 1, destination_port: 2, flags: None };
        let flow = flow::Flow {
            node_name: "n".into(),
            source: Some(end("a")),
            destination: Some(end("b")),
            l4: Some(flow::Layer4 { protocol: Some(flow::layer4::Protocol::Tcp(tcp)) }),
            ..flow::Flow::default()
        };
        let paths = ["source.pod_name", "destination", "l4.TCP.destination_port", "ip"];
        let mask =
            |paths: &[&str]| Mask::new(&paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>());
        assert!(mask(&paths).unwrap_err().contains("\"ip\""), "names are as in the definition: IP");
        let kept = mask(&paths[..3]).unwrap().unwrap().apply(&flow);
        let tcp = flow::Tcp { source_port: 0, destination_port: 2, flags: None };
        let expected = flow::Flow {
            source: Some(flow::Endpoint { pod_name: "a".into(), ..Default::default() }),
            destination: Some(end("b")),
            l4: Some(flow::Layer4 { protocol: Some(flow::layer4::Protocol::Tcp(tcp)) }),
            ..flow::Flow::default()
        };
        assert_eq!(kept, expected);
        assert!(mask(&[]).unwrap().is_none());
        assert!(mask(&["source.workloads.name"]).unwrap_err().contains("whole"));
        assert!(mask(&["verdict.x"]).unwrap_err().contains("whole"));
    }
}
