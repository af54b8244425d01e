//! The key generation: deals, acknowledgements and logs, then agreement on the logs (kind 2), then the key.
//! Leaves out: what the key is used for (`confirm`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use aggregator::dkg::{Ceremony, DkgError, DkgIdentity};
use alloy_primitives::B256;
use minicbor::bytes::ByteVec;
use sha2::{Digest, Sha256};

use super::journal::{self, Keys};
use super::{Context, DKG, GRACE_MS, Heard, Phase, Repeat, broadcast};
use crate::effect::{Effect, Record};
use crate::limits;
use crate::qbft::{Action, Qbft};
use crate::typed::{self, Kind};
use crate::wire::{self, Direct, InstanceId, Message, Statement};

/// Contents whose verdict is remembered.
const JUDGED_MAX: usize = 32;

/// One member's part in a key generation.
pub(super) struct Generation {
    /// 0, or the number of the refresh.
    number: u64,
    /// The instance that decides the logs.
    instance: InstanceId,
    /// Members that take part.
    present: u32,
    /// `None` when the key exists already, or when the ceremony cannot begin (`refused` says why).
    ceremony: Option<Ceremony>,
    refused: Option<DkgError>,
    qbft: Qbft,
    deals: BTreeSet<u32>,
    logs: BTreeMap<u32, Vec<u8>>,
    own_log: Option<Vec<u8>>,
    /// Dealers whose logs are proven faulty.
    faulty: BTreeSet<u32>,
    /// Since when n−f logs are held.
    enough_since: Option<u64>,
    /// Number of logs at the last attempt to make a candidate of them.
    tried: Option<usize>,
    has_candidate: bool,
    /// Verdicts on contents, by digest: checking the logs of a large committee is slow.
    judged: BTreeMap<B256, bool>,
    decided: Option<Vec<u8>>,
    /// Deals held when concluding last failed; another attempt needs more.
    failed_with: Option<usize>,
    concluded: bool,
    /// The key of a refresh, once concluded by this process.
    key: Option<Keys>,
    repeat: Repeat,
}

impl Generation {
    pub(super) fn new(context: &Context, dkg_seed: [u8; 32], journal: &[Record], concluded: bool, now: u64) -> Self {
        let ceremony = (!concluded).then(|| first_ceremony(context, dkg_seed, journal));
        let mut this = Self::with(context, 0, ceremony, context.term.n(), journal, now);
        this.concluded = concluded;
        this
    }

    /// A refresh among `present` members, with a ceremony that the caller has made.
    pub(super) fn refresh(
        context: &Context,
        number: u64,
        ceremony: Result<Ceremony, DkgError>,
        present: u32,
        journal: &[Record],
        now: u64,
    ) -> Self {
        Self::with(context, number, Some(ceremony), present, journal, now)
    }

    fn with(
        context: &Context,
        number: u64,
        ceremony: Option<Result<Ceremony, DkgError>>,
        present: u32,
        journal: &[Record],
        now: u64,
    ) -> Self {
        let instance = InstanceId::new(Kind::Dkg, 0, number);
        let mut this = Self {
            number,
            instance,
            present,
            ceremony: None,
            refused: None,
            qbft: Qbft::restore(context.qbft(instance), context.key.clone(), journal),
            deals: BTreeSet::new(),
            logs: BTreeMap::new(),
            own_log: None,
            faulty: BTreeSet::new(),
            enough_since: None,
            tried: None,
            has_candidate: false,
            judged: BTreeMap::new(),
            decided: None,
            failed_with: None,
            concluded: false,
            key: None,
            repeat: Repeat::new(now),
        };
        this.decided = this.qbft.decided().map(|(_, content)| content.to_vec());
        match ceremony {
            Some(Ok(ceremony)) => this.begin(context, ceremony, journal),
            Some(Err(error)) => this.refused = Some(error),
            None => {}
        }
        this
    }

    /// Feeds the ceremony the deals that were acknowledged before a restart.
    fn begin(&mut self, context: &Context, mut ceremony: Ceremony, journal: &[Record]) {
        for dealer in (0..context.term.n()).filter(|dealer| *dealer != context.me) {
            let deal = journal::get(journal, &journal::deal_key(&context.term, self.number, dealer));
            if deal.is_some_and(|deal| ceremony.receive_deal(dealer, deal).is_ok()) {
                self.deals.insert(dealer);
            }
        }
        self.ceremony = Some(ceremony);
    }

    /// A deal or an acknowledgement.
    pub(super) fn on_direct(&mut self, context: &mut Context, from: u32, message: &Direct, out: &mut Vec<Effect>) {
        let Some(ceremony) = &mut self.ceremony else { return };
        match message {
            Direct::Deal(deal) | Direct::RefreshDeal(_, deal) => match ceremony.receive_deal(from, deal) {
                Ok(ack) => {
                    if self.deals.insert(from) {
                        let key = journal::deal_key(&context.term, self.number, from);
                        out.push(Effect::Persist(Record { key, value: deal.to_vec() }));
                    }
                    let ack = ack.map(|ack| wire::encode(&direct_ack(self.number, ack)));
                    out.extend(ack.map(|bytes| Effect::Direct { to: from, bytes }));
                }
                Err(error) => {
                    let text = format!("a deal of member {from} was refused: {error}");
                    context.note(from, "dkg_bad_deal", text, out);
                }
            },
            Direct::Ack(ack) | Direct::RefreshAck(_, ack) => match ceremony.receive_ack(from, ack) {
                Ok(()) | Err(DkgError::Finished) => {}
                Err(error) => {
                    let text = format!("an acknowledgement of member {from} was refused: {error}");
                    context.note(from, "dkg_bad_ack", text, out);
                }
            },
            Direct::Pull(_) | Direct::Of(..) => {}
        }
    }

    /// A dealer's log; the first of each dealer is kept.
    pub(super) fn on_log(&mut self, context: &Context, log: &[u8]) {
        let Some(ceremony) = self.ceremony.as_ref().filter(|_| log.len() <= limits::BLOB_BYTES_MAX) else { return };
        if self.decided.is_some() || self.logs.values().any(|known| known == log) {
            return;
        }
        if let Ok(dealer) = ceremony.check_log(log)
            && dealer != context.me
            && !self.faulty.contains(&dealer)
        {
            self.logs.entry(dealer).or_insert_with(|| log.to_vec());
        }
    }

    /// A message of the agreement on the logs.
    pub(super) fn on_message(&mut self, context: &mut Context, now: u64, heard: Heard<'_>, out: &mut Vec<Effect>) {
        if let Message::Proposal(proposal) = heard.message {
            // Another member has enough logs and the proposal alone shows it: begin with it.
            // Judging is slow: not for what its leader has not signed.
            if !self.has_candidate
                && self.decided.is_none()
                && self.is_by_leader(context, &proposal.statement)
                && self.judge(context, proposal.statement.value(), &proposal.content)
            {
                let actions = self.qbft.start(now);
                self.carry_out(context, now, actions, out);
            }
        }
        let actions = self.qbft.on_message(now, heard.from, heard.message);
        self.carry_out(context, now, actions, out);
    }

    /// Whether a view's leader signed this as its proposal, for a view not far ahead.
    fn is_by_leader(&self, context: &Context, said: &Statement) -> bool {
        said.instance == self.instance
            && said.phase == typed::Phase::Proposal as u8
            && self.qbft.leader(said.view) == Some(said.member)
            && said.view <= self.qbft.view().saturating_add(limits::VIEWS_AHEAD_MAX)
            && said.is_authentic(&context.term.scope, &context.addresses)
    }

    /// Contents that were judged.
    #[cfg(test)]
    pub(super) fn judged(&self) -> usize {
        self.judged.len()
    }

    /// Goes on as far as possible; gives the key when it exists for the first time.
    pub(super) fn advance(
        &mut self,
        context: &mut Context,
        now: u64,
        activated: bool,
        out: &mut Vec<Effect>,
    ) -> Option<Keys> {
        if self.concluded {
            return None;
        }
        if let Some(error) = &self.refused {
            let text = format!(
                "the key generation cannot begin: {error}; is the DKG key registered for this member this node's?"
            );
            context.note(context.me, "dkg_refused", text, out);
        }
        self.finish_dealing(context, out);
        self.make_candidate(context, now, out);
        let actions = self.qbft.on_tick(now);
        self.carry_out(context, now, actions, out);
        if self.repeat.is_due(now) {
            self.send_again(activated, out);
        }
        self.conclude(context, out)
    }

    /// Signs the log once everybody has acknowledged, never earlier: see the module's page.
    fn finish_dealing(&mut self, context: &mut Context, out: &mut Vec<Effect>) {
        let Some(ceremony) = &mut self.ceremony else { return };
        if self.own_log.is_some() || !ceremony.deals_itself() || ceremony.acks() < context.term.n() {
            return;
        }
        match ceremony.finish_dealing() {
            Ok(log) => {
                out.push(broadcast(&Message::DkgLog(ByteVec::from(log.clone()))));
                self.logs.insert(context.me, log.clone());
                self.own_log = Some(log);
            }
            Err(error) => context.note(context.me, "dkg_log_failed", format!("the own log failed: {error}"), out),
        }
    }

    /// Proposes the logs of all n, or those of n−f after a wait for the rest.
    fn make_candidate(&mut self, context: &mut Context, now: u64, out: &mut Vec<Effect>) {
        if self.has_candidate || self.decided.is_some() {
            return;
        }
        if self.logs.len() < context.quorum() {
            self.enough_since = None;
            return;
        }
        let since = *self.enough_since.get_or_insert(now);
        let all = u32::try_from(self.logs.len()).is_ok_and(|logs| logs >= self.present);
        if !(all || now >= since.saturating_add(GRACE_MS)) || self.tried == Some(self.logs.len()) {
            return;
        }
        self.tried = Some(self.logs.len());
        let Some(ceremony) = &mut self.ceremony else { return };
        let logs: Vec<Vec<u8>> = self.logs.values().cloned().collect();
        match ceremony.conclude(&logs) {
            Ok(_) => {
                let (value, content) = pack(logs);
                self.judged.insert(value, true);
                self.has_candidate = true;
                let mut actions = self.qbft.set_candidate(now, value, content);
                actions.extend(self.qbft.start(now));
                self.carry_out(context, now, actions, out);
            }
            Err(error) => {
                if let DkgError::TooFewLogs { faulty, .. } = &error {
                    self.faulty.extend(faulty);
                    self.logs.retain(|dealer, _| !faulty.contains(dealer));
                }
                out.push(Effect::Note {
                    code: "dkg_logs_refused",
                    text: format!("the dealer logs held here: {error}"),
                });
            }
        }
    }

    /// Runs what the agreement asks for, in order.
    fn carry_out(&mut self, context: &mut Context, now: u64, actions: Vec<Action>, out: &mut Vec<Effect>) {
        let mut queue = VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            match action {
                Action::Persist(record) => out.push(Effect::Persist(record)),
                Action::Broadcast(message) => out.push(broadcast(&message)),
                Action::Validate { view, value, content, .. } => {
                    let valid =
                        if view == 0 { digest(&content) == value } else { self.judge(context, value, &content) };
                    queue.extend(self.qbft.verdict(now, value, valid));
                }
                Action::Decided { content, .. } => self.decided = Some(content),
                Action::Fault(proof) => super::confirm::note_fault(&proof, out),
            }
        }
    }

    /// Whether a proposed set of logs is sound: its digest, n−f logs ascending by dealer, and a key comes out of it that
    /// passes the gates.
    fn judge(&mut self, context: &Context, value: B256, content: &[u8]) -> bool {
        let Some(ceremony) = self.ceremony.as_mut().filter(|_| digest(content) == value) else { return false };
        if let Some(verdict) = self.judged.get(&value) {
            return *verdict;
        }
        let logs = unpack(content).unwrap_or_default();
        let dealers: Option<Vec<u32>> = logs.iter().map(|log| ceremony.check_log(log).ok()).collect();
        let ascending = dealers.is_some_and(|dealers| dealers.is_sorted_by(|a, b| a < b));
        let outcome = (ascending && logs.len() >= context.quorum()).then(|| ceremony.conclude(&logs));
        let verdict = matches!(outcome, Some(Ok(_)));
        // A deal that is missing here may still come: that verdict is not final.
        if !matches!(outcome, Some(Err(DkgError::MissingDeal))) {
            if self.judged.len() >= JUDGED_MAX {
                self.judged.clear();
            }
            self.judged.insert(value, verdict);
        }
        verdict
    }

    /// Ends the ceremony with the decided logs.
    fn conclude(&mut self, context: &mut Context, out: &mut Vec<Effect>) -> Option<Keys> {
        let logs = unpack(self.decided.as_ref()?)?;
        let ceremony = self.ceremony.as_mut()?;
        if self.failed_with == Some(self.deals.len()) {
            return None;
        }
        match ceremony.conclude(&logs) {
            Ok((sharing, share)) => {
                self.concluded = true;
                let keys = (Arc::new(sharing), Arc::new(share));
                self.key = (self.number > 0).then(|| keys.clone());
                Some(keys)
            }
            Err(error) => {
                self.failed_with = Some(self.deals.len());
                let text =
                    format!("the decided key generation does not end well here: {error}; this member has no share");
                context.note(context.me, "dkg_conclude_failed", text, out);
                None
            }
        }
    }

    /// Sends again what somebody may lack, and asks whether the others are further.
    fn send_again(&mut self, activated: bool, out: &mut Vec<Effect>) {
        if let Some(ceremony) = self.ceremony.as_mut().filter(|_| self.decided.is_none() && !activated) {
            let missing = ceremony.missing_acks();
            let deals = ceremony.deal().into_iter().filter(|(to, _)| missing.contains(to));
            let number = self.number;
            let direct = |(to, deal)| Effect::Direct { to, bytes: wire::encode(&direct_deal(number, deal)) };
            out.extend(deals.map(direct));
            out.extend(self.own_log.clone().map(|log| broadcast(&Message::DkgLog(ByteVec::from(log)))));
        }
        if self.decided.is_none() && self.repeat.count % 4 == 1 {
            out.push(broadcast(&Message::Status(self.instance)));
        }
    }

    pub(super) fn next_wakeup(&self, activated: bool) -> Option<u64> {
        if self.concluded || (self.decided.is_some() && activated) {
            return None;
        }
        let repeat = self.decided.is_none().then_some(self.repeat.at);
        let waits = !self.has_candidate && self.decided.is_none();
        let grace = self.enough_since.filter(|_| waits && self.tried != Some(self.logs.len()));
        let grace = grace.map(|since| since.saturating_add(GRACE_MS));
        [repeat, grace, self.qbft.next_wakeup()].into_iter().flatten().min()
    }

    pub(super) fn phase(&self) -> Phase {
        match (self.has_candidate || self.decided.is_some(), &self.own_log) {
            (true, _) => Phase::Deciding,
            (false, Some(_)) => Phase::Logs,
            (false, None) => Phase::Dealing,
        }
    }

    pub(super) fn waiting_for(&self, phase: Phase, n: u32) -> Vec<u32> {
        match (phase, &self.ceremony) {
            (Phase::Dealing, Some(ceremony)) if ceremony.deals_itself() => ceremony.missing_acks(),
            (Phase::Logs, _) => (0..n).filter(|dealer| !self.logs.contains_key(dealer)).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn deals(&self) -> u32 {
        let own = u32::from(self.ceremony.is_some());
        u32::try_from(self.deals.len()).unwrap_or(u32::MAX).saturating_add(own)
    }

    pub(super) fn acks(&self) -> u32 {
        self.ceremony.as_ref().map_or(0, Ceremony::acks)
    }

    pub(super) fn logs(&self) -> u32 {
        u32::try_from(self.logs.len()).unwrap_or(u32::MAX)
    }

    /// The key of a refresh, once concluded.
    pub(super) fn key(&self) -> Option<Keys> {
        self.key.clone()
    }

    pub(super) const fn view(&self) -> u32 {
        self.qbft.view()
    }
}

/// The ceremony of the term's first key generation.
fn first_ceremony(context: &Context, dkg_seed: [u8; 32], journal: &[Record]) -> Result<Ceremony, DkgError> {
    let (members, identity) = dkg_keys(context, dkg_seed)?;
    let session = DKG.hash(&context.term.scope).unwrap_or_default().0;
    let own = journal::get(journal, &journal::dealing_seed_key(&context.term)).unwrap_or_default();
    Ceremony::new(session, &members, identity, dealings_seed(&[dkg_seed.as_slice(), own].concat()))
}

/// The members' ceremony keys, and this member's, which must be the one registered for it.
pub(super) fn dkg_keys(context: &Context, dkg_seed: [u8; 32]) -> Result<(Vec<[u8; 32]>, DkgIdentity), DkgError> {
    let members: Vec<[u8; 32]> = context.term.members.iter().map(|member| member.dkg_key).collect();
    let identity = DkgIdentity::from_seed(dkg_seed);
    let own_place = usize::try_from(context.me).ok().and_then(|me| members.get(me));
    match own_place == Some(&identity.public()) {
        true => Ok((members, identity)),
        false => Err(DkgError::NotMember),
    }
}

/// What a member's dealings follow from.
pub(super) fn dealings_seed(secret: &[u8]) -> [u8; 32] {
    Sha256::new_with_prefix(b"plumbline/dkg/v1 dealings").chain_update(secret).finalize().into()
}

fn direct_deal(number: u64, deal: Vec<u8>) -> Direct {
    match number {
        0 => Direct::Deal(deal.into()),
        _ => Direct::RefreshDeal(number, deal.into()),
    }
}

fn direct_ack(number: u64, ack: Vec<u8>) -> Direct {
    match number {
        0 => Direct::Ack(ack.into()),
        _ => Direct::RefreshAck(number, ack.into()),
    }
}

/// The content of a kind-2 instance and its digest.
fn pack(logs: Vec<Vec<u8>>) -> (B256, Vec<u8>) {
    let content = wire::encode(&logs.into_iter().map(ByteVec::from).collect::<Vec<_>>());
    (digest(&content), content)
}

fn unpack(content: &[u8]) -> Option<Vec<Vec<u8>>> {
    let logs: Vec<ByteVec> = wire::decode(content, limits::MESSAGE_BYTES_MAX).ok()?;
    Some(logs.into_iter().map(Into::into).collect())
}

fn digest(content: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(content)))
}
