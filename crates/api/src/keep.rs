//! Which parts of a JSON text become a tree. An object of a live cluster is mostly text that no reader of
//! ours asks for: who set which field, environments, volumes, conditions. To find where such a value ends is
//! ten times faster than to read it.

use memchr::memchr2;

/// What to keep of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep {
    /// All of it.
    All,
    /// These fields of a mapping, and of the mappings in a list.
    Only(&'static [(&'static str, Keep)]),
    /// The fields of a mapping whose keys start with one of these.
    Starting(&'static [&'static str]),
}

impl Keep {
    /// What to keep of the field of this name; `None`: nothing.
    pub fn field(self, name: &str) -> Option<Keep> {
        match self {
            Keep::All => Some(Keep::All),
            Keep::Only(fields) => fields.iter().find(|(field, _)| *field == name).map(|(_, keep)| *keep),
            Keep::Starting(starts) => starts.iter().any(|start| name.starts_with(start)).then_some(Keep::All),
        }
    }
}

/// The end of the JSON value that starts at `at`. It looks at brackets and quotes only; nothing when they
/// don't match.
pub(crate) fn end_of_value(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match *bytes.get(at)? {
            b'"' => at = end_of_string(bytes, at + 1)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if depth > 0 => {
                at += 1;
                continue;
            }
            b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
                at += bytes[at..].iter().take_while(|byte| word(byte)).count();
            }
            _ => return None,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The byte behind the closing quote of the string whose text starts at `at`.
fn end_of_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_its_brackets_and_quotes_do() {
        for (text, end) in [
            ("{}", Some(2)),
            ("{\"a\":[1,{\"b\":\"]}\\\"\"}, null]},\"next\"", Some(28)),
            ("\"a\\\\\",", Some(5)),
            ("-1.5e+7}", Some(7)),
            ("true,", Some(4)),
            ("[[], []] ", Some(8)),
            ("", None),
            (",", None),
            ("}", None),
            ("[\"a]", None),
            ("{\"a\":", None),
            ("\"a\\", None),
        ] {
            assert_eq!(end_of_value(text.as_bytes(), 0), end, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_value_that_is_json_is_skipped_whole(text in "[\\[\\]{}\",:\\\\u0-9a-f .eE+\\-tn]{0,24}") {
            let end = end_of_value(text.as_bytes(), 0);
            if serde_json::from_str::<serde_json::Value>(&text).is_ok() && !text.starts_with(' ') {
                proptest::prop_assert_eq!(end, Some(text.trim_end().len()), "{}", text);
            }
        }
    }
}
