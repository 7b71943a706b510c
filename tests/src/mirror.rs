//! A datapath in memory: it knows only what deltas tell, takes everything untold as unchanged, and
//! judges from its own copies.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use podgate_policy::{
    ClassId, Cluster, Decider, DeciderId, Delta, Family, Identity, Kind, Outcome, PortKey, ProgramId,
    Programs, Reason, Row, Side, Verdict,
};

use crate::naive::Question;

/// What a kernel would hold.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    addresses: BTreeMap<IpAddr, Identity>,
    prefixes: BTreeMap<IpNet, ClassId>,
    programs: BTreeMap<ProgramId, Copied>,
}

#[derive(Clone, Debug)]
struct Copied {
    /// For classes without a row.
    defaults: BTreeMap<Kind, Row>,
    rows: BTreeMap<ClassId, Row>,
    /// For pods that reach themselves through a Service.
    itself: BTreeMap<ClassId, Row>,
    itself_defaults: BTreeMap<Family, Row>,
}

/// One change of the step that makes new state effective.
#[derive(Clone, Debug)]
pub enum Flip {
    /// An address's class and programs.
    Address(IpAddr, Option<Identity>),
    /// A prefix's class.
    Prefix(IpNet, Option<ClassId>),
}

impl Mirror {
    /// Everything the delta tells, in the order of a publication. The error names a broken promise.
    pub fn apply(&mut self, delta: &Delta, programs: &impl Programs) -> Result<(), String> {
        self.prepare(delta, programs)?;
        for flip in flips(delta) {
            self.flip(&flip)?;
        }
        self.collect(delta)
    }

    /// The first step: rows and programs that nothing points at yet.
    pub fn prepare(&mut self, delta: &Delta, programs: &impl Programs) -> Result<(), String> {
        let find = |id: ProgramId| {
            programs.program(id).ok_or_else(|| format!("{id:?} is in the delta and nowhere else"))
        };
        for (id, class) in &delta.rows {
            let program = find(*id)?;
            let (row, itself) = (program.row(*class), program.row_of_itself(*class));
            if row.or(itself).is_none() {
                return Err(format!("{id:?} has no row for {class:?}"));
            }
            let known = self.programs.get_mut(id).ok_or_else(|| format!("rows for unknown {id:?}"))?;
            known.rows.extend(row.map(|row| (*class, row.clone())));
            known.itself.extend(itself.map(|row| (*class, row.clone())));
        }
        for id in &delta.programs {
            let program = find(*id)?;
            let copied = Copied {
                defaults: Kind::ALL.map(|kind| (kind, program.default_row(kind).clone())).into(),
                rows: program.rows().map(|(class, row)| (class, row.clone())).collect(),
                itself: program.rows_of_itself().map(|(class, row)| (class, row.clone())).collect(),
                itself_defaults: Family::ALL
                    .into_iter()
                    .filter_map(|family| Some((family, program.default_row_of_itself(family)?.clone())))
                    .collect(),
            };
            if self.programs.insert(*id, copied).is_some() {
                return Err(format!("{id:?} is told as new twice"));
            }
        }
        Ok(())
    }

    /// One change of the second step.
    pub fn flip(&mut self, flip: &Flip) -> Result<(), String> {
        match flip {
            Flip::Address(address, Some(identity)) => {
                for id in identity.egress.iter().chain(&identity.ingress) {
                    if !self.programs.contains_key(id) {
                        return Err(format!("{address} is to use {id:?}, which was never told"));
                    }
                }
                self.addresses.insert(*address, identity.clone());
            }
            Flip::Address(address, None) => {
                self.addresses.remove(address).ok_or_else(|| format!("{address} is gone twice"))?;
            }
            Flip::Prefix(prefix, Some(class)) => {
                self.prefixes.insert(*prefix, *class);
            }
            Flip::Prefix(prefix, None) => {
                self.prefixes.remove(prefix).ok_or_else(|| format!("{prefix} is gone twice"))?;
            }
        }
        Ok(())
    }

    /// The last step: what nothing points at any more.
    pub fn collect(&mut self, delta: &Delta) -> Result<(), String> {
        for (id, class) in &delta.rows_gone {
            let program =
                self.programs.get_mut(id).ok_or_else(|| format!("rows of unknown {id:?} are gone"))?;
            let (row, itself) = (program.rows.remove(class), program.itself.remove(class));
            row.or(itself).ok_or_else(|| format!("{id:?} never had the row {class:?} that is gone"))?;
        }
        for id in &delta.programs_gone {
            self.programs.remove(id).ok_or_else(|| format!("{id:?} is gone and was never told"))?;
            let user = self.addresses.iter().find(|(_, i)| i.egress == Some(*id) || i.ingress == Some(*id));
            if let Some((address, _)) = user {
                return Err(format!("{id:?} is gone and {address} still uses it"));
            }
        }
        Ok(())
    }

    /// The outcomes of egress and ingress; `None` where no program judges.
    pub fn judge(&self, question: &Question) -> Result<(Option<Outcome>, Option<Outcome>), String> {
        let from = self.addresses.get(&question.from);
        let to = self.addresses.get(&question.to);
        let key = PortKey::new(question.protocol, question.port);
        let egress = from.and_then(|i| i.egress).map(|id| self.outcome(id, question.to, key)).transpose()?;
        let ingress =
            to.and_then(|i| i.ingress).map(|id| self.outcome(id, question.from, key)).transpose()?;
        Ok((egress, ingress))
    }

    fn outcome(&self, id: ProgramId, other: IpAddr, key: PortKey) -> Result<Outcome, String> {
        let program = self.programs.get(&id).ok_or_else(|| format!("{id:?} is in use and not known"))?;
        let (class, pod) = match self.addresses.get(&other) {
            Some(identity) => (identity.class, true),
            None => (self.longest_match(other)?, false),
        };
        let default = &program.defaults[&Kind { pod, family: Family::of(other) }];
        Ok(program.rows.get(&class).unwrap_or(default).outcome(key))
    }

    /// Whether this agrees with the engine's own answer for a pod that reaches itself through a Service.
    pub fn agrees_on_hairpin(
        &self,
        cluster: &Cluster,
        pod: IpAddr,
        protocol: u8,
        port: u16,
    ) -> Result<(), String> {
        let decision = cluster.evaluate_hairpin(pod, protocol, port);
        let key = PortKey::new(protocol, port);
        let identity = self.addresses.get(&pod);
        for (side, id) in [
            (&decision.egress, identity.and_then(|identity| identity.egress)),
            (&decision.ingress, identity.and_then(|identity| identity.ingress)),
        ] {
            let program = id.and_then(|id| self.programs.get(&id));
            let row = program
                .zip(identity)
                .and_then(|(program, identity)| program.itself(identity.class, Family::of(pod)));
            let verdict = row.map_or(Verdict::Allowed, |row| row.outcome(key).verdict);
            if verdict != side.verdict {
                return Err(format!("{pod} to itself, {protocol}/{port}: {verdict:?}\n engine {decision:?}"));
            }
            if let (Some(row), Verdict::Denied) = (row, verdict) {
                let named = cluster.decider(row.outcome(key).decider);
                if !matches!((&named, &side.reason), (Some(Decider::Rule(a)), Reason::Rule(b)) if a == b) {
                    return Err(format!("{pod} to itself: the tables say {named:?}\n engine {decision:?}"));
                }
            }
        }
        Ok(())
    }

    fn longest_match(&self, address: IpAddr) -> Result<ClassId, String> {
        self.prefixes
            .iter()
            .filter(|(prefix, _)| prefix.contains(&address))
            .max_by_key(|(prefix, _)| prefix.prefix_len())
            .map(|(_, class)| *class)
            .ok_or_else(|| format!("no prefix holds {address}"))
    }

    /// Whether this agrees with the engine's own answer.
    pub fn agrees(&self, cluster: &Cluster, question: &Question) -> Result<(), String> {
        let decision = cluster.evaluate(&crate::compare::connection(question));
        let (egress, ingress) = self.judge(question)?;
        let side = |name, side: &Side, outcome, address| {
            self.side_agrees(cluster, side, outcome, address)
                .map_err(|why| format!("{name}: {why}\n{question:?}\n engine {decision:?}"))
        };
        side("egress", &decision.egress, egress, question.from)?;
        side("ingress", &decision.ingress, ingress, question.to)
    }

    fn side_agrees(
        &self,
        cluster: &Cluster,
        side: &Side,
        outcome: Option<Outcome>,
        address: IpAddr,
    ) -> Result<(), String> {
        let pod = self.addresses.contains_key(&address);
        match (&side.reason, outcome) {
            (Reason::NotAPod, None) if !pod => Ok(()),
            // The kernel decides these two before any table: a node's name is all it needs.
            (Reason::Itself, _) => Ok(()),
            (Reason::OwnNode, _) if !pod || self.addresses[&address].node.is_some() => Ok(()),
            (Reason::NotIsolated, None) if pod => Ok(()),
            (Reason::NotIsolated, Some(outcome)) if outcome.decider == DeciderId::NOT_ISOLATED => {
                same(side, outcome)
            }
            (Reason::IcmpEcho, Some(outcome)) if outcome.decider == DeciderId::ICMP_ECHO => {
                same(side, outcome)
            }
            (Reason::Rule(_) | Reason::Isolated(_), Some(outcome)) => {
                let named = match cluster.decider(outcome.decider) {
                    Some(Decider::Rule(rule)) => Reason::Rule(rule.clone()),
                    Some(Decider::Isolation { policies, .. }) => Reason::Isolated(policies.clone()),
                    other => return Err(format!("{:?} stands for {other:?}", outcome.decider)),
                };
                if named != side.reason {
                    return Err(format!("the tables say {named:?}"));
                }
                same(side, outcome)
            }
            (_, outcome) => Err(format!("the tables say {outcome:?}, pod: {pod}")),
        }
    }

    /// Whether every copy still means what the engine's programs mean: programs never change in
    /// secret, and none is kept or missed.
    pub fn copies_are_current(&self, cluster: &Cluster) -> Result<(), String> {
        let pods = self.addresses.iter().map(|(ip, identity)| (identity.class, kind(*ip, true)));
        let prefixes = self.prefixes.iter().map(|(net, class)| (*class, kind(net.addr(), false)));
        let classes: Vec<_> = pods.chain(prefixes).collect();
        for (id, copied) in &self.programs {
            let program = cluster.program(*id).ok_or_else(|| format!("{id:?} was never told as gone"))?;
            for (class, kind) in &classes {
                let mine = copied.rows.get(class).unwrap_or(&copied.defaults[kind]);
                let theirs = program.row_towards(*class, *kind);
                if mine != theirs {
                    return Err(format!("{id:?} {class:?}: told {mine:?}, now {theirs:?}"));
                }
                let (mine, theirs) =
                    (copied.itself(*class, kind.family), program.itself(*class, kind.family));
                if kind.pod && mine != theirs {
                    return Err(format!("{id:?} {class:?} itself: told {mine:?}, now {theirs:?}"));
                }
            }
            if let Some(class) = copied.rows.keys().find(|class| program.row(**class).is_none()) {
                return Err(format!("{id:?} lost its row for {class:?}, which was never told"));
            }
            for (class, _) in program.rows() {
                if !copied.rows.contains_key(&class) {
                    return Err(format!("{id:?} has a row for {class:?} that was never told"));
                }
            }
        }
        Ok(())
    }

    /// Programs that no address uses: what a delta should have named as gone.
    pub fn unused_programs(&self) -> Vec<ProgramId> {
        let used =
            |id: &ProgramId| self.addresses.values().any(|i| i.egress == Some(*id) || i.ingress == Some(*id));
        self.programs.keys().filter(|id| !used(id)).copied().collect()
    }

    /// Whether two mirrors hold the same, whatever the numbers of classes and programs are. The error
    /// names an address or prefix that one of them lacks.
    pub fn same_reach(&self, other: &Mirror) -> Result<(), String> {
        let missing =
            |a: &Mirror, b: &Mirror| a.addresses.keys().find(|k| !b.addresses.contains_key(k)).copied();
        match missing(self, other).or(missing(other, self)) {
            Some(address) => Err(format!("only one of them knows {address}")),
            None => Ok(()),
        }
    }
}

impl Copied {
    fn itself(&self, class: ClassId, family: Family) -> Option<&Row> {
        self.itself.get(&class).or_else(|| self.itself_defaults.get(&family))
    }
}

fn kind(ip: IpAddr, pod: bool) -> Kind {
    Kind { pod, family: Family::of(ip) }
}

fn same(side: &Side, outcome: Outcome) -> Result<(), String> {
    if side.verdict == outcome.verdict { Ok(()) } else { Err(format!("the tables say {outcome:?}")) }
}

/// The second step's changes. A kernel makes them effective at once.
pub fn flips(delta: &Delta) -> Vec<Flip> {
    let addresses =
        delta.addresses.iter().map(|(address, identity)| Flip::Address(*address, identity.clone()));
    let prefixes = delta.prefixes.iter().map(|(prefix, class)| Flip::Prefix(*prefix, *class));
    addresses.chain(prefixes).collect()
}
