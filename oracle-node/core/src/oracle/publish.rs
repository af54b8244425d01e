//! A certified report leaves: archived and shown, then transmitted when it is this member's turn.

use aggregator::Signature;

use super::desk::Ctx;
use super::journal::{self, CERTIFIED};
use super::reckon::Reckoned;
use super::round::Round;
use crate::archive::Bundle;
use crate::effect::{CertifiedReport, Effect, Transmission};
use crate::report::EpochInput;
use crate::wire::{Certified, Statement};

/// Hands the report over; the record that this was done comes last, so that a crash repeats it.
pub(super) fn publish(round: &Round, ctx: &mut Ctx<'_>, certified: &Certified) {
    let Some(done) = round.outcome() else { return };
    let Some(bundle) = bundle(round, ctx, done, certified) else { return };
    let report = CertifiedReport {
        instance: round.instance,
        header: done.outcome.header.clone(),
        certificate: *certified.certificate,
        outcome: done.outcome.clone(),
        bundle: bundle.encode(),
    };
    ctx.out.push(Effect::Certified(Box::new(report)));
    transmit(round, ctx, done, certified);
    let record = journal::record(CERTIFIED, &ctx.desk.term.scope, round.instance, certified);
    ctx.out.push(Effect::Persist(record));
}

fn bundle(round: &Round, ctx: &Ctx<'_>, done: &Reckoned, certified: &Certified) -> Option<Bundle> {
    let beacons = done.set.beacon_map();
    let input = EpochInput {
        term: &ctx.desk.term,
        book: &ctx.desk.book,
        stream: ctx.desk.stream,
        epoch: round.epoch,
        state: ctx.state?,
        snapshot: ctx.snapshot?,
        observations: &done.set.observations,
        bodies: &done.bodies,
        beacons: &beacons,
        sharing: &ctx.desk.keys.latest().sharing,
        blobs: &round.blobs,
    };
    let left_out = round.statements.values().filter(|statement| !done.set.observations.contains(statement));
    let disagreement: Vec<Statement> = left_out.cloned().collect();
    Some(Bundle::of(&input, &done.outcome, &certified.certificate, disagreement))
}

/// Members take turns in the order in which they would have led.
fn transmit(round: &Round, ctx: &mut Ctx<'_>, done: &Reckoned, certified: &Certified) {
    let Ok(signature) = Signature::from_bytes(&certified.certificate) else { return };
    let leaders = ctx.state.map(|state| ctx.desk.leaders(state, round.epoch)).unwrap_or_default();
    let place = leaders.iter().position(|member| *member == ctx.desk.me).unwrap_or(leaders.len());
    let turn = u64::try_from(place).unwrap_or(u64::MAX).saturating_mul(ctx.desk.book.conduct.transmit_stage_ms);
    ctx.out.push(Effect::Transmit {
        not_before: ctx.now.saturating_add(turn),
        what: Transmission::Report {
            header: Box::new(done.outcome.header.clone()),
            certificate: signature.to_onchain().to_vec(),
        },
    });
}
