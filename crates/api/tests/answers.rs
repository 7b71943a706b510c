//! Answers of an API server, read for enforcing.

use podgate_api::{Answer, AnswerReader, Input, LoadOptions, Object, Refusal, WatchEvent, load_with};

/// A pod as a server sends it, with all that enforcing has no use for.
const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-5d4-x","generateName":"web-5d4-","namespace":"shop","uid":"u-1","resourceVersion":"42","generation":3,"creationTimestamp":"2026-11-01T10:00:00Z","labels":{"app":"web","pod-template-hash":"5d4"},"annotations":{"cni.io/status":"[{\"name\": \"}\\\"]\"}]","podgate.dev/note":"kept"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d4","uid":"r-1","controller":true}],"managedFields":[{"manager":"kubelet","fieldsV1":{"f:status":{"f:podIPs":{".":{},"k:{\"ip\":\"10.0.0.1\"}":{}}}}}]},"spec":{"volumes":[{"name":"t","projected":{"sources":[]}}],"initContainers":[{"name":"i","ports":[{"containerPort":1}]},{"name":"s","restartPolicy":"Always","ports":[{"name":"side","containerPort":15001}]}],"containers":[{"name":"c","image":"x","env":[{"name":"DB","value":"postgres://db:5432"}],"ports":[{"name":"http","containerPort":8080,"protocol":"TCP"}]}],"nodeName":"n1","hostNetwork":false},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}],"podIP":"10.0.0.1","podIPs":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}]}}"#;

fn pods() -> AnswerReader {
    AnswerReader::new("v1", "Pod", "dev:pods")
}

fn event(reader: &AnswerReader, kind: &str, object: &str) -> Result<WatchEvent, String> {
    reader.event(&format!("{{\"type\":\"{kind}\",\"object\":{object}}}"))
}

fn applied(reader: &AnswerReader, object: &str) -> Answer {
    match event(reader, "ADDED", object) {
        Ok(WatchEvent::Applied(answer)) => answer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_pod_is_read_as_in_a_file_but_for_what_enforcing_has_no_use_for() {
    let answer = applied(&pods(), POD);
    assert_eq!((answer.uid.as_str(), &*answer.resource_version, answer.generation), ("u-1", "42", 3));
    assert_eq!(answer.diagnostics, []);
    let Some(Object::Pod(pod)) = answer.object else { panic!("a pod") };
    let input = Input::Answer { name: "dev:pods".to_owned(), text: POD.to_owned() };
    let whole = load_with(&[input], &LoadOptions::default()).objects.remove(0);
    let Object::Pod(mut whole) = whole else { panic!("a pod") };
    assert_eq!(whole.meta.annotations.len(), 2);
    whole.mentions.clear();
    whole.meta.annotations.remove("cni.io/status");
    assert_eq!(pod, whole);
}

#[test]
fn an_item_of_a_list_has_its_kind_from_the_list() {
    let item = POD.replace(r#""kind":"Pod","apiVersion":"v1","#, "");
    assert_eq!(pods().item(&item).expect("a pod"), applied(&pods(), POD));
}

#[test]
fn policies_fail_closed_as_in_files_and_are_named_in_sources() {
    let reader = AnswerReader::new("networking.k8s.io/v1", "NetworkPolicy", "dev:networkpolicies");
    let text = r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"web","namespace":"shop","managedFields":[]},"spec":{"podSelector":{},"ingress":[{"form":[]}]}}"#;
    let answer = applied(&reader, text);
    assert!(answer.has_errors(), "{answer:?}");
    assert_eq!(
        answer.diagnostics[0].to_string(),
        "dev:networkpolicies/shop/web: error: spec.ingress[0].form: unknown field `form`\n  help: did you mean `from`?"
    );
    let name = "dev:networkpolicies/shop/web".to_owned();
    let whole = load_with(&[Input::Answer { name, text: text.to_owned() }], &LoadOptions::default());
    assert_eq!(answer.object.as_ref(), whole.objects.first());
}

#[test]
fn deletions_bookmarks_and_failures() {
    let Ok(WatchEvent::Deleted(gone)) = event(&pods(), "DELETED", POD) else { panic!("a deletion") };
    assert_eq!(
        (gone.key.to_string(), gone.uid, gone.object),
        ("Pod shop/web-5d4-x".into(), "u-1".into(), None)
    );
    let bookmark = |annotations: &str| {
        let text = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"resourceVersion":"9","creationTimestamp":null{annotations}}},"spec":{{"containers":null}},"status":{{}}}}"#
        );
        event(&pods(), "BOOKMARK", &text)
    };
    let expected = |ends_list| Ok(WatchEvent::Bookmark { resource_version: "9".into(), ends_list });
    assert_eq!(bookmark(""), expected(false));
    assert_eq!(bookmark(r#","annotations":{"k8s.io/initial-events-end":"true"}"#), expected(true));
    let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (5)","reason":"Expired","details":{"retryAfterSeconds":3},"code":410}"#;
    let refusal = Refusal {
        code: 410,
        reason: "Expired".to_owned(),
        message: "too old resource version: 1 (5)".to_owned(),
        retry_after_seconds: 3,
    };
    assert_eq!(event(&pods(), "ERROR", status), Ok(WatchEvent::Refused(refusal)));
}

#[test]
fn an_object_that_can_not_be_read_is_still_named() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let nested = POD.replace("\"app\":\"web\"", &format!("\"app\":{deep}"));
    for answer in [applied(&pods(), &nested), pods().item(&nested).expect("named")] {
        assert_eq!((answer.key.to_string(), answer.object.as_ref()), ("Pod shop/web-5d4-x".into(), None));
        assert!(answer.diagnostics[0].message.contains("more than 128"), "{:?}", answer.diagnostics);
    }
    let strange = POD.replace("\"kind\":\"Pod\"", "\"kind\":\"Service\"");
    let answer = applied(&pods(), &strange);
    assert!(answer.object.is_none() && answer.has_errors(), "{answer:?}");
}

#[test]
fn lines_that_name_no_object_are_refused() {
    for line in [
        "",
        "garbage",
        "{}",
        "[]",
        "null",
        r#"{"type":"ADDED"}"#,
        r#"{"type":"ADDED","object":null}"#,
        r#"{"type":"ADDED","object":{}}"#,
        r#"{"type":"ADDED","object":{"metadata":{"name":""}}}"#,
        r#"{"type":"RENAMED","object":{"metadata":{"name":"a"}}}"#,
        r#"{"type":"BOOKMARK","object":{"metadata":{}}}"#,
        r#"{"type":"ADDED","object":{"metadata":{"name":"a"}}} x"#,
        r#"{"type":"ADDED","object":{"metadata":{"name":"a""#,
    ] {
        assert!(pods().event(line).is_err(), "{line}");
    }
    for cut in 0..POD.len() {
        if POD.is_char_boundary(cut) {
            assert!(pods().item(&POD[..cut]).is_err(), "cut at {cut}");
        }
    }
}
