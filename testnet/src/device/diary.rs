//! A device's own log, one JSON object a line: what it saw, what it was asked, what it said, what was acknowledged. The
//! independent payout calculation reads it. Leaves out: any judgement; a diary is a claim of its writer.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// File name inside a device's folder.
pub const FILE: &str = "diary.jsonl";

/// One line. Bytes are lower-case hex; times are unix ms of the device's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Entry {
    /// The process began a boot.
    Boot {
        /// When.
        at_ms: u64,
        /// Its name.
        name: String,
        /// Token id.
        token: u64,
        /// Key id.
        kid: String,
        /// Boot count.
        boot: u32,
        /// Where its readings come from.
        source: String,
    },
    /// A lease hint that said something new.
    Lease {
        /// When.
        at_ms: u64,
        /// Lease id.
        lease: u64,
        /// Class of proof.
        class: u8,
        /// Unix seconds.
        start: u64,
        /// Unix seconds, not included.
        end: u64,
        /// Draw threshold.
        challenge_p: u64,
    },
    /// A beacon certificate that verified under the group key; the first of its slot.
    Beacon {
        /// When it arrived.
        at_ms: u64,
        /// Slot.
        slot: u64,
        /// 48 bytes.
        certificate: String,
    },
    /// A beacon that did not verify or is malformed.
    BadBeacon {
        /// When it arrived.
        at_ms: u64,
        /// What was wrong.
        why: String,
    },
    /// A rotation that the committee's old key signed: the next term is believed from its first epoch on.
    Term {
        /// When it arrived.
        at_ms: u64,
        /// The term.
        term: u64,
        /// Its first epoch.
        from_epoch: u64,
    },
    /// Rotations that lead no further than what is known.
    BadTerm {
        /// When they arrived.
        at_ms: u64,
        /// Why.
        why: String,
    },
    /// A challenge drawn from a beacon.
    Drawn {
        /// When.
        at_ms: u64,
        /// Slot.
        slot: u64,
        /// Lease.
        lease: u64,
        /// The draw, 32 bytes.
        draw: String,
    },
    /// A challenge, witness or reveal left undone because its time was over or its chain did not cover the slot.
    Missed {
        /// When.
        at_ms: u64,
        /// Slot.
        slot: u64,
        /// Which and why.
        why: String,
    },
    /// Evidence signed and handed to the brokers.
    Sent {
        /// When.
        at_ms: u64,
        /// Class name (docs/protocol.md §2).
        class: String,
        /// Evidence id.
        id: String,
        /// Boot count.
        boot: u32,
        /// Sequence number; equal for both sides of a fork.
        seq: u64,
        /// Slot of an answer, witness or reveal; first slot of a commitment.
        slot: Option<u64>,
        /// Lease of an answer or commitment.
        lease: Option<u64>,
        /// Whether it is the second message of a planned fork.
        fork: bool,
    },
    /// The same bytes sent again on purpose.
    Replayed {
        /// When.
        at_ms: u64,
        /// Evidence id.
        id: String,
    },
    /// A broker's PUBACK: taken, not acknowledged.
    Acked {
        /// When.
        at_ms: u64,
        /// Evidence id.
        id: String,
        /// Which of the configured brokers, from 0.
        broker: usize,
    },
    /// Receipts of one member that were checked under its key.
    Receipt {
        /// When.
        at_ms: u64,
        /// Member.
        member: u32,
        /// Its batch.
        batch: u64,
        /// Evidence ids.
        ids: Vec<String>,
    },
    /// Receipts that do not hold.
    BadReceipt {
        /// When.
        at_ms: u64,
        /// What was wrong.
        why: String,
    },
    /// With this member's receipt a message has enough of them: it is acknowledged.
    Acknowledged {
        /// When.
        at_ms: u64,
        /// Evidence id.
        id: String,
        /// The members that gave receipts.
        members: Vec<u32>,
    },
    /// A certified word on who may use the device, checked and new.
    Access {
        /// When.
        at_ms: u64,
        /// Whom it names.
        user: String,
        /// By which lease.
        lease: u64,
        /// Until then, unix seconds, not included.
        expires: u64,
        /// Epoch of the report that says so.
        epoch: u64,
    },
    /// A word on access that does not hold.
    BadAccess {
        /// When.
        at_ms: u64,
        /// What was wrong.
        why: String,
    },
    /// The door: whom it admits from here on.
    Door {
        /// When.
        at_ms: u64,
        /// Nobody when absent.
        admits: Option<String>,
    },
    /// Own transmission handed to the radio.
    Transmitted {
        /// When.
        at_ms: u64,
        /// Slot.
        slot: u64,
        /// Lease.
        lease: u64,
        /// 16 bytes.
        payload: String,
        /// dB below EIRP: 0, 3 or 6.
        attenuation_db: u8,
    },
    /// A frame the radio delivered.
    Heard {
        /// When.
        at_ms: u64,
        /// Slot.
        slot: u64,
        /// The transmitter's lease.
        lease: u64,
        /// 16 bytes.
        payload: String,
        /// 0.01 dBm.
        rssi: i32,
        /// 0.01 dB.
        snr: i32,
    },
    /// One reception as listed in a reveal that was sent, true or not.
    Revealed {
        /// When.
        at_ms: u64,
        /// Slot.
        slot: u64,
        /// The transmitter's lease.
        lease: u64,
        /// 16 bytes.
        payload: String,
        /// Whether it was invented.
        lie: bool,
    },
    /// From here on it says nothing.
    Silent {
        /// When.
        at_ms: u64,
    },
    /// Something went wrong that nobody planned.
    Trouble {
        /// When.
        at_ms: u64,
        /// What.
        what: String,
    },
}

/// The open diary.
#[derive(Debug)]
pub struct Diary {
    path: PathBuf,
    file: File,
}

impl Diary {
    /// Opens `FILE` in `dir` for appending.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        Ok(Self { path, file })
    }

    /// Writes one line, in one write.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn note(&mut self, entry: &Entry) -> Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line).with_context(|| format!("write {}", self.path.display()))
    }
}

/// Reads a diary. A last line without its end (a device killed while writing) is left out.
///
/// # Errors
/// When the file cannot be read, or a line is none of [`Entry`]; the line's number is named.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    let parse = |(index, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{} line {}", path.display(), index + 1))
    };
    whole.lines().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_again_and_a_torn_line_is_left_out() {
        let dir = std::env::temp_dir().join(format!("plumbline-diary-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let entries = vec![
            Entry::Drawn { at_ms: 1, slot: 2, lease: 3, draw: "00".into() },
            Entry::Acked { at_ms: 4, id: "ff".into(), broker: 0 },
        ];
        let mut diary = Diary::open(&dir).unwrap();
        for entry in &entries {
            diary.note(entry).unwrap();
        }
        diary.file.write_all(b"{\"event\":\"sil").unwrap();
        assert_eq!(read(&dir.join(FILE)).unwrap(), entries);
        diary.file.write_all(b"\n").unwrap();
        let error = read(&dir.join(FILE)).unwrap_err().to_string();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(error.contains("line 3"), "{error}");
    }
}
