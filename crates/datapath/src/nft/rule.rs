//! Rules as nftables keeps them: expressions that load registers, look up, compare and act.

use super::netlink::Attrs;

/// One of the sixteen registers of four bytes; longer values go on in the next ones.
pub(super) type Register = u32;

/// The registers that rules here use. An address takes one or four, from [`ADDRESS`] on; what a lookup needs side by
/// side is in registers side by side: [`ROW`], [`PROGRAM`] and [`CLASS`], and from [`ENTRY`] to [`PORT`].
pub(super) const ADDRESS: Register = 8;
pub(super) const OTHER: Register = 12;
pub(super) const ROW: Register = 16;
pub(super) const PROGRAM: Register = 17;
pub(super) const CLASS: Register = 18;
pub(super) const ENTRY: Register = 20;
pub(super) const TABLE: Register = 21;
pub(super) const PROTOCOL: Register = 22;
pub(super) const PORT: Register = 23;

const VERDICT_REGISTER: u32 = 0;

#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum Meta {
    NfProtocol = 15,
    L4Protocol = 16,
    Cgroup = 23,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Ct {
    State = 0,
    Direction = 1,
    Status = 2,
    PortSource = 11,
    PortDestination = 12,
    Source4 = 19,
    Source6 = 21,
}

/// A direction of a tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Way {
    Original = 0,
    Reply = 1,
}

#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum Header {
    Network = 1,
    Transport = 2,
}

#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum Compare {
    Equal = 0,
    NotEqual = 1,
    AtMost = 3,
    AtLeast = 5,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict<'a> {
    Drop,
    Accept,
    Return,
    Jump(&'a str),
    Goto(&'a str),
}

/// How often, see [`Rule::over_rate`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) per_second: u32,
    pub(super) burst: u32,
}

/// Expressions, from first to last. One that fails ends the rule, and the next rule is tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Rule(Attrs);

impl Rule {
    pub(super) fn new() -> Rule {
        Rule::default()
    }

    pub(super) fn attrs(&self) -> &Attrs {
        &self.0
    }

    fn expression(mut self, name: &str, fill: impl FnOnce(&mut Attrs)) -> Rule {
        self.0.nest(1, |element| {
            element.text(1, name);
            element.nest(2, fill);
        });
        self
    }

    pub(super) fn meta(self, key: Meta, to: Register) -> Rule {
        self.expression("meta", |a| {
            a.u32(1, to);
            a.u32(2, key as u32);
        })
    }

    /// Loads something of the packet's connection; fails when it has none.
    pub(super) fn ct(self, key: Ct, to: Register) -> Rule {
        self.expression("ct", |a| {
            a.u32(1, to);
            a.u32(2, key as u32);
        })
    }

    /// Loads something of one direction of the packet's connection; fails when it has none.
    pub(super) fn ct_of(self, key: Ct, way: Way, to: Register) -> Rule {
        self.expression("ct", |a| {
            a.u32(1, to);
            a.u32(2, key as u32);
            a.bytes(3, &[way as u8]);
        })
    }

    /// Loads bytes of the packet; fails where they aren't there.
    pub(super) fn payload(self, header: Header, offset: u32, length: u32, to: Register) -> Rule {
        self.expression("payload", |a| {
            a.u32(1, to);
            a.u32(2, header as u32);
            a.u32(3, offset);
            a.u32(4, length);
        })
    }

    /// Loads two bytes of an IPv6 fragment header; fails when there is none.
    pub(super) fn fragment_header(self, offset: u32, to: Register) -> Rule {
        self.expression("exthdr", |a| {
            a.u32(1, to);
            a.bytes(2, &[44]);
            a.u32(3, offset);
            a.u32(4, 2);
        })
    }

    pub(super) fn compare(self, from: Register, how: Compare, value: &[u8]) -> Rule {
        self.expression("cmp", |a| {
            a.u32(1, from);
            a.u32(2, how as u32);
            a.nest(3, |data| data.bytes(1, value));
        })
    }

    pub(super) fn equal(self, from: Register, value: &[u8]) -> Rule {
        self.compare(from, Compare::Equal, value)
    }

    /// `register = register & mask ^ flip`.
    pub(super) fn bits(self, register: Register, mask: &[u8], flip: &[u8]) -> Rule {
        self.expression("bitwise", |a| {
            a.u32(1, register);
            a.u32(2, register);
            a.u32(3, mask.len() as u32);
            a.nest(4, |data| data.bytes(1, mask));
            a.nest(5, |data| data.bytes(1, flip));
        })
    }

    /// Whether any of the bits is set.
    pub(super) fn any_bit(self, register: Register, mask: &[u8]) -> Rule {
        let none = vec![0; mask.len()];
        self.bits(register, mask, &none).compare(register, Compare::NotEqual, &none)
    }

    pub(super) fn set(self, to: Register, value: &[u8]) -> Rule {
        self.expression("immediate", |a| {
            a.u32(1, to);
            a.nest(2, |data| data.bytes(1, value));
        })
    }

    /// Fails when the set doesn't hold the key.
    pub(super) fn within(self, set: &str, key: Register) -> Rule {
        self.expression("lookup", |a| {
            a.text(1, set);
            a.u32(2, key);
        })
    }

    /// Loads the number of a key; fails when the map doesn't hold it.
    pub(super) fn look_up(self, map: &str, key: Register, to: Register) -> Rule {
        self.expression("lookup", |a| {
            a.text(1, map);
            a.u32(2, key);
            a.u32(3, to);
        })
    }

    /// Clears registers for a key that is made of what other lookups find.
    ///
    /// The first of them stays empty, and is part of the key. It is there for nft: version 1.0 ends with an
    /// assertion when it lists a rule that looks up what comes straight out of a map, and with it ends every
    /// `nft list ruleset` on the node. It asks only what was loaded into a key's first register, though, and is
    /// content when that was as long as the key.
    pub(super) fn clear(self, first: Register) -> Rule {
        self.set(first, &[0; 16])
    }

    pub(super) fn count(self, counter: &str) -> Rule {
        self.expression("objref", |a| {
            a.u32(1, super::table::COUNTER);
            a.text(2, counter);
        })
    }

    pub(super) fn log(self, group: u16, prefix: &str) -> Rule {
        self.expression("log", |a| {
            a.u16(1, group);
            a.text(2, prefix);
        })
    }

    /// Fails when the way back to the source leads through the device that the packet came in by.
    /// Only where packets are forwarded.
    pub(super) fn without_way_back(self) -> Rule {
        const SOURCE: u32 = 1;
        const INPUT: u32 = 8;
        const IS_PRESENT: u32 = 32;
        const DEVICE: u32 = 1;
        self.expression("fib", |a| {
            a.u32(1, OTHER);
            a.u32(2, DEVICE);
            a.u32(3, SOURCE | INPUT | IS_PRESENT);
        })
        .equal(OTHER, &[0])
    }

    /// Fails unless the key has come more often than that. The set forgets keys that don't come any more.
    pub(super) fn over_rate(self, set: &str, key: Register, rate: Rate) -> Rule {
        const UPDATE: u32 = 1;
        const OVER: u32 = 1;
        self.expression("dynset", |a| {
            a.text(1, set);
            a.u32(3, UPDATE);
            a.u32(4, key);
            a.nest(7, |expression| {
                expression.text(1, "limit");
                expression.nest(2, |limit| {
                    limit.u64(1, u64::from(rate.per_second));
                    limit.u64(2, 1);
                    limit.u32(3, rate.burst);
                    limit.u32(5, OVER);
                });
            });
        })
    }

    pub(super) fn then(self, verdict: Verdict<'_>) -> Rule {
        let (code, chain) = match verdict {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
            Verdict::Goto(chain) => (-4, Some(chain)),
            Verdict::Return => (-5, None),
        };
        self.expression("immediate", |a| {
            a.u32(1, VERDICT_REGISTER);
            a.nest(2, |data| {
                data.nest(2, |verdict| {
                    verdict.bytes(1, &i32::to_be_bytes(code));
                    if let Some(chain) = chain {
                        verdict.text(2, chain);
                    }
                });
            });
        })
    }

    pub(super) fn jump(self, chain: &str) -> Rule {
        self.then(Verdict::Jump(chain))
    }

    pub(super) fn goto(self, chain: &str) -> Rule {
        self.then(Verdict::Goto(chain))
    }
}
