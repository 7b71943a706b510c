//! Runs the kernel program on made-up packets (`BPF_PROG_TEST_RUN`), with the maps that a datapath has.

use std::net::IpAddr;
use std::time::Duration;

use libbpf_rs::{Object, ObjectBuilder, ProgramInput};
use podgate_datapath::BpfDatapath;

const POST_ROUTING: u8 = 4;

/// A second instance of the program, on the datapath's own maps.
pub struct TestRun {
    object: Object,
}

impl TestRun {
    pub fn new(datapath: &BpfDatapath) -> TestRun {
        let file = concat!(env!("OUT_DIR"), "/podgate.bpf.o");
        let mut open = ObjectBuilder::default().open_file(file).expect("open the program");
        for mut map in open.maps_mut() {
            let pinned = datapath.directory().join("maps").join(map.name());
            if pinned.exists() {
                map.reuse_pinned_map(&pinned).expect("reuse a map");
            }
        }
        TestRun { object: open.load().expect("load the program") }
    }

    /// Whether the program accepts a packet, given from its IP header on.
    pub fn accepts(&self, packet: &[u8]) -> bool {
        self.run(packet, 1).0
    }

    /// The verdict, and the average of so many runs.
    pub fn run(&self, packet: &[u8], repeat: u32) -> (bool, Duration) {
        let (family, kind) = if packet[0] >> 4 == 4 { (2, [8, 0]) } else { (10, [0x86, 0xdd]) };
        // The kernel takes an Ethernet frame, and begins at what is behind its header.
        let frame = [&[2; 12], &kind[..], packet].concat();
        // struct nf_hook_state: the hook, the family, then pointers that must be null.
        let mut state = [0; 48];
        state[0] = POST_ROUTING;
        state[1] = family;
        let program = self.object.progs_mut().next().expect("a program");
        let input = ProgramInput {
            context_in: Some(&mut state),
            data_in: Some(&frame),
            repeat,
            ..ProgramInput::default()
        };
        let output = program.test_run(input).expect("test run");
        (output.return_value == 1, output.duration)
    }
}

/// A packet with these addresses and this upper layer; `next` is the IP header's protocol field.
pub fn packet(from: IpAddr, to: IpAddr, next: u8, upper: &[u8]) -> Vec<u8> {
    let mut packet = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, next, 0, 0];
            header[2..4].copy_from_slice(&(20 + upper.len() as u16).to_be_bytes());
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, next, 64];
            header[4..6].copy_from_slice(&(upper.len() as u16).to_be_bytes());
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        _ => panic!("{from} and {to} are of two families"),
    };
    packet.extend(upper);
    packet
}

/// An upper layer header that begins with two ports.
pub fn ports(from: u16, to: u16) -> Vec<u8> {
    let mut header = [from.to_be_bytes(), to.to_be_bytes()].concat();
    header.resize(20, 0);
    header
}
