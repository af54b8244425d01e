//! Our wire read and written by `serde_cbor`: the same bytes, so that old clients can talk to us, and a list of hostile
//! encodings with what each side says. Ours refuses all of them; the other accepts several.

use oracle_core::typed::{Kind, Phase};
use oracle_core::wire::{
    Bytes, Certified, Decided, Direct, Hash, InstanceId, Message, PreparedProof, Proposal, Pulled, RoundChange,
    SignedPartial, Statement, decode, encode,
};
use serde_bytes::ByteBuf;
use serde_cbor::Value;

/// `Statement` as serde sees it.
type Row = (u32, (u8, u32, u64), u8, u32, ByteBuf, ByteBuf);

fn statement(member: u32, phase: Phase) -> Statement {
    Statement {
        member,
        instance: InstanceId::new(Kind::Report, 70_000, u64::MAX),
        phase: phase as u8,
        view: 300,
        value: Hash::from([0xab; 32]),
        signature: Bytes::from([0xcd; 65]),
    }
}

fn row(s: &Statement) -> Row {
    let instance = (s.instance.kind, s.instance.stream, s.instance.epoch);
    (s.member, instance, s.phase, s.view, ByteBuf::from(*s.value), ByteBuf::from(*s.signature))
}

fn messages() -> Vec<Message> {
    let vote = statement(0, Phase::Prepare);
    let proof = PreparedProof { view: 2, value: Hash::from([1; 32]), prepares: vec![vote.clone(); 3] };
    let change = |prepared, content: Option<&[u8]>| RoundChange {
        statement: statement(23, Phase::RoundChange),
        prepared,
        content: content.map(|bytes| bytes.to_vec().into()),
    };
    let bare = change(None, None);
    let full = change(Some(proof.clone()), Some(&[5; 300]));
    let instance = vote.instance;
    vec![
        Message::Observation(vote.clone(), vec![].into()),
        Message::Proposal(Proposal {
            statement: vote.clone(),
            content: vec![9; 70_000].into(),
            justification: vec![bare.clone(), change(Some(proof), None)],
        }),
        Message::Vote(vote.clone()),
        Message::RoundChange(bare),
        Message::RoundChange(full),
        Message::Decided(Decided { commits: vec![vote.clone()], content: vec![1].into() }),
        Message::Partial(SignedPartial { statement: vote, partial: Bytes::from([3; 48]) }),
        Message::Certified(Certified { instance, digest: Hash::default(), certificate: Bytes::from([4; 48]) }),
        Message::BeaconPartial(24, 65_536, Bytes::from([5; 48])),
        Message::Beacon(u64::MAX, Bytes::from([6; 48])),
        Message::DkgLog(vec![7; 256].into()),
        Message::Activation(255, Bytes::from([8; 65])),
        Message::Status(instance),
        Message::Have(vec![Hash::default(); 24]),
    ]
}

#[test]
fn every_message_is_rewritten_to_the_same_bytes() {
    let direct = [Direct::Deal(vec![1; 23].into()), Direct::Ack(vec![2; 24].into()), Direct::Pull(vec![])];
    let pulled = Pulled { id: Hash::default(), class: 7, bytes: vec![3; 1_024].into() };
    let mut all: Vec<Vec<u8>> = messages().iter().map(Message::encode).collect();
    all.extend(direct.iter().map(encode));
    all.push(encode(&pulled));
    for bytes in &all {
        let value: Value = serde_cbor::from_slice(bytes).expect("any CBOR reader reads it");
        assert_eq!(&serde_cbor::to_vec(&value).expect("writes"), bytes);
    }
    assert_eq!(all.len(), 18);
}

#[test]
fn a_vote_is_written_and_read_by_either_side() {
    for member in [0, 23, 24, 255, 256, 65_535, 65_536, u32::MAX] {
        let vote = statement(member, Phase::Commit);
        let theirs = serde_cbor::to_vec(&(3u8, (row(&vote),))).expect("writes");
        assert_eq!(theirs, Message::Vote(vote.clone()).encode(), "member {member}");
        assert_eq!(Message::decode(&theirs), Ok(Message::Vote(vote.clone())));
        let read: (u8, (Row,)) = serde_cbor::from_slice(&theirs).expect("reads");
        assert_eq!(read, (3, (row(&vote),)));
    }
}

/// A status message for the rest: small enough to write each deviation by hand.
const STATUS: [u8; 8] = [0x82, 0x0c, 0x81, 0x83, 0x01, 0x02, 0x18, 0x1e];

type Status = (u8, ((u8, u32, u64),));

#[test]
fn the_plain_status_is_what_the_hostile_ones_deviate_from() {
    let status = Message::Status(InstanceId::new(Kind::Report, 2, 30));
    assert_eq!(status.encode(), STATUS);
    assert_eq!(serde_cbor::from_slice::<Status>(&STATUS).expect("reads"), (12, ((1, 2, 30),)));
}

#[test]
fn hostile_encodings() {
    // Name, bytes, whether serde_cbor takes them for a status.
    let hostile: [(&str, &[u8], bool); 22] = [
        ("nothing", &[], false),
        ("cut short", &STATUS[..7], false),
        ("a byte left over", &[0x82, 0x0c, 0x81, 0x83, 1, 2, 0x18, 0x1e, 0x00], false),
        ("the item twice", &[0x82, 0x0c, 0x81, 0x83, 1, 2, 3, 0x82, 0x0c, 0x81, 0x83, 1, 2, 3], false),
        ("integer in 2 bytes that fits its head", &[0x82, 0x0c, 0x81, 0x83, 1, 0x18, 0x02, 0x18, 0x1e], true),
        ("integer in 9 bytes", &[0x82, 0x0c, 0x81, 0x83, 1, 2, 0x1b, 0, 0, 0, 0, 0, 0, 0, 0x1e], true),
        ("variant in 2 bytes", &[0x82, 0x18, 0x0c, 0x81, 0x83, 1, 2, 0x18, 0x1e], true),
        ("array length in 2 bytes", &[0x98, 0x02, 0x0c, 0x81, 0x83, 1, 2, 0x18, 0x1e], true),
        ("array without a length", &[0x9f, 0x0c, 0x81, 0x83, 1, 2, 0x18, 0x1e, 0xff], true),
        ("inner array without a length", &[0x82, 0x0c, 0x81, 0x9f, 1, 2, 0x18, 0x1e, 0xff], true),
        ("array without a length or an end", &[0x9f, 0x0c, 0x81, 0x83, 1, 2, 0x18, 0x1e], false),
        ("a tag in front", &[0xd9, 0xd9, 0xf7, 0x82, 0x0c, 0x81, 0x83, 1, 2, 0x18, 0x1e], false),
        ("a field too many", &[0x82, 0x0c, 0x81, 0x84, 1, 2, 0x18, 0x1e, 0], false),
        ("a field too few", &[0x82, 0x0c, 0x81, 0x82, 1, 2], false),
        ("null for a field", &[0x82, 0x0c, 0x81, 0x83, 1, 2, 0xf6], false),
        ("a negative number", &[0x82, 0x0c, 0x81, 0x83, 1, 2, 0x20], false),
        ("a float", &[0x82, 0x0c, 0x81, 0x83, 1, 2, 0xf9, 0x3c, 0x00], false),
        ("a number over its type", &[0x82, 0x0c, 0x81, 0x83, 0x19, 1, 0, 2, 3], false),
        ("an array of 2^64 − 1", &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], false),
        ("a byte string of 2^63", &[0x82, 0x0c, 0x5b, 0x80, 0, 0, 0, 0, 0, 0, 0], false),
        ("a head that is reserved", &[0x82, 0x0c, 0x81, 0x83, 1, 2, 0x1c], false),
        ("arrays in arrays", &[0x81; 4_096], false),
    ];
    for (name, bytes, theirs) in hostile {
        assert!(Message::decode(bytes).is_err(), "ours: {name}");
        assert_eq!(serde_cbor::from_slice::<Status>(bytes).is_ok(), theirs, "serde_cbor: {name}");
    }
}

#[test]
fn byte_strings_in_pieces_and_of_other_lengths() {
    let id = |tail: &[u8]| [&[0x82, 0x09, 0x82, 0x01], tail].concat();
    let plain = id(&[&[0x58, 48][..], &[6; 48]].concat());
    assert_eq!(Message::decode(&plain), Ok(Message::Beacon(1, Bytes::from([6; 48]))));
    let read = |bytes: &[u8]| serde_cbor::from_slice::<(u8, (u64, ByteBuf))>(bytes).is_ok();
    let pieces = id(&[&[0x5f, 0x58, 24][..], &[6; 24], &[0x58, 24], &[6; 24], &[0xff]].concat());
    let short = id(&[&[0x58, 47][..], &[6; 47]].concat());
    let long = id(&[&[0x59, 0, 48][..], &[6; 48]].concat());
    let text = id(&[&[0x78, 48][..], &[b'6'; 48]].concat());
    for (name, bytes, theirs) in
        [("in pieces", pieces, true), ("of 47", short, true), ("length in 3 bytes", long, true), ("text", text, true)]
    {
        assert!(Message::decode(&bytes).is_err(), "ours: {name}");
        assert_eq!(read(&bytes), theirs, "serde_cbor: {name}");
    }
}

#[test]
fn a_message_over_its_limit_is_not_even_read() {
    let limit = 16;
    let pull = encode(&Direct::Pull(vec![Hash::default()]));
    assert!(decode::<Direct>(&pull, limit).is_err() && decode::<Direct>(&pull, pull.len()).is_ok());
    assert!(serde_cbor::from_slice::<Value>(&pull).is_ok());
}
