//! Names that were probably meant.

/// Up to three of `known` that differ least from `wanted`, nearest first: near enough to be a slip.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    const MOST: usize = 3;
    let limit = (wanted.chars().count() / 3).clamp(1, 4);
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|name| {
            let distance = distance(wanted, name);
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

/// Insertions, deletions, substitutions and swaps of neighbours that turn one text into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + usize::from(!same));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_single_slips_once() {
        for (a, b, steps) in
            [("web", "web", 0), ("wbe", "web", 1), ("frontend", "front-end", 1), ("", "abc", 3)]
        {
            assert_eq!(distance(a, b), steps, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_comes_first_and_strangers_stay_away() {
        assert_eq!(nearest("frontned", ["backend", "frontend", "db"]), ["frontend"]);
        assert_eq!(nearest("carts", ["carts-db", "cart", "users"]), ["cart", "carts-db"]);
        assert!(nearest("db", ["frontend"]).is_empty());
    }
}
