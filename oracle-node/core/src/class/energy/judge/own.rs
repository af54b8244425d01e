//! The device's own windows of a lease: each judged by itself, then chained.

use std::collections::BTreeMap;

use super::{Finding, Rules, Said, within};
use crate::class::Fault;
use crate::class::energy::chain::{self, Link};
use crate::class::energy::fold::WindowsAt;
use crate::class::energy::reason::{fault, held};
use crate::class::energy::windows::{self, Counted, Window};
use crate::reason::Reason;

/// A window that counts.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) window: Window,
    pub(super) counted: Counted,
    pub(super) evidence: Vec<usize>,
}

/// What the windows come to; `counted` ascends in time.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) refused: Vec<Finding>,
    pub(super) counted: Vec<Own>,
    pub(super) stand: Option<WindowsAt>,
}

pub(super) fn judge(rules: &Rules<'_>, before: Option<WindowsAt>, said: &[Said]) -> Outcome {
    let mut outcome = Outcome { refused: vec![], counted: vec![], stand: before };
    // A window said twice is one window; one that was over when counting stood is done with.
    let mut windows: BTreeMap<Window, Vec<usize>> = BTreeMap::new();
    // A device counts whether it is leased or not; what lies outside of the lease is not the lease's.
    let (from, until) = rules.lease_s;
    let ours = said.iter().filter(|one| one.window.end > from && one.window.start < until);
    for one in ours.filter(|one| before.is_none_or(|stand| one.window.end > stand.end)) {
        windows.entry(one.window).or_default().push(one.evidence);
    }
    // Without a past, the register of the earliest window is the lease's.
    let stand =
        before.or_else(|| windows.first_key_value().map(|(window, _)| WindowsAt { end: 0, last: 0, ..stand(window) }));
    let limits = rules.section.window_rules(rules.rated_w, rules.latest_s, rules.place);
    let mut candidates = Vec::new();
    for (window, mut evidence) in windows {
        evidence.sort_unstable();
        evidence.dedup();
        let follows = within(rules.lease_s, (window.start, window.end)).and_then(|()| follows(&window, stand));
        match follows.and_then(|()| windows::judge(&window, &limits)) {
            Ok(counted) => candidates.push((link(&window, counted), Own { window, counted, evidence })),
            Err(fault) => outcome.refused.push(Finding { at: window.start, result: Err(fault), evidence }),
        }
    }
    chain(candidates, &mut outcome);
    outcome
}

/// Where counting stands after a window.
const fn stand(window: &Window) -> WindowsAt {
    WindowsAt { end: window.end, last: window.last, register: window.register, exponent: window.exponent }
}

/// Whether a window can come after where counting stands: on the same register, later, and not lower.
fn follows(window: &Window, stand: Option<WindowsAt>) -> Result<(), Fault> {
    let Some(stand) = stand else { return Ok(()) };
    held(window.register == stand.register, Fault::plain(Reason::REGISTER_CHANGED))?;
    held(window.exponent == stand.exponent, fault(Reason::WRONG_SCALE, window.exponent, stand.exponent))?;
    held(window.start >= stand.end, fault(Reason::ENERGY_OVERLAP, window.start, stand.end))?;
    held(window.first >= stand.last, fault(Reason::REGISTER_FELL, window.first, stand.last))
}

const fn link(window: &Window, counted: Counted) -> Link {
    let (first, last) = counted.register;
    Link { start: window.start, end: window.end, first, last, weight: counted.units }
}

fn chain(mut candidates: Vec<(Link, Own)>, outcome: &mut Outcome) {
    candidates.sort_by_key(|(link, own)| (*link, own.window));
    let links: Vec<Link> = candidates.iter().map(|(link, _)| *link).collect();
    let mut chosen = chain::heaviest(&links).into_iter().peekable();
    let kept: Vec<Link> = chain::heaviest(&links).into_iter().filter_map(|place| links.get(place).copied()).collect();
    for (place, (link, own)) in candidates.into_iter().enumerate() {
        if chosen.next_if_eq(&place).is_some() {
            outcome.stand = Some(stand(&own.window));
            outcome.counted.push(own);
            continue;
        }
        let fault = kept.iter().find_map(|other| link.conflict(other)).unwrap_or(Fault::plain(Reason::ENERGY_OVERLAP));
        outcome.refused.push(Finding { at: own.window.start, result: Err(fault), evidence: own.evidence });
    }
}
