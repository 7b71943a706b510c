//! States and deltas as the engine makes them, at random.

use super::*;

/// Makes the next state and the delta that leads there, as the engine would.
pub(super) struct Engine {
    pub(super) state: State,
    pub(super) random: u64,
    pub(super) next_id: u32,
}

impl Engine {
    pub(super) fn new(random: u64) -> Self {
        let mut engine = Engine { state: State::default(), random: random | 1, next_id: 0 };
        for default in ["0.0.0.0/0", "::/0"] {
            let class = ClassId(engine.id());
            engine.state.prefixes.insert(default.parse().expect("prefix"), class);
        }
        engine
    }

    fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn pick(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) as usize % below
    }

    fn row(&mut self) -> Row {
        let outcome = |allowed: bool| Outcome {
            verdict: if allowed { Verdict::Allowed } else { Verdict::Denied },
            decider: DeciderId(0),
        };
        let mut ranges = Vec::new();
        for key in KEYS {
            if self.pick(2) == 0 {
                ranges.push(PortRange { lo: key, hi: key, outcome: outcome(self.pick(2) == 0) });
            }
        }
        Row { ranges: ranges.into(), otherwise: outcome(self.pick(2) == 0) }
    }

    fn class(&mut self) -> ClassId {
        let known: Vec<ClassId> = self.state.classes().into_iter().collect();
        match self.pick(3) {
            0 if !known.is_empty() => known[self.pick(known.len())],
            _ => ClassId(self.id()),
        }
    }

    fn program(&mut self) -> Option<ProgramId> {
        let known: Vec<ProgramId> = self.state.programs.keys().copied().collect();
        match self.pick(4) {
            0 => None,
            1 | 2 if !known.is_empty() => Some(known[self.pick(known.len())]),
            _ => {
                let id = ProgramId(self.id());
                let mut program = Program::new(self.row(), self.row());
                if self.pick(2) == 0 {
                    program.set_default_v6(self.row(), self.row());
                }
                self.state.programs.insert(id, program);
                Some(id)
            }
        }
    }

    fn give_rows(
        &mut self,
        classes: &BTreeSet<ClassId>,
        programs: &[ProgramId],
    ) -> Vec<(ProgramId, ClassId)> {
        let mut given = Vec::new();
        for program in programs {
            for class in classes {
                if self.pick(2) == 0 {
                    let row = self.row();
                    let table = self.state.programs.get_mut(program).expect("known");
                    let at = table.add_to_pool(row);
                    table.set_row(*class, at);
                    given.push((*program, *class));
                }
            }
        }
        given
    }

    pub(super) fn step(&mut self) -> Delta {
        let before = self.state.clone();
        let mut delta = Delta::default();
        for _ in 0..=self.pick(3) {
            match self.pick(3) {
                0 => {
                    let all = blocks();
                    let blocks = self.pick(all.len());
                    let class = (self.pick(2) == 0).then(|| self.class());
                    match class {
                        Some(class) => _ = self.state.prefixes.insert(all[blocks], class),
                        None => _ = self.state.prefixes.remove(&all[blocks]),
                    }
                }
                _ => {
                    let address = universe()[self.pick(6)];
                    if self.pick(4) == 0 {
                        self.state.addresses.remove(&address);
                    } else {
                        let node = if self.pick(4) == 0 { "elsewhere" } else { NODE };
                        let (class, egress, ingress) = (self.class(), self.program(), self.program());
                        let identity = Identity { class, egress, ingress, node: Some(Arc::from(node)) };
                        self.state.addresses.insert(address, identity);
                    }
                }
            }
        }
        let used = self.state.used_programs();
        self.state.programs.retain(|id, _| used.contains(id));
        let (old, new) = (before.classes(), self.state.classes());
        let (kept, made): (Vec<_>, Vec<_>) =
            self.state.programs.keys().partition(|id| before.programs.contains_key(id));
        let fresh = new.difference(&old).copied().collect();
        delta.rows = self.give_rows(&fresh, &kept);
        self.give_rows(&new, &made);
        for class in old.difference(&new) {
            for id in &kept {
                if self.state.programs.get_mut(id).is_some_and(|program| program.remove_row(*class)) {
                    delta.rows_gone.push((*id, *class));
                }
            }
        }
        delta.programs = made;
        delta.programs_gone =
            before.programs.keys().filter(|id| !self.state.programs.contains_key(id)).copied().collect();
        for address in universe() {
            let (old, new) = (before.addresses.get(&address), self.state.addresses.get(&address));
            if old != new {
                delta.addresses.push((address, new.cloned()));
            }
        }
        for prefix in blocks() {
            let (old, new) = (before.prefixes.get(&prefix), self.state.prefixes.get(&prefix));
            if old != new {
                delta.prefixes.push((prefix, new.copied()));
            }
        }
        delta
    }
}
