//! A device of the demo as one process: it follows the beacons, derives its own challenges, signs with `attest` and sends over
//! MQTT; what it does about its leases its kind knows (`kind`). Every fault is planned in its configuration. This file wires
//! clock, sockets and disk to the pure parts. Leaves out: leases' truth (the chain) and whatever is of one kind only.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use attest::{Beacon, Down};
use sha2::{Digest as _, Sha256};
use tokio::net::UdpSocket;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::kind::{self, Act, Role};
use crate::recording;

pub mod beacons;
pub mod config;
pub mod diary;
pub mod door;
pub mod lease;
pub mod link;
pub mod receipts;
pub mod speech;
pub mod voice;
pub mod watch;

pub use config::{Algorithm, Clock, DeviceConfig, Line, Place, Told};
pub use diary::Entry;
pub use speech::Speech;

use beacons::{Beacons, Followed};
use diary::Diary;
use door::Door;
use link::{Link, News, Parcel};
use receipts::Shelf;
use voice::{BootFile, Sealed, Voice};
use watch::{Post, Watch};

/// How long a device that is asked to end waits for receipts of what a broker has taken.
const FAREWELL: Duration = Duration::from_millis(1_500);

/// Runs the device until it is asked to end (SIGTERM); it then says nothing more and waits a moment for its receipts.
///
/// # Errors
/// When its folder, key or sockets cannot be used, or its diary not be written: a device without a diary proves nothing.
pub async fn run(config: DeviceConfig) -> Result<()> {
    std::fs::create_dir_all(&config.dir).with_context(|| format!("make {}", config.dir.display()))?;
    let (network, seed, place) = (config.network()?, config.seed()?, config.place()?);
    let data = recording::folder(config.recordings.as_deref());
    let clock = config.clock().await;
    let group = config.group_key().await;

    let beacons = Beacons::open(&config, &clock, &group)?;
    let voice = Voice::boot(config.alg, seed, network, place, &mut BootFile::new(&config.dir))?;
    let keep = config.dir.join("kept");
    let role = Role {
        token: config.token,
        clock,
        deadline: config.deadline_ms,
        place,
        secret: secret(&seed),
        kept: kept(&keep)?,
        adversary: config.adversary.clone(),
        settings: config.settings.clone(),
        data,
    };
    let kind = kind::named(&config.kind)?;
    let post = Post { token: config.token, class: kind.class().0, clock, deadline: config.deadline_ms };
    let (parcels, mut news) = connect(&config, &voice.kid(), &beacons.topic());
    let mut device = Running {
        watch: Watch::new(post, kind.duty(&role)?),
        diary: Diary::open(&config.dir)?,
        // Two epochs are as old as a word on access may be, and one more lets the next report be on its way.
        door: Door::of(beacons.keys(), config.token, clock.epoch_ms.saturating_mul(3) / 1_000)?,
        receipt_keys: config.receipt_keys()?,
        shelf: Shelf::new(config.receipts_needed),
        beacons,
        wire: Wire::open(config.line).await?,
        keep,
        parcels,
        voice,
    };
    device.introduce(&config)?;
    let mut asked = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    loop {
        // First, so that the boot message is the first of its boot.
        device.wake().await?;
        let wait = device.watch.next_wakeup(now()).saturating_sub(now());
        tokio::select! {
            item = news.recv() => device.news(item.context("every link has ended")?).await?,
            datagram = device.wire.listen() => {
                let acts = device.watch.heard(now(), &datagram);
                device.perform(acts).await?;
            }
            () = tokio::time::sleep(Duration::from_millis(wait)) => {}
            _ = asked.recv() => break,
        }
    }
    let ending = tokio::time::timeout(FAREWELL, device.collect_receipts(&mut news));
    ending.await.unwrap_or(Ok(()))
}

/// Unix milliseconds.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A secret for what the kind derives, apart from the signing key.
fn secret(seed: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(b"plumbline/testnet-coverage").chain_update(seed).finalize().into()
}

/// What was kept before a restart.
fn kept(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// One link per broker, all reporting into one channel.
fn connect(config: &DeviceConfig, kid: &[u8; 8], terms: &str) -> (Vec<mpsc::Sender<Parcel>>, mpsc::Receiver<News>) {
    let (tell, news) = mpsc::channel(1_024);
    let down = format!("plumbline/v1/down/{}/#", hex::encode(kid));
    let filters = vec![attest::BEACON_TOPIC.to_owned(), terms.to_owned(), down];
    let parcels = config.brokers.iter().enumerate().map(|(number, broker)| {
        let (send, receive) = mpsc::channel(1_024);
        let link = Link { client_id: config.name.clone(), broker: *broker, number, filters: filters.clone() };
        let tell = tell.clone();
        tokio::spawn(async move {
            if let Err(error) = link.run(receive, tell).await {
                tracing::error!(%error, "a link ended");
            }
        });
        send
    });
    (parcels.collect(), news)
}

/// A device's own datagram line to its kind's helper; nothing for a device without one.
struct Wire(Option<(UdpSocket, SocketAddr)>);

impl Wire {
    async fn open(line: Option<Line>) -> Result<Self> {
        let Some(Line { own, to }) = line else { return Ok(Self(None)) };
        let socket = UdpSocket::bind(own).await.with_context(|| format!("open the line on {own}"))?;
        Ok(Self(Some((socket, to))))
    }

    async fn send(&self, datagram: &[u8]) -> Result<()> {
        if let Some((socket, to)) = &self.0 {
            socket.send_to(datagram, to).await.context("send over the own line")?;
        }
        Ok(())
    }

    /// The next datagram from the other end; never ready for a device without a line.
    async fn listen(&self) -> Vec<u8> {
        let Some((socket, to)) = &self.0 else { return std::future::pending().await };
        let mut buffer = [0; 512];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((length, from)) if from == *to => return buffer.get(..length).unwrap_or_default().to_vec(),
                Ok(_) => {}
                // Loopback reports an earlier send to an end that is not up yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

/// The device at work.
struct Running {
    watch: Watch,
    diary: Diary,
    door: Door,
    receipt_keys: Vec<[u8; 32]>,
    shelf: Shelf,
    beacons: Beacons,
    wire: Wire,
    keep: PathBuf,
    parcels: Vec<mpsc::Sender<Parcel>>,
    voice: Voice,
}

impl Running {
    fn introduce(&mut self, config: &DeviceConfig) -> Result<()> {
        let source = self.watch.source();
        println!("{} ready: boot {}, {source}", config.name, self.voice.boot_count());
        self.diary.note(&Entry::Boot {
            at_ms: now(),
            name: config.name.clone(),
            token: config.token,
            kid: hex::encode(self.voice.kid()),
            boot: self.voice.boot_count(),
            source,
        })
    }

    async fn wake(&mut self) -> Result<()> {
        if let Some(entry) = self.door.look(now()) {
            self.diary.note(&entry)?;
        }
        let acts = self.watch.wake(now());
        self.perform(acts).await?;
        match self.watch.pulse(now()) {
            Some(speech) => self.say(&speech).await,
            None => Ok(()),
        }
    }

    async fn news(&mut self, news: News) -> Result<()> {
        match news {
            News::Acked { id, broker } => {
                self.shelf.taken(id);
                self.diary.note(&Entry::Acked { at_ms: now(), id: hex::encode(id), broker })
            }
            News::Trouble { why } => self.diary.note(&Entry::Trouble { at_ms: now(), what: why }),
            News::Down { topic, payload } if topic == attest::BEACON_TOPIC => self.beacon(&payload).await,
            News::Down { topic, payload } if topic == *self.beacons.topic() => self.terms(&payload),
            News::Down { topic, payload } => self.down(&topic, &payload).await,
        }
    }

    async fn beacon(&mut self, payload: &[u8]) -> Result<()> {
        let at_ms = now();
        if Beacon::parse(payload).is_some_and(|beacon| self.watch.knows(beacon.slot)) {
            return Ok(());
        }
        match self.beacons.verify(payload)? {
            Ok(Beacon { slot, certificate }) => {
                let acts = self.watch.beacon(at_ms, slot, &certificate);
                self.perform(acts).await
            }
            Err(error) => self.diary.note(&Entry::BadBeacon { at_ms, why: error.to_string() }),
        }
    }

    /// Rotations came: the committee's key may change.
    fn terms(&mut self, payload: &[u8]) -> Result<()> {
        let at_ms = now();
        let Followed { news, fault } = self.beacons.follow(payload)?;
        if let Some((term, from_epoch)) = news {
            self.diary.note(&Entry::Term { at_ms, term, from_epoch })?;
            self.door.follow(self.beacons.keys());
        }
        fault.map_or(Ok(()), |why| self.diary.note(&Entry::BadTerm { at_ms, why: why.to_string() }))
    }

    async fn down(&mut self, topic: &str, payload: &[u8]) -> Result<()> {
        let kid = self.voice.kid();
        let is = |what| topic == attest::topic_down(what, &kid).as_str();
        if is(Down::Receipt) {
            return self.receipt(payload);
        }
        if is(Down::Access) {
            return self.door.learn(now(), payload).map_or(Ok(()), |entry| self.diary.note(&entry));
        }
        if !is(Down::Lease) {
            return Ok(());
        }
        match lease::hints(payload) {
            Ok(hints) => {
                for hint in hints {
                    let acts = self.watch.hint(now(), hint);
                    self.perform(acts).await?;
                }
                Ok(())
            }
            Err(error) => self.diary.note(&Entry::Trouble { at_ms: now(), what: format!("lease hint: {error:#}") }),
        }
    }

    fn receipt(&mut self, payload: &[u8]) -> Result<()> {
        let at_ms = now();
        let checked = match receipts::check(payload, &self.receipt_keys) {
            Ok(checked) => checked,
            Err(error) => return self.diary.note(&Entry::BadReceipt { at_ms, why: format!("{error:#}") }),
        };
        let receipts::Checked { member, batch, ids } = checked;
        self.diary.note(&Entry::Receipt { at_ms, member, batch, ids: ids.iter().map(hex::encode).collect() })?;
        for id in ids {
            if let Some(members) = self.shelf.receipted(id, member) {
                self.diary.note(&Entry::Acknowledged { at_ms, id: hex::encode(id), members })?;
            }
        }
        Ok(())
    }

    /// Notes what still comes in, until nothing that a broker took lacks receipts.
    async fn collect_receipts(&mut self, news: &mut mpsc::Receiver<News>) -> Result<()> {
        while self.shelf.waiting() > 0
            && let Some(item) = news.recv().await
        {
            match item {
                News::Down { topic, payload } if topic == attest::BEACON_TOPIC => drop((topic, payload)),
                item => self.news(item).await?,
            }
        }
        Ok(())
    }

    async fn perform(&mut self, acts: Vec<Act>) -> Result<()> {
        for act in acts {
            match act {
                Act::Note(entry) => self.diary.note(&entry)?,
                Act::Boot => self.boot().await?,
                Act::Say(speech) => self.say(&speech).await?,
                Act::Send(datagram) => self.wire.send(&datagram).await?,
                Act::Keep(bytes) => voice::replace(&self.keep, &bytes)?,
                Act::Replay => {
                    for old in self.voice.old() {
                        self.diary.note(&Entry::Replayed { at_ms: now(), id: hex::encode(old.id) })?;
                        self.publish(&old).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn boot(&mut self) -> Result<()> {
        let at_ms = now();
        let sealed = self.voice.introduce(at_ms / 1_000).map(|message| vec![message]);
        let nothing = Speech::new(attest::Body::Heartbeat);
        self.publish_all(at_ms, "the boot message", &nothing, sealed).await
    }

    async fn say(&mut self, speech: &Speech) -> Result<()> {
        let at_ms = now();
        let sealed = self.voice.say(at_ms / 1_000, speech);
        self.publish_all(at_ms, &format!("{speech:?}"), speech, sealed).await
    }

    /// Notes and publishes. A message that did not sign is noted and left unsaid.
    async fn publish_all(&mut self, at_ms: u64, what: &str, about: &Speech, sealed: Result<Vec<Sealed>>) -> Result<()> {
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(error) => {
                let what = format!("{what} was not signed: {error:#}");
                return self.diary.note(&Entry::Trouble { at_ms, what });
            }
        };
        for message in &sealed {
            self.publish(message).await?;
            self.diary.note(&Entry::Sent {
                at_ms,
                class: message.class.name().to_owned(),
                id: hex::encode(message.id),
                boot: self.voice.boot_count(),
                seq: message.seq,
                slot: about.slot,
                lease: about.lease,
                fork: message.fork,
            })?;
        }
        Ok(())
    }

    /// To every broker. A link whose broker is away holds back its share; only a link that ended is an error.
    async fn publish(&self, message: &Sealed) -> Result<()> {
        let topic = attest::topic_up(message.class, &self.voice.kid());
        for link in &self.parcels {
            let parcel = Parcel { id: message.id, topic: topic.to_string(), bytes: message.bytes.clone() };
            match link.try_send(parcel) {
                // A full channel belongs to a broker that has been away for minutes: newer messages are of more use.
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => {}
                Err(mpsc::error::TrySendError::Closed(_)) => anyhow::bail!("a link to a broker has ended"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "device/tests.rs"]
mod tests;
