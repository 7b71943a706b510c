//! Where nodes go: namespaces as boxes on shelves, and within a box callers to the left of what they call. As long as
//! one reads them one by one, so are the boxes.
//!
//! Nothing here is random or depends on the order of hash maps: the same input has the same output. Boxes grow in steps,
//! so that one more workload seldom moves other boxes.

/// A node to place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    /// Its box; all of them have one, or none has.
    pub group: Option<usize>,
    /// How wide it is.
    pub width: f64,
    /// It stands apart from callers and callees.
    pub hub: bool,
}

/// A place and a size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

/// A layout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Laid {
    /// Width of all of it.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// The boxes.
    pub groups: Vec<Rect>,
    /// The nodes.
    pub nodes: Vec<Rect>,
}

const HEIGHT: f64 = 24.0;
/// Between nodes of a column.
const ROW_GAP: f64 = 12.0;
/// Between columns: room for edges.
const COLUMN_GAP: f64 = 56.0;
/// Between columns of nodes that have no edges to each other.
const NARROW_GAP: f64 = 20.0;
const PADDING: f64 = 16.0;
/// A box's name.
const TITLE: f64 = 24.0;
const BOX_GAP: f64 = 40.0;
/// Width to height of the whole.
const ASPECT: f64 = 1.6;
/// Boxes that are read one by one; among more of them one looks for the busy ones.
const READ: usize = 24;

/// Places nodes. `weights` is how much goes on in each box, `edges` are pairs of nodes. A box where connections come
/// from, such as the internet, is the `entry`.
pub fn lay_out(items: &[Item], weights: &[u64], edges: &[(usize, usize)], entry: Option<usize>) -> Laid {
    let mut laid = Laid { nodes: vec![Rect::default(); items.len()], ..Laid::default() };
    let boxes = weights.len();
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); boxes.max(1)];
    for (at, item) in items.iter().enumerate() {
        members[item.group.unwrap_or_default()].push(at);
    }
    let mut inner: Vec<Vec<(usize, usize)>> = vec![Vec::new(); boxes.max(1)];
    for (from, to) in edges {
        let group = items[*from].group;
        if group == items[*to].group && from != to {
            inner[group.unwrap_or_default()].push((*from, *to));
        }
    }
    let title = if boxes > 0 { TITLE } else { 0.0 };
    let sizes: Vec<(f64, f64)> = members
        .iter()
        .zip(&inner)
        .map(|(members, edges)| fill(items, members, edges, title, &mut laid.nodes))
        .collect();
    let order = match boxes {
        0..=READ => by_flow(items, boxes, edges, entry),
        _ => by_weight(weights),
    };
    let places = shelves(&sizes, &order);
    for (members, place) in members.iter().zip(&places) {
        for at in members {
            laid.nodes[*at].x += place.x;
            laid.nodes[*at].y += place.y;
        }
    }
    laid.width = places.iter().map(|place| place.x + place.w).fold(0.0, f64::max) + BOX_GAP;
    laid.height = places.iter().map(|place| place.y + place.h).fold(0.0, f64::max) + BOX_GAP;
    laid.groups = if boxes > 0 { places } else { Vec::new() };
    laid
}

/// Places the nodes of a box, from its own corner on. Returns the size of the box.
fn fill(
    items: &[Item],
    members: &[usize],
    edges: &[(usize, usize)],
    title: f64,
    nodes: &mut [Rect],
) -> (f64, f64) {
    let ranks = ranks(items, members, edges);
    let rows = ((members.len() as f64).sqrt() * 1.2).ceil().max(4.0) as usize;
    let rows = rows.next_multiple_of(2);
    let mut row_of: Vec<usize> = vec![0; items.len()];
    let mut columns: Vec<(Vec<usize>, f64)> = Vec::new();
    let last = members.iter().filter_map(|at| ranks[position(members, *at)]).max();
    for rank in 0..=last.unwrap_or(0) {
        let mut column: Vec<usize> = members
            .iter()
            .copied()
            .filter(|at| last.is_some() && ranks[position(members, *at)] == Some(rank))
            .collect();
        // Near those that call it: the mean row of its callers, then by name.
        let mean = |at: usize| {
            let callers = edges.iter().filter(|(_, to)| *to == at).map(|(from, _)| row_of[*from]);
            let (sum, number) = callers.fold((0, 0), |(sum, number), row| (sum + row, number + 1));
            (sum * 16_usize).checked_div(number).unwrap_or(0)
        };
        column.sort_by_key(|at| (mean(*at), *at));
        for (row, at) in column.iter().enumerate() {
            row_of[*at] = row % rows;
        }
        let pieces: Vec<&[usize]> = column.chunks(rows).collect();
        for (number, piece) in pieces.iter().enumerate() {
            let gap = if number + 1 == pieces.len() { COLUMN_GAP } else { NARROW_GAP };
            columns.push((piece.to_vec(), gap));
        }
    }
    // What has no edge in the box, and hubs after that: in the order of names.
    let mut loose: Vec<usize> =
        members.iter().copied().filter(|at| ranks[position(members, *at)].is_none()).collect();
    loose.sort_by_key(|at| (items[*at].hub, *at));
    columns.extend(loose.chunks(rows).map(|piece| (piece.to_vec(), NARROW_GAP)));
    let mut x = PADDING;
    let mut gap = 0.0;
    let mut most_rows = 0;
    for (column, after) in columns.iter().filter(|(column, _)| !column.is_empty()) {
        x += gap;
        let width = column.iter().map(|at| items[*at].width).fold(0.0, f64::max);
        for (row, at) in column.iter().enumerate() {
            let y = PADDING + title + row as f64 * (HEIGHT + ROW_GAP);
            nodes[*at] = Rect { x, y, w: items[*at].width, h: HEIGHT };
        }
        x += width;
        gap = *after;
        most_rows = most_rows.max(column.len());
    }
    // A box has room for one more before it grows.
    let most_rows = most_rows.next_multiple_of(2);
    let height = 2.0 * PADDING + title + most_rows as f64 * (HEIGHT + ROW_GAP) - ROW_GAP;
    (x + PADDING, height.max(0.0))
}

fn position(members: &[usize], at: usize) -> usize {
    // Members are in the order of items.
    members.partition_point(|member| *member < at)
}

/// How far each member is from those that nobody in the box calls; `None` where it has no edge in the box.
fn ranks(items: &[Item], members: &[usize], edges: &[(usize, usize)]) -> Vec<Option<usize>> {
    let number = members.len();
    let mut callees: Vec<Vec<usize>> = vec![Vec::new(); number];
    let mut linked = vec![false; number];
    for (from, to) in edges.iter().filter(|(from, to)| !items[*from].hub && !items[*to].hub) {
        let (from, to) = (position(members, *from), position(members, *to));
        callees[from].push(to);
        linked[from] = true;
        linked[to] = true;
    }
    callees.iter_mut().for_each(|list| {
        list.sort_unstable();
        list.dedup();
    });
    let order = callees_last(&callees, None);
    let mut place = vec![0; number];
    for (at, member) in order.iter().enumerate() {
        place[*member] = at;
    }
    let mut rank = vec![0_usize; number];
    for member in &order {
        for callee in &callees[*member] {
            // An edge against the order closes a circle, and doesn't count.
            if place[*callee] > place[*member] {
                rank[*callee] = rank[*callee].max(rank[*member] + 1);
            }
        }
    }
    (0..number).map(|member| linked[member].then_some(rank[member])).collect()
}

/// All nodes, callers before those they call but for circles. Circles are opened before the entry if it is in one, and
/// before those that nobody calls.
fn callees_last(callees: &[Vec<usize>], entry: Option<usize>) -> Vec<usize> {
    let number = callees.len();
    let mut called = vec![false; number];
    callees.iter().flatten().for_each(|callee| called[*callee] = true);
    let mut starts: Vec<usize> = (0..number).collect();
    starts.sort_by_key(|at| (called[*at], *at));
    if let Some(entry) = entry {
        starts.retain(|at| *at != entry);
        starts.insert(0, entry);
    }
    let mut done = vec![false; number];
    let mut order = Vec::with_capacity(number);
    for start in starts {
        if std::mem::replace(&mut done[start], true) {
            continue;
        }
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((at, next)) = path.last_mut() {
            match callees[*at].get(*next) {
                Some(callee) => {
                    *next += 1;
                    if !std::mem::replace(&mut done[*callee], true) {
                        path.push((*callee, 0));
                    }
                }
                None => {
                    order.push(*at);
                    path.pop();
                }
            }
        }
    }
    order.reverse();
    order
}

/// Boxes in the order in which connections go through them.
fn by_flow(items: &[Item], boxes: usize, edges: &[(usize, usize)], entry: Option<usize>) -> Vec<usize> {
    let mut callees: Vec<Vec<usize>> = vec![Vec::new(); boxes.max(1)];
    for (from, to) in edges {
        if let (Some(from), Some(to)) = (items[*from].group, items[*to].group)
            && from != to
        {
            callees[from].push(to);
        }
    }
    callees.iter_mut().for_each(|list| {
        list.sort_unstable();
        list.dedup();
    });
    let mut order = callees_last(&callees, entry);
    order.sort_by_key(|at| Some(*at) != entry);
    // What nobody connects with says least.
    let mut linked = vec![false; callees.len()];
    for (from, list) in callees.iter().enumerate() {
        for to in list {
            linked[from] = true;
            linked[*to] = true;
        }
    }
    let (with, without): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|at| linked[*at]);
    with.into_iter().chain(without.into_iter().rev()).collect()
}

/// The busiest boxes first; so busy that it is in another power of two, so that a few connections more don't move
/// anything.
fn by_weight(weights: &[u64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|at| (std::cmp::Reverse(u64::BITS - weights[*at].leading_zeros()), *at));
    order
}

/// Puts boxes on shelves, in this order.
fn shelves(sizes: &[(f64, f64)], order: &[usize]) -> Vec<Rect> {
    let area: f64 = sizes.iter().map(|(w, h)| (w + BOX_GAP) * (h + BOX_GAP)).sum();
    let widest = sizes.iter().map(|(w, _)| *w).fold(0.0, f64::max);
    // In steps too.
    let wanted = ((area * ASPECT).sqrt() / 400.0).ceil() * 400.0;
    let limit = wanted.max(widest);
    let mut places = vec![Rect::default(); sizes.len()];
    let (mut x, mut y, mut shelf) = (BOX_GAP, BOX_GAP, 0.0_f64);
    for &at in order {
        let (w, h) = sizes[at];
        if x > BOX_GAP && x + w > limit + BOX_GAP {
            x = BOX_GAP;
            y += shelf + BOX_GAP;
            shelf = 0.0;
        }
        places[at] = Rect { x, y, w, h };
        x += w + BOX_GAP;
        shelf = shelf.max(h);
    }
    places
}

#[cfg(test)]
mod tests;
