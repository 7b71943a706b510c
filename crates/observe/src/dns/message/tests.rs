use proptest::prelude::*;

use super::*;
use crate::dns::fixture::Response;

fn learned(message: &Response) -> (Vec<String>, Vec<(String, u64)>) {
    let answer = read(&message.bytes(), false).expect("an answer");
    let addresses = answer.addresses.iter().map(|(ip, ttl)| (ip.to_string(), ttl.as_secs()));
    (answer.names.iter().map(|name| name.to_string()).collect(), addresses.collect())
}

#[test]
fn an_answer_is_its_question_and_the_addresses() {
    let message = Response::to("Www.Example.COM")
        .with("www.example.com", 30, "192.0.2.1")
        .with("WWW.example.com", 60, "2001:db8::1")
        .with("other.example.com", 60, "192.0.2.9");
    let expected = (
        vec!["www.example.com".to_owned()],
        vec![("192.0.2.1".to_owned(), 30), ("2001:db8::1".to_owned(), 60)],
    );
    assert_eq!(learned(&message), expected);
}

#[test]
fn a_chain_is_followed_whatever_the_order_and_kept_no_longer_than_its_shortest_part() {
    let message = Response::to("shop.example.com")
        .with("edge.cdn.net", 300, "192.0.2.1")
        .with("cdn.net", 20, "edge.cdn.net")
        .with("shop.example.com", 3600, "cdn.net");
    let expected = (
        ["shop.example.com", "cdn.net", "edge.cdn.net"].map(str::to_owned).to_vec(),
        vec![("192.0.2.1".to_owned(), 20)],
    );
    assert_eq!(learned(&message), expected);
}

#[test]
fn a_chain_that_bites_its_tail_ends() {
    let message = Response::to("a.example.com")
        .with("a.example.com", 5, "b.example.com")
        .with("b.example.com", 5, "a.example.com")
        .with("b.example.com", 5, "192.0.2.1");
    assert_eq!(learned(&message).0, ["a.example.com", "b.example.com"]);
}

#[test]
fn an_address_beside_the_chain_is_nobody_s() {
    let message = Response::to("a.example.com").with("a.example.com", 5, "b.example.com").with(
        "a.example.com",
        5,
        "192.0.2.1",
    );
    assert_eq!(read(&message.bytes(), false), Err(Nothing::Other));
}

#[test]
fn only_good_answers_to_one_question_count() {
    let good = Response::to("example.com").with("example.com", 5, "192.0.2.1").bytes();
    assert!(read(&good, false).is_ok());
    for (what, at, byte) in [
        ("a question", 2, 0x01),
        ("another operation", 2, 0x90),
        ("no such name", 3, 0x83),
        ("two questions", 5, 2),
        ("no question", 5, 0),
    ] {
        let mut message = good.clone();
        message[at] = byte;
        assert_eq!(read(&message, false), Err(Nothing::Other), "{what}");
    }
    for address in ["127.0.0.1", "0.0.0.0", "224.0.0.1", "::1", "::ffff:192.0.2.1", "ff02::1"] {
        let message = Response::to("example.com").with("example.com", 5, address).bytes();
        assert_eq!(read(&message, false), Err(Nothing::Other), "{address}");
    }
}

#[test]
fn of_a_cut_answer_counts_what_is_whole() {
    let message = Response::to("example.com")
        .with("example.com", 5, "192.0.2.1")
        .with("example.com", 5, "192.0.2.2")
        .bytes();
    let cut = &message[..message.len() - 3];
    assert_eq!(read(cut, false), Err(Nothing::Malformed));
    assert_eq!(read(cut, true).expect("one address").addresses.len(), 1);
}

#[test]
fn pointers_lead_backwards_only() {
    let mut message = Response::to("example.com").with("example.com", 5, "192.0.2.1").bytes();
    let owner = message.len() - 16;
    assert_eq!(message[owner..owner + 2], [0xc0, 12], "the record's owner points to the question");
    for target in [owner, owner + 2, 0x3fff] {
        message[owner..owner + 2].copy_from_slice(&(0xc000 | target as u16).to_be_bytes());
        assert_eq!(read(&message, false), Err(Nothing::Malformed), "{target}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..600), is_cut: bool) {
        _ = read(&bytes, is_cut);
    }

    /// Most of it stays a message, so that reading comes far.
    #[test]
    fn a_damaged_answer_is_read_without_harm(at in 0_usize..120, byte: u8, length in 0_usize..140) {
        let message = Response::to("shop.example.com")
            .with("shop.example.com", 5, "cdn.example.net")
            .with("cdn.example.net", 5, "192.0.2.1")
            .with("cdn.example.net", 5, "2001:db8::1");
        let mut bytes = message.bytes();
        bytes.truncate(length);
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        if let Ok(answer) = read(&bytes, true) {
            prop_assert!(!answer.addresses.is_empty() && answer.names.len() <= CHAIN + 1);
            prop_assert!(answer.names.iter().all(|name| !name.is_empty() && name.len() < NAME));
        }
    }
}
