//! The signed records of a lease: read, bound to the lease, grouped into sessions by their pages, judged, and chained.
//! The records of a session are presented together; one whose end is still to come counts nothing yet and is not used up.

use std::collections::BTreeMap;

use super::{Finding, Presented, Rules, read, within};
use crate::class::Fault;
use crate::class::energy::chain::{self, Link};
use crate::class::energy::decimal::Decimal;
use crate::class::energy::fold::{PageBook, SessionsAt};
use crate::class::energy::ocmf::reading::Kind;
use crate::class::energy::ocmf::session::{self, Session};
use crate::class::energy::ocmf::{Context, Record};
use crate::class::energy::reason::{fault, held};
use crate::reason::Reason;
use sha2::{Digest, Sha256};

/// A session that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// Start, unix seconds, rounded down.
    pub(super) begin_s: u64,
    /// End, unix seconds, rounded down.
    pub(super) end_s: u64,
    /// Energy, in the policy's units.
    pub(super) units: u64,
    /// The power of ten of the meter's last digit, Wh.
    pub(super) exponent: i32,
    /// Its evidence.
    evidence: Vec<usize>,
}

impl Signed {
    pub(super) fn finding(self) -> Finding {
        Finding { at: self.begin_s, result: Ok(self.units), evidence: self.evidence }
    }
}

/// What the records come to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) refused: Vec<Finding>,
    pub(super) counted: Vec<Signed>,
    pub(super) stand: SessionsAt,
}

/// A verified record with everything that presented it.
struct Page<'a> {
    record: Record<'a>,
    arrival_ms: u64,
    evidence: Vec<usize>,
}

/// A session judged by itself.
struct Candidate {
    link: Link,
    page: u64,
    value: Decimal,
    register: [u8; 8],
    signed: Signed,
}

pub(super) fn is_transaction(record: &Record<'_>) -> bool {
    record.page.context == Context::Transaction
}

pub(super) fn judge(
    rules: &Rules<'_>,
    book: &PageBook,
    before: &crate::class::energy::fold::LeaseFold,
    presented: &[Presented<'_>],
) -> Outcome {
    let before = &before.sessions;
    let mut outcome = Outcome { stand: before.clone(), ..Outcome::default() };
    let bound = bound(rules, book, presented, &mut outcome.refused);
    let mut candidates = Vec::new();
    for group in grouped(bound) {
        let first = group.first().map_or(0, |page| page.record.page.number);
        if before.counted.contains(&first) {
            continue;
        }
        let at = group.first().and_then(|page| page.record.readings.first()).map_or(0, |reading| reading.time.unix_s());
        let evidence = evidence(&group);
        if let Some(due) = book.missing_before(first) {
            let result = Err(fault(Reason::PAGE_MISSING, first, due));
            outcome.refused.push(Finding { at, result, evidence: evidence.clone() });
        }
        match one(rules, before, &group) {
            Ok(candidate) => candidates.push(candidate),
            Err(fault) => outcome.refused.push(Finding { at, result: Err(fault), evidence }),
        }
    }
    chain(candidates, &mut outcome);
    outcome
}

/// Records of the meter that are bound to the lease, ascending by page, each once whoever signed it again how often.
fn bound<'a>(
    rules: &Rules<'_>,
    book: &PageBook,
    presented: &[Presented<'a>],
    refused: &mut Vec<Finding>,
) -> Vec<Page<'a>> {
    let mut pages: BTreeMap<(u64, [u8; 32]), Page<'a>> = BTreeMap::new();
    for one in presented.iter().filter(|one| one.lease == rules.lease) {
        let record = match read(one, &rules.meter, rules.curves) {
            Ok(record) => record,
            Err(fault) => {
                refused.push(Finding { at: 0, result: Err(fault), evidence: vec![one.evidence] });
                continue;
            }
        };
        let key = (record.page.number, record.digest());
        let verdict = held(is_transaction(&record), Fault::plain(Reason::NOT_A_SESSION));
        if let Err(fault) = verdict.and_then(|()| book.bound(key.0, &key.1, rules.lease)) {
            let at = record.readings.first().map_or(0, |reading| reading.time.unix_s());
            refused.push(Finding { at, result: Err(fault), evidence: vec![one.evidence] });
            continue;
        }
        let page = pages.entry(key).or_insert(Page { record, arrival_ms: one.arrival_ms, evidence: vec![] });
        page.arrival_ms = page.arrival_ms.min(one.arrival_ms);
        page.evidence.push(one.evidence);
    }
    pages.into_values().collect()
}

/// A session starts with the record that has a begin, and is over with the one that has an end.
fn grouped(pages: Vec<Page<'_>>) -> Vec<Vec<Page<'_>>> {
    let has = |page: &Page<'_>, kind: Kind| page.record.readings.iter().any(|reading| reading.kind == kind);
    let mut groups: Vec<Vec<Page<'_>>> = Vec::new();
    let mut open = false;
    for page in pages {
        let ends = has(&page, Kind::End);
        match groups.last_mut().filter(|_| open && !has(&page, Kind::Begin)) {
            Some(group) => group.push(page),
            None => groups.push(vec![page]),
        }
        open = !ends;
    }
    groups
}

fn evidence(group: &[Page<'_>]) -> Vec<usize> {
    let mut all: Vec<usize> = group.iter().flat_map(|page| page.evidence.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Judges the pages of one session, and holds it against where the lease stands.
fn one(rules: &Rules<'_>, before: &SessionsAt, group: &[Page<'_>]) -> Result<Candidate, Fault> {
    let records: Vec<&Record<'_>> = group.iter().map(|page| &page.record).collect();
    let last = group.last().ok_or(Fault::plain(Reason::NOT_A_SESSION))?;
    let ended = last.record.readings.iter().rev().find(|reading| reading.kind == Kind::End);
    let end = ended.ok_or(fault(Reason::SESSION_UNFINISHED, last.record.page.number, 0))?;
    for (one, next) in records.iter().zip(records.iter().skip(1)) {
        let (number, due) = (next.page.number, one.page.number.saturating_add(1));
        held(number == due, fault(Reason::PAGE_MISSING, number, due))?;
    }
    let late_ms = last.arrival_ms.saturating_sub(end.time.unix_ms);
    let fresh = late_ms <= rules.section.clocks.informative_ms;
    let session =
        session::judge(&records, &rules.section.session_rules(rules.rated_w, rules.latest_s, fresh, late_ms))?;
    within(rules.lease_s, (session.begin_s, session.end_s))?;
    let (begin_ms, counted_ms) = (session.begin.time.unix_ms, before.end_ms);
    held(begin_ms >= counted_ms, fault(Reason::ENERGY_OVERLAP, begin_ms / 1_000, counted_ms / 1_000))?;
    candidate(rules, before, session, group)
}

fn candidate(
    rules: &Rules<'_>,
    before: &SessionsAt,
    session: Session<'_>,
    group: &[Page<'_>],
) -> Result<Candidate, Fault> {
    let lost = Fault::plain(Reason::DIGITS_LOST);
    let code = session.begin.register.as_deref().unwrap_or("");
    let register = register_hash(code);
    let value = session.end.watt_hours().ok_or(lost)?;
    let mut link = Link {
        start: session.begin.time.unix_ms,
        end: session.end.time.unix_ms,
        first: 0,
        last: 0,
        weight: session.units,
    };
    let resolution = rules.section.resolution_exponent;
    if !restarts(code) {
        let units = |value: Decimal| value.units_of(resolution).ok_or(lost);
        link.first = units(session.begin.watt_hours().ok_or(lost)?)?;
        link.last = units(value)?;
        if let Some(shown) = before.value {
            held(register == before.register, Fault::plain(Reason::REGISTER_CHANGED))?;
            let (shown, first) = (units(shown)?, link.first);
            held(first >= shown, fault(Reason::REGISTER_FELL, first, shown))?;
        }
    }
    let (_, exponent) = session.energy.parts();
    let signed = Signed {
        begin_s: session.begin_s,
        end_s: session.end_s,
        units: session.units,
        exponent,
        evidence: evidence(group),
    };
    let page = group.first().map_or(0, |page| page.record.page.number);
    Ok(Candidate { link, page, value, register, signed })
}

/// Chains the sessions of one register, and moves on to the end of the chain.
fn chain(mut candidates: Vec<Candidate>, outcome: &mut Outcome) {
    candidates.sort_unstable_by_key(|one| (one.link, one.page));
    // Without a past, the register of the lowest page is the lease's.
    let lowest = candidates.iter().min_by_key(|one| one.page).map(|one| one.register);
    let (candidates, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|one| Some(one.register) == lowest);
    let mut refuse = |one: Candidate, fault| {
        outcome.refused.push(Finding { at: one.signed.begin_s, result: Err(fault), evidence: one.signed.evidence });
    };
    others.into_iter().for_each(|one| refuse(one, Fault::plain(Reason::REGISTER_CHANGED)));
    let links: Vec<Link> = candidates.iter().map(|one| one.link).collect();
    let chosen = chain::heaviest(&links);
    for (place, one) in candidates.into_iter().enumerate() {
        if !chosen.contains(&place) {
            let others = chosen.iter().filter_map(|other| links.get(*other));
            let fault = others.filter_map(|other| one.link.conflict(other)).next();
            refuse(one, fault.unwrap_or(Fault::plain(Reason::ENERGY_OVERLAP)));
            continue;
        }
        outcome.stand.end_ms = one.link.end;
        outcome.stand.value = Some(one.value);
        outcome.stand.register = one.register;
        outcome.stand.remember(one.page);
        outcome.counted.push(one.signed);
    }
}

/// Whether a register starts from zero with every session: B2 and B3 of OCMF 1.4.
fn restarts(code: &str) -> bool {
    let groups = code.split_once(':').map_or(code, |(_, groups)| groups);
    matches!(groups.get(..2), Some("B2" | "B3" | "b2" | "b3"))
}

fn register_hash(code: &str) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(code.as_bytes()).into();
    digest.first_chunk().copied().unwrap_or_default()
}
