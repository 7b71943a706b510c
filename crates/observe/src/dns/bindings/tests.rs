use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> BindingLimits {
    BindingLimits { per_name: 3, wanted: 5, others: 4, ..BindingLimits::default() }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn answer(names: &[&str], addresses: &[(u8, u32)]) -> Answer {
    Answer {
        names: names.iter().map(|name| Box::from(*name)).collect(),
        addresses: addresses.iter().map(|(last, ttl)| (ip(*last), SECOND * *ttl)).collect(),
    }
}

fn names(changes: &Changes) -> Vec<String> {
    changes.names.iter().map(|(name, ips)| format!("{name} {ips:?}")).collect()
}

#[test]
fn a_name_s_addresses_add_up_and_end_by_their_ttl() {
    let mut bindings = Bindings::new(limits());
    bindings.learn(&answer(&["a.com", "b.net"], &[(1, 10), (2, 100)]), Duration::ZERO, |_| true);
    assert_eq!(
        names(&bindings.take_changes()),
        ["a.com [192.0.2.1, 192.0.2.2]", "b.net [192.0.2.1, 192.0.2.2]"]
    );
    bindings.learn(&answer(&["a.com"], &[(3, 100)]), SECOND, |_| true);
    assert_eq!(names(&bindings.take_changes()), ["a.com [192.0.2.1, 192.0.2.2, 192.0.2.3]"]);
    bindings.expire(SECOND * 70 - Duration::from_nanos(1));
    assert_eq!(bindings.take_changes(), Changes::default());
    bindings.expire(SECOND * 70);
    let changes = bindings.take_changes();
    assert_eq!(names(&changes), ["a.com [192.0.2.2, 192.0.2.3]", "b.net [192.0.2.2]"]);
    assert_eq!(changes.addresses, [(ip(1), Arc::from([]))]);
    bindings.expire(SECOND * 161);
    assert!(bindings.is_empty());
}

#[test]
fn short_ttls_count_for_the_floor_and_long_ones_no_longer_than_the_ceiling() {
    let mut bindings =
        Bindings::new(BindingLimits { ceiling: SECOND * 100, grace: Duration::ZERO, ..limits() });
    bindings.learn(&answer(&["a.com"], &[(1, 0), (2, u32::MAX)]), Duration::ZERO, |_| true);
    let ends: Vec<_> = bindings.wanted().map(|(_, ip, until)| (ip, until)).collect();
    assert_eq!(ends, [(ip(1), SECOND * 5), (ip(2), SECOND * 100)]);
}

#[test]
fn a_second_answer_starts_the_time_anew() {
    let mut bindings = Bindings::new(limits());
    bindings.learn(&answer(&["a.com"], &[(1, 10)]), Duration::ZERO, |_| true);
    bindings.learn(&answer(&["a.com"], &[(1, 10)]), SECOND * 60, |_| true);
    bindings.take_changes();
    bindings.expire(SECOND * 129);
    assert_eq!(bindings.take_changes(), Changes::default());
    bindings.expire(SECOND * 130);
    assert_eq!(names(&bindings.take_changes()), ["a.com []"]);
}

#[test]
fn an_address_with_traffic_stays_until_it_is_quiet() {
    let mut bindings = Bindings::new(limits());
    bindings.learn(&answer(&["a.com"], &[(1, 10), (2, 10)]), Duration::ZERO, |_| true);
    bindings.take_changes();
    for second in 0..200 {
        bindings.keep(ip(1), SECOND * second);
        bindings.keep(ip(9), SECOND * second);
        bindings.expire(SECOND * second);
    }
    assert_eq!(names(&bindings.take_changes()), ["a.com [192.0.2.1]"]);
    bindings.expire(SECOND * (200 + 300));
    assert_eq!(names(&bindings.take_changes()), ["a.com []"]);
}

#[test]
fn two_names_of_an_address_are_both_told_and_end_apart() {
    let mut bindings = Bindings::new(limits());
    bindings.learn(&answer(&["b.com"], &[(1, 10)]), Duration::ZERO, |_| true);
    bindings.learn(&answer(&["a.com"], &[(1, 20)]), Duration::ZERO, |_| false);
    let told = bindings.take_changes().addresses;
    assert_eq!(told, [(ip(1), Arc::from(["a.com".into(), "b.com".into()]))]);
    bindings.expire(SECOND * 75);
    assert_eq!(bindings.take_changes().addresses, [(ip(1), Arc::from(["a.com".into()]))]);
}

#[test]
fn a_name_over_its_limit_loses_what_ends_first() {
    let mut bindings = Bindings::new(limits());
    bindings.learn(&answer(&["a.com"], &[(1, 30), (2, 10), (3, 20), (4, 5)]), Duration::ZERO, |_| true);
    assert_eq!(names(&bindings.take_changes()), ["a.com [192.0.2.1, 192.0.2.3, 192.0.2.4]"]);
    assert_eq!(bindings.counts(), BindingCounts { replaced: 1, ..BindingCounts::default() });
}

#[test]
fn names_that_rules_ask_for_are_refused_at_the_limit_and_others_crowd_each_other_out() {
    let mut bindings = Bindings::new(limits());
    for name in 0..6 {
        bindings.learn(&answer(&[&format!("w{name}.com")], &[(name, 10)]), Duration::ZERO, |_| true);
        bindings.learn(
            &answer(&[&format!("o{name}.com")], &[(name, 10 + name as u32)]),
            Duration::ZERO,
            |_| false,
        );
    }
    assert_eq!(bindings.len(), (5, 4));
    assert_eq!(bindings.counts(), BindingCounts { refused: 1, crowded_out: 2, replaced: 0 });
    let known: Vec<String> = bindings
        .take_changes()
        .names
        .into_iter()
        .filter(|(_, ips)| !ips.is_empty())
        .map(|(name, _)| name.to_string())
        .collect();
    assert_eq!(
        known,
        ["o2.com", "o3.com", "o4.com", "o5.com", "w0.com", "w1.com", "w2.com", "w3.com", "w4.com"]
    );
    // A rule that comes later finds what is known already.
    bindings.review(|name| name == "o3.com");
    assert_eq!(bindings.len(), (1, 8));
    assert_eq!(bindings.wanted().map(|(name, ..)| name).collect::<Vec<_>>(), ["o3.com"]);
}

proptest! {
    /// Whatever happens: bounded, and whoever follows the changes knows everything.
    #[test]
    fn changes_tell_all_and_limits_hold(
        steps in proptest::collection::vec((0_u8..5, 0_u8..6, 0_u8..8, 0_u32..40), 0..120),
    ) {
        let mut bindings = Bindings::new(limits());
        let (mut now, mut told) = (Duration::ZERO, BTreeMap::new());
        let mut asked = 0_u8;
        for (what, name, last, time) in steps {
            let is_wanted = |name: &str| name.as_bytes()[0] < b'a' + asked;
            match what {
                0 | 1 => bindings.learn(&answer(&[&format!("{}.com", char::from(b'a' + name))], &[(last, time)]), now, is_wanted),
                2 => bindings.keep(ip(last), now),
                3 => {
                    asked = name;
                    bindings.review(|name| name.as_bytes()[0] < b'a' + asked);
                }
                _ => now += SECOND * time,
            }
            bindings.expire(now);
            for (name, addresses) in bindings.take_changes().names {
                told.insert(name, addresses);
            }
            told.retain(|_, addresses| !addresses.is_empty());
            let known: BTreeMap<Arc<str>, Vec<IpAddr>> = bindings.names.iter().map(|(name, known)| (name.clone(), known.until.keys().copied().collect())).collect();
            prop_assert_eq!(&told, &known);
            let pairs: usize = known.values().map(Vec::len).sum();
            prop_assert_eq!(bindings.len().0 + bindings.len().1, pairs);
            prop_assert!(known.values().all(|addresses| addresses.len() <= 3));
            prop_assert_eq!(bindings.by_address.values().map(BTreeSet::len).sum::<usize>(), pairs);
            prop_assert!(bindings.due.iter().flatten().all(|(until, ..)| *until > now));
        }
    }
}
