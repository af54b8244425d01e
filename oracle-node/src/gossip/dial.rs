//! Whom to dial next: every known address, with doubling pauses, until its member is connected. Pure: time is given.
//! Leaves out: dialling (`swarm`).

use std::time::Duration;

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// First pause after a failed dial.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two dials of one address.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One address of one member.
#[derive(Debug)]
struct Target {
    /// Who answered there, or who is expected.
    peer: Option<PeerId>,
    address: Multiaddr,
    pause: Duration,
    next: Duration,
}

/// The addresses of a term, and when each is due. Times are since the start of the network.
#[derive(Debug)]
pub(super) struct Dialler {
    me: PeerId,
    targets: Vec<Target>,
}

impl Dialler {
    pub(super) fn new(me: PeerId, peers: Vec<(Option<PeerId>, Multiaddr)>) -> Self {
        let mut dialler = Self { me, targets: Vec::new() };
        dialler.add(peers);
        dialler
    }

    /// More addresses; known ones stay as they are.
    pub(super) fn add(&mut self, peers: Vec<(Option<PeerId>, Multiaddr)>) {
        let target = |(peer, address): (Option<PeerId>, Multiaddr)| {
            let named = address.iter().find_map(|part| if let Protocol::P2p(id) = part { Some(id) } else { None });
            Target { peer: named.or(peer), address, pause: FIRST_PAUSE, next: Duration::ZERO }
        };
        for new in peers.into_iter().map(target) {
            if !self.targets.iter().any(|known| without_peer(&known.address) == without_peer(&new.address)) {
                self.targets.push(new);
            }
        }
    }

    /// Forgets the addresses of peers that are no longer wanted.
    pub(super) fn forget(&mut self, wanted: impl Fn(&PeerId) -> bool) {
        self.targets.retain(|target| target.peer.as_ref().is_none_or(&wanted));
    }

    /// Addresses to dial now: due, and of members not connected.
    pub(super) fn due(&mut self, now: Duration, connected: impl Fn(&PeerId) -> bool) -> Vec<Multiaddr> {
        let mut due = Vec::new();
        for target in &mut self.targets {
            let done = target.peer.is_some_and(|peer| peer == self.me || connected(&peer));
            if done {
                target.pause = FIRST_PAUSE;
                target.next = now;
            } else if target.next <= now {
                target.next = now + target.pause;
                target.pause = (target.pause * 2).min(LONGEST_PAUSE);
                due.push(target.address.clone());
            }
        }
        due
    }

    /// Remembers who answered at an address.
    pub(super) fn answered(&mut self, address: &Multiaddr, peer: PeerId) {
        let bare = without_peer(address);
        for target in self.targets.iter_mut().filter(|target| without_peer(&target.address) == bare) {
            target.peer = Some(peer);
        }
    }
}

fn without_peer(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_until_the_member_is_connected() {
        let (me, other) = (PeerId::random(), PeerId::random());
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().expect("multiaddr");
        let mut dialler = Dialler::new(me, vec![(None, address.clone())]);
        let at = Duration::from_millis;
        assert_eq!(dialler.due(at(0), |_| false).len(), 1);
        assert!(dialler.due(at(200), |_| false).is_empty());
        assert_eq!(dialler.due(at(250), |_| false).len(), 1);
        assert!(dialler.due(at(700), |_| false).is_empty());
        dialler.answered(&address, other);
        assert!(dialler.due(at(10_000), |peer| *peer == other).is_empty());
        assert_eq!(dialler.due(at(10_001), |_| false).len(), 1, "at once after a lost connection");
        dialler.answered(&address, me);
        assert!(dialler.due(at(60_000), |_| false).is_empty(), "one's own address is left alone");
    }
}
