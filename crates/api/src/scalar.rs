//! What an unquoted YAML scalar means to Kubernetes.
//!
//! `kubectl` turns YAML into JSON with YAML 1.1 rules before the API server sees it, so that `app: yes`
//! arrives as a boolean and `tier: 010` as the number 8. Reading them as text would accept what a cluster
//! refuses.

/// The JSON type that a plain scalar becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plain {
    /// `null`, `~` or nothing.
    Null,
    /// `true`, `yes`, `on`, `y` and their opposites.
    Bool(bool),
    /// A whole number; `None` when it does not fit 64 bits.
    Int(Option<i64>),
    /// A number with a fraction or an exponent, infinity or not-a-number.
    Float,
    /// Text.
    Text,
}

/// Resolves a scalar written without quotes.
pub(crate) fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Plain::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Plain::Bool(false);
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan"
        | ".NaN" | ".NAN" => return Plain::Float,
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Plain::Text;
    }
    number(text).unwrap_or(Plain::Text)
}

fn number(text: &str) -> Option<Plain> {
    let (negative, digits) = match text.as_bytes()[0] {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let digits = digits.replace('_', "");
    let (radix, body) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) => {
            // `08` is no octal number, and therefore a float to YAML 1.1 readers.
            (8, &digits[1..])
        }
        _ => (10, &digits[..]),
    };
    if !body.is_empty() && body.chars().all(|c| c.is_digit(radix)) {
        let value = i64::from_str_radix(body, radix).ok();
        return Some(Plain::Int(value.map(|v| if negative { -v } else { v })));
    }
    let mut seen = false;
    let shape = digits.bytes().enumerate().all(|(i, b)| match b {
        b'0'..=b'9' => {
            seen = true;
            true
        }
        b'.' => true,
        b'e' | b'E' => seen,
        b'+' | b'-' => i > 0 && matches!(digits.as_bytes()[i - 1], b'e' | b'E'),
        _ => false,
    });
    // A number that no float holds, such as a commit id like `12e3456`, stays text.
    (shape && seen && digits.parse::<f64>().is_ok_and(f64::is_finite)).then_some(Plain::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_a_yaml_1_1_reader_makes_of_them() {
        for (text, expect) in [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("yes", Plain::Bool(true)),
            ("Off", Plain::Bool(false)),
            ("n", Plain::Bool(false)),
            ("yEs", Plain::Text),
            ("80", Plain::Int(Some(80))),
            ("-1", Plain::Int(Some(-1))),
            ("010", Plain::Int(Some(8))),
            ("0x50", Plain::Int(Some(80))),
            ("0o17", Plain::Int(Some(15))),
            ("1_000", Plain::Int(Some(1000))),
            ("99999999999999999999", Plain::Int(None)),
            ("08", Plain::Float),
            ("1.0", Plain::Float),
            ("1e3", Plain::Float),
            ("12e3456", Plain::Text),
            (".5", Plain::Float),
            ("1.2.3", Plain::Text),
            ("10.0.0.0/8", Plain::Text),
            ("-", Plain::Text),
            (".", Plain::Text),
            ("e3", Plain::Text),
            ("2020-01-01", Plain::Text),
            ("12:30", Plain::Text),
            ("http", Plain::Text),
            ("0x", Plain::Text),
            ("v1", Plain::Text),
        ] {
            assert_eq!(resolve(text), expect, "{text:?}");
        }
    }
}
