//! A device's first day: boot, say so, take a reading, answer a challenge. Prints what it would publish. A node's side
//! (decode, then verify) is at the end. Run: `cargo run -p attest --example device`.

use std::error::Error;

use attest::{
    AnswerBody, Body, BootBody, Claims, Device, MAX_MESSAGE, Reading, Signed, SoftEd25519, VolatileBoot, challenge,
    decode, network_id, topic_up, verify,
};

fn main() -> Result<(), Box<dyn Error>> {
    let network = network_id(31_337, &[0x11; 20]);
    // Real firmware: a key in a secure element (implement `Signer`) and a boot count in flash (implement `Storage`).
    let signer = SoftEd25519::from_seed([7; 32]);
    let mut device = Device::boot(signer, &mut VolatileBoot::default(), network)?;
    let key = device.public_key();
    let now = Some(1_700_000_000);
    let mut buf = [0; MAX_MESSAGE];

    let hello = Body::Boot(BootBody { seed: [1; 16], firmware: [2; 32], location: None });
    publish(&device.kid(), &device.message(now, None, &hello, &mut buf)?);

    let readings = [Reading { channel: 1, exponent: -2, mantissa: 2153 }]; // 21.53
    publish(&device.kid(), &device.message(now, None, &Body::Telemetry((&readings).into()), &mut buf)?);

    // A beacon certificate came in for slot 4. Is this device (token 9) challenged on lease 1?
    let draw = challenge::draw(&challenge::seed(&[0xc0; 48]), 9, 1);
    if challenge::challenged(&draw, u64::MAX) {
        let signed = device.message(now, Some(draw), &Body::Answer(AnswerBody { lease: 1, slot: 4 }), &mut buf)?;
        publish(&device.kid(), &signed);

        let envelope = decode(signed.bytes)?;
        let id = verify(&envelope, signed.class, &network, &key)?;
        let claims = Claims::decode(signed.class, envelope.payload)?;
        println!("a node verified {} bytes, id {id:02x?}\n{claims:?}", signed.bytes.len());
    }
    Ok(())
}

fn publish(kid: &[u8; 8], signed: &Signed<'_>) {
    println!("{} #{}: {} bytes", topic_up(signed.class, kid), signed.seq, signed.bytes.len());
}
