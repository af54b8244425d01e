/* attest.h: what a Plumbline device says, signed. The bytes: docs/protocol.md; the rest: attest/README.md.
 *
 * Rules of the interface
 *   - Nothing here allocates, prints, blocks or keeps global state. All memory is the caller's; inputs are copied.
 *   - Every function that returns int32_t returns an ATTEST_ status; on anything but ATTEST_OK nothing has advanced and
 *     no sequence number was used. What `buf` then holds is unspecified.
 *   - Pointers must be valid and aligned for their type; a null one gives ATTEST_NULL unless the text allows it.
 *   - One device is used by one thread at a time. Different devices are independent.
 *   - `iat` is the time in unix seconds, or null for a device without a clock.
 *   - `buf` of ATTEST_MAX_MESSAGE bytes always suffices.
 * tests/header.rs compares this file with the library; change both together and raise attest_abi_version.
 */
#ifndef PLUMBLINE_ATTEST_H
#define PLUMBLINE_ATTEST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATTEST_MAX_MESSAGE 1024
#define ATTEST_BEACON_LEN 56
#define ATTEST_TOPIC_LEN 45      /* longest topic with its final zero */
#define ATTEST_MAX_READINGS 64
#define ATTEST_MAX_SAMPLES 32
#define ATTEST_MAX_RECEPTIONS 16
#define ATTEST_MAX_CHANNELS 20
#define ATTEST_MAX_WINDOWS 16
#define ATTEST_MAX_SATELLITES 32
#define ATTEST_MAX_TALLIES 16
#define ATTEST_MAX_LEAF_AND_PATH 768
#define ATTEST_MAX_ENDORSEMENT 224
#define ATTEST_MAX_RECORD 838    /* longest record of a meter that stands in a message */
#define ATTEST_MAX_FOREIGN 65536 /* longest that is named by its digest */
#define ATTEST_QUEUE_HEAD 40     /* bytes of a queue beside its messages */
#define ATTEST_QUEUE_RECORD 51   /* bytes of a queued message beside its own */
#define ATTEST_TERMS_LEN 538     /* bytes of what a device knows of its committee's keys */
#define ATTEST_MAX_CHAIN 4096
#define ATTEST_DEVICE_WORDS 24

/* Algorithms. */
#define ATTEST_ED25519 1
#define ATTEST_P256 2

/* Message classes. */
#define ATTEST_CLASS_TELEMETRY 1
#define ATTEST_CLASS_HEARTBEAT 2
#define ATTEST_CLASS_BOOT 3
#define ATTEST_CLASS_ANSWER 4
#define ATTEST_CLASS_COMMITMENT 5
#define ATTEST_CLASS_WITNESS 6
#define ATTEST_CLASS_REVEAL 7
#define ATTEST_CLASS_CHANNELS 8
#define ATTEST_CLASS_METER 9
#define ATTEST_CLASS_FIX 10
#define ATTEST_CLASS_POSSESSION 11
#define ATTEST_CLASS_WORK 12
#define ATTEST_CLASS_OPENING 13
#define ATTEST_CLASS_BANDWIDTH 14
#define ATTEST_CLASS_ENDORSEMENT 15
#define ATTEST_CLASS_METERED 16
#define ATTEST_CLASS_HELLO 17

/* Formats of a meter's record. */
#define ATTEST_OCMF 1 /* OCMF|payload|signature, byte for byte as the meter gave it */
#define ATTEST_OCPP 2 /* SignedMeterValue's signed data, decoded from base64 */

/* Curves of a meter's key. */
#define ATTEST_CURVE_P256 1
#define ATTEST_CURVE_P384 2
#define ATTEST_CURVE_SECP256K1 8
#define ATTEST_CURVE_BRAINPOOLP256R1 256
#define ATTEST_CURVE_BRAINPOOLP384R1 258

/* Statuses; numbers never change meaning. */
#define ATTEST_OK 0
#define ATTEST_NULL 1            /* a required pointer was null */
#define ATTEST_STRUCT_SIZE 2     /* struct_size is not the one of this library */
#define ATTEST_SIGNER 3          /* unknown algorithm, or its callback is missing */
#define ATTEST_NOT_BOOTED 4      /* attest_device_boot has not succeeded */
#define ATTEST_STORAGE 5         /* the boot count is not safe: send nothing */
#define ATTEST_EXHAUSTED 6       /* boot count or sequence number has run out */
#define ATTEST_BUFFER 7          /* buffer too small */
#define ATTEST_BOUNDS 8          /* number or list over its bound */
#define ATTEST_ORDER 9           /* rows of a list do not ascend */
#define ATTEST_SIGN 10           /* the signer gave no signature: try again */
#define ATTEST_FORM 11           /* malformed bytes */
#define ATTEST_NOT_CHALLENGED 12 /* no challenge in this slot: nothing to do */
#define ATTEST_FULL 13           /* the queue has no room for the message */
#define ATTEST_EMPTY 14          /* no message at this place of the queue */
#define ATTEST_RECEIPT 15        /* receipts that the member they name did not sign */
#define ATTEST_UNSIGNED 16       /* a beacon or rotation that the term's key did not sign */
#define ATTEST_KEY_NEEDED 17     /* rotations lead no further: the device needs a current key from its maker or owner */
#define ATTEST_CONFLICT 18       /* a rotation that contradicts a known one */
#define ATTEST_ELSEWHERE 19      /* rotations of another network or committee */

/* Whatever holds the key. Set struct_size to sizeof(attest_signer). The key is its first 32 bytes for Ed25519, x then y
 * (big-endian) for P-256. Ed25519 needs sign_message, P-256 needs sign_digest (a secure element that takes SHA-256
 * digests); the other may be null. Both write 64 bytes (R,s or r,s) and return 0, anything else means no signature.
 * Copied by attest_device_boot; what ctx points to must outlive the device. */
typedef struct attest_signer {
    uint32_t struct_size;
    uint32_t alg;
    uint8_t public_key[64];
    void *ctx;
    int32_t (*sign_message)(void *ctx, const uint8_t *message, size_t len, uint8_t *signature);
    int32_t (*sign_digest)(void *ctx, const uint8_t *digest, uint8_t *signature);
} attest_signer;

/* Where the boot count survives a power cut. Set struct_size to sizeof(attest_storage). load_boot gives 0 when nothing
 * was ever stored; store_boot returns 0 only once the count is durable. Used during attest_device_boot only. */
typedef struct attest_storage {
    uint32_t struct_size;
    void *ctx;
    int32_t (*load_boot)(void *ctx, uint32_t *boot);
    int32_t (*store_boot)(void *ctx, uint32_t boot);
} attest_storage;

/* One boot of one device. Set to zero (= {0}) before the first use; its contents are the library's. Copying it and using
 * both copies forks the device. */
typedef struct attest_device {
    uint32_t ready;
    uint64_t opaque[ATTEST_DEVICE_WORDS];
} attest_device;

/* A made message: buf[0..len], to be published on attest_topic_up(message_class). */
typedef struct attest_message {
    size_t len;
    uint64_t seq;
    uint32_t message_class;
    uint8_t id[32]; /* the evidence id that receipts name */
} attest_message;

/* mantissa * 10^exponent on a channel that the device class defines */
typedef struct attest_reading {
    uint64_t channel;
    int8_t exponent;
    int64_t mantissa;
} attest_reading;

/* at_ms by the device's own count of milliseconds, which may wrap */
typedef struct attest_timed_reading {
    uint32_t at_ms;
    attest_reading reading;
} attest_timed_reading;

/* rssi in 0.01 dBm, snr in 0.01 dB */
typedef struct attest_reception {
    uint64_t lease;
    uint8_t payload[16];
    int32_t rssi;
    int32_t snr;
} attest_reception;

/* 1e-7 degrees; salt is random and fresh for each commitment */
typedef struct attest_location {
    int32_t lat;
    int32_t lon;
    uint8_t salt[16];
} attest_location;

/* A channel's SenML name (1 to 24 of A-Z a-z 0-9 - : . / _, the first a letter or digit) and unit (number in the table of
 * docs/protocol.md, 0 none) */
typedef struct attest_channel {
    uint64_t channel;
    uint16_t unit;
    uint8_t name[24];
    uint8_t name_len;
} attest_channel;

/* [start, end) in unix seconds; register at both; energy summed from own samples; highest power. n * 10^exponent Wh, W */
typedef struct attest_meter_window {
    uint64_t start;
    uint64_t end;
    uint64_t first;
    uint64_t last;
    int64_t sampled;
    int64_t peak;
} attest_meter_window;

/* id = 1000 * system (0 GPS, 1 SBAS, 2 Galileo, 3 BeiDou, 5 QZSS, 6 GLONASS) + number; degrees; 0.1 dB-Hz */
typedef struct attest_satellite {
    uint32_t id;
    int8_t elevation;
    uint16_t azimuth;
    uint16_t cn0;
} attest_satellite;

/* the receiver's time in unix ms; 1e-7 degrees; cm above the ellipsoid; hundredths */
typedef struct attest_fix {
    uint64_t at_ms;
    int32_t lat;
    int32_t lon;
    int32_t height_cm;
    uint16_t hdop;
} attest_fix;

/* leaf at least 1 byte, path 32 bytes per sibling from the leaf upwards, together at most ATTEST_MAX_LEAF_AND_PATH */
typedef struct attest_possession {
    uint64_t lease;
    uint64_t slot;
    uint32_t sample;
    uint64_t index;
    const uint8_t *leaf;
    size_t leaf_len;
    const uint8_t *path;
    size_t path_len;
} attest_possession;

/* matrices of size rows and columns, rounds products in a chain, Merkle root over the last one's rows */
typedef struct attest_work {
    uint64_t lease;
    uint64_t slot;
    uint32_t size;
    uint32_t rounds;
    uint8_t root[32];
} attest_work;

/* rows opened; SHA-256 and length of the rows with their paths */
typedef struct attest_opening {
    uint64_t lease;
    uint64_t slot;
    uint32_t rows;
    uint8_t content[32];
    uint64_t length;
} attest_opening;

/* what arrived from one challenging member; tags, losses: attest_tally_digests */
typedef struct attest_tally {
    uint32_t member;
    uint64_t bytes;
    uint32_t packets;
    uint8_t tags[16];
    uint8_t losses[16];
} attest_tally;

/* span in microseconds; tallies strictly ascending by member */
typedef struct attest_arrivals {
    uint64_t lease;
    uint64_t slot;
    uint64_t span_us;
    const attest_tally *tallies;
    size_t count;
} attest_arrivals;

/* token random, fresh for each member and slot, and a secret of the two until the span is over */
typedef struct attest_path {
    uint64_t lease;
    uint64_t slot;
    uint32_t member;
    uint8_t token[16];
} attest_path;

/* format ATTEST_OCMF or ATTEST_OCPP; meter from attest_meter_key; 1 to ATTEST_MAX_FOREIGN bytes */
typedef struct attest_record {
    uint64_t lease;
    uint8_t format;
    uint8_t meter[32];
    const uint8_t *record;
    size_t record_len;
} attest_record;

/* The answer to a challenge of lease and slot, with its draw. Set struct_size to sizeof(attest_draw_answer), and the pointer of
 * the class: none for ATTEST_CLASS_ANSWER, possession, work, arrivals for ATTEST_CLASS_BANDWIDTH, path for ATTEST_CLASS_HELLO.
 * Its lease and slot must be the challenge's; the other pointers are not read. */
typedef struct attest_draw_answer {
    uint32_t struct_size;
    uint32_t message_class;
    uint64_t lease;
    uint64_t slot;
    uint8_t draw[32];
    const attest_possession *possession;
    const attest_work *work;
    const attest_arrivals *arrivals;
    const attest_path *path;
} attest_draw_answer;

/* A message in a queue: bytes[0..len] lies in the queue's memory, until the next call that changes the queue. */
typedef struct attest_queued {
    const uint8_t *bytes;
    size_t len;
    uint32_t message_class;
    uint32_t receipts; /* members that have it */
    uint8_t id[32];
} attest_queued;

/* Returns 0 when signature (64 bytes, Ed25519) is that of the member's receipt key over root (32 bytes). Set struct_size
 * to sizeof(attest_receipt_check). */
typedef struct attest_receipt_check {
    uint32_t struct_size;
    void *ctx;
    int32_t (*holds)(void *ctx, uint32_t member, const uint8_t *root, const uint8_t *signature);
} attest_receipt_check;

/* A committee: none of it changes with its terms. holds returns 0 when certificate (48 bytes, compressed G1) is the signature
 * of group_key (256 bytes, EIP-2537) over message (32 bytes); with null nothing holds. Set struct_size to
 * sizeof(attest_committee). */
typedef struct attest_committee {
    uint32_t struct_size;
    uint64_t chain_id;
    uint8_t registry[20]; /* CommitteeRegistry */
    uint64_t committee;
    uint64_t epoch_ms;
    uint64_t slot_ms;
    void *ctx;
    int32_t (*holds)(void *ctx, const uint8_t *group_key, const uint8_t *message, const uint8_t *certificate);
} attest_committee;

/* About the library. */
uint32_t attest_abi_version(void);
const char *attest_status_text(int32_t status); /* never null, static */

/* The network of a chain and its CommitteeRegistry (20 bytes) -> 8 bytes. */
int32_t attest_network_id(uint64_t chain_id, const uint8_t *registry, uint8_t *network);

/* Counts the boot up, stores the count, and only then fills `device`. Call once per power-up. */
int32_t attest_device_boot(attest_device *device, const attest_signer *signer, const attest_storage *storage, const uint8_t *network);
int32_t attest_device_kid(attest_device *device, uint8_t *kid); /* 8 bytes */

/* Proof of possession for DeviceRegistry: registry and owner 20 bytes each -> signature 64 bytes. */
int32_t attest_prove_possession(attest_device *device, uint64_t chain_id, const uint8_t *device_registry, const uint8_t *owner, uint8_t *signature);

/* One function per message class. */
int32_t attest_heartbeat(attest_device *device, const uint64_t *iat, uint8_t *buf, size_t buf_len, attest_message *out);
int32_t attest_telemetry(attest_device *device, const uint64_t *iat, const attest_reading *readings, size_t count, uint8_t *buf, size_t buf_len, attest_message *out);
/* several instants: oldest first, those of one time strictly ascending by channel, at most ATTEST_MAX_SAMPLES times; now_ms is the
 * count of milliseconds at iat. ATTEST_BUFFER: too much for one message, send half of it */
int32_t attest_telemetry_samples(attest_device *device, const uint64_t *iat, uint32_t now_ms, const attest_timed_reading *readings, size_t count, uint8_t *buf, size_t buf_len, attest_message *out);
/* seed 16 bytes (random, fresh per boot), firmware 32 bytes (SHA-256), location may be null */
int32_t attest_boot_message(attest_device *device, const uint64_t *iat, const uint8_t *seed, const uint8_t *firmware, const attest_location *location, uint8_t *buf, size_t buf_len, attest_message *out);
int32_t attest_answer(attest_device *device, const uint64_t *iat, const uint8_t *draw, uint64_t lease, uint64_t slot, uint8_t *buf, size_t buf_len, attest_message *out);
int32_t attest_commitment(attest_device *device, const uint64_t *iat, uint64_t lease, uint64_t first_slot, uint32_t length, const uint8_t *anchor, uint8_t *buf, size_t buf_len, attest_message *out);
int32_t attest_witness(attest_device *device, const uint64_t *iat, uint64_t slot, const uint8_t *commitment, uint8_t *buf, size_t buf_len, attest_message *out);
/* secret 32 bytes, or null when not challenged in the slot; salt 16 bytes; receptions strictly ascending by lease */
int32_t attest_reveal(attest_device *device, const uint64_t *iat, uint64_t slot, const uint8_t *secret, const uint8_t *salt, const attest_reception *receptions, size_t count, uint8_t *buf, size_t buf_len, attest_message *out);

/* Names and units of the channels, once per boot; strictly ascending by channel */
int32_t attest_channels(attest_device *device, const uint64_t *iat, const attest_channel *channels, size_t count, uint8_t *buf, size_t buf_len, attest_message *out);
/* windows ascending, without overlap */
int32_t attest_meter(attest_device *device, const uint64_t *iat, uint64_t meter, int8_t exponent, const attest_meter_window *windows, size_t count, uint8_t *buf, size_t buf_len, attest_message *out);
/* satellites strictly ascending by id */
int32_t attest_position(attest_device *device, const uint64_t *iat, const attest_fix *fix, const attest_satellite *satellites, size_t count, uint8_t *buf, size_t buf_len, attest_message *out);
int32_t attest_storage_answer(attest_device *device, const uint64_t *iat, const uint8_t *draw, const attest_possession *given, uint8_t *buf, size_t buf_len, attest_message *out);
int32_t attest_work_answer(attest_device *device, const uint64_t *iat, const uint8_t *draw, const attest_work *work, uint8_t *buf, size_t buf_len, attest_message *out);
int32_t attest_work_opening(attest_device *device, const uint64_t *iat, const attest_opening *opening, uint8_t *buf, size_t buf_len, attest_message *out);
int32_t attest_bandwidth_answer(attest_device *device, const uint64_t *iat, const uint8_t *draw, const attest_arrivals *arrivals, uint8_t *buf, size_t buf_len, attest_message *out);
/* send it to the member as one datagram from the socket on which probes are awaited; publish it when the span is over */
int32_t attest_hello(attest_device *device, const uint64_t *iat, const uint8_t *draw, const attest_path *path, uint8_t *buf, size_t buf_len, attest_message *out);
/* Any of the answers above, attest_answer included. It links the encoders of all of them: firmware of one class is smaller with
 * that class's own function. ATTEST_BOUNDS for a class that answers no draw, or an answer to another lease or slot. */
int32_t attest_answer_draw(attest_device *device, const uint64_t *iat, const attest_draw_answer *given, uint8_t *buf, size_t buf_len, attest_message *out);
/* a record that a meter signed; one longer than ATTEST_MAX_RECORD goes by its digest and travels as content */
int32_t attest_metered(attest_device *device, const uint64_t *iat, const attest_record *given, uint8_t *buf, size_t buf_len, attest_message *out);
/* the certificate as the maker gave it, at most ATTEST_MAX_ENDORSEMENT bytes; nodes refuse what is no endorsement */
int32_t attest_endorsement(attest_device *device, const uint64_t *iat, const uint8_t *certificate, size_t len, uint8_t *buf, size_t buf_len, attest_message *out);

/* Messages that wait for receipts, in `len` bytes of memory that may outlive a restart (FRAM, battery-backed RAM). Power may
 * go at any byte: each change happens whole or not at all, provided bytes are written in order and one byte is written
 * whole. new empties it; resume, once after a restart, finishes what was cut off and drops what is damaged. */
int32_t attest_queue_new(uint8_t *memory, size_t len);
int32_t attest_queue_resume(uint8_t *memory, size_t len, const uint8_t *network);
/* message and message_bytes as a message function filled them. With dropped null a full queue gives ATTEST_FULL; otherwise
 * the oldest messages make room and are counted there (gaps are scored, never refused). */
int32_t attest_queue_push(uint8_t *memory, size_t len, const attest_message *message, const uint8_t *message_bytes, uint32_t *dropped);
/* place 0 is the oldest; ATTEST_EMPTY beyond the last */
int32_t attest_queue_get(uint8_t *memory, size_t len, uint32_t place, attest_queued *out);
/* A payload of the receipt topic: ATTEST_FORM or ATTEST_RECEIPT and nothing changed, or every message in it is noted; those
 * that `needed` different members have (f+1) leave the queue and are counted in done. */
int32_t attest_queue_receipts(uint8_t *memory, size_t len, const uint8_t *payload, size_t payload_len, const attest_receipt_check *check, uint32_t needed, uint32_t *done);

/* Topic of a message (zero-terminated ASCII); kid 8 bytes. */
int32_t attest_topic_up(uint32_t message_class, const uint8_t *kid, uint8_t *topic, size_t topic_len);

/* Reads a beacon broadcast (ATTEST_BEACON_LEN bytes). ATTEST_OK: challenged, answer with draw (32 bytes) and slot;
 * ATTEST_NOT_CHALLENGED: slot and draw are filled, nothing to do. Does not check the beacon's certificate: a broker that
 * invents beacons costs the device airtime and nothing else. */
int32_t attest_challenge(const uint8_t *beacon, size_t beacon_len, uint64_t device, uint64_t lease, uint64_t challenge_p, uint64_t *slot, uint8_t *draw);

/* For a device that can check a pairing: the committee's keys, ATTEST_TERMS_LEN bytes of yours. trust begins with one term's
 * key, as you gave it. follow takes a payload of the topic plumbline/v1/term/<network>/<committee>, both as 16 hex digits; it keeps
 * every step before a fault, so store the state whatever it returns. beacon says ATTEST_OK for a broadcast that holds
 * under the key of its slot (then ask attest_challenge) and may change the state, too. A damaged state gives ATTEST_FORM. */
int32_t attest_terms_trust(uint8_t *state, const attest_committee *committee, uint64_t term, const uint8_t *group_key);
int32_t attest_terms_follow(uint8_t *state, const attest_committee *committee, const uint8_t *payload, size_t len);
int32_t attest_terms_beacon(uint8_t *state, const attest_committee *committee, const uint8_t *beacon, size_t len);

/* Coverage: the hash chain of secrets (32 bytes each), the transmission, the witness commitment (32 bytes). */
int32_t attest_chain_anchor(const uint8_t *secret0, uint32_t length, uint8_t *anchor);
int32_t attest_chain_secret(const uint8_t *secret0, uint64_t first_slot, uint32_t length, uint64_t slot, uint8_t *secret);
int32_t attest_transmission(const uint8_t *secret, const uint8_t *draw, uint8_t *payload, uint8_t *attenuation_db);
int32_t attest_witness_commitment(const attest_reception *receptions, size_t count, const uint8_t *salt, uint8_t *commitment);

/* Bandwidth: tags are 16 bytes each, of the packets that arrived, in the order of their numbers; bit n % 8 of bitmap[n / 8] is 1
 * when packet n did not arrive although a later one did; the bitmap ends with its last byte that is not 0. 16 bytes each out. */
int32_t attest_tally_digests(const uint8_t *tags, size_t packets, const uint8_t *bitmap, size_t bitmap_len, uint8_t *tags_out, uint8_t *losses_out);
/* Thumbprint (32 bytes) of a meter's key: x then y, big-endian, each as long as the curve's field (32 or 48 bytes). */
int32_t attest_meter_key(uint32_t curve, const uint8_t *point, size_t point_len, uint8_t *thumbprint);

/* Software signers, when the library was built with features soft-ed25519 and soft-p256. They fill `signer`; ctx then
 * points to `seed` (32 bytes), which must outlive the device. */
int32_t attest_soft_ed25519(uint8_t *seed, attest_signer *signer);
int32_t attest_soft_p256(uint8_t *seed, attest_signer *signer);

#ifdef __cplusplus
}
#endif

#endif
