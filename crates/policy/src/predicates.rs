//! Predicates: the yes-or-no questions that the policies in use ask about an address.
//!
//! Each question has a *usual* answer: no, except for blocks that hold most addresses of a kind. A class is
//! the list of questions that are answered unusually; nothing else about an address matters. So neither a
//! label that few pods have nor a hole in a block that holds all others costs anything at the rest.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use ipnet::IpNet;
use podgate_api::LabelSelector;
use smallvec::SmallVec;

use crate::classes::ClassKey;
use crate::intern::LabelsView;
use crate::labels::SelectorIndex;
use crate::tables::{ClassId, Family, Kind, ProgramId};

/// Place of a predicate in [`Predicates`].
pub(crate) type PredId = u32;
/// Place of a namespace.
pub(crate) type NsId = u32;
/// Place of a namespace selector.
pub(crate) type NsSelId = u32;
/// Place of a policy version.
pub(crate) type PolicyIx = u32;
/// Place of a set of subjects.
pub(crate) type SetId = u32;
/// Id of a port name that policies mention.
pub(crate) type NameId = u32;

/// A few ids, most often without memory of their own.
pub(crate) type Ids = SmallVec<[u32; 4]>;

/// "Is an address of a pod": part of the key of every pod class, so that no pod class equals one of
/// other addresses.
pub(crate) const IS_POD: PredId = 0;

/// "Is it an IPv6 address": part of a key only where families answer differently though neither answers
/// unusually, see [`Predicates::apart`].
pub(crate) const IS_V6: PredId = 1;

/// Where a pod selector looks for pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// One namespace.
    Namespace(NsId),
    /// The namespaces that a namespace selector selects.
    Namespaces(NsSelId),
}

/// A question about an address or its pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    /// Is it a pod's?
    IsPod,
    /// Is it an IPv6 address?
    IsV6,
    /// Does this selector select the pod, as the subject of policies?
    Subject(Scope, LabelSelector),
    /// Does this selector select the pod, as the peer of rules?
    Peer(Scope, LabelSelector),
    /// Is the address in the block and in none of its holes?
    Block(IpNet, Box<[IpNet]>),
    /// Is it in the `status.addresses` of a Node that this selector selects?
    Nodes(LabelSelector),
    /// Has DNS answered with it for this name, or for one below it? See [`crate::domains::Domains`].
    Domain(Box<str>),
    /// Does the pod call this port number of this protocol by this name?
    NamedPort(NameId, u8, u16),
}

impl Question {
    fn selector(&self) -> Option<(Scope, &LabelSelector)> {
        match self {
            Question::Subject(scope, selector) | Question::Peer(scope, selector) => Some((*scope, selector)),
            _ => None,
        }
    }
}

/// A question in use, and who must hear when an answer changes.
#[derive(Clone, Debug)]
pub(crate) struct Predicate {
    pub question: Question,
    /// Of the question: growing the table must not hash it again.
    hash: u64,
    refs: u32,
    /// The kinds of addresses that usually answer with yes: a bit each, see [`Kind::bit`]. Fixed while a
    /// program asks.
    pub usual: u8,
    /// Subject: the policies with this subject.
    pub policies: Ids,
    /// Subject: the sets of pods for which it is answered with yes.
    pub sets: Ids,
    /// Peer, block, named port: the classes for which it is answered unusually.
    pub classes: SmallVec<[ClassId; 4]>,
    /// Peer, block: the programs that ask it.
    pub programs: SmallVec<[ProgramId; 4]>,
}

/// All questions in use, each once.
#[derive(Clone, Debug)]
pub(crate) struct Predicates {
    slots: Vec<Option<Predicate>>,
    free: Vec<PredId>,
    /// Slots by question.
    ids: HashTable<PredId>,
    hasher: DefaultHashBuilder,
    index: SelectorIndex<Scope, PredId>,
    /// Those of them about nodes.
    node_questions: Vec<PredId>,
    /// How many of them have yes as the usual answer.
    usually_yes: usize,
    /// Keys tell the families apart, for addresses of no pod and for pods': some question has another usual
    /// answer in one family. It stays so: to join what was told apart would change the class of half of all
    /// addresses.
    pub apart: [bool; 2],
    /// New since the last commit.
    pub fresh: Vec<PredId>,
    /// Not in use any more since the last commit.
    pub dead: Vec<PredId>,
}

impl Predicates {
    pub fn new() -> Self {
        let mut predicates = Predicates {
            slots: Vec::new(),
            free: Vec::new(),
            ids: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            index: SelectorIndex::new(),
            node_questions: Vec::new(),
            usually_yes: 0,
            apart: [false; 2],
            fresh: Vec::new(),
            dead: Vec::new(),
        };
        let is_pod = predicates.hold(Question::IsPod);
        debug_assert_eq!(is_pod, IS_POD);
        let is_v6 = predicates.hold(Question::IsV6);
        debug_assert_eq!(is_v6, IS_V6);
        predicates.fresh.clear();
        predicates
    }

    /// Makes room for this many more questions.
    pub fn reserve(&mut self, questions: usize) {
        self.slots.reserve(questions);
        let slots = &self.slots;
        self.ids.reserve(questions, |id| slots[*id as usize].as_ref().expect("a predicate id in use").hash);
    }

    pub fn get(&self, id: PredId) -> &Predicate {
        self.slots[id as usize].as_ref().expect("a predicate id in use")
    }

    pub fn get_mut(&mut self, id: PredId) -> &mut Predicate {
        self.slots[id as usize].as_mut().expect("a predicate id in use")
    }

    /// Whether the predicate is still in use: `false` between its last release and the commit's end.
    pub fn in_use(&self, id: PredId) -> bool {
        self.get(id).refs > 0
    }

    /// Whether addresses of this kind usually answer with yes.
    pub fn is_usual(&self, id: PredId, kind: Kind) -> bool {
        self.usually_yes > 0 && self.get(id).usual & kind.bit() != 0
    }

    /// Whether some question has yes as the usual answer.
    pub fn has_usual(&self) -> bool {
        self.usually_yes > 0
    }

    /// Sets the usual answer. Programs that asked before must be made anew, see [`Predicate::usual`].
    pub fn set_usual(&mut self, id: PredId, kind: Kind, yes: bool) {
        let predicate = self.get_mut(id);
        let before = predicate.usual;
        predicate.usual = if yes { before | kind.bit() } else { before & !kind.bit() };
        let after = predicate.usual;
        self.usually_yes = self.usually_yes + usize::from(after != 0) - usize::from(before != 0);
    }

    /// What the key of an address begins with, by its kind.
    pub fn kind_key(&self, kind: Kind) -> ClassKey {
        let mut key = ClassKey::new();
        if kind.pod {
            key.push(IS_POD);
        }
        if kind.family == Family::V6 && self.apart[usize::from(kind.pod)] {
            key.push(IS_V6);
        }
        key
    }

    /// The blocks in use.
    pub fn blocks(&self) -> impl Iterator<Item = PredId> {
        self.all().filter(|(_, question)| matches!(question, Question::Block(..))).map(|(id, _)| id)
    }

    /// All questions in use.
    pub fn all(&self) -> impl Iterator<Item = (PredId, &Question)> {
        let known = self.slots.iter().enumerate();
        known.filter_map(|(id, slot)| Some((id as PredId, &slot.as_ref().filter(|p| p.refs > 0)?.question)))
    }

    /// The questions about nodes, with their selectors.
    pub fn about_nodes(&self) -> impl Iterator<Item = (PredId, &LabelSelector)> {
        self.node_questions.iter().filter_map(|id| match &self.get(*id).question {
            Question::Nodes(selector) => Some((*id, selector)),
            _ => None,
        })
    }

    /// Takes the predicate into use, once more if it is already.
    pub fn hold(&mut self, question: Question) -> PredId {
        let hash = self.hasher.hash_one(&question);
        if let Some(id) = self.ids.find(hash, |id| self.get(*id).question == question) {
            let id = *id;
            let predicate = self.get_mut(id);
            predicate.refs += 1;
            if predicate.refs == 1 {
                // Revived within one commit: its answers were never forgotten.
                self.dead.retain(|dead| *dead != id);
            }
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as PredId
        });
        if let Some((scope, selector)) = question.selector() {
            self.index.file(scope, selector, id);
        }
        if matches!(question, Question::Nodes(_)) {
            self.node_questions.push(id);
        }
        self.slots[id as usize] = Some(Predicate {
            question,
            hash,
            refs: 1,
            usual: 0,
            policies: Ids::new(),
            sets: Ids::new(),
            classes: SmallVec::new(),
            programs: SmallVec::new(),
        });
        let Predicates { ids, slots, .. } = self;
        ids.insert_unique(hash, id, |id| slots[*id as usize].as_ref().expect("a predicate id in use").hash);
        self.fresh.push(id);
        id
    }

    /// Gives up one use. The last one makes it dead; its id is free after [`Predicates::bury`].
    pub fn release(&mut self, id: PredId) {
        let predicate = self.get_mut(id);
        predicate.refs -= 1;
        if predicate.refs == 0 {
            self.dead.push(id);
        }
    }

    /// Forgets the dead, at the end of a commit, when nothing mentions them any more.
    pub fn bury(&mut self) {
        for id in std::mem::take(&mut self.dead) {
            let Some(predicate) = self.slots[id as usize].take() else { continue };
            if let Ok(entry) = self.ids.find_entry(predicate.hash, |found| *found == id) {
                entry.remove();
            }
            if let Some((scope, selector)) = predicate.question.selector() {
                self.index.unfile(scope, selector, id);
            }
            self.usually_yes -= usize::from(predicate.usual != 0);
            if matches!(predicate.question, Question::Nodes(_)) {
                self.node_questions.retain(|known| *known != id);
            }
            self.free.push(id);
        }
        self.fresh.clear();
    }

    /// All predicates in use whose selector selects a pod with these labels in one of these scopes.
    pub fn matching(
        &self,
        scopes: impl Iterator<Item = Scope>,
        labels: LabelsView<'_>,
        mut found: impl FnMut(PredId, bool),
    ) {
        let atoms = self.index.atoms(labels.iter());
        let selects = |selector: &LabelSelector| selector.matches_by(|key| labels.get(key));
        for scope in scopes {
            self.index.find(scope, &atoms, |id| {
                let predicate = self.get(id);
                if predicate.refs == 0 {
                    return;
                }
                match &predicate.question {
                    Question::Subject(_, selector) if selects(selector) => found(id, true),
                    Question::Peer(_, selector) if selects(selector) => found(id, false),
                    _ => {}
                }
            });
        }
    }
}
