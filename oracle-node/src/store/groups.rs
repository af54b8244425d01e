//! How messages lie on the disk: in groups, in the order of arrival. A group is up to 16 consecutive messages of one
//! receipt batch that arrived within a second, so that a look-up reads about one block and a busy node writes in order.
//!
//! | family | key (numbers big-endian) | value |
//! |---|---|---|
//! | `evidence` | `a` ‖ latest arrival, unix ms (u64) ‖ batch (u64) ‖ place of the first (u32) | rows of 69 bytes: device (u64), class (u8), boot (u32), seq (u64), id (32), slot (u64), arrival (u64) |
//! | `evidence` | `m` ‖ batch ‖ place of the first | CBOR array of byte strings: the messages |
//! | `ids` | id | latest arrival ‖ batch ‖ place of the first ‖ offset from the first (u8) |
//!
//! Leaves out: when they are written and dropped (`evidence`, `retention`).

use attest::Class;
use minicbor::bytes::ByteSlice;
use oracle_core::collect::Held;

use super::evidence::Evidence;

/// Messages of one group at most.
const GROUP_MAX: usize = 16;
/// Arrivals of one group lie closer together than this, ms: a search by time reads so much too far.
pub(super) const SPREAD_MS: u64 = 1_000;
/// Bytes of one message in the index of arrivals.
const ROW: usize = 8 + 1 + 4 + 8 + 32 + 8 + 8;

/// Where a group lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Latest arrival in it, unix ms.
    pub(super) latest: u64,
    /// Receipt batch.
    pub(super) batch: u64,
    /// Place of its first message in the batch.
    pub(super) first: u32,
}

/// Where a message lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) group: Group,
    pub(super) offset: u8,
}

impl Group {
    /// Key of the arrivals.
    pub(super) fn arrivals_key(&self) -> [u8; 21] {
        let mut key = [b'a'; 21];
        key[1..].copy_from_slice(&self.to_bytes());
        key
    }

    /// Key of the messages.
    pub(super) fn messages_key(&self) -> [u8; 13] {
        let mut key = [b'm'; 13];
        key[1..9].copy_from_slice(&self.batch.to_be_bytes());
        key[9..].copy_from_slice(&self.first.to_be_bytes());
        key
    }

    /// The group whose arrivals have this key; `None` for keys of another kind.
    pub(super) fn of_arrivals_key(key: &[u8]) -> Option<Self> {
        Self::from_bytes(key.strip_prefix(b"a")?)
    }

    fn to_bytes(self) -> [u8; 20] {
        let mut out = [0; 20];
        out[..8].copy_from_slice(&self.latest.to_be_bytes());
        out[8..16].copy_from_slice(&self.batch.to_be_bytes());
        out[16..].copy_from_slice(&self.first.to_be_bytes());
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (latest, rest) = bytes.split_first_chunk()?;
        let (batch, rest) = rest.split_first_chunk()?;
        let first = rest.try_into().ok().map(u32::from_be_bytes)?;
        Some(Self { latest: u64::from_be_bytes(*latest), batch: u64::from_be_bytes(*batch), first })
    }
}

impl Place {
    /// Place in the receipt batch.
    pub(super) fn in_batch(&self) -> usize {
        usize::try_from(self.group.first).unwrap_or(usize::MAX).saturating_add(self.offset.into())
    }

    pub(super) fn to_bytes(self) -> [u8; 21] {
        let mut out = [self.offset; 21];
        out[..20].copy_from_slice(&self.group.to_bytes());
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (offset, group) = bytes.split_last()?;
        Some(Self { group: Group::from_bytes(group)?, offset: *offset })
    }
}

/// Cuts a receipt batch into groups.
pub(super) fn cut(batch: u64, items: &[Evidence]) -> impl Iterator<Item = (Group, &[Evidence])> {
    let (mut rest, mut first) = (items, 0u32);
    std::iter::from_fn(move || {
        let (count, latest) = leading(rest)?;
        let (group, after) = rest.split_at_checked(count)?;
        let place = Group { latest, batch, first };
        rest = after;
        first = first.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        Some((place, group))
    })
}

/// How many of these make the next group, and the latest arrival among them.
fn leading(items: &[Evidence]) -> Option<(usize, u64)> {
    let arrival = items.first()?.arrival_ms;
    let (mut earliest, mut latest, mut count) = (arrival, arrival, 0);
    for item in items.iter().take(GROUP_MAX) {
        let (low, high) = (earliest.min(item.arrival_ms), latest.max(item.arrival_ms));
        if high.saturating_sub(low) >= SPREAD_MS {
            break;
        }
        (earliest, latest, count) = (low, high, count + 1);
    }
    Some((count, latest))
}

/// The index of a group's arrivals.
pub(super) fn arrivals(items: &[Evidence]) -> Vec<u8> {
    let mut out = Vec::with_capacity(items.len() * ROW);
    for item in items {
        out.extend_from_slice(&item.device.to_be_bytes());
        out.push(item.class);
        out.extend_from_slice(&item.boot.to_be_bytes());
        out.extend_from_slice(&item.seq.to_be_bytes());
        out.extend_from_slice(item.id.as_slice());
        out.extend_from_slice(&item.slot.to_be_bytes());
        out.extend_from_slice(&item.arrival_ms.to_be_bytes());
    }
    out
}

/// Reads that index; `None` when it is damaged.
pub(super) fn read_arrivals(bytes: &[u8]) -> Option<Vec<Held>> {
    let rows = bytes.chunks_exact(ROW);
    if !rows.remainder().is_empty() {
        return None;
    }
    rows.map(read_row).collect()
}

fn read_row(row: &[u8]) -> Option<Held> {
    let (device, rest) = row.split_first_chunk::<8>()?;
    let (class, rest) = rest.split_first()?;
    let (boot, rest) = rest.split_first_chunk::<4>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (id, rest) = rest.split_first_chunk::<32>()?;
    let (slot, arrival) = rest.split_first_chunk::<8>()?;
    Some(Held {
        device: u64::from_be_bytes(*device),
        class: Class::from_u8(*class)?,
        boot: u32::from_be_bytes(*boot),
        seq: u64::from_be_bytes(*seq),
        id: *id,
        slot: u64::from_be_bytes(*slot),
        arrival_ms: u64::from_be_bytes(arrival.try_into().ok()?),
    })
}

/// The messages of a group.
pub(super) fn messages(items: &[Evidence]) -> Vec<u8> {
    let bytes: Vec<&ByteSlice> = items.iter().map(|item| item.bytes.as_slice().into()).collect();
    // Writing to a Vec is infallible.
    minicbor::to_vec(bytes).unwrap_or_default()
}

/// One message of a group; `None` when it is damaged.
pub(super) fn read_message(bytes: &[u8], offset: u8) -> Option<Vec<u8>> {
    let mut decoder = minicbor::Decoder::new(bytes);
    let mut messages = decoder.array_iter::<&ByteSlice>().ok()?;
    messages.nth(offset.into())?.ok().map(|message| message.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use oracle_core::wire::Hash;

    fn item(n: u8, arrival_ms: u64) -> Evidence {
        let bytes = vec![n; usize::from(n)].into();
        Evidence { id: Hash::from([n; 32]), class: 4, device: 9, boot: 1, seq: n.into(), slot: 5, arrival_ms, bytes }
    }

    #[test]
    fn a_batch_is_cut_by_count_and_by_time_and_nothing_is_lost() {
        let times = [5_000, 4_500, 5_400, 5_500, 9_000].into_iter().chain([9_001; 40]);
        let items: Vec<Evidence> = (0u8..).zip(times).map(|(n, at)| item(n, at)).collect();
        let groups: Vec<_> = cut(7, &items).collect();
        let shape: Vec<_> = groups.iter().map(|(g, items)| (g.first, items.len(), g.latest)).collect();
        assert_eq!(shape, [(0, 3, 5_400), (3, 1, 5_500), (4, 16, 9_001), (20, 16, 9_001), (36, 9, 9_001)]);
        let back: Vec<Evidence> = groups.iter().flat_map(|(_, items)| items.iter().cloned()).collect();
        assert_eq!(back, items);
        assert_eq!(cut(7, &[]).count(), 0);
    }

    #[test]
    fn keys_places_and_values_come_back() {
        let group = Group { latest: 77, batch: 3, first: 16 };
        assert_eq!(Group::of_arrivals_key(&group.arrivals_key()), Some(group));
        assert_eq!(Group::of_arrivals_key(b"pruned"), None);
        let place = Place { group, offset: 15 };
        assert_eq!((Place::from_bytes(&place.to_bytes()), place.in_batch()), (Some(place), 31));
        let items = [item(1, 10), item(2, 11)];
        let read = read_arrivals(&arrivals(&items)).expect("rows");
        assert_eq!(
            read.iter().map(|held| (held.id[0], held.seq, held.arrival_ms)).collect::<Vec<_>>(),
            [(1, 1, 10), (2, 2, 11)]
        );
        assert_eq!(read_message(&messages(&items), 1), Some(vec![2; 2]));
        assert_eq!(read_message(&messages(&items), 2), None);
        assert_eq!(read_arrivals(&arrivals(&items)[1..]), None);
    }
}
