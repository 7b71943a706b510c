//! What others undo in the kernel is noticed and put back. Needs root.

mod support;

use std::fs;

use libbpf_rs::Link;
use podgate_datapath::{Datapath, Repair};
use support::*;

/// Pod 2 may not reach pod 1.
fn closed() -> Policy {
    Policy::open(2).program(1, row(denied(1)), &[]).pod(1, None, Some(1))
}

#[test]
fn nothing_is_restored_where_nothing_was_undone() {
    let net = Net::new(2);
    let mut datapath = net.open();
    closed().publish_full(&mut datapath);
    // The anchor's own birth is news once.
    for _ in 0..3 {
        assert_eq!(datapath.reassert().expect("reassert"), []);
    }
}

#[test]
fn unpinned_links_go_on_and_are_pinned_again() {
    let net = Net::new(2);
    net.serve(1, 80);
    let mut datapath = net.open();
    closed().publish_full(&mut datapath);
    let directory = datapath.directory().to_owned();
    fs::remove_dir_all(net.pin_dir()).expect("remove all pins");
    assert!(!net.tcp(2, (pod4(1), 80)), "this process holds them");
    assert_eq!(datapath.reassert().expect("reassert"), [Repair::Pin]);
    assert_eq!(datapath.reassert().expect("reassert"), []);
    for name in ["link4", "link6", "prog", "maps/rows", "maps/config"] {
        assert!(directory.join(name).exists(), "{name}");
    }
    // The pins are worth something: enforcement outlives the process again, and can be adopted.
    drop(datapath);
    assert!(!net.tcp(2, (pod4(1), 80)));
    let datapath = net.open();
    assert!(datapath.is_attached());
}

#[test]
fn detached_links_are_attached_again() {
    let net = Net::new(2);
    net.serve(1, 80);
    let mut datapath = net.open();
    closed().publish_full(&mut datapath);
    for name in ["link4", "link6"] {
        Link::open(datapath.directory().join(name)).expect("open").detach().expect("detach");
    }
    assert!(net.tcp(2, (pod4(1), 80)), "nothing filters");
    assert_eq!(datapath.reassert().expect("reassert"), [Repair::Hook]);
    assert!(!net.tcp(2, (pod4(1), 80)));
    assert!(!net.tcp(2, (pod6(1), 80)));
    assert_eq!(datapath.reassert().expect("reassert"), []);
    drop(datapath);
    assert!(!net.tcp(2, (pod4(1), 80)), "and stay so without the process");
}

#[test]
fn one_unpinned_and_one_detached_link_are_both_put_right() {
    let net = Net::new(2);
    net.serve(1, 80);
    let mut datapath = net.open();
    closed().publish_full(&mut datapath);
    Link::open(datapath.directory().join("link4")).expect("open").detach().expect("detach");
    fs::remove_file(datapath.directory().join("link6")).expect("unpin");
    assert_eq!(datapath.reassert().expect("reassert"), [Repair::Hook, Repair::Pin]);
    assert!(!net.tcp(2, (pod4(1), 80)) && !net.tcp(2, (pod6(1), 80)));
}

#[test]
fn the_anchor_of_connection_tracking_is_put_back() {
    let net = Net::new(2);
    let mut datapath = net.open();
    closed().publish_full(&mut datapath);
    datapath.reassert().expect("reassert");
    net.nft("node", "flush chain inet podgate conntrack");
    assert_eq!(datapath.reassert().expect("reassert"), [Repair::Conntrack]);
    net.nft("node", "add table inet somebody-elses");
    assert_eq!(datapath.reassert().expect("reassert"), []);
    net.nft("node", "delete table inet podgate");
    assert_eq!(datapath.reassert().expect("reassert"), [Repair::Conntrack]);
    let before = datapath.counters().expect("counters").no_conntrack;
    net.udp(2, (pod4(1), 80));
    assert_eq!(datapath.counters().expect("counters").no_conntrack, before);
}
