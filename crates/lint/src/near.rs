//! Names that were probably meant.

/// The candidate that was probably meant by `name`; none when the name is among them.
pub(crate) fn nearest<'n>(name: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if name.len() > 60 {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate == name {
            return None;
        }
        // One edit in a short name, two in a longer one: more is another word.
        let most = match name.chars().count().min(candidate.chars().count()) {
            0..=2 => 0,
            3..=5 => 1,
            _ => 2,
        };
        if candidate.len().abs_diff(name.len()) > most {
            continue;
        }
        let found = strsim::osa_distance(&name.to_lowercase(), &candidate.to_lowercase());
        if found <= most
            && best.is_none_or(|best| (found, candidate) < best)
            && !differ_in_number(name, candidate)
        {
            best = Some((found, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// `web-1` and `web-2` are two names, not one with a mistake.
fn differ_in_number(a: &str, b: &str) -> bool {
    let without = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    without(a) == without(b)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn one_slip_is_a_slip_and_another_word_is_not() {
        for (name, candidates, expect) in [
            ("cart", &["carts", "orders"][..], Some("carts")),
            ("fronted", &["frontend", "backend"], Some("frontend")),
            ("Frontend", &["frontend"], Some("frontend")),
            ("databse", &["database"], Some("database")),
            ("monitorign", &["monitoring"], Some("monitoring")),
            ("web", &["web", "wep"], None),
            ("web-1", &["web-2"], None),
            ("v1", &["v2", "vx"], None),
            ("user", &["orders"], None),
            ("a", &["b"], None),
            ("dev", &["prod"], None),
        ] {
            assert_eq!(nearest(name, candidates.iter().copied()), expect, "{name}");
        }
    }
}
