//! The device's door: it admits whom a certificate of the committee names, and only after checking it. The one place in
//! this crate that uses the SDK (and through it the core), as a device maker would. Leaves out: MQTT, and a lock.

use aggregator::GroupKey;
use alloy::primitives::Address;
use anyhow::Context as _;
use attest::{TermKey, TermKeys};
use sdk::access::{AccessError, Gate, Grant};
use sdk::verify::Trust;

use super::Entry;

/// Who is let in, by what was last proven.
#[derive(Clone, Debug)]
pub struct Door {
    gate: Gate,
    told: Option<Grant>,
    admits: Option<Address>,
}

impl Door {
    /// A closed door of the device with this token. A word older than `max_age` seconds opens nothing.
    #[must_use]
    pub const fn new(trust: Trust, token: u64, max_age: u64) -> Self {
        Self { gate: Gate::new(trust, token, max_age), told: None, admits: None }
    }

    /// A closed door that follows the committee's terms.
    ///
    /// # Errors
    /// When the current key is no key.
    pub fn of(keys: &TermKeys, token: u64, max_age: u64) -> anyhow::Result<Self> {
        let current = trust(keys, keys.current()).context("the group key is no point of the group")?;
        let mut door = Self::new(current, token, max_age);
        door.follow(keys);
        Ok(door)
    }

    /// From a next term's first epoch on only that term's certificate counts.
    pub fn follow(&mut self, keys: &TermKeys) {
        let next = keys.next().and_then(|(from_epoch, key)| Some((from_epoch, trust(keys, key)?)));
        if let Some(current) = trust(keys, keys.current()) {
            self.gate.trust(current, next);
        }
    }

    /// Checks what came over MQTT. Gives what to note: a new word, or why it is none; nothing for one known already, which
    /// every member sends, or an older one, which brokers keep.
    pub fn learn(&mut self, at_ms: u64, payload: &[u8]) -> Option<Entry> {
        match self.gate.learn(payload) {
            Ok(grant) if self.told == Some(grant) => None,
            Ok(grant) => {
                self.told = Some(grant);
                let Grant { user, lease, expires, epoch, .. } = grant;
                Some(Entry::Access { at_ms, user: user.to_checksum(None), lease, expires, epoch })
            }
            Err(AccessError::Older { .. }) => None,
            Err(error) => Some(Entry::BadAccess { at_ms, why: error.to_string() }),
        }
    }

    /// Looks who may enter now; gives what to note when that has changed.
    pub fn look(&mut self, at_ms: u64) -> Option<Entry> {
        let admits = self.gate.user_of(at_ms / 1_000);
        if admits == self.admits {
            return None;
        }
        self.admits = admits;
        Some(Entry::Door { at_ms, admits: admits.map(|user| user.to_checksum(None)) })
    }
}

fn trust(keys: &TermKeys, key: &TermKey) -> Option<Trust> {
    let home = keys.home();
    let group = GroupKey::from_eip2537(&key.group_key).ok()?;
    let (chain_id, registry, committee) = (home.chain_id, home.registry.into(), home.committee);
    Some(Trust { chain_id, registry, committee, term: key.term, group })
}

#[cfg(test)]
mod tests {
    use aggregator::{Share, deal_for_tests};
    use alloy::primitives::{B256, U256};
    use alloy::sol_types::{Eip712Domain, SolStruct as _, SolValue as _};
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// docs/protocol.md §6, written out a second time.
    mod own {
        alloy::sol! {
            #[derive(Default)]
            struct Header {
                uint64 committee; uint64 term; bytes32 configDigest; uint32 stream; uint64 epoch; uint64 periodStart;
                uint64 periodEnd; uint64 snapshotBlock; bytes32 snapshotHash; uint32 leafCount; bytes32 leavesRoot;
                bytes32 stateRoot; bytes32 observationsHash; bytes32 policyHash; bytes32 previousHeader;
                uint256 participation;
            }
        }
    }

    const TOKEN: u64 = 4;
    const REGISTRY: Address = Address::repeat_byte(1);
    const LESSEE: Address = Address::repeat_byte(7);

    /// A lease's leaf of the state tree, field by field: the tag, then the state, from second 1,000 to 1,060.
    fn lease_state(lessee: Address) -> Vec<u8> {
        let mut e = minicbor::Encoder::new(vec![1]);
        e.array(17)
            .unwrap()
            .u64(11)
            .unwrap()
            .bytes(&[3; 20])
            .unwrap()
            .u64(TOKEN)
            .unwrap()
            .bytes(lessee.as_slice())
            .unwrap();
        e.u64(1_000).unwrap().u64(1_060).unwrap().u8(1).unwrap().bytes(&[0; 32]).unwrap().bytes(&[0; 16]).unwrap();
        for _ in 0..4 {
            e.u64(0).unwrap();
        }
        e.bytes(&[0; 16]).unwrap().array(0).unwrap().bytes(&[0; 32]).unwrap().bytes(&[]).unwrap();
        e.into_writer()
    }

    /// The feed of an epoch, certified by three of four.
    fn feed(shares: &[Share], sharing: &aggregator::Sharing, epoch: u64) -> Vec<u8> {
        let leaf = lease_state(LESSEE);
        let root: [u8; 32] = Sha256::new().chain_update([0]).chain_update(&leaf).finalize().into();
        let header = own::Header {
            committee: 1,
            term: 1,
            epoch,
            periodEnd: 1_015 + 15 * epoch,
            stateRoot: B256::from(root),
            ..own::Header::default()
        };
        let domain = Eip712Domain {
            name: Some("Plumbline".into()),
            version: Some("1".into()),
            chain_id: Some(U256::from(31_337)),
            verifying_contract: Some(REGISTRY),
            salt: None,
        };
        let digest = header.eip712_signing_hash(&domain).0;
        let partials: Vec<_> = shares.iter().take(3).map(|share| share.sign(&digest)).collect();
        let certificate = sharing.recover(&digest, &partials).unwrap().to_bytes();
        let mut e = minicbor::Encoder::new(Vec::new());
        e.array(4).unwrap().bytes(&header.abi_encode()).unwrap().bytes(&certificate).unwrap();
        e.bytes(&leaf).unwrap().array(0).unwrap();
        e.into_writer()
    }

    fn admitted(entry: Option<Entry>) -> Option<Option<String>> {
        match entry {
            Some(Entry::Door { admits, .. }) => Some(admits),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_opens_to_the_certified_user_from_start_to_end_and_to_nobody_else() {
        let (sharing, shares) = deal_for_tests(4, 1);
        let group = sharing.group;
        let trust = Trust { chain_id: 31_337, registry: REGISTRY, committee: 1, term: 1, group };
        let mut door = Door::new(trust, TOKEN, 60);
        let word = feed(&shares, &sharing, 1);
        assert_eq!(admitted(door.look(1_020_000)), None, "closed before any word");

        // A vandal puts its own address where the lessee's stands.
        let mut forged = word.clone();
        let at = forged.windows(20).position(|window| window == LESSEE.as_slice()).unwrap();
        forged.splice(at..at + 20, [9; 20]);
        assert!(matches!(door.learn(1_020_000, &forged), Some(Entry::BadAccess { .. })));
        assert!(matches!(door.learn(1_020_000, b"open up"), Some(Entry::BadAccess { .. })));
        assert_eq!(admitted(door.look(1_020_000)), None);

        let noted = door.learn(1_031_000, &word);
        let user = LESSEE.to_checksum(None);
        let access = Entry::Access { at_ms: 1_031_000, user: user.clone(), lease: 11, expires: 1_060, epoch: 1 };
        assert_eq!(noted, Some(access));
        assert_eq!(admitted(door.look(1_031_000)), Some(Some(user)));
        assert_eq!(door.learn(1_031_500, &word), None, "every member sends it");
        assert_eq!(door.learn(1_032_000, &feed(&shares, &sharing, 0)), None, "an older word is nothing new");
        assert_eq!(admitted(door.look(1_059_999)), None, "still open");
        assert_eq!(admitted(door.look(1_060_000)), Some(None), "the right has ended");
    }
}
