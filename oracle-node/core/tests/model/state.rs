//! The agreement of one instance as a transition system: n = 4, f = 1, two values, three honest members (interchangeable), one liar,
//! and a leader in every view who does whatever helps the liar.
//!
//! Leaves out what cannot change the answer: messages are never lost for good (the adversary delivers each when he likes, or
//! never), the liar's votes exist wherever they help, and crashes do nothing (what was said was durable first).
//! Decided members go on voting here although the code stops them: more behaviours, never fewer.

/// Honest members.
pub(crate) const HONEST: usize = 3;
/// Most views that a member's word has room for.
pub(crate) const VIEWS_MAX: u32 = 5;

/// One of two values, as a bit: A = 1, B = 2; 0 is none.
pub(crate) type Value = u32;
/// The first value.
pub(crate) const A: Value = 1;
/// The second value.
pub(crate) const B: Value = 2;

/// Bits of a member's word before the views.
const HEAD: u32 = 3;
/// Bits of one view: prepare (2), commit (2), round change (1).
const PER_VIEW: u32 = 5;

/// All that one honest member ever said: its view, and per view its prepare, its commit, and whether it changed rounds to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member(u32);

/// Like `v3 [pA cA] [rc pB] [rc]`: the view it is in, then what it said in each view.
impl core::fmt::Debug for Member {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = |value| ["-", "A", "B", "AB"][value as usize];
        write!(f, "v{}", self.view())?;
        for view in 1..=self.view() {
            let change = if self.changed_to(view) { "rc " } else { "" };
            write!(f, " [{change}p{} c{}]", name(self.prepare(view)), name(self.commit(view)))?;
        }
        Ok(())
    }
}

impl Member {
    const START: Self = Self(1);

    const fn shift(view: u32) -> u32 {
        HEAD + PER_VIEW * (view - 1)
    }

    pub(crate) const fn view(self) -> u32 {
        self.0 & 7
    }

    pub(crate) const fn prepare(self, view: u32) -> Value {
        (self.0 >> Self::shift(view)) & 3
    }

    pub(crate) const fn commit(self, view: u32) -> Value {
        (self.0 >> (Self::shift(view) + 2)) & 3
    }

    const fn changed_to(self, view: u32) -> bool {
        (self.0 >> (Self::shift(view) + 4)) & 1 == 1
    }

    /// The highest (view, value) below `view` that it saw prepared; a member commits exactly then. (0, 0) when none.
    fn prepared_below(self, view: u32) -> (u32, Value) {
        let found = (1..view).rev().find(|v| self.commit(*v) != 0);
        found.map_or((0, 0), |v| (v, self.commit(v)))
    }

    const fn enter(self, view: u32) -> Self {
        Self((self.0 & !7) | view)
    }

    const fn with_prepare(self, view: u32, value: Value) -> Self {
        Self(self.enter(view).0 | (value << Self::shift(view)))
    }

    const fn with_commit(self, view: u32, value: Value) -> Self {
        Self(self.0 | (value << (Self::shift(view) + 2)))
    }

    const fn with_round_change(self, view: u32) -> Self {
        Self(self.enter(view).0 | (1 << (Self::shift(view) + 4)))
    }

    /// The same member with A and B exchanged.
    const fn mirrored(self) -> Self {
        const LOW: u32 = (0b00101 * (1 | 1 << 5 | 1 << 10 | 1 << 15 | 1 << 20)) << HEAD;
        const HIGH: u32 = LOW << 1;
        Self((self.0 & !(LOW | HIGH)) | ((self.0 & LOW) << 1) | ((self.0 & HIGH) >> 1))
    }
}

/// The honest members; the liar has no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct State(pub(crate) [Member; HONEST]);

impl State {
    /// Everybody in view 1, nothing said.
    pub(crate) const START: Self = Self([Member::START; HONEST]);

    /// One state for all that differ only by the names of members and values.
    pub(crate) fn canonical(self) -> Self {
        let sorted = |mut members: [Member; HONEST]| {
            members.sort_unstable();
            Self(members)
        };
        sorted(self.0).min(sorted(self.0.map(Member::mirrored)))
    }

    /// Honest members of whom this holds.
    pub(crate) fn count(&self, holds: impl Fn(&Member) -> bool) -> u32 {
        self.0.iter().map(|member| u32::from(holds(member))).sum()
    }
}

/// One step of an honest member, by its place in the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Leaves for a higher view and says so.
    RoundChange(usize, u32),
    /// Takes a justified proposal of its own view or a higher one, which it enters, and votes for it.
    Prepare(usize, u32, Value),
    /// Saw a quorum prepare what it prepared itself, in its own view.
    Commit(usize),
}

/// The rules of agreement, sound or with a fault planted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model {
    /// Views explored, 1 to [`VIEWS_MAX`].
    pub(crate) views: u32,
    /// Votes that make a quorum: n − f = 3.
    pub(crate) quorum: u32,
    /// Whether the highest prepared value binds the next proposal.
    pub(crate) justified: bool,
}

impl Model {
    /// The rules as they should be.
    pub(crate) const fn sound(views: u32) -> Self {
        Self { views, quorum: 3, justified: true }
    }

    /// Whether a quorum of prepares for `value` can be shown; the liar's vote is one of them.
    fn prepared(&self, state: &State, view: u32, value: Value) -> bool {
        state.count(|m| m.prepare(view) == value) + 1 >= self.quorum
    }

    /// Whether a quorum of commits for `value` in some view can be shown: the value is decided for who sees them.
    pub(crate) fn decided(&self, state: &State, value: Value) -> bool {
        (1..=self.views).any(|view| state.count(|m| m.commit(view) == value) + 1 >= self.quorum)
    }

    /// The values (as bits) that the leader of `view` can justify.
    ///
    /// The liar's round change is always among the reasons: it can take the place of an honest one without raising the
    /// highest prepared view, or raise it to anything that a quorum of prepares proves.
    fn justifiable(&self, state: &State, view: u32) -> u32 {
        if view == 1 {
            return A | B;
        }
        let needed = self.quorum - 1;
        let mut values = 0;
        for chosen in 0..1u32 << HONEST {
            let members = || state.0.iter().enumerate().filter(|(i, _)| chosen >> i & 1 == 1).map(|(_, m)| *m);
            if chosen.count_ones() != needed || !members().all(|m| m.changed_to(view)) {
                continue;
            }
            if !self.justified {
                return A | B;
            }
            let reasons = || members().map(|m| m.prepared_below(view));
            let highest = reasons().map(|(v, _)| v).max().unwrap_or(0);
            values |= match highest {
                0 => A | B,
                _ => reasons().filter(|(v, _)| *v == highest).fold(0, |bits, (_, value)| bits | value),
            };
            for claimed in highest.max(1)..view {
                values |= [A, B].into_iter().filter(|v| self.prepared(state, claimed, *v)).fold(0, |bits, v| bits | v);
            }
        }
        values
    }

    /// Every step that an honest member may take, with the state it leads to (not canonical).
    pub(crate) fn steps(&self, state: &State, mut each: impl FnMut(Step, State)) {
        let mut values = [0; VIEWS_MAX as usize + 1];
        for view in 1..=self.views {
            values[view as usize] = self.justifiable(state, view);
        }
        for (i, member) in state.0.iter().enumerate() {
            let mut go = |step, member| {
                let mut next = *state;
                next.0[i] = member;
                each(step, next);
            };
            let now = member.view();
            let mine = member.prepare(now);
            if mine != 0 && member.commit(now) == 0 && self.prepared(state, now, mine) {
                go(Step::Commit(i), member.with_commit(now, mine));
            }
            for view in now..=self.views {
                if view > now {
                    go(Step::RoundChange(i, view), member.with_round_change(view));
                }
                for value in [A, B].into_iter().filter(|v| member.prepare(view) == 0 && values[view as usize] & v != 0)
                {
                    go(Step::Prepare(i, view, value), member.with_prepare(view, value));
                }
            }
        }
    }
}
