//! Names with `*` in them.

use std::fmt;
use std::str::FromStr;

/// A name in which `*` stands for any characters; letters of either case are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Whether a name fits.
    pub fn fits(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        let text = text.trim();
        let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
        match text.chars().find(|c| !is_fine(*c)) {
            _ if text.is_empty() => Err("the name is empty".to_owned()),
            Some(c) => {
                Err(format!("{text:?} has {c:?} in it, which no name has; `*` stands for any characters"))
            }
            None => Ok(Pattern(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, fits) in [
            ("a.example", "A.example.", true),
            ("a.example", "aa.example", false),
            ("*.example", "a.b.example", true),
            ("*.example", "example", false),
            ("*", "", true),
            ("k8s*", "k8s-1", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().fits(name), fits, "{pattern} and {name}");
        }
    }

    #[test]
    fn what_no_name_has_is_said() {
        assert!("a b".parse::<Pattern>().unwrap_err().contains("' '"));
        assert!(" ".parse::<Pattern>().unwrap_err().contains("empty"));
    }
}
