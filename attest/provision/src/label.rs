//! What is printed: text for a person, JSON for a line's software, a QR code for the label. All from public values.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use attest::{Network, PublicKey};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::json;

/// Where the device is to be registered.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) chain: u64,
    pub(crate) registry: [u8; 20],
    pub(crate) owner: [u8; 20],
    pub(crate) network: Option<Network>,
}

/// A device key with a proof that verifies.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) place: Place,
    pub(crate) key: PublicKey,
    pub(crate) proof: [u8; 64],
    /// The device whose key it is to become, if that is registered already.
    pub(crate) token: Option<u64>,
}

/// Bytes of a fixed number from hex, with or without 0x.
pub(crate) fn fixed<const N: usize>(what: &str, text: &str) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode_to_slice(digits, &mut bytes).with_context(|| format!("{what}: {N} bytes of hex belong here"))?;
    Ok(bytes)
}

impl Label {
    /// Everything, or only the JSON.
    pub(crate) fn print(&self, json: bool) -> Result<String> {
        let document = format!("{}\n", serde_json::to_string_pretty(&self.json())?);
        Ok(if json { document } else { format!("{}\n{}\n{document}", self.text(), self.code()?) })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let hexed = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
        json!({
            "alg": self.key.alg().id(),
            "public_key": hexed(self.key.bytes()),
            "thumbprint": hexed(&self.key.thumbprint()),
            "kid": hex::encode(self.key.kid()),
            "chain": self.place.chain,
            "device_registry": hexed(&self.place.registry),
            "owner": hexed(&self.place.owner),
            "proof_of_possession": hexed(&self.proof),
            "network": self.place.network.map(hex::encode),
            "token": self.token,
            "call": self.call(),
        })
    }

    /// The contract call, with the two things that only the owner knows in words.
    fn call(&self) -> String {
        let (alg, key, proof) = (self.key.alg().id(), hex::encode(self.key.bytes()), hex::encode(self.proof));
        match self.token {
            None => format!(
                "register(address,uint8,bytes,bytes,bytes32,uint8) {} {alg} 0x{key} 0x{proof} <location commitment> <class>",
                format_args!("0x{}", hex::encode(self.place.owner))
            ),
            Some(token) => format!("rotateKey(uint256,uint8,bytes,bytes) {token} {alg} 0x{key} 0x{proof}"),
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "key id       {}   (topics and broker certificates end in it)\nthumbprint   {}\nfrom         0x{}, the owner\nto           0x{}, DeviceRegistry, chain {}\ncall         {}\n",
            hex::encode(self.key.kid()),
            hex::encode(self.key.thumbprint()),
            hex::encode(self.place.owner),
            hex::encode(self.place.registry),
            self.place.chain,
            self.call()
        );
        if let Some(network) = &self.place.network {
            let _ = writeln!(text, "network      {}   (the firmware signs for it)", hex::encode(network));
        }
        text += match self.key {
            PublicKey::P256(_) => "in force     with the transaction: the registry checks a P-256 proof itself\n",
            PublicKey::Ed25519(_) => {
                "in force     once the committee has certified the proof and activateKeys was sent\n"
            }
        };
        if self.token.is_some() {
            text += "lease        goes on: same token, same lease, same money. Nodes hear the new key from the first snapshot\n             \
                     after it is in force; challenges missed until then count as missed\nold key      stops with the \
                     transaction. Was it stolen? Call revoke(token) first: then it never counts again\nboot count   start \
                     the new device above the old one's (say 1,000 more): numbers that repeat within two epochs are forks\n";
        }
        text
    }

    /// What the code on the label says: upper case, for the denser alphanumeric mode.
    pub(crate) fn uri(&self) -> String {
        let (alg, chain) = (self.key.alg().id(), self.place.chain);
        let parts = [self.key.bytes(), &self.place.registry, &self.place.owner, &self.proof].map(hex::encode);
        format!("plumbline:{alg}/{chain}/{}", parts.join("/")).to_uppercase()
    }

    /// The code for a terminal: light on dark, as most terminals are.
    pub(crate) fn code(&self) -> Result<String> {
        let code = QrCode::with_error_correction_level(self.uri(), EcLevel::L).context("make the QR code")?;
        let mut picture = code.render::<Dense1x2>();
        Ok(picture.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).quiet_zone(true).build())
    }
}
