//! The address book of a deployment: the one JSON file that `contracts/script/Deploy.s.sol` writes and everybody reads.
//! Leaves out: asking the chain whether it holds what the book says (the script's `check` does), and any default
//! deployment: there is none.

use std::path::Path;

use alloy_primitives::{Address, B256, keccak256};
use oracle_core::registry::Contracts;
use serde::Deserialize;

/// The ABIs that this build was made with, as `contracts/abi.sh` wrote them.
const ARTIFACTS: [(&str, &str); 6] = [
    ("BlsVerifier", include_str!("../../contracts/abi/BlsVerifier.json")),
    ("CommitteeRegistry", include_str!("../../contracts/abi/CommitteeRegistry.json")),
    ("ReportHub", include_str!("../../contracts/abi/ReportHub.json")),
    ("DeviceRegistry", include_str!("../../contracts/abi/DeviceRegistry.json")),
    ("LeaseEscrow", include_str!("../../contracts/abi/LeaseEscrow.json")),
    ("OperatorStake", include_str!("../../contracts/abi/OperatorStake.json")),
];

/// Most bytes of a book that are read: twenty times what the script writes.
const BOOK_BYTES_MAX: u64 = 64 * 1024;

/// Why a book cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The file cannot be read.
    #[error("address book {path}: {what}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        what: String,
    },
    /// Not the JSON of an address book.
    #[error("not an address book as contracts/script/Deploy.s.sol writes it: {0}")]
    Malformed(String),
    /// A book of another format.
    #[error("the address book is of version {0}, this build reads version 1")]
    Version(u64),
    /// An address that no contract can have.
    #[error("{0} has the zero address; is the deployment complete?")]
    ZeroAddress(&'static str),
    /// Two contracts under one address.
    #[error("{0} and {1} have the same address")]
    SameAddress(&'static str, &'static str),
}

/// One contract of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Where it is.
    pub address: Address,
    /// Keccak-256 of its ABI's JSON text.
    pub abi: B256,
    /// Keccak-256 of its code on the chain.
    pub code: B256,
}

/// Who governs the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Governance {
    /// The TimelockController that owns every contract.
    pub timelock: Address,
    /// Its least delay, seconds, when the book was written.
    pub delay_seconds: u64,
}

/// A deployment as its book tells it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AddressBook {
    /// Format of the book: 1.
    pub version: u64,
    /// EIP-155 id of the chain.
    pub chain_id: u64,
    /// A block before every event of the set.
    pub block: u64,
    /// Who deployed; has no rights left.
    pub deployer: Address,
    /// Who governs.
    pub governance: Governance,
    /// The contracts.
    pub contracts: Set,
    /// Where committees' fees went when the book was written.
    pub committees: Vec<Treasury>,
}

/// Where one committee's fees go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Treasury {
    /// Committee, from 1.
    pub committee: u64,
    /// An account, or a `CommitteeFees` that shares them among the members.
    pub treasury: Address,
}

/// The contracts of a set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
pub struct Set {
    /// Checks certificates.
    pub bls_verifier: Deployment,
    /// Committees and keys; the EIP-712 verifying contract.
    pub committee_registry: Deployment,
    /// Roots of reports.
    pub report_hub: Deployment,
    /// Devices.
    pub device_registry: Deployment,
    /// Leases.
    pub lease_escrow: Deployment,
    /// Bonds.
    pub operator_stake: Deployment,
}

impl Set {
    /// All of them by name, in the order of deployment.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, &Deployment); 6] {
        [
            ("BlsVerifier", &self.bls_verifier),
            ("CommitteeRegistry", &self.committee_registry),
            ("ReportHub", &self.report_hub),
            ("DeviceRegistry", &self.device_registry),
            ("LeaseEscrow", &self.lease_escrow),
            ("OperatorStake", &self.operator_stake),
        ]
    }
}

impl AddressBook {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`AddressError`], naming the file or the entry.
    pub fn load(path: &Path) -> Result<Self, AddressError> {
        use std::io::Read as _;
        let fail =
            |e: std::io::Error| AddressError::Unreadable { path: path.display().to_string(), what: e.to_string() };
        let mut text = String::new();
        std::fs::File::open(path).map_err(fail)?.take(BOOK_BYTES_MAX).read_to_string(&mut text).map_err(fail)?;
        Self::parse(&text)
    }

    /// Checks the text of a book.
    ///
    /// # Errors
    /// [`AddressError`] other than `Unreadable`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        /// A book of any version.
        #[derive(Deserialize)]
        struct Any {
            version: u64,
        }
        let malformed = |e: serde_json::Error| AddressError::Malformed(e.to_string());
        let Any { version } = serde_json::from_str(text).map_err(malformed)?;
        if version != 1 {
            return Err(AddressError::Version(version));
        }
        let book: Self = serde_json::from_str(text).map_err(malformed)?;
        let all = book.contracts.all();
        for (place, (name, one)) in all.iter().enumerate() {
            if one.address.is_zero() {
                return Err(AddressError::ZeroAddress(name));
            }
            if let Some((other, _)) = all.iter().take(place).find(|(_, other)| other.address == one.address) {
                return Err(AddressError::SameAddress(other, name));
            }
        }
        Ok(book)
    }

    /// The contracts whose logs an audit reads.
    #[must_use]
    pub const fn logged(&self) -> Contracts {
        Contracts {
            registry: self.contracts.committee_registry.address,
            devices: self.contracts.device_registry.address,
            escrow: self.contracts.lease_escrow.address,
            hub: self.contracts.report_hub.address,
        }
    }

    /// Contracts that were deployed with another ABI than this build knows: their logs may read differently here.
    #[must_use]
    pub fn of_other_abi(&self) -> Vec<&'static str> {
        let all = self.contracts.all();
        let differs = |name: &str, told: &B256| abi_hash(name).is_none_or(|known| known != *told);
        all.iter().filter(|(name, one)| differs(name, &one.abi)).map(|(name, _)| *name).collect()
    }
}

/// Keccak-256 of a contract's ABI as this build knows it: the text between `{"abi":` and `,"bytecode":`.
fn abi_hash(contract: &str) -> Option<B256> {
    let (_, text) = ARTIFACTS.iter().find(|(name, _)| *name == contract)?;
    let (abi, _) = text.strip_prefix("{\"abi\":")?.split_once(",\"bytecode\":")?;
    Some(keccak256(abi))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> String {
        let hash = |contract: &str| abi_hash(contract).unwrap_or_default();
        let entries: Vec<String> = (1u8..)
            .zip(ARTIFACTS)
            .map(|(i, (name, _))| {
                let at = Address::repeat_byte(i);
                format!(r#""{name}":{{"address":"{at}","abi":"{}","code":"{}"}}"#, hash(name), B256::repeat_byte(i))
            })
            .collect();
        let timelock = Address::repeat_byte(0xaa);
        format!(
            r#"{{"version":1,"chainId":31337,"block":7,"deployer":"{timelock}","governance":{{"timelock":"{timelock}","delaySeconds":60}},"contracts":{{{}}},"committees":[{{"committee":1,"treasury":"{timelock}"}}]}}"#,
            entries.join(",")
        )
    }

    #[test]
    fn reads_what_the_script_writes() {
        let book = AddressBook::parse(&book()).unwrap();
        assert_eq!((book.chain_id, book.block, book.governance.delay_seconds), (31_337, 7, 60));
        assert_eq!(book.logged().registry, Address::repeat_byte(2));
        assert_eq!(book.logged().hub, Address::repeat_byte(3));
        assert!(book.of_other_abi().is_empty());
    }

    #[test]
    fn names_contracts_of_another_abi() {
        let known = abi_hash("ReportHub").unwrap().to_string();
        let book = AddressBook::parse(&book().replace(&known, &B256::ZERO.to_string())).unwrap();
        assert_eq!(book.of_other_abi(), ["ReportHub"]);
    }

    #[test]
    fn refuses_what_cannot_be_a_deployment() {
        let good = book();
        let with = |from: &str, to: &str| {
            assert!(good.contains(from), "the test replaces {from}");
            AddressBook::parse(&good.replacen(from, to, 1))
        };
        assert_eq!(with("\"version\":1", "\"version\":2"), Err(AddressError::Version(2)));
        let two = Address::repeat_byte(2).to_string();
        assert_eq!(with(&two, &Address::ZERO.to_string()), Err(AddressError::ZeroAddress("CommitteeRegistry")));
        let same = AddressError::SameAddress("BlsVerifier", "CommitteeRegistry");
        assert_eq!(with(&two, &Address::repeat_byte(1).to_string()), Err(same));
        for (from, to) in [("ReportHub", "ReportHubs"), ("\"block\":7,", ""), ("0x", "0y"), ("31337", "-1")] {
            assert!(matches!(with(from, to), Err(AddressError::Malformed(_))), "{from} -> {to}");
        }
        assert!(matches!(AddressBook::parse(""), Err(AddressError::Malformed(_))));
        let missing = AddressBook::load(Path::new("no such file")).unwrap_err();
        assert!(missing.to_string().contains("no such file"), "{missing}");
    }
}
