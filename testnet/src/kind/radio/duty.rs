//! A hotspot's duty: commit to its chains, transmit when challenged, witness and reveal what it heard. Here the state machine
//! of the slots (`slots`) meets messages and datagrams. Leaves out: when each is due (`slots`), who hears whom (`air`).

use anyhow::{Context as _, Result};
use attest::{Body, CommitmentBody, Reception, RevealBody, WitnessBody};

use super::air::{Delivery, Frame};
use super::slots::{Coverage, Due};
use super::{Settings, adversary};
use crate::device::lease::{Chain, Lease};
use crate::device::speech::Words;
use crate::device::{Entry, Speech};
use crate::kind::{Act, Challenge, Duty, Role};

/// A hotspot at work.
#[derive(Debug)]
pub(super) struct Heard {
    token: u64,
    class: u8,
    coverage: Coverage,
}

impl Heard {
    pub(super) fn new(role: &Role) -> Result<Self> {
        let Settings { others } = role.settings()?;
        let victims = adversary::lies(role.adversary.as_ref())?.then(|| others.into_iter().collect());
        let chains: Vec<Chain> = match &role.kept {
            Some(kept) => serde_json::from_slice(kept).context("the chains committed to before")?,
            None => Vec::new(),
        };
        let (class, _) = crate::kind::Kind::class(&super::Radio);
        let coverage = Coverage::new(role.clock, role.deadline, role.secret, chains, victims);
        Ok(Self { token: role.token, class, coverage })
    }

    fn commit(&mut self, now: u64, leases: &[Lease]) -> Result<Vec<Act>> {
        let mut acts = Vec::new();
        for lease in leases.iter().filter(|lease| lease.class == self.class) {
            if let Some((chain, anchor)) = self.coverage.commit(lease, now) {
                acts.push(Act::Keep(serde_json::to_vec(self.coverage.chains())?));
                acts.push(Act::Say(commitment(chain, anchor)));
            }
        }
        Ok(acts)
    }

    fn transmit(&mut self, challenge: &Challenge) -> Result<Vec<Act>> {
        let Challenge { now, slot, lease, draw } = *challenge;
        let Some(shout) = self.coverage.drawn(lease, slot, &draw) else {
            return Ok(vec![Act::missed(now, slot, format!("lease {lease}: no chain has a secret for the slot"))]);
        };
        let (payload, attenuation_db) = (shout.payload, shout.attenuation_db);
        let frame = Frame { token: self.token, lease, slot, payload, attenuation_db };
        let noted = Entry::Transmitted { at_ms: now, slot, lease, payload: hex::encode(payload), attenuation_db };
        Ok(vec![Act::Send(serde_json::to_vec(&frame)?), Act::Note(noted)])
    }
}

impl Duty for Heard {
    fn source(&self) -> String {
        "heartbeats only".into()
    }

    fn pulse(&mut self) -> Speech {
        Speech::new(Body::Heartbeat)
    }

    fn began(&mut self, slot: u64) {
        self.coverage.began(slot);
    }

    fn challenged(&mut self, challenge: &Challenge) -> Vec<Act> {
        let acts = self.transmit(challenge);
        acts.unwrap_or_else(|error| vec![Act::missed(challenge.now, challenge.slot, format!("its frame: {error:#}"))])
    }

    fn wake(&mut self, now: u64, leases: &[Lease]) -> Vec<Act> {
        let trouble = |error| vec![Act::Note(Entry::Trouble { at_ms: now, what: format!("chains: {error:#}") })];
        let mut acts = self.commit(now, leases).unwrap_or_else(trouble);
        for due in self.coverage.wake(now) {
            open(now, due, &mut acts);
        }
        acts
    }

    fn next_due(&self) -> Option<u64> {
        self.coverage.next_due()
    }

    /// A datagram that is no delivery is noise.
    fn heard(&mut self, now: u64, datagram: &[u8]) -> Vec<Act> {
        let Ok(delivery) = serde_json::from_slice(datagram) else { return Vec::new() };
        let Delivery { lease, slot, payload, rssi, snr } = delivery;
        if self.coverage.heard(now, slot, Reception { lease, payload, rssi, snr }) {
            let payload = hex::encode(payload);
            return vec![Act::Note(Entry::Heard { at_ms: now, slot, lease, payload, rssi, snr })];
        }
        vec![Act::missed(now, slot, format!("frame of lease {lease}: outside its slot's listening time"))]
    }
}

fn commitment(chain: Chain, anchor: [u8; 32]) -> Speech {
    let Chain { lease, first_slot, length } = chain;
    let body = Body::Commitment(CommitmentBody { lease, first_slot, length, anchor });
    Speech::new(body).of_lease(lease).of_slot(first_slot)
}

fn open(now: u64, due: Due, acts: &mut Vec<Act>) {
    match due {
        Due::Witness { slot, commitment } => {
            let body = Body::Witness(WitnessBody { slot, commitment });
            acts.push(Act::Say(Speech::new(body).of_slot(slot)));
        }
        Due::Missed { slot, what } => acts.push(Act::missed(now, slot, what)),
        Due::Reveal { slot, secret, salt, receptions, lie } => {
            for Reception { lease, payload, .. } in &receptions {
                let payload = hex::encode(payload);
                acts.push(Act::Note(Entry::Revealed { at_ms: now, slot, lease: *lease, payload, lie }));
            }
            acts.push(Act::Say(Speech::new(Opening { slot, secret, salt, receptions }).of_slot(slot)));
        }
    }
}

/// What a reveal opens.
#[derive(Debug)]
struct Opening {
    slot: u64,
    secret: Option<[u8; 32]>,
    salt: [u8; 16],
    receptions: Vec<Reception>,
}

impl Words for Opening {
    fn body(&self) -> Body<'_> {
        Body::Reveal(RevealBody {
            slot: self.slot,
            secret: self.secret,
            salt: self.salt,
            receptions: self.receptions.as_slice().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Clock, Told};
    use crate::kind::duty::bare;

    const CLOCK: Clock = Clock { genesis_ms: 1_000_000, slot_ms: 1_000, epoch_ms: 15_000 };
    const LEASE: Lease = Lease { token: 4, lease: 9, class: 2, start: 1_000, end: 1_060, challenge_p: u64::MAX };

    fn hotspot(settings: &str, adversary: Option<&str>) -> Result<Heard> {
        let adversary = adversary.map(|name| Told { name: name.into(), number: 0 });
        Heard::new(&Role { adversary, ..bare(CLOCK, settings) })
    }

    fn challenge(slot: u64) -> Challenge {
        Challenge { now: CLOCK.start(slot) + 200, slot, lease: 9, draw: [slot as u8; 32] }
    }

    #[test]
    fn a_chain_is_kept_before_it_is_said_and_read_again_after_a_restart() {
        let mut one = hotspot("others = []", None).unwrap();
        let acts = one.wake(CLOCK.first_word(), &[LEASE]);
        let [Act::Keep(kept), Act::Say(said)] = &acts[..] else { panic!("{acts:?}") };
        let Body::Commitment(body) = said.body() else { panic!("{said:?}") };
        assert_eq!((body.lease, body.first_slot, body.length), (9, 0, 60));
        assert!(one.wake(CLOCK.first_word() + 10, &[LEASE]).is_empty());
        let again = Role { kept: Some(kept.clone()), ..bare(CLOCK, "others = []") };
        let mut again = Heard::new(&again).unwrap();
        assert!(again.wake(CLOCK.first_word() + 20, &[LEASE]).is_empty(), "committed already");
        assert!(Heard::new(&Role { kept: Some(b"torn".to_vec()), ..bare(CLOCK, "others = []") }).is_err());
        assert!(hotspot("others = []", Some("sulks")).is_err() && hotspot("", None).is_err());
    }

    #[test]
    fn a_challenged_hotspot_transmits_and_later_reveals() {
        let mut one = hotspot("others = []", None).unwrap();
        assert!(
            matches!(one.challenged(&challenge(3))[..], [Act::Note(Entry::Missed { slot: 3, .. })]),
            "no chain yet"
        );
        one.wake(CLOCK.first_word(), &[LEASE]);
        let acts = one.challenged(&challenge(3));
        let [Act::Send(frame), Act::Note(Entry::Transmitted { payload, .. })] = &acts[..] else { panic!("{acts:?}") };
        let frame: Frame = serde_json::from_slice(frame).unwrap();
        assert_eq!((frame.token, frame.lease, frame.slot, &hex::encode(frame.payload)), (4, 9, 3, payload));
        let due = CLOCK.start(3) + 2_100;
        assert_eq!(one.next_due(), Some(due));
        let acts = one.wake(due, &[LEASE]);
        let [Act::Say(said)] = &acts[..] else { panic!("{acts:?}") };
        assert!(matches!(said.body(), Body::Reveal(RevealBody { slot: 3, secret: Some(_), .. })), "{said:?}");
    }

    #[test]
    fn what_was_heard_is_noted_and_noise_is_not() {
        let mut one = hotspot("others = []", None).unwrap();
        let delivery = Delivery { lease: 7, slot: 3, payload: [1; 16], rssi: -9_000, snr: 500 };
        let datagram = serde_json::to_vec(&delivery).unwrap();
        let heard = one.heard(CLOCK.start(3) + 300, &datagram);
        assert!(matches!(heard[..], [Act::Note(Entry::Heard { lease: 7, slot: 3, .. })]), "{heard:?}");
        let late = one.heard(CLOCK.start(3) + 5_000, &datagram);
        assert!(matches!(late[..], [Act::Note(Entry::Missed { slot: 3, .. })]), "{late:?}");
        assert!(one.heard(CLOCK.start(3) + 300, b"hiss").is_empty());
    }

    #[test]
    fn a_false_witness_notes_each_lie() {
        let mut liar = hotspot("others = [6, 7]", Some("false witness")).unwrap();
        liar.began(3);
        let witness = liar.wake(CLOCK.start(3) + 600, &[]);
        let [Act::Say(said)] = &witness[..] else { panic!("{witness:?}") };
        assert!(matches!(said.body(), Body::Witness(WitnessBody { slot: 3, .. })), "{said:?}");
        let acts = liar.wake(CLOCK.start(3) + 2_100, &[]);
        let lies = acts.iter().filter(|act| matches!(act, Act::Note(Entry::Revealed { lie: true, .. }))).count();
        assert_eq!(lies, 2);
    }
}
