//! The attester: one boot of one device. It counts messages and links them, so that honest firmware cannot fork itself
//! by mistake. Transport, clock and randomness are the caller's.

use crate::{
    Answers, Challenge, EncodeError, Network, PublicKey, Said, SealError, Signed, Signer, claims::Head,
    sign::seal_parts,
};

/// Where the boot count survives a power cut. It is the only thing a device must persist.
pub trait Storage {
    /// What can go wrong.
    type Error;

    /// The last stored boot count; 0 when none was ever stored.
    ///
    /// # Errors
    /// When the count cannot be read. A device must not guess one.
    fn load_boot(&mut self) -> Result<u32, Self::Error>;

    /// Stores the boot count. Returns only after it is durable.
    ///
    /// # Errors
    /// When the count may not be durable.
    fn store_boot(&mut self, boot: u32) -> Result<(), Self::Error>;
}

/// A boot count in memory, for simulators and tests. A real device that used it would repeat its boot count after a
/// power cut and so fork itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolatileBoot(pub u32);

impl Storage for VolatileBoot {
    type Error = core::convert::Infallible;

    fn load_boot(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0)
    }

    fn store_boot(&mut self, boot: u32) -> Result<(), Self::Error> {
        self.0 = boot;
        Ok(())
    }
}

/// Why a device did not boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError<E> {
    /// The boot count could not be loaded or stored.
    #[error("boot count storage failed")]
    Storage(E),
    /// The device has booted 2^32 - 1 times.
    #[error("boot counts exhausted")]
    Exhausted,
}

/// One boot of a device. Every message it makes has the next sequence number and names the message before it.
#[derive(Debug)]
pub struct Device<S> {
    signer: S,
    network: Network,
    boot: u32,
    next_seq: Option<u64>,
    prev: [u8; 16],
}

impl<S: Signer> Device<S> {
    /// Starts a boot: counts up and makes the new count durable before any message can exist. The first boot is 1.
    ///
    /// # Errors
    /// When the count cannot be stored or has run out: then nothing may be sent.
    pub fn boot<T: Storage>(signer: S, storage: &mut T, network: Network) -> Result<Self, BootError<T::Error>> {
        let boot = storage.load_boot().map_err(BootError::Storage)?.checked_add(1).ok_or(BootError::Exhausted)?;
        storage.store_boot(boot).map_err(BootError::Storage)?;
        Ok(Self { signer, network, boot, next_seq: Some(0), prev: [0; 16] })
    }

    /// Makes the next message in `buf` ([`MAX_MESSAGE`](crate::MAX_MESSAGE) bytes always suffice). `iat` is unix
    /// seconds, if the device has a clock; `nonce` the draw, exactly for a class that answers one; `body` a
    /// [`Body`](crate::Body) or the body of one class. On an error nothing has advanced.
    ///
    /// # Errors
    /// Claims that do not encode, a buffer that is too small, a signer that gives no signature.
    pub fn message<'b>(
        &mut self,
        iat: Option<u64>,
        nonce: Option<[u8; 32]>,
        body: &dyn Said,
        buf: &'b mut [u8],
    ) -> Result<Signed<'b>, SealError> {
        let seq = self.next_seq.ok_or(SealError::Exhausted)?;
        let head = Head { iat, nonce, boot: self.boot, seq, prev: self.prev };
        let signed = seal_parts(&self.signer, &self.network, &head, body, buf)?;
        self.next_seq = seq.checked_add(1);
        self.prev = link(&signed.id);
        Ok(signed)
    }

    /// [`message`](Self::message) in answer to a challenge of any class: its draw is the nonce, and the answer must name its
    /// lease and slot.
    ///
    /// # Errors
    /// As `message`; [`EncodeError::Class`] for an answer to another challenge.
    pub fn answer<'b, A: Answers>(
        &mut self,
        iat: Option<u64>,
        challenge: &Challenge,
        answer: &A,
        buf: &'b mut [u8],
    ) -> Result<Signed<'b>, SealError> {
        if (answer.lease(), answer.slot()) != (challenge.lease, challenge.slot) {
            return Err(EncodeError::Class.into());
        }
        self.message(iat, Some(challenge.draw), answer, buf)
    }

    /// The device's key id.
    #[must_use]
    pub fn kid(&self) -> [u8; 8] {
        self.signer.public_key().kid()
    }

    /// The device's public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.signer.public_key()
    }

    /// The network its messages are meant for.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The count of this boot.
    #[must_use]
    pub const fn boot_count(&self) -> u32 {
        self.boot
    }

    /// The sequence number of the next message; `None` when they have run out.
    #[must_use]
    pub const fn next_seq(&self) -> Option<u64> {
        self.next_seq
    }

    /// What holds the key.
    #[must_use]
    pub const fn signer(&self) -> &S {
        &self.signer
    }
}

/// What the next message says of this one: the first 16 bytes of its id.
#[must_use]
pub fn link(id: &crate::EvidenceId) -> [u8; 16] {
    let mut prev = [0; 16];
    for (slot, byte) in prev.iter_mut().zip(id) {
        *slot = *byte;
    }
    prev
}
