//! Numbered places for many small values.

/// Values by number; a number is used again once its value is gone. Grows a piece at a time, so that nothing is
/// ever moved and little is kept in reserve.
#[derive(Clone, Debug)]
pub(crate) struct Slots<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
}

/// Values in a piece.
const CHUNK: usize = 1024;

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    pub fn find(&self, ix: u32) -> Option<&T> {
        self.chunks.get(ix as usize / CHUNK)?.get(ix as usize % CHUNK)?.as_ref()
    }

    pub fn get(&self, ix: u32) -> &T {
        self.chunks[ix as usize / CHUNK][ix as usize % CHUNK].as_ref().expect("a place in use")
    }

    pub fn get_mut(&mut self, ix: u32) -> &mut T {
        self.chunks[ix as usize / CHUNK][ix as usize % CHUNK].as_mut().expect("a place in use")
    }

    pub fn insert(&mut self, value: T) -> u32 {
        if let Some(ix) = self.free.pop() {
            self.chunks[ix as usize / CHUNK][ix as usize % CHUNK] = Some(value);
            return ix;
        }
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            // Small clusters are many, in tests and in the toolbox.
            self.chunks.push(if self.chunks.is_empty() { Vec::new() } else { Vec::with_capacity(CHUNK) });
        }
        let at = self.chunks.len() - 1;
        self.chunks[at].push(Some(value));
        (at * CHUNK + self.chunks[at].len() - 1) as u32
    }

    pub fn remove(&mut self, ix: u32) -> Option<T> {
        let gone = self.chunks[ix as usize / CHUNK][ix as usize % CHUNK].take();
        if gone.is_some() {
            self.free.push(ix);
        }
        gone
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let places = self.chunks.iter().flatten().enumerate();
        places.filter_map(|(ix, value)| Some((ix as u32, value.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let places = self.chunks.iter_mut().flatten().enumerate();
        places.filter_map(|(ix, value)| Some((ix as u32, value.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_and_come_back_over_many_pieces() {
        let mut slots = Slots::default();
        let numbers: Vec<u32> = (0..3000).map(|i| slots.insert(i)).collect();
        assert!(numbers.iter().enumerate().all(|(i, ix)| *slots.get(*ix) == i as i32));
        assert_eq!(slots.remove(numbers[2500]), Some(2500));
        assert_eq!(slots.find(numbers[2500]), None);
        assert_eq!(slots.iter().count(), 2999);
        assert_eq!(slots.insert(7), numbers[2500]);
        assert_eq!(slots.find(5000), None);
    }
}
