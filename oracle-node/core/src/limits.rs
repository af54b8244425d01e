//! Every bound of the core in one place: peers and devices are adversaries, so nothing is unbounded.

/// A committee message, encoded.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Members of a committee.
pub const MEMBERS_MAX: usize = 100;
/// Leases in one stream.
pub const LEASES_PER_STREAM_MAX: usize = 16_384;
/// Streams that one process serves, and that a rotation names.
pub const STREAMS_MAX: usize = 64;
/// Items asked for in one pull.
pub const PULL_ITEMS_MAX: usize = 512;
/// One bucket or observation body, encoded.
pub const BLOB_BYTES_MAX: usize = 1 << 20;
/// Slots of one epoch: a body says how late each one's beacon was, and a proposal holds each one's certificate.
pub const SLOTS_PER_EPOCH_MAX: u64 = 16_384;
/// All buckets that one author lists in one epoch, encoded, of all streams together, however many devices there are, unless
/// they are so many that [`DEVICE_BYTES_MIN`] counts ([`crate::collect::author_bytes`]); never more in one stream.
pub const AUTHOR_BYTES_MAX: usize = 64 << 20;
/// What an author may list of an observed device on average, bytes, however many streams there are: what a device of a full
/// stream has (some 60 marks).
pub const DEVICE_BYTES_MIN: usize = AUTHOR_BYTES_MAX / LEASES_PER_STREAM_MAX;
/// Views of one instance whose messages are kept ahead of the current one.
pub const VIEWS_AHEAD_MAX: u32 = 16;
/// Epochs around the current one whose messages are kept.
pub const EPOCHS_AHEAD_MAX: u64 = 2;
/// Snapshots that a stream keeps ahead of the epoch that is decided next; it asks for later ones when it gets there.
pub const SNAPSHOTS_AHEAD_MAX: u64 = 256;
/// Beacon slots ahead of the local clock for which partials are kept.
pub const SLOTS_AHEAD_MAX: u64 = 4;
/// What a class keeps of one device or lease from epoch to epoch, bytes.
pub const FOLD_BYTES_MAX: usize = 2_048;
/// Measurements of one member in one epoch's body.
pub const MEASUREMENTS_MAX: usize = 512;
/// One measurement, bytes.
pub const MEASUREMENT_BYTES_MAX: usize = 64;
/// Items (verdict marks) of one device listed in one bucket.
pub const MARKS_PER_DEVICE_MAX: usize = 8_192;
/// Forks of one device listed in one bucket.
pub const FORKS_PER_DEVICE_MAX: usize = 64;
/// One archived epoch, encoded.
pub const BUNDLE_BYTES_MAX: usize = 1 << 30;
/// How far ahead of the own clock the number of a refresh may be, s: numbers are unix seconds.
pub const REFRESH_AHEAD_S: u64 = 10;
/// Documents of a policy book.
pub const BOOK_DOCUMENTS_MAX: usize = 64;
/// Shadow policies of a book: under each of them leases are judged once more.
pub const BOOK_SHADOWS_MAX: usize = 4;
/// One document of a book, bytes.
pub const DOCUMENT_BYTES_MAX: usize = 65_536;
