//! What goes over the wire: gzip for clients that take it.

use std::io::Read as _;

use crate::support::{Answer, Served};

const GZIP: (&str, &str) = ("Accept-Encoding", "gzip, deflate, br");

fn unpacked(answer: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&*answer.body).read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn large_answers_and_files_are_packed_for_clients_that_take_it() {
    let served = Served::new();
    let html = served.ask("GET", "/", &[], "").text;
    let script =
        html.split('"').find(|part| part.ends_with(".js")).expect("a script").trim_start_matches('.');
    for path in [script, "/api/v1/matrix", "/api/v1/openapi.json"] {
        let plain = served.ask("GET", path, &[], "");
        let packed = served.ask("GET", path, &[GZIP], "");
        assert_eq!(
            (plain.header("content-encoding"), packed.header("content-encoding")),
            (None, Some("gzip"))
        );
        assert!(packed.body.len() < plain.body.len() / 2, "{path}: {}", packed.body.len());
        assert_eq!(unpacked(&packed), plain.body, "{path}");
        for answer in [&plain, &packed] {
            assert_eq!(answer.header("vary"), Some("accept-encoding"), "{path}");
        }
        // Each form has a tag of its own: a client that has one isn't told that it has the other.
        let tag = |answer: &Answer| answer.header("etag").expect("a tag").to_owned();
        assert_ne!(tag(&plain), tag(&packed));
        for (own, other, headers) in [(&plain, &packed, &[][..]), (&packed, &plain, &[GZIP])] {
            let again = |tag: &str| {
                let known = [&[("If-None-Match", tag)], headers].concat();
                served.ask("GET", path, &known, "")
            };
            let known = again(&tag(own));
            assert_eq!((known.status, known.body.len()), (304, 0), "{path}");
            assert_eq!(known.header("etag"), own.header("etag"));
            assert_eq!(known.header("vary"), Some("accept-encoding"));
            assert_eq!(again(&tag(other)).status, 200, "{path}");
        }
    }
}

#[test]
fn small_answers_and_events_are_as_they_are() {
    let served = Served::new();
    let small = served.ask("GET", "/api/v1/why?from=shop/web&to=shop/nobody", &[GZIP], "");
    assert_eq!((small.status, small.header("content-encoding")), (400, None));
    let small = served.ask("GET", "/api/v1/timeline?buckets=1&since=1m", &[GZIP], "");
    assert_eq!((small.status, small.header("content-encoding")), (200, None), "{}", small.text);
    small.json();
    assert_eq!(small.header("vary"), Some("accept-encoding"));
    let mut events = served.events_with("/events", "Accept-Encoding: gzip\r\n");
    assert_eq!(events.next().expect("a status, not packed").0, "status");
}
