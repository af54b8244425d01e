//! One item of the outbox as the store keeps it.

use std::fmt;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use oracle_core::effect::Transmission;
use oracle_core::wire::{self, Bytes, Hash};

use crate::chain::rpc::Fees;

/// Longest stored item: calldata and a signed transaction around it.
const ITEM_BYTES_MAX: usize = 4 << 20;

/// What an item is for; two items never have the same aim.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) enum Aim {
    /// The activation of the committee's first term.
    #[n(0)]
    Activate,
    /// A batch of device keys: batch, term.
    #[n(1)]
    Keys(#[n(0)] u64, #[n(1)] u64),
    /// A report: stream, epoch.
    #[n(2)]
    Report(#[n(0)] u32, #[n(1)] u64),
    /// The rotation to a term, from an epoch.
    #[n(3)]
    Rotate(#[n(0)] u64, #[n(1)] u64),
    /// New shares of a term's key: term, root of the public shares.
    #[n(4)]
    Refresh(#[n(0)] u64, #[n(1)] Hash),
}

impl Aim {
    pub(super) fn of(term: u64, what: &Transmission) -> Self {
        match what {
            Transmission::Activate { .. } => Self::Activate,
            Transmission::ActivateKeys { batch, .. } => Self::Keys(*batch, term),
            Transmission::Report { header, .. } => Self::Report(header.stream, header.epoch),
            Transmission::RefreshShares { share_root, .. } => Self::Refresh(term, share_root.0.into()),
            Transmission::Rotate { rotation, .. } => Self::Rotate(rotation.newTerm, rotation.fromEpoch),
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Activate => f.write_str("activation of the term"),
            Self::Keys(batch, _) => write!(f, "device keys, batch {batch}"),
            Self::Refresh(term, root) => write!(f, "new shares of term {term}, root {root:?}"),
            Self::Rotate(term, epoch) => write!(f, "rotation to term {term} from epoch {epoch}"),
            Self::Report(stream, epoch) => write!(f, "report of epoch {epoch}, stream {stream}"),
        }
    }
}

/// A transaction that was signed and sent at least once.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Sent {
    #[n(0)]
    pub(super) nonce: u64,
    #[n(1)]
    pub(super) hash: Hash,
    #[n(2)]
    pub(super) raw: ByteVec,
    #[n(3)]
    pub(super) gas: u64,
    /// u128, big-endian.
    #[n(4)]
    pub(super) max_fee: Bytes<16>,
    /// u128, big-endian.
    #[n(5)]
    pub(super) tip: Bytes<16>,
    #[n(6)]
    pub(super) at_ms: u64,
    /// Hash of the block it was last seen in.
    #[n(7)]
    pub(super) mined_in: Option<Hash>,
}

impl Sent {
    pub(super) fn fees(&self) -> Fees {
        Fees { max: u128::from_be_bytes(*self.max_fee), tip: u128::from_be_bytes(*self.tip) }
    }
}

/// How far an item is. "Final" is no stage: a final item is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) enum Stage {
    /// Not sent, or lost for good.
    #[n(0)]
    Waiting {
        #[n(0)]
        not_before: u64,
        #[n(1)]
        refusals: u32,
    },
    /// Sent; perhaps mined.
    #[n(1)]
    Sent(#[n(0)] Sent),
}

/// One debt.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(super) struct Item {
    #[n(0)]
    pub(super) aim: Aim,
    #[n(1)]
    pub(super) to: Bytes<20>,
    #[n(2)]
    pub(super) data: ByteVec,
    #[n(3)]
    pub(super) stage: Stage,
}

impl Item {
    pub(super) fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        wire::decode(bytes, ITEM_BYTES_MAX).ok()
    }

    pub(super) fn nonce(&self) -> Option<u64> {
        match &self.stage {
            Stage::Waiting { .. } => None,
            Stage::Sent(sent) => Some(sent.nonce),
        }
    }
}

/// Fees of a replacement: at least an eighth above the old ones on both (nodes ask for a tenth), and not below the market.
pub(super) fn bumped(old: Fees, market: Fees) -> Fees {
    let raise = |fee: u128| fee.saturating_add(fee.div_ceil(8)).max(fee.saturating_add(1));
    Fees { max: raise(old.max).max(market.max), tip: raise(old.tip).max(market.tip) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_survive_their_encoding() {
        let sent = Sent {
            nonce: 3,
            hash: Hash::from([1; 32]),
            raw: vec![1, 2].into(),
            gas: 21_000,
            max_fee: u128::MAX.to_be_bytes().into(),
            tip: 1u128.to_be_bytes().into(),
            at_ms: 9,
            mined_in: Some(Hash::from([2; 32])),
        };
        for stage in [Stage::Waiting { not_before: 5, refusals: 1 }, Stage::Sent(sent)] {
            let item = Item { aim: Aim::Report(0, 7), to: Bytes::from([3; 20]), data: vec![4].into(), stage };
            assert_eq!(Item::decode(&item.encode()), Some(item));
        }
    }

    #[test]
    fn a_replacement_pays_an_eighth_more_on_both_and_never_less_than_the_market() {
        let market = Fees { max: 100, tip: 1 };
        assert_eq!(bumped(Fees { max: 80, tip: 8 }, market), Fees { max: 100, tip: 9 });
        assert_eq!(bumped(Fees { max: 800, tip: 0 }, market), Fees { max: 900, tip: 1 });
        assert_eq!(bumped(Fees { max: 9, tip: 9 }, Fees { max: 0, tip: 0 }), Fees { max: 11, tip: 11 });
    }
}
