//! A device of the demo as one process: it follows the beacons, derives its own challenges, signs with `attest` and sends over
//! MQTT; a hotspot also talks to the radio model. Every fault is planned in its configuration. This file wires clock,
//! sockets and disk to the pure parts. Leaves out: leases' truth (the chain) and the radio (`radio`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use attest::{Beacon, Down, Reading, Reception};
use sha2::{Digest as _, Sha256};
use tokio::net::UdpSocket;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::radio::{Delivery, Frame};
use crate::recording::{self, Feed};

pub mod beacons;
pub mod config;
pub mod coverage;
pub mod diary;
pub mod door;
pub mod duty;
pub mod lease;
pub mod link;
pub mod receipts;
pub mod voice;

pub use config::{Algorithm, Clock, DeviceConfig, Kind, Misbehaviour, Place};
pub use diary::Entry;

use beacons::{Beacons, Followed};
use diary::Diary;
use door::Door;
use duty::{Act, Duty, Role, Speech};
use lease::Chain;
use link::{Link, News, Parcel};
use receipts::Shelf;
use voice::{BootFile, Sealed, Voice};

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
    let feed = feed(config.kind, data.as_deref(), config.token)?;
    let clock = config.clock().await;
    let group = config.group_key().await;

    let beacons = Beacons::open(&config, &clock, &group)?;
    let voice = Voice::boot(config.alg, seed, network, &mut BootFile::new(&config.dir))?;
    let chain_file = config.dir.join("chains.json");
    let role = Role {
        token: config.token,
        kind: config.kind,
        clock,
        deadline: config.deadline_ms,
        misbehaviour: config.misbehaviour.clone(),
        place,
    };
    let (parcels, mut news) = connect(&config, &voice.kid(), &beacons.topic());
    let mut device = Running {
        duty: Duty::new(role, secret(&seed), chains(&chain_file)?),
        diary: Diary::open(&config.dir)?,
        // Two epochs are as old as a word on access may be, and one more lets the next report be on its way.
        door: Door::of(beacons.keys(), config.token, clock.epoch_ms.saturating_mul(3) / 1_000)?,
        receipt_keys: config.receipt_keys()?,
        shelf: Shelf::new(config.receipts_needed),
        beacons,
        air: Air::open(&config).await?,
        chain_file,
        feed,
        parcels,
        voice,
    };
    device.introduce(&config)?;
    let mut asked = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    loop {
        // First, so that the boot message is the first of its boot.
        device.wake().await?;
        let wait = device.duty.next_wakeup(now()).saturating_sub(now());
        tokio::select! {
            item = news.recv() => device.news(item.context("every link has ended")?).await?,
            frame = device.air.listen() => {
                let acts = device.duty.heard(now(), frame.slot, frame.reception());
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

/// What the device measures; a hotspot sends heartbeats only.
fn feed(kind: Kind, data: Option<&Path>, token: u64) -> Result<Option<Feed>> {
    let offset = usize::try_from(token).unwrap_or(0).saturating_mul(997);
    Ok(match kind {
        Kind::Gpu => Some(Feed::gpu(data)?.starting_at(offset)),
        Kind::Sensor => Some(Feed::ambient(data)?.starting_at(offset)),
        Kind::Hotspot => None,
    })
}

/// The secret of coverage chains, apart from the signing key.
fn secret(seed: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(b"plumbline/testnet-coverage").chain_update(seed).finalize().into()
}

/// The chains committed to before a restart.
fn chains(path: &Path) -> Result<Vec<Chain>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("in {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
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

/// A hotspot's two ends on the radio model's network; nothing for other devices.
struct Air(Option<(UdpSocket, SocketAddr)>);

impl Air {
    async fn open(config: &DeviceConfig) -> Result<Self> {
        let (Some(radio), Some(listen)) = (config.radio, config.radio_listen) else { return Ok(Self(None)) };
        let socket = UdpSocket::bind(listen).await.with_context(|| format!("listen to the radio on {listen}"))?;
        Ok(Self(Some((socket, radio))))
    }

    async fn send(&self, frame: &Frame) -> Result<()> {
        if let Some((socket, radio)) = &self.0 {
            socket.send_to(&serde_json::to_vec(frame)?, radio).await.context("send to the radio")?;
        }
        Ok(())
    }

    /// The next delivery that comes from the radio and is one; never ready for a device without a radio.
    async fn listen(&self) -> Delivery {
        let Some((socket, radio)) = &self.0 else { return std::future::pending().await };
        let mut buffer = [0; 512];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((length, from)) if from == *radio => {
                    if let Some(delivery) = buffer.get(..length).and_then(|bytes| serde_json::from_slice(bytes).ok()) {
                        return delivery;
                    }
                }
                Ok(_) => {}
                // Loopback reports an earlier send to a radio that is not up yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Delivery {
    const fn reception(&self) -> Reception {
        Reception { lease: self.lease, payload: self.payload, rssi: self.rssi, snr: self.snr }
    }
}

/// The device at work.
struct Running {
    duty: Duty,
    diary: Diary,
    door: Door,
    receipt_keys: Vec<[u8; 32]>,
    shelf: Shelf,
    beacons: Beacons,
    air: Air,
    chain_file: PathBuf,
    feed: Option<Feed>,
    parcels: Vec<mpsc::Sender<Parcel>>,
    voice: Voice,
}

impl Running {
    fn introduce(&mut self, config: &DeviceConfig) -> Result<()> {
        let source = self.feed.as_ref().map_or_else(|| "heartbeats only".to_owned(), |feed| feed.source().to_string());
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
        let acts = self.duty.wake(now());
        self.perform(acts).await?;
        if self.duty.pulse(now()) {
            let speech = self.feed.as_mut().map_or(Speech::Heartbeat, |feed| Speech::Telemetry(readings(feed)));
            self.say(&speech).await?;
        }
        Ok(())
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
        if Beacon::parse(payload).is_some_and(|beacon| self.duty.knows(beacon.slot)) {
            return Ok(());
        }
        match self.beacons.verify(payload)? {
            Ok(Beacon { slot, certificate }) => {
                let acts = self.duty.beacon(at_ms, slot, &certificate);
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
                    let acts = self.duty.hint(now(), hint);
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
                Act::Say(speech) => self.say(&speech).await?,
                Act::Keep(chains) => voice::replace(&self.chain_file, &serde_json::to_vec(&chains)?)?,
                Act::Replay => {
                    for old in self.voice.old() {
                        self.diary.note(&Entry::Replayed { at_ms: now(), id: hex::encode(old.id) })?;
                        self.publish(&old).await?;
                    }
                }
                Act::Transmit(shout) => {
                    let duty::Shout { lease, slot, payload, attenuation_db } = shout;
                    self.air.send(&Frame { token: self.duty.token(), lease, slot, payload, attenuation_db }).await?;
                    let payload = hex::encode(payload);
                    self.diary.note(&Entry::Transmitted { at_ms: now(), slot, lease, payload, attenuation_db })?;
                }
            }
        }
        Ok(())
    }

    /// Signs, notes and publishes. A message that does not sign is noted and left unsaid.
    async fn say(&mut self, speech: &Speech) -> Result<()> {
        let at_ms = now();
        let sealed = match self.voice.say(at_ms / 1_000, speech) {
            Ok(sealed) => sealed,
            Err(error) => {
                let what = format!("{speech:?} was not signed: {error:#}");
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
                slot: speech.slot(),
                lease: speech.lease(),
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

fn readings(feed: &mut Feed) -> Vec<Reading> {
    let reading = |value: recording::Value| Reading {
        channel: value.channel,
        exponent: value.exponent,
        mantissa: value.mantissa,
    };
    feed.sample().into_iter().map(reading).collect()
}

#[cfg(test)]
#[path = "device/tests.rs"]
mod tests;
