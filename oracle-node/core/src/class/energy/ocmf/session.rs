//! What a charging session's records are worth: one begin, one end, one import register that never falls, a good meter
//! and a clock that counts. Gives the time and the energy, exact. Leaves out: signatures (`key`), and what the meter
//! showed before (`fold`).

use super::obis::{self, Flow};
use super::reading::{Kind, Reading};
use super::time::Clock;
use super::{Context, Record};
use crate::class::Fault;
use crate::class::energy::decimal::Decimal;
use crate::class::energy::reason::{fault, held};
use crate::reason::Reason;

/// Most records of one session: a begin and an end, or one record with both, and a few between.
pub(crate) const RECORDS_MAX: usize = 16;

/// What a session is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Whether an informative clock counts: the caller saw the record arrive within the policy's limit.
    pub(crate) informative: bool,
    /// Whether a relative clock counts.
    pub(crate) relative: bool,
    /// How late the record arrived, and the limit for an informative clock, ms; only told.
    pub(crate) arrival_ms: (u64, u64),
    /// The latest end that is believed, unix seconds.
    pub(crate) latest_s: u64,
    /// Longest session, s.
    pub(crate) longest_s: u64,
    /// Energy is counted in units of `10^resolution_exponent` Wh.
    pub(crate) resolution_exponent: i32,
    /// The device's rated power, W.
    pub(crate) rated_w: u64,
    /// Energy above this part of rated power times time is refused, basis points.
    pub(crate) rated_margin_bp: u32,
}

/// A session that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session<'a> {
    /// Its first reading.
    pub(crate) begin: Reading<'a>,
    /// Its last.
    pub(crate) end: Reading<'a>,
    /// Start, unix seconds.
    pub(crate) begin_s: u64,
    /// End, unix seconds; not below the start.
    pub(crate) end_s: u64,
    /// Energy consumed, Wh, to the meter's last digit.
    pub(crate) energy: Decimal,
    /// The same in units of the policy's resolution.
    pub(crate) units: u64,
    /// Whether its seconds count: the meter did not withdraw its time along the way.
    pub(crate) timed: bool,
}

/// Judges the records of one session, ascending by page.
///
/// # Errors
/// The first rule that does not hold, with what was measured and its limit.
pub(crate) fn judge<'a>(records: &[&Record<'a>], rules: &Rules) -> Result<Session<'a>, Fault> {
    check_records(records)?;
    let readings = one_register(records)?;
    let (begin, end) = ends(&readings)?;
    let timed = check_readings(&readings)?;
    check_clocks(begin, end, rules)?;
    check_register(&readings)?;
    let (begin_s, end_s) = (begin.time.unix_s(), end.time.unix_s());
    held(begin.time.unix_ms <= end.time.unix_ms, fault(Reason::NO_DURATION, end_s, begin_s))?;
    held(end_s <= rules.latest_s, fault(Reason::ENERGY_FROM_FUTURE, end_s, rules.latest_s))?;
    let seconds = end_s.saturating_sub(begin_s);
    held(seconds <= rules.longest_s, fault(Reason::WINDOW_TOO_LONG, seconds, rules.longest_s))?;
    let lost = Fault::plain(Reason::DIGITS_LOST);
    let energy = difference(begin, end).ok_or(lost)?;
    let units = energy.units_of(rules.resolution_exponent).and_then(|units| u64::try_from(units).ok()).ok_or(lost)?;
    check_rated(units, end.time.unix_ms.saturating_sub(begin.time.unix_ms), rules)?;
    Ok(Session { begin: begin.clone(), end: end.clone(), begin_s, end_s, energy, units, timed })
}

/// Records of one meter and one transaction, ascending.
fn check_records(records: &[&Record<'_>]) -> Result<(), Fault> {
    let count = fault(Reason::NOT_A_SESSION, records.len(), RECORDS_MAX);
    let first = records.first().filter(|_| records.len() <= RECORDS_MAX).ok_or(count)?;
    let transaction = records.iter().all(|record| record.page.context == Context::Transaction);
    held(transaction, Fault::plain(Reason::NOT_A_SESSION))?;
    let one_meter = records.iter().all(|record| record.serials == first.serials);
    held(one_meter, Fault::plain(Reason::WRONG_METER))?;
    let pairs = records.iter().zip(records.iter().skip(1));
    for (one, next) in pairs {
        let (number, least) = (next.page.number, one.page.number.saturating_add(1));
        held(number >= least, fault(Reason::PAGE_SEEN, number, least))?;
    }
    Ok(())
}

/// The readings of the import register that the session begins on.
fn one_register<'r, 'a>(records: &[&'r Record<'a>]) -> Result<Vec<&'r Reading<'a>>, Fault> {
    let all = || records.iter().flat_map(|record| &record.readings);
    let imports = |reading: &Reading<'_>| {
        reading.watt_hours().is_some()
            && reading.register.as_deref().is_some_and(|code| obis::flow(code) == Flow::Import)
    };
    held(all().any(imports), Fault::plain(Reason::NOT_IMPORT))?;
    let begin = all().find(|reading| reading.kind == Kind::Begin && imports(reading));
    let begin = begin.ok_or(Fault::plain(Reason::NOT_A_SESSION))?;
    let same = |reading: &&Reading<'_>| reading.register == begin.register && reading.unit == begin.unit;
    let readings: Vec<_> = all().filter(same).collect();
    // The session must not end on another register than it began on.
    let ended = readings.iter().any(|reading| reading.kind == Kind::End);
    let elsewhere = all().any(|reading| reading.kind == Kind::End && imports(reading));
    held(ended || !elsewhere, Fault::plain(Reason::REGISTER_CHANGED))?;
    Ok(readings)
}

/// The first and the last reading: one begin, any others, one end.
fn ends<'r, 'a>(readings: &[&'r Reading<'a>]) -> Result<(&'r Reading<'a>, &'r Reading<'a>), Fault> {
    let [begin, between @ .., end] = readings else {
        return Err(fault(Reason::NOT_A_SESSION, readings.len(), 2));
    };
    let inner = |kind| matches!(kind, Kind::Charging | Kind::Exception | Kind::Suspended | Kind::Tariff);
    let shaped = begin.kind == Kind::Begin && end.kind == Kind::End && between.iter().all(|one| inner(one.kind));
    held(shaped, fault(Reason::NOT_A_SESSION, readings.len(), 2))?;
    Ok((begin, end))
}

/// Good states and no withdrawn energy; returns whether the time stands.
fn check_readings(readings: &[&Reading<'_>]) -> Result<bool, Fault> {
    let last = readings.len().saturating_sub(1);
    let mut timed = true;
    for (place, reading) in readings.iter().enumerate() {
        let exception = reading.kind == Kind::Exception;
        held(!(exception && reading.flags.energy), fault(Reason::ENERGY_SPOILED, place, 0))?;
        let whole = if place == 0 || place == last { reading.flags.is_empty() } else { !reading.flags.energy };
        held(whole && reading.state == 'G', fault(Reason::METER_STATE, place, 0))?;
        timed &= !reading.flags.time;
    }
    Ok(timed)
}

/// Both ends by a clock that counts.
fn check_clocks(begin: &Reading<'_>, end: &Reading<'_>, rules: &Rules) -> Result<(), Fault> {
    for (place, reading) in [begin, end].into_iter().enumerate() {
        let (late, limit) = rules.arrival_ms;
        match reading.time.clock {
            Clock::Synchronised => {}
            Clock::Relative => held(rules.relative, fault(Reason::CLOCK_RELATIVE, place, 0))?,
            Clock::Informative => held(rules.informative, fault(Reason::CLOCK_INFORMATIVE, late, limit))?,
            Clock::Unknown => return Err(fault(Reason::CLOCK_UNKNOWN, place, 0)),
        }
    }
    Ok(())
}

/// The register never falls, nor does time.
fn check_register(readings: &[&Reading<'_>]) -> Result<(), Fault> {
    for (one, next) in readings.iter().zip(readings.iter().skip(1)) {
        let advance = difference(one, next).ok_or(Fault::plain(Reason::DIGITS_LOST))?;
        let (digits, _) = advance.parts();
        held(digits >= 0, fault(Reason::REGISTER_FELL, i64::try_from(digits).unwrap_or(i64::MIN), 0))?;
        let (earlier, later) = (one.time.unix_s(), next.time.unix_s());
        held(one.time.unix_ms <= next.time.unix_ms, fault(Reason::NO_DURATION, later, earlier))?;
    }
    Ok(())
}

fn difference(one: &Reading<'_>, next: &Reading<'_>) -> Option<Decimal> {
    next.watt_hours()?.minus(one.watt_hours()?)
}

/// Energy ≤ rated power · margin · time. A second is granted: meters with whole seconds tell no more.
fn check_rated(units: u64, time_ms: u64, rules: &Rules) -> Result<(), Fault> {
    let seconds = time_ms.div_ceil(1_000).saturating_add(1);
    let limit = crate::class::energy::windows::rated_units(
        rules.rated_w,
        seconds,
        rules.rated_margin_bp,
        rules.resolution_exponent,
    );
    let limit = limit.ok_or(fault(Reason::WRONG_SCALE, rules.resolution_exponent, 0))?;
    // One unit is granted: the register shows whole units at both ends.
    let limit = limit.saturating_add(1);
    held(units <= limit, fault(Reason::ABOVE_RATED, units, limit))
}
