//! Messages as JSON, the way the `hubble` command writes and reads them: protobuf's JSON with the names of the definition.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions,
};

use crate::proto::{DESCRIPTORS, flow, observer};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTORS)
        .unwrap_or_else(|error| unreachable!("the build writes descriptors that can be read: {error}"))
});

pub(crate) fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(name).unwrap_or_else(|| unreachable!("{name} is in proto/"))
}

fn text(name: &str, message: &impl Message) -> String {
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut json = serde_json::Serializer::new(Vec::new());
    let mut dynamic = DynamicMessage::new(descriptor(name));
    // Both are made from one definition, and every value of it has a form in JSON, but for extensions of others.
    let written = dynamic.transcode_from(message).is_ok()
        && dynamic.serialize_with_options(&mut json, &options).is_ok();
    match written {
        true => String::from_utf8_lossy(&json.into_inner()).into_owned(),
        false => "{}".to_owned(),
    }
}

/// An answer as `hubble observe -o jsonpb` writes it, on one line.
pub fn response(response: &observer::GetFlowsResponse) -> String {
    text("observer.GetFlowsResponse", response)
}

/// A filter as `hubble observe --print-raw-filters` writes it.
pub fn filter(filter: &flow::FlowFilter) -> String {
    text("flow.FlowFilter", filter)
}

/// Reads a filter as `hubble observe --allowlist` takes it.
pub fn read_filter(text: &str) -> Result<flow::FlowFilter, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    read("flow.FlowFilter", text, &options)
}

/// Reads a line of `hubble observe -o jsonpb`, of Hubble's exporter, or a flow alone.
pub fn read_response(line: &str) -> Result<observer::GetFlowsResponse, String> {
    let options = DeserializeOptions::new().deny_unknown_fields(false);
    let whole: Result<observer::GetFlowsResponse, String> = read("observer.GetFlowsResponse", line, &options);
    match whole {
        Ok(response) if response.response_types.is_some() => Ok(response),
        Ok(_) => {
            let flow: flow::Flow = read("flow.Flow", line, &options)?;
            if flow == flow::Flow::default() {
                return Err("no flow is in it".to_owned());
            }
            let (node_name, time) = (flow.node_name.clone(), flow.time);
            let response_types = Some(observer::get_flows_response::ResponseTypes::Flow(flow));
            Ok(observer::GetFlowsResponse { node_name, time, response_types })
        }
        Err(error) => without_extensions(line).map_or(Err(error), |line| read_response(&line)),
    }
}

/// Extensions of others can't be read without their definition; the rest can.
fn without_extensions(line: &str) -> Option<String> {
    let mut value: serde_json::Value = serde_json::from_str(line).ok()?;
    let top = value.as_object_mut()?;
    let removed = match top.get_mut("flow") {
        Some(flow) => flow.as_object_mut()?.remove("extensions"),
        None => top.remove("extensions"),
    };
    removed.map(|_| value.to_string())
}

fn read<T: Message + Default>(name: &str, text: &str, options: &DeserializeOptions) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let message = DynamicMessage::deserialize_with_options(descriptor(name), &mut json, options)
        .map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    message.transcode_to().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_definitions_names_and_comes_back() {
        let flow = flow::Flow {
            node_name: "n".into(),
            verdict: flow::Verdict::Dropped.into(),
            is_reply: Some(false),
            summary: "UDP".into(),
            policy_match_type: 2,
            ..flow::Flow::default()
        };
        let response = observer::GetFlowsResponse {
            node_name: "n".into(),
            time: Some(prost_types::Timestamp { seconds: 1, nanos: 5_000_000 }),
            response_types: Some(observer::get_flows_response::ResponseTypes::Flow(flow.clone())),
        };
        let line = super::response(&response);
        assert_eq!(
            line,
            "{\"flow\":{\"verdict\":\"DROPPED\",\"node_name\":\"n\",\"policy_match_type\":2,\"is_reply\":false,\
             \"Summary\":\"UDP\"},\"node_name\":\"n\",\"time\":\"1970-01-01T00:00:01.005Z\"}"
        );
        assert_eq!(read_response(&line).unwrap(), response);
        let alone = text("flow.Flow", &flow);
        let read = read_response(&alone).unwrap();
        assert_eq!(read.response_types, response.response_types);
    }

    #[test]
    fn what_others_add_does_not_keep_the_rest_from_being_read() {
        let line = r#"{"flow":{"node_name":"n","new_field":1,
            "extensions":{"@type":"type.googleapis.com/others.Thing","a":1}}}"#;
        let read = read_response(line).unwrap();
        assert!(matches!(
            read.response_types,
            Some(observer::get_flows_response::ResponseTypes::Flow(flow)) if flow.node_name == "n"
        ));
    }

    #[test]
    fn what_is_no_flow_is_said_to_be_none() {
        assert!(read_response("{}").unwrap_err().contains("no flow"));
        assert!(read_response("[1").is_err());
        assert!(read_filter(r#"{"source_podd":["a"]}"#).unwrap_err().contains("source_podd"));
        let filter = read_filter(r#"{"source_pod":["shop/"],"verdict":["DROPPED"]}"#).unwrap();
        assert_eq!(super::filter(&filter), r#"{"source_pod":["shop/"],"verdict":["DROPPED"]}"#);
    }
}
