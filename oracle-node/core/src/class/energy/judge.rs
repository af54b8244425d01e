//! One lease in one epoch: signed records and the device's own windows become findings, and the fold moves on. The result
//! depends on no order of the evidence. Leaves out: who held it in time (the caller shows only what counts), and keeping the
//! device's book of pages ([`pages`] gives what [`PageBook::take`] takes).

mod dispute;
mod own;
mod sessions;

use crate::class::Fault;
use crate::class::energy::fold::{LeaseFold, PageBook, Shown};
use crate::class::energy::ocmf::Record;
use crate::class::energy::ocmf::key::{self, Curve};
use crate::class::energy::policy::{Pays, Section};
use crate::class::energy::reason::{fault, held};
use crate::class::energy::windows::{Place, Window};
use crate::reason::Reason;
use sessions::Signed;

/// A signed record as a device passed it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presented<'a> {
    /// The record's bytes, or why there are none to read.
    pub(crate) bytes: Result<&'a [u8], Fault>,
    /// Thumbprint of the key of the meter that it names.
    pub(crate) meter: [u8; 32],
    /// The lease that it names.
    pub(crate) lease: u64,
    /// Until when more than f members held it, unix ms: what an informative clock is held against.
    pub(crate) arrival_ms: u64,
    /// What the caller knows the evidence by.
    pub(crate) evidence: usize,
}

/// A window as a device said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Said {
    /// The window.
    pub(crate) window: Window,
    /// What the caller knows the evidence by.
    pub(crate) evidence: usize,
}

/// What a lease is judged by, besides its evidence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// The policy's section.
    pub(crate) section: &'a Section,
    /// The curves that it allows.
    pub(crate) curves: &'a [Curve],
    /// Thumbprint of the registered meter's key; zero where the device has none, and then no record counts.
    pub(crate) meter: [u8; 32],
    /// The device's rated power, W.
    pub(crate) rated_w: u64,
    /// Where it is.
    pub(crate) place: Place,
    /// The lease.
    pub(crate) lease: u64,
    /// Its start and end, unix seconds.
    pub(crate) lease_s: (u64, u64),
    /// The latest end that is believed, unix seconds: the end of the epoch.
    pub(crate) latest_s: u64,
}

/// How a window, a session or a record ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Start of the window or session, unix seconds; 0 for a record that cannot be read.
    pub(crate) at: u64,
    /// Units proven, or why none.
    pub(crate) result: Result<u64, Fault>,
    /// The evidence weighed, ascending.
    pub(crate) evidence: Vec<usize>,
}

/// What an epoch comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Findings, sorted.
    pub(crate) findings: Vec<Finding>,
    /// Where counting stands now.
    pub(crate) fold: LeaseFold,
}

/// Reads and verifies one record under the registered meter.
///
/// # Errors
/// Why it is not a record of this meter.
pub(crate) fn read<'a>(one: &Presented<'a>, meter: &[u8; 32], curves: &[Curve]) -> Result<Record<'a>, Fault> {
    let registered = *meter != [0; 32] && one.meter == *meter;
    held(registered, Fault::plain(Reason::WRONG_METER))?;
    let record = Record::parse(one.bytes?).map_err(|error| error.fault())?;
    key::check(&record, meter, curves).map_err(|error| error.fault())?;
    Ok(record)
}

/// The pages among what was presented, verified: what a device's book takes before its leases are judged.
pub(crate) fn pages<'a>(
    presented: &'a [Presented<'a>],
    meter: &'a [u8; 32],
    curves: &'a [Curve],
) -> impl Iterator<Item = Shown> + 'a {
    let verified = move |shown: &Presented<'a>| {
        let record = read(shown, meter, curves).ok()?;
        sessions::is_transaction(&record).then(|| (record.page.number, record.digest(), shown.lease))
    };
    presented.iter().filter_map(verified)
}

/// Judges a lease. `presented` may hold records of the device's other leases; they are passed over.
#[must_use]
pub(crate) fn judge(
    rules: &Rules<'_>,
    book: &PageBook,
    before: &LeaseFold,
    presented: &[Presented<'_>],
    said: &[Said],
) -> Verdict {
    let signed = sessions::judge(rules, book, before, presented);
    let own = own::judge(rules, before.windows, said);
    let disputes = dispute::disputes(&own.counted, &signed.counted, rules.section.resolution_exponent);
    let mut findings = [signed.refused, own.refused].concat();
    if rules.section.pays == Pays::Sessions {
        findings.extend(signed.counted.into_iter().map(Signed::finding));
    }
    for (one, dispute) in own.counted.into_iter().zip(disputes) {
        match (dispute, rules.section.pays) {
            (Some(fault), _) => {
                findings.push(Finding { at: one.window.start, result: Err(fault), evidence: one.evidence })
            }
            (None, Pays::Windows) => {
                findings.push(Finding { at: one.window.start, result: Ok(one.counted.units), evidence: one.evidence });
            }
            // The signed meter is paid, and the window agrees with it.
            (None, Pays::Sessions) => {}
        }
    }
    findings.sort();
    Verdict { findings, fold: LeaseFold { sessions: signed.stand, windows: own.stand } }
}

/// Whether a stretch of time lies within the lease.
fn within((from, until): (u64, u64), (start, end): (u64, u64)) -> Result<(), Fault> {
    held(from <= start, fault(Reason::OUT_OF_LEASE, start, from))?;
    held(end <= until, fault(Reason::OUT_OF_LEASE, end, until))
}

/// What findings come to.
#[cfg(test)]
pub(crate) fn units(findings: &[Finding]) -> u128 {
    let proven = findings.iter().filter_map(|finding| finding.result.as_ref().ok());
    proven.fold(0, |sum: u128, units| sum.saturating_add(u128::from(*units)))
}
