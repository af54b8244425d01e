//! MQTT topic names, written without allocating. The transport itself is the caller's.

use core::{fmt, ops::Deref, str};

use crate::{Class, Network};

/// Where nodes broadcast beacon certificates.
pub const BEACON_TOPIC: &str = "plumbline/v1/beacon";
/// The filter with which a node hears every device.
pub const UP_FILTER: &str = "plumbline/v1/up/+/+";

const UP: &str = "plumbline/v1/up/";
const DOWN: &str = "plumbline/v1/down/";
const TERM: &str = "plumbline/v1/term/";
const HEX: &[u8; 16] = b"0123456789abcdef";
/// The longest name is a term topic: 18 + 16 + 1 + 16 bytes.
const CAPACITY: usize = 52;

/// What nodes publish to one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Down {
    /// The lease feed.
    Lease,
    /// Who may use the device.
    Access,
    /// Receipts for stored evidence.
    Receipt,
}

impl Down {
    /// The last part of the topic.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Access => "access",
            Self::Receipt => "receipt",
        }
    }
}

/// A topic name, held without allocating; use it as a `&str`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Topic {
    const fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    fn push(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self = self.push_byte(byte);
        }
        self
    }

    fn push_hex(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            for nibble in [byte >> 4, byte & 15] {
                self = self.push_byte(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
            }
        }
        self
    }

    fn push_byte(mut self, byte: u8) -> Self {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
        self
    }

    /// The name's bytes (ASCII).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl Deref for Topic {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Where the device `kid` publishes evidence of `class`.
#[must_use]
pub fn topic_up(class: Class, kid: &[u8; 8]) -> Topic {
    Topic::new().push(UP).push(class.name()).push("/").push_hex(kid)
}

/// Where nodes publish `what` for the device `kid`.
#[must_use]
pub fn topic_down(what: Down, kid: &[u8; 8]) -> Topic {
    Topic::new().push(DOWN).push_hex(kid).push("/").push(what.name())
}

/// Where nodes keep a committee's last rotations, retained ([`Rotations`](crate::Rotations)).
#[must_use]
pub fn topic_term(network: &Network, committee: u64) -> Topic {
    Topic::new().push(TERM).push_hex(network).push("/").push_hex(&committee.to_be_bytes())
}

/// Class and key id of a device's topic; `None` for any other name. Only lower-case hex is accepted.
#[must_use]
pub fn parse_topic_up(topic: &str) -> Option<(Class, [u8; 8])> {
    let (name, hex) = topic.strip_prefix(UP)?.split_once('/')?;
    let class = Class::from_name(name)?;
    if hex.len() != 16 {
        return None;
    }
    let mut kid = [0; 8];
    for (byte, pair) in kid.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        for digit in pair {
            let nibble = HEX.iter().position(|known| known == digit)?;
            *byte = (*byte << 4) | u8::try_from(nibble).ok()?;
        }
    }
    Some((class, kid))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KID: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];

    #[test]
    fn every_class_comes_back_from_its_topic() {
        for class in Class::ALL {
            let topic = topic_up(class, &KID);
            assert_eq!(parse_topic_up(&topic), Some((class, KID)), "{topic}");
        }
        assert_eq!(topic_up(Class::Commitment, &KID).as_str(), "plumbline/v1/up/commitment/0123456789abcdef");
        assert_eq!(topic_down(Down::Receipt, &KID).as_str(), "plumbline/v1/down/0123456789abcdef/receipt");
    }

    #[test]
    fn a_term_topic_names_network_and_committee() {
        let topic = topic_term(&KID, u64::MAX);
        assert_eq!(topic.as_str(), "plumbline/v1/term/0123456789abcdef/ffffffffffffffff");
        assert_eq!(topic_term(&KID, 10).as_str(), "plumbline/v1/term/0123456789abcdef/000000000000000a");
    }

    #[test]
    fn other_names_are_not_a_device() {
        for name in [
            "plumbline/v1/beacon",
            "plumbline/v1/up/answer/0123456789ABCDEF",
            "plumbline/v1/up/answer/0123456789abcde",
            "plumbline/v1/up/answer/0123456789abcdef/",
            "plumbline/v1/up/unknown/0123456789abcdef",
            "plumbline/v2/up/answer/0123456789abcdef",
            "plumbline/v1/up/answer/0123456789abcdeé",
        ] {
            assert_eq!(parse_topic_up(name), None, "{name}");
        }
    }
}
