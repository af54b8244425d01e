//! The strict gate: every way to deviate from the one encoding is refused, by kind.

mod common;

use attest::{
    AnswerBody, Body, BootBody, Claims, Class, CommitmentBody, DecodeError, EncodeError, Location, MAX_CHAIN,
    MAX_MESSAGE, MAX_RECORD, MeteredBody, Reception, Record, RecordFormat, RevealBody, SoftEd25519, decode, seal,
};
use common::{bodies, claims, network, payload};

#[test]
fn every_prefix_is_truncated_and_every_suffix_trailing() {
    for body in bodies() {
        let class = body.class();
        let bytes = payload(&claims(body));
        for len in 0..bytes.len() {
            assert_eq!(Claims::decode(class, &bytes[..len]), Err(DecodeError::Truncated), "{class} {len}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Claims::decode(class, &longer), Err(DecodeError::Trailing), "{class}");
        let mut buf = [0; MAX_MESSAGE];
        let signed = seal(&SoftEd25519::from_seed([9; 32]), &network(), &claims(body), &mut buf).expect("seals");
        for len in 0..signed.bytes.len() {
            assert_eq!(decode(&signed.bytes[..len]), Err(DecodeError::Truncated), "{class} {len}");
        }
        assert_eq!(decode(&[signed.bytes, &[0]].concat()), Err(DecodeError::Trailing), "{class}");
    }
    assert_eq!(decode(&[0xd2; MAX_MESSAGE + 1]), Err(DecodeError::TooLong));
}

/// `a3 06 <iat> 19010b <boot> 3a00011170 83 <seq> 50 <prev> <body>` with parts to replace.
struct Parts {
    map: &'static str,
    iat: &'static str,
    boot: &'static str,
    seq: &'static str,
    body: &'static str,
}

const PLAIN: Parts = Parts { map: "a3", iat: "061a6553f100", boot: "19010b03", seq: "00", body: "80" };

impl Parts {
    fn decode(&self, class: Class) -> Result<(), DecodeError> {
        let prev = "50".to_owned() + &"00".repeat(16);
        let text = [self.map, self.iat, self.boot, "3a0001117083", self.seq, &prev, self.body].concat();
        Claims::decode(class, &hex::decode(text).expect("hex")).map(|_| ())
    }
}

#[test]
fn the_gate_refuses_every_deviation_by_kind() {
    use DecodeError::{Bounds, Class as Shape, Key, NotShortest, Truncated, Type};
    assert_eq!(PLAIN.decode(Class::Heartbeat), Ok(()));
    let heartbeat = [
        ("indefinite map", Parts { map: "bf", ..PLAIN }, Type),
        ("long map head", Parts { map: "b803", ..PLAIN }, NotShortest),
        ("a pair too many announced", Parts { map: "a4", ..PLAIN }, Key),
        ("a pair too few announced", Parts { map: "a2", ..PLAIN }, Shape),
        ("not a map", Parts { map: "83", ..PLAIN }, Type),
        ("iat in nine bytes", Parts { iat: "061b000000006553f100", ..PLAIN }, NotShortest),
        ("iat as float", Parts { iat: "06fb41d954fc40000000", ..PLAIN }, Type),
        ("iat negative", Parts { iat: "0620", ..PLAIN }, Type),
        ("iat tagged", Parts { iat: "06c11a6553f100", ..PLAIN }, Type),
        ("repeated key", Parts { map: "a4", iat: "06000600", ..PLAIN }, Key),
        ("unknown key", Parts { iat: "0700", ..PLAIN }, Key),
        ("text key", Parts { iat: "616900", ..PLAIN }, Type),
        ("key not shortest", Parts { iat: "180600", ..PLAIN }, NotShortest),
        ("unsorted", Parts { iat: "19010b03", boot: "0600", ..PLAIN }, Key),
        ("boot count missing", Parts { map: "a2", boot: "", ..PLAIN }, Key),
        ("boot count over 32 bits", Parts { boot: "19010b1b0000000100000000", ..PLAIN }, Bounds),
        ("seq not shortest", Parts { seq: "1800", ..PLAIN }, NotShortest),
        ("seq as bignum", Parts { seq: "c24101", ..PLAIN }, Type),
        ("seq true", Parts { seq: "f5", ..PLAIN }, Type),
        ("body missing", Parts { body: "", ..PLAIN }, Truncated),
        ("body null", Parts { body: "f6", ..PLAIN }, Type),
        ("body not empty", Parts { body: "8100", ..PLAIN }, Bounds),
        ("body indefinite", Parts { body: "9fff", ..PLAIN }, Type),
    ];
    for (what, parts, error) in heartbeat {
        assert_eq!(parts.decode(Class::Heartbeat), Err(error), "{what}");
    }
    let nonce = Parts {
        map: "a4",
        iat: concat!("06000a5820", "0000000000000000000000000000000000000000000000000000000000000000"),
        ..PLAIN
    };
    assert_eq!(nonce.decode(Class::Heartbeat), Err(Shape), "a nonce where none belongs");
    assert_eq!(Parts { body: "820000", ..nonce }.decode(Class::Answer), Ok(()));
    assert_eq!(Parts { body: "820000", ..PLAIN }.decode(Class::Answer), Err(Shape), "an answer without nonce");
    assert_eq!(PLAIN.decode(Class::Boot), Err(Shape), "a boot without profile");
    let short_nonce = Parts { map: "a4", iat: "06000a4100", body: "820000", ..PLAIN };
    assert_eq!(short_nonce.decode(Class::Answer), Err(Bounds));
}

fn body(class: Class, text: &str) -> Result<(), DecodeError> {
    let body: &'static str = Box::leak(text.to_owned().into_boxed_str());
    Parts { body, ..PLAIN }.decode(class)
}

#[test]
fn readings_are_held_to_their_bounds() {
    use DecodeError::{Bounds, NotShortest, Order, Type};
    let row = "83010203";
    for (readings, verdict) in [
        ("80".to_owned(), Err(Bounds)),
        (format!("81{row}"), Ok(())),
        (format!("9801{row}"), Err(NotShortest)),
        (format!("9f{row}ff"), Err(Type)),
        (format!("82{row}{row}"), Err(Order)),
        (format!("82{row}83000203"), Err(Order)),
        ("81820102".to_owned(), Err(Bounds)),
        ("818401020304".to_owned(), Err(Bounds)),
        ("818301187f03".to_owned(), Ok(())),
        ("818301188003".to_owned(), Err(Bounds)),
        ("818301387f03".to_owned(), Ok(())),
        ("818301388003".to_owned(), Err(Bounds)),
        ("818301023800".to_owned(), Err(NotShortest)),
        ("81830102f93c00".to_owned(), Err(Type)),
        ("8183200203".to_owned(), Err(Type)),
        ("818301023b7fffffffffffffff".to_owned(), Ok(())),
        ("818301023b8000000000000000".to_owned(), Err(Type)),
        ("818301021b8000000000000000".to_owned(), Err(Type)),
    ] {
        assert_eq!(body(Class::Telemetry, &format!("818200{readings}")), verdict, "{readings}");
    }
}

/// A list of samples of one reading each, oldest first.
fn sampled(samples: usize) -> String {
    let rows: String = (0..samples).rev().map(|age| format!("82{}8183010203", uint(age))).collect();
    format!("{}{rows}", head(samples))
}

/// A sample at this age with readings of so many channels.
fn at(age: &str, readings: usize) -> String {
    let rows: String = (0..readings).map(|channel| format!("83{}0000", uint(channel))).collect();
    format!("82{age}{}{rows}", head(readings))
}

/// The head of an array of fewer than 256.
fn head(count: usize) -> String {
    if count < 24 { format!("{:02x}", 0x80 + count) } else { format!("98{count:02x}") }
}

/// A number below 256.
fn uint(number: usize) -> String {
    if number < 24 { format!("{number:02x}") } else { format!("18{number:02x}") }
}

#[test]
fn samples_are_held_to_their_bounds() {
    use DecodeError::{Bounds, Order, Type};
    for (text, verdict) in [
        ("80".to_owned(), Err(Bounds)),
        (sampled(32), Ok(())),
        (sampled(33), Err(Bounds)),
        (format!("81{}", at("00", 64)), Ok(())),
        (format!("81{}", at("00", 65)), Err(Bounds)),
        (format!("82{}{}", at("01", 63), at("00", 1)), Ok(())),
        (format!("82{}{}", at("01", 63), at("00", 2)), Err(Bounds)),
        (format!("82{}{}", at("01", 1), at("01", 1)), Err(Order)),
        (format!("82{}{}", at("00", 1), at("01", 1)), Err(Order)),
        (format!("81{}", at("1affffffff", 1)), Ok(())),
        (format!("81{}", at("1b0000000100000000", 1)), Err(Bounds)),
        (format!("81{}", at("20", 1)), Err(Type)),
        (format!("81{}", at("fa3f800000", 1)), Err(Type)),
        ("8183000000".to_owned(), Err(Bounds)),
        ("8183010203".to_owned(), Err(Bounds)), // readings without an age
    ] {
        assert_eq!(body(Class::Telemetry, &text), verdict, "{text}");
    }
}

#[test]
fn records_and_hellos_are_held_to_their_bounds() {
    use Class::{Hello, Metered};
    use DecodeError::{Bounds, Type};
    let (b16, b32) = (format!("50{}", "00".repeat(16)), format!("5820{}", "00".repeat(32)));
    let whole = |len: usize| format!("840101{b32}59{len:04x}{}", "00".repeat(len));
    for (class, text, verdict) in [
        (Metered, format!("840101{b32}4100"), Ok(())),
        (Metered, format!("840100{b32}4100"), Err(Bounds)), // no format
        (Metered, format!("840118ff{b32}4100"), Ok(())),    // one of a later version
        (Metered, format!("8401190100{b32}4100"), Err(Bounds)),
        (Metered, format!("840101{b16}4100"), Err(Bounds)),
        (Metered, format!("840101{b32}40"), Err(Bounds)),
        (Metered, format!("840101{b32}6100"), Err(Type)),
        (Metered, whole(838), Ok(())),
        (Metered, whole(839), Err(Bounds)),
        (Metered, format!("850101{b32}{b32}190347"), Ok(())),
        (Metered, format!("850101{b32}{b32}190346"), Err(Bounds)), // it fits
        (Metered, format!("850101{b32}{b32}1a00010000"), Ok(())),
        (Metered, format!("850101{b32}{b32}1a00010001"), Err(Bounds)),
        (Metered, format!("850101{b32}{b16}190347"), Err(Bounds)),
        (Metered, format!("830101{b32}"), Err(Bounds)),
        (Metered, format!("860101{b32}{b32}19034700"), Err(Bounds)),
        (Hello, format!("84010203{b16}"), Ok(())),
        (Hello, format!("84010203{b32}"), Err(Bounds)),
        (Hello, format!("8401021b0000000100000000{b16}"), Err(Bounds)),
        (Hello, "83010203".to_owned(), Err(Bounds)),
    ] {
        let found = if class.answers() { answering(class, &text) } else { body(class, &text) };
        assert_eq!(found, verdict, "{class} {text}");
    }
}

#[test]
fn commitments_and_reveals_are_held_to_their_bounds() {
    use DecodeError::{Bounds, NotShortest, Order, Type};
    let (b16, b32) = (format!("50{}", "00".repeat(16)), format!("5820{}", "00".repeat(32)));
    for (text, verdict) in [
        (format!("840100191000{b32}"), Ok(())),
        (format!("840100191001{b32}"), Err(Bounds)),
        (format!("8401001b0000000100000000{b32}"), Err(Bounds)),
        (format!("84010001{b16}"), Err(Bounds)),
        (format!("83010001{b32}"), Err(Bounds)),
    ] {
        assert_eq!(body(Class::Commitment, &text), verdict, "{text}");
    }
    let heard = |lease: u8| format!("8401{b16}3863{lease:02x}").replacen("01", &format!("{lease:02x}"), 1);
    let many: String = (0..17).map(heard).collect();
    let sixteen: String = (0..16).map(heard).collect();
    for (text, verdict) in [
        (format!("840040{b16}80"), Ok(())),
        (format!("8400{b32}{b16}80"), Ok(())),
        (format!("8400{b16}{b16}80"), Err(Bounds)),
        (format!("8400f6{b16}80"), Err(Type)),
        (format!("84005800{b16}80"), Err(NotShortest)),
        (format!("84005f40ff{b16}80"), Err(Type)),
        (format!("840040{b16}82{}{}", heard(1), heard(2)), Ok(())),
        (format!("840040{b16}82{}{}", heard(2), heard(1)), Err(Order)),
        (format!("840040{b16}82{}{}", heard(2), heard(2)), Err(Order)),
        (format!("840040{b16}90{sixteen}"), Ok(())),
        (format!("840040{b16}91{many}"), Err(Bounds)),
        (format!("840040{b16}818401{b16}1a8000000000"), Err(Bounds)),
    ] {
        assert_eq!(body(Class::Reveal, &text), verdict, "{text}");
    }
}

#[test]
fn the_later_classes_are_held_to_their_bounds() {
    use Class::{Bandwidth, Channels, Endorsement, Fix, Meter, Opening, Possession, Work};
    use DecodeError::{Bounds, Order, Type};
    let (b16, b32) = (format!("50{}", "00".repeat(16)), format!("5820{}", "00".repeat(32)));
    // A window of the meter: start, end, and four numbers.
    let window = |start: u8, end: u8| format!("86{start:02x}{end:02x}00000000");
    let meter = |windows: &[(u8, u8)]| {
        let rows: String = windows.iter().map(|(start, end)| window(*start, *end)).collect();
        format!("830120{:02x}{rows}", 0x80 + windows.len())
    };
    let fix = |lat: &str, seen: &str| format!("8601{lat}000001{seen}");
    let leaf = |leaf: &str, path: usize| {
        let path = if path == 0 { "40".to_owned() } else { format!("59{path:04x}{}", "00".repeat(path)) };
        format!("8607010002{leaf}{path}")
    };
    let long_leaf = |len: usize| format!("59{len:04x}{}", "00".repeat(len));
    for (class, text, verdict) in [
        (Channels, "80".to_owned(), Ok(())),
        (Channels, "81830118".to_owned(), Err(DecodeError::Truncated)),
        (Channels, "8183011861626161".to_owned(), Ok(())),
        (Channels, "818301186160".to_owned(), Err(Bounds)), // an empty name
        (Channels, "81830118616120".to_owned(), Err(Bounds)), // a space
        (Channels, "8183011861612d".to_owned(), Err(Bounds)), // begins with a dash
        (Channels, format!("81830118617819{}", "61".repeat(25)), Err(Bounds)),
        (Channels, "8183011a000100006161".to_owned(), Err(Bounds)), // a unit above 65,535
        (Channels, "8283010161618301016161".to_owned(), Err(Order)),
        (Meter, meter(&[]), Ok(())),
        (Meter, meter(&[(1, 2), (2, 3)]), Ok(())),
        (Meter, meter(&[(1, 3), (2, 4)]), Err(Order)),
        (Meter, meter(&[(2, 3), (1, 2)]), Err(Order)),
        (Meter, meter(&[(2, 2)]), Err(Bounds)),
        (Meter, meter(&[(3, 2)]), Err(Bounds)),
        (Fix, fix("00", "80"), Ok(())),
        (Fix, fix("1a35a4e900", "80"), Ok(())),
        (Fix, fix("1a35a4e901", "80"), Err(Bounds)),
        (Fix, fix("00", "818401185a19016700"), Ok(())),
        (Fix, fix("00", "818401185b0000"), Err(Bounds)),
        (Fix, fix("00", "8184010019016800"), Err(Bounds)),
        (Fix, fix("00", "8284010000008401000000"), Err(Order)),
        (Possession, leaf("41aa", 0), Ok(())),
        (Possession, leaf("40", 0), Err(Bounds)),
        (Possession, leaf("41aa", 736), Ok(())),
        (Possession, leaf("41aa", 735), Err(Bounds)),
        (Possession, leaf(&long_leaf(512), 256), Ok(())),
        (Possession, leaf(&long_leaf(513), 256), Err(Bounds)),
        (Work, format!("8501020103{b32}"), Ok(())),
        (Work, format!("8501020003{b32}"), Err(Bounds)),
        (Work, format!("8501020100{b32}"), Err(Bounds)),
        (Work, format!("8501021a0001ffff03{b32}"), Ok(())),
        (Work, format!("8501021a0002000003{b32}"), Err(Bounds)),
        (Opening, format!("85010203{b32}01"), Ok(())),
        (Opening, format!("85010200{b32}01"), Err(Bounds)),
        (Opening, format!("85010203{b32}00"), Err(Bounds)),
        (Opening, format!("85010203{b16}01"), Err(Bounds)),
        (Bandwidth, format!("840102038185010203{b16}{b16}"), Ok(())),
        (Bandwidth, format!("840102038184010203{b16}"), Err(Bounds)), // without losses
        (Bandwidth, format!("840102008185010203{b16}{b16}"), Err(Bounds)),
        (Bandwidth, format!("84010203818501021b0000000100000000{b16}{b16}"), Err(Bounds)),
        (Bandwidth, format!("840102038285010203{b16}{b16}85010203{b16}{b16}"), Err(Order)),
        (Endorsement, "8140".to_owned(), Err(Bounds)),
        (Endorsement, "80".to_owned(), Err(Bounds)),
        (Endorsement, "8100".to_owned(), Err(Type)),
    ] {
        let nonce = class.answers();
        let found = if nonce { answering(class, &text) } else { body(class, &text) };
        assert_eq!(found, verdict, "{class} {text}");
    }
    assert_eq!(body(Work, &format!("8501020103{b32}")), Err(DecodeError::Class), "an answer names its draw");
}

/// A body behind a nonce.
fn answering(class: Class, text: &str) -> Result<(), DecodeError> {
    let nonce = format!("061a6553f1000a5820{}", "00".repeat(32));
    let (iat, body) = (Box::leak(nonce.into_boxed_str()), Box::leak(text.to_owned().into_boxed_str()));
    Parts { map: "a4", iat, body, ..PLAIN }.decode(class)
}

#[test]
fn a_boot_is_held_to_its_bounds() {
    let profile = |text: &str| format!("06001901097821{}", hex::encode(text));
    let head = format!("8350{}5820{}", "00".repeat(16), "00".repeat(32));
    let salt = format!("50{}", "00".repeat(16));
    let boot = |place: &str, text: &str| {
        let parts = Parts {
            map: "a4",
            iat: Box::leak(profile(text).into_boxed_str()),
            body: Box::leak(format!("{head}{place}").into_boxed_str()),
            ..PLAIN
        };
        parts.decode(Class::Boot)
    };
    assert_eq!(attest::EAT_PROFILE.len(), 33);
    assert_eq!(boot("80", attest::EAT_PROFILE), Ok(()));
    assert_eq!(boot("80", "tag:plumbline.invalid,2026:boot-2"), Err(DecodeError::Bounds));
    // 90 degrees north and 180 west are the ends of the earth.
    assert_eq!(boot(&format!("831a35a4e9003a6b49d1ff{salt}"), attest::EAT_PROFILE), Ok(()));
    assert_eq!(boot(&format!("831a35a4e90100{salt}"), attest::EAT_PROFILE), Err(DecodeError::Bounds));
    assert_eq!(boot(&format!("83003a6b49d200{salt}"), attest::EAT_PROFILE), Err(DecodeError::Bounds));
    assert_eq!(boot("820000", attest::EAT_PROFILE), Err(DecodeError::Bounds));
}

#[test]
fn the_attester_cannot_write_what_the_gate_refuses() {
    let encode = |body: Body<'_>| claims(body).encode(&mut [0; MAX_MESSAGE]).map(|_| ());
    for record in [Record::Whole(&[]), Record::Whole(&[0; MAX_RECORD + 1]), digest(MAX_RECORD), digest(65_537)] {
        let body = MeteredBody { lease: 0, format: RecordFormat::OCMF, meter: [0; 32], record };
        assert_eq!(encode(Body::Metered(body)), Err(EncodeError::Bounds), "{record:?}");
    }
    let none = MeteredBody { lease: 0, format: RecordFormat(0), meter: [0; 32], record: Record::Whole(&[0]) };
    assert_eq!(encode(Body::Metered(none)), Err(EncodeError::Bounds));
    let heard = |lease| Reception { lease, payload: [0; 16], rssi: 0, snr: 0 };
    let reveal = |rows: &[Reception]| {
        encode(Body::Reveal(RevealBody { slot: 0, secret: None, salt: [0; 16], receptions: rows.into() }))
    };
    assert_eq!(reveal(&[heard(1), heard(2)]), Ok(()));
    assert_eq!(reveal(&[heard(2), heard(1)]), Err(EncodeError::Order));
    assert_eq!(reveal(&[heard(1), heard(1)]), Err(EncodeError::Order));
    let long = Body::Commitment(CommitmentBody { lease: 0, first_slot: 0, length: MAX_CHAIN + 1, anchor: [0; 32] });
    assert_eq!(encode(long), Err(EncodeError::Bounds));
    let nowhere = Location { lat: 900_000_001, lon: 0, salt: [0; 16] };
    let boot = Body::Boot(BootBody { seed: [0; 16], firmware: [0; 32], location: Some(nowhere) });
    assert_eq!(encode(boot), Err(EncodeError::Bounds));
    let no_nonce = Claims { nonce: None, ..claims(Body::Answer(AnswerBody { lease: 0, slot: 0 })) };
    assert_eq!(no_nonce.encode(&mut [0; MAX_MESSAGE]), Err(EncodeError::Class));
    let nonce = Claims { nonce: Some([0; 32]), ..claims(Body::Heartbeat) };
    assert_eq!(nonce.encode(&mut [0; MAX_MESSAGE]), Err(EncodeError::Class));
    for room in 0..37 {
        assert_eq!(claims(Body::Heartbeat).encode(&mut [0; MAX_MESSAGE][..room]), Err(EncodeError::Buffer));
    }
    for room in 0..122 {
        let mut buf = [0; MAX_MESSAGE];
        let sealed = seal(&SoftEd25519::from_seed([9; 32]), &network(), &claims(Body::Heartbeat), &mut buf[..room]);
        assert_eq!(sealed, Err(EncodeError::Buffer.into()), "{room}");
    }
}

/// A record of so many bytes, by its digest.
fn digest(length: usize) -> Record<'static> {
    Record::Digest { digest: [0; 32], length: u32::try_from(length).expect("small") }
}
