//! Names that were probably meant.

/// Up to three of `known` that differ least from `wanted`, nearest first: near enough to be a slip.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const MOST: usize = 3;
    let limit = (wanted.chars().count() / 3).clamp(1, 4);
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|name| {
            let distance = strsim::osa_distance(wanted, name);
            // What is inside the other is near however much longer it is: `carts` and `carts-db`.
            let inside =
                wanted.len() > 2 && (name.contains(wanted) || (name.len() > 2 && wanted.contains(name)));
            (distance <= limit || inside).then_some((distance, name))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(MOST);
    found.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_comes_first_and_strangers_stay_away() {
        assert_eq!(nearest("frontned", ["backend", "frontend", "db"]), ["frontend"]);
        assert_eq!(nearest("carts", ["carts-db", "cart", "users"]), ["cart", "carts-db"]);
        assert!(nearest("db", ["frontend"]).is_empty());
    }
}
