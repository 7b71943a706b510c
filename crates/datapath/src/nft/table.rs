//! Tables, chains, sets and their elements, as messages.

use super::netlink::{APPEND, Attrs, CREATE, Kind, Transaction};
use super::rule::Rule;

/// The kind of object that counts packets and bytes.
pub(super) const COUNTER: u32 = 1;

/// nft's numbers for kinds of values, for those who list the table.
mod types {
    pub(super) const ADDRESS4: u32 = 7;
    pub(super) const ADDRESS6: u32 = 8;
    pub(super) const PROTOCOL: u32 = 12;
    pub(super) const PORT: u32 = 13;
    pub(super) const NUMBER: u32 = 19;
    pub(super) const BITS: u32 = 6;
}

/// An attribute holds less than 64 KiB.
const MESSAGE_BYTES: usize = 60_000;

/// What a set's keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Address {
        v4: bool,
    },
    /// Two addresses.
    Addresses {
        v4: bool,
    },
    /// Nothing, and a table's number. See [`Rule::clear`] on nothing.
    Table,
    /// Nothing, program and class.
    Row,
    /// Nothing, table, protocol and port.
    Port,
}

impl Key {
    fn fields(self) -> Vec<(u32, u32)> {
        let address = |v4: bool| if v4 { (types::ADDRESS4, 4) } else { (types::ADDRESS6, 16) };
        let number = (types::NUMBER, 4);
        match self {
            Key::Address { v4 } => vec![address(v4)],
            Key::Addresses { v4 } => vec![address(v4); 2],
            Key::Table => vec![number; 2],
            Key::Row => vec![number; 3],
            Key::Port => vec![number, number, (types::PROTOCOL, 1), (types::PORT, 2)],
        }
    }
}

/// What a set holds besides its keys, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Set,
    /// Keys with a number each.
    Map,
    /// Ranges of keys.
    Ranges,
    /// Ranges of keys with a number each.
    RangeMap,
    /// Filled by rules; keys that don't come any more are forgotten.
    Recent,
}

/// An element: a key or a range of keys, perhaps with a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) key: Vec<u8>,
    /// The last key, in sets of several fields.
    pub(super) last: Option<Vec<u8>>,
    /// In sets of one field: ranges end before this key.
    pub(super) is_end: bool,
    pub(super) value: Option<u32>,
}

impl Element {
    pub(super) fn key(key: Vec<u8>) -> Element {
        Element { key, last: None, is_end: false, value: None }
    }

    pub(super) fn entry(key: Vec<u8>, value: u32) -> Element {
        Element { value: Some(value), ..Element::key(key) }
    }

    fn write(&self, list: &mut Attrs) {
        list.nest(1, |element| {
            element.nest(1, |key| key.bytes(1, &self.key));
            if let Some(last) = &self.last {
                element.nest(10, |key| key.bytes(1, last));
            }
            if let Some(value) = self.value {
                element.nest(2, |data| data.bytes(1, &value.to_ne_bytes()));
            }
            if self.is_end {
                element.u32(3, 1);
            }
        });
    }
}

/// A table by name.
#[derive(Clone, Debug)]
pub(super) struct Table(pub(super) String);

impl Table {
    fn attrs(&self) -> Attrs {
        let mut attrs = Attrs::default();
        attrs.text(1, &self.0);
        attrs
    }

    /// Names the table alone.
    pub(super) fn named(&self) -> Attrs {
        self.attrs()
    }

    pub(super) fn create(&self, transaction: &mut Transaction) {
        transaction.add(Kind::NewTable, CREATE, &self.attrs());
    }

    pub(super) fn delete(&self, transaction: &mut Transaction) {
        transaction.add(Kind::DelTable, 0, &self.attrs());
    }

    pub(super) fn base_chain(&self, transaction: &mut Transaction, name: &str, hook: u32, priority: i32) {
        const ACCEPT: u32 = 1;
        let mut attrs = self.attrs();
        attrs.text(3, name);
        attrs.nest(4, |a| {
            a.u32(1, hook);
            a.bytes(2, &priority.to_be_bytes());
        });
        attrs.u32(5, ACCEPT);
        attrs.text(7, "filter");
        transaction.add(Kind::NewChain, CREATE, &attrs);
    }

    pub(super) fn chain(&self, transaction: &mut Transaction, name: &str) {
        let mut attrs = self.attrs();
        attrs.text(3, name);
        transaction.add(Kind::NewChain, CREATE, &attrs);
    }

    pub(super) fn delete_chain(&self, transaction: &mut Transaction, name: &str) {
        let mut attrs = self.attrs();
        attrs.text(3, name);
        transaction.add(Kind::DelChain, 0, &attrs);
    }

    pub(super) fn rule(&self, transaction: &mut Transaction, chain: &str, rule: &Rule) {
        let mut attrs = self.attrs();
        attrs.text(2, chain);
        attrs.nest(4, |list| list.append(rule.attrs()));
        transaction.add(Kind::NewRule, CREATE | APPEND, &attrs);
    }

    /// Deletes all rules of a chain.
    pub(super) fn empty_chain(&self, transaction: &mut Transaction, chain: &str) {
        let mut attrs = self.attrs();
        attrs.text(2, chain);
        transaction.add(Kind::DelRule, 0, &attrs);
    }

    pub(super) fn counter(&self, transaction: &mut Transaction, name: &str) {
        let mut attrs = self.attrs();
        attrs.text(2, name);
        attrs.u32(3, COUNTER);
        attrs.nest(4, |_| ());
        transaction.add(Kind::NewObject, CREATE, &attrs);
    }

    pub(super) fn set(&self, transaction: &mut Transaction, name: &str, key: Key, shape: Shape, number: u32) {
        const INTERVAL: u32 = 0x4;
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const BY_RULES: u32 = 0x20;
        const FIELDS: u32 = 0x80;
        /// A source that was silent for so long starts anew.
        const FORGET_MS: u64 = 60_000;
        const RECENT: u32 = 65_536;
        let fields = key.fields();
        let is_range = matches!(shape, Shape::Ranges | Shape::RangeMap);
        let mut flags = match shape {
            Shape::Set => 0,
            Shape::Map => MAP,
            Shape::Ranges => INTERVAL,
            Shape::RangeMap => INTERVAL | MAP,
            Shape::Recent => TIMEOUT | BY_RULES,
        };
        if is_range && fields.len() > 1 {
            flags |= FIELDS;
        }
        let kind = fields.iter().fold(0, |kind, (field, _)| kind << types::BITS | field);
        let length: u32 = fields.iter().map(|(_, length)| length.next_multiple_of(4)).sum();
        let mut attrs = self.attrs();
        attrs.text(2, name);
        attrs.u32(3, flags);
        attrs.u32(4, kind);
        attrs.u32(5, length);
        if flags & MAP != 0 {
            attrs.u32(6, types::NUMBER);
            attrs.u32(7, 4);
        }
        if flags & FIELDS != 0 {
            attrs.nest(9, |desc| {
                desc.nest(2, |list| {
                    for (_, length) in &fields {
                        list.nest(1, |field| field.u32(1, *length));
                    }
                });
            });
        }
        if shape == Shape::Recent {
            attrs.nest(9, |desc| desc.u32(1, RECENT));
            attrs.u64(11, FORGET_MS);
        }
        attrs.u32(10, number);
        transaction.add(Kind::NewSet, CREATE, &attrs);
    }

    pub(super) fn delete_set(&self, transaction: &mut Transaction, name: &str) {
        let mut attrs = self.attrs();
        attrs.text(2, name);
        transaction.add(Kind::DelSet, 0, &attrs);
    }

    pub(super) fn add_elements(&self, transaction: &mut Transaction, set: &str, elements: &[Element]) {
        self.elements(transaction, Kind::NewElements, CREATE, set, elements);
    }

    pub(super) fn delete_elements(&self, transaction: &mut Transaction, set: &str, elements: &[Element]) {
        self.elements(transaction, Kind::DelElements, 0, set, elements);
    }

    fn elements(
        &self,
        transaction: &mut Transaction,
        kind: Kind,
        flags: u16,
        set: &str,
        elements: &[Element],
    ) {
        let mut elements = elements.iter().peekable();
        while elements.peek().is_some() {
            let mut attrs = self.attrs();
            attrs.text(2, set);
            attrs.nest(3, |list| {
                while list.len() < MESSAGE_BYTES {
                    let Some(element) = elements.next() else { break };
                    element.write(list);
                }
            });
            transaction.add(kind, flags, &attrs);
        }
    }
}
