//! What a connection needs to know: brokers, identity, whose receipts count. Checked once, at the start.

use std::fmt;
use std::time::Duration;

use attest::Network;

use crate::{Backoff, Password, Tls};

/// One broker.
#[derive(Clone, Debug)]
pub struct Broker {
    /// Name or address. With TLS it must be in the broker's certificate.
    pub host: String,
    /// Port; 8883 with TLS by convention, 1883 without.
    pub port: u16,
    /// User name and password. Without TLS they travel in the clear.
    pub login: Option<(String, Password)>,
    /// TLS, usually with this device's client certificate.
    pub tls: Option<Tls>,
}

impl Broker {
    /// A broker without TLS or login, as in a laboratory.
    #[must_use]
    pub fn plain(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, login: None, tls: None }
    }

    /// A broker behind TLS.
    #[must_use]
    pub fn secure(host: impl Into<String>, port: u16, tls: Tls) -> Self {
        Self { host: host.into(), port, login: None, tls: Some(tls) }
    }

    /// The same broker with a user name and password.
    #[must_use]
    pub fn with_login(mut self, user: impl Into<String>, password: Password) -> Self {
        self.login = Some((user.into(), password));
        self
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Everything about a device's way up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The brokers, best first; those of two operators are better than two of one (censorship).
    pub brokers: Vec<Broker>,
    /// How many of them to be connected to at once; the others stand by. 1 is plain failover.
    pub at_once: usize,
    /// The device's key id; its topics follow from it.
    pub kid: [u8; 8],
    /// MQTT client id: the same after every restart, so that brokers keep the session. The key id in hex by default.
    pub client_id: String,
    /// The network that queued messages were signed for.
    pub network: Network,
    /// The committee whose rotations to listen for ([`Event::Terms`](crate::Event::Terms)); a device that checks no
    /// certificates has no use for them.
    pub committee: Option<u64>,
    /// The members' receipt keys by member index (the registry's `MemberRegistered`).
    pub receipt_keys: Vec<[u8; 32]>,
    /// Different members whose receipts let a reading go: f+1.
    pub receipts_needed: u32,
    /// How long to wait for receipts before the same bytes are sent again.
    pub patience: Duration,
    /// MQTT keep-alive; a dead line is noticed after about twice this. At least a second.
    pub keep_alive: Duration,
    /// The pauses between attempts to connect.
    pub backoff: Backoff,
    /// Whether to say `online` and leave `offline` as last will, on [`status_topic`](crate::status_topic).
    pub announce: bool,
}

impl Options {
    /// Usual settings: one broker at a time, 30 s of patience, `online` and `offline` said.
    #[must_use]
    pub fn new(
        brokers: Vec<Broker>,
        kid: [u8; 8],
        network: Network,
        receipt_keys: Vec<[u8; 32]>,
        receipts_needed: u32,
    ) -> Self {
        let client_id = crate::status_topic(&kid).rsplit('/').next().unwrap_or_default().to_owned();
        Self {
            brokers,
            at_once: 1,
            kid,
            client_id,
            network,
            committee: None,
            receipt_keys,
            receipts_needed,
            patience: Duration::from_secs(30),
            keep_alive: Duration::from_secs(30),
            backoff: Backoff::default(),
            announce: true,
        }
    }

    /// Names the first thing that cannot work.
    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        let members = self.receipt_keys.len();
        if self.brokers.is_empty() {
            return Err(OptionsError::NoBroker);
        }
        if self.at_once == 0 || self.at_once > self.brokers.len() {
            return Err(OptionsError::AtOnce { at_once: self.at_once, brokers: self.brokers.len() });
        }
        if let Some(broker) = self.brokers.iter().find(|broker| broker.host.is_empty() || broker.port == 0) {
            return Err(OptionsError::Address { broker: broker.to_string() });
        }
        if self.client_id.is_empty() {
            return Err(OptionsError::ClientId);
        }
        if self.receipts_needed == 0 || usize::try_from(self.receipts_needed).map_or(true, |needed| needed > members) {
            return Err(OptionsError::Receipts { needed: self.receipts_needed, members });
        }
        if self.keep_alive < Duration::from_secs(1) || self.patience < Duration::from_millis(100) {
            return Err(OptionsError::TooShort);
        }
        Ok(())
    }
}

/// Settings that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// No broker.
    #[error("no broker is named; give at least one host and port")]
    NoBroker,
    /// More connections than brokers, or none.
    #[error("at_once is {at_once} with {brokers} broker(s); it must be from 1 to their number")]
    AtOnce {
        /// As set.
        at_once: usize,
        /// Brokers named.
        brokers: usize,
    },
    /// A broker without host or port.
    #[error("the broker {broker:?} lacks a host or a port")]
    Address {
        /// As far as known.
        broker: String,
    },
    /// An empty client id.
    #[error("the client id is empty; a broker could not keep the session")]
    ClientId,
    /// Receipts that can never be had.
    #[error(
        "receipts of {needed} member(s) are needed but {members} receipt key(s) are known; f+1 of all members' keys belong here"
    )]
    Receipts {
        /// As set.
        needed: u32,
        /// Keys known.
        members: usize,
    },
    /// Times that would make a hot loop.
    #[error("keep_alive must be at least 1 s and patience at least 100 ms")]
    TooShort,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options::new(vec![Broker::plain("a", 1), Broker::plain("b", 2)], [0xab; 8], [1; 8], vec![[2; 32]; 4], 2)
    }

    #[test]
    fn the_usual_settings_hold() {
        assert_eq!(options().check(), Ok(()));
        assert_eq!(options().client_id, "abababababababab");
    }

    #[test]
    fn what_cannot_work_is_named() {
        type Spoil = fn(&mut Options);
        let faulty: [(Spoil, &str); 9] = [
            (|o| o.brokers.clear(), "no broker"),
            (|o| o.at_once = 0, "at_once is 0"),
            (|o| o.at_once = 3, "at_once is 3 with 2"),
            (|o| o.brokers.push(Broker::plain("", 1)), "lacks a host"),
            (|o| o.brokers.push(Broker::plain("c", 0)), "\"c:0\" lacks"),
            (|o| o.client_id.clear(), "client id is empty"),
            (|o| o.receipts_needed = 0, "receipts of 0"),
            (|o| o.receipts_needed = 5, "receipts of 5 member(s) are needed but 4"),
            (|o| o.keep_alive = Duration::from_millis(999), "at least 1 s"),
        ];
        for (spoil, expected) in faulty {
            let mut options = options();
            spoil(&mut options);
            let said = options.check().expect_err(expected).to_string();
            assert!(said.contains(expected), "{expected:?} not in {said:?}");
        }
    }

    #[test]
    fn a_password_is_never_printed() {
        let broker = Broker::plain("a", 1).with_login("me", Password::new("swordfish"));
        assert!(!format!("{broker:?}").contains("swordfish"));
    }
}
