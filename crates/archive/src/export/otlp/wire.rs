//! As much of the protobuf encoding as OTLP needs.

use podgate_flow::Timestamp;

/// A message as bytes, field by field.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;

impl Message {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn key(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    /// A number, left out when it is 0.
    pub fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.number_or_zero(field, number);
        }
    }

    /// A number of a oneof, in which 0 says something too.
    pub fn number_or_zero(&mut self, field: u32, number: u64) {
        self.key(field, VARINT);
        self.varint(number);
    }

    pub fn fixed(&mut self, field: u32, number: u64) {
        self.key(field, FIXED64);
        self.0.extend(number.to_le_bytes());
    }

    pub fn time(&mut self, field: u32, time: Timestamp) {
        self.fixed(field, time.0);
    }

    /// A text, left out when it is empty.
    pub fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.text_or_empty(field, text);
        }
    }

    /// A text of a oneof, in which the empty one says something too.
    pub fn text_or_empty(&mut self, field: u32, text: &str) {
        self.key(field, BYTES);
        self.varint(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    pub fn message(&mut self, field: u32, message: &Message) {
        self.key(field, BYTES);
        self.varint(message.0.len() as u64);
        self.0.extend(&message.0);
    }
}

/// How many log records or data points an answer says were rejected; `None`: it is no protobuf message.
/// Both answers have `partial_success` as field 1, and the count as field 1 of that.
pub(super) fn rejected(answer: &[u8]) -> Option<u64> {
    let mut rejected = 0;
    fields(answer, &mut |field, value| {
        if let (1, Field::Bytes(partial)) = (field, value) {
            fields(partial, &mut |field, value| {
                if let (1, Field::Number(count)) = (field, value) {
                    rejected = count;
                }
                Some(())
            })?;
        }
        Some(())
    })?;
    Some(rejected)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn fields<'a>(mut bytes: &'a [u8], each: &mut impl FnMut(u64, Field<'a>) -> Option<()>) -> Option<()> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Field::Number(varint(&mut bytes)?),
            1 => Field::Bytes(bytes.split_off(..8)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Field::Bytes(bytes.split_off(..length)?)
            }
            5 => Field::Bytes(bytes.split_off(..4)?),
            _ => return None,
        };
        each(key >> 3, value)?;
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_tell_what_was_rejected() {
        assert_eq!(rejected(b""), Some(0), "all were taken");
        let (mut partial, mut answer) = (Message::default(), Message::default());
        partial.number(1, 300);
        partial.text(2, "too old");
        answer.message(1, &partial);
        answer.fixed(9, 1);
        assert_eq!(rejected(answer.bytes()), Some(300));
        for torn in [&answer.bytes()[..3], b"<html>"] {
            assert_eq!(rejected(torn), None, "{torn:?}");
        }
    }
}
