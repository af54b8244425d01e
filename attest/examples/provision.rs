//! A device's first minute at the factory: makes or imports a key and prints, as JSON, what the owner sends to the
//! DeviceRegistry and what goes on the label. For software keys; with a secure element, print the same from `Signer`.
//!
//! Run: `cargo run -p attest --example provision -- --alg ed25519 --chain 31337 --registry 0x… --owner 0x…`
//! With `--seed-file F` the 32-byte seed is read from F if it exists, else made and written there (mode 600); without it
//! the key is thrown away afterwards. `--network-registry 0x…` (CommitteeRegistry) adds the network id.
#![allow(clippy::print_stdout, reason = "a command")]

use std::{
    env,
    error::Error,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use attest::{
    Class, DEVICE_KEY_STATEMENT_MAX, Signer, SoftEd25519, SoftP256, ToBeSigned, device_key_statement, network_id,
    topic_up, verify_statement,
};
use serde_json::json;

/// The value after a flag.
fn flag(name: &str) -> Option<String> {
    let mut words = env::args().skip_while(|word| word != name);
    words.next().and_then(|_| words.next())
}

fn address(name: &str) -> Result<[u8; 20], Box<dyn Error>> {
    let text = flag(name).ok_or_else(|| format!("{name} is missing"))?;
    let bytes = hex::decode(text.trim_start_matches("0x")).map_err(|e| format!("{name}: {e}"))?;
    Ok(bytes.try_into().map_err(|_| format!("{name}: an address has 20 bytes"))?)
}

fn seed() -> Result<[u8; 32], Box<dyn Error>> {
    let mut seed = [0; 32];
    let file = flag("--seed-file");
    if let Some(file) = file.as_deref().filter(|file| Path::new(file).exists()) {
        let bytes = fs::read(file)?;
        return Ok(bytes.try_into().map_err(|_| format!("{file}: a seed has 32 bytes"))?);
    }
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    if let Some(file) = file {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        out.write_all(&seed)?;
        out.sync_all()?;
    }
    Ok(seed)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (registry, owner) = (address("--registry")?, address("--owner")?);
    let chain: u64 = flag("--chain").ok_or("--chain is missing")?.parse()?;
    let signer: Box<dyn Signer> = match flag("--alg").as_deref() {
        Some("ed25519") => Box::new(SoftEd25519::from_seed(seed()?)),
        Some("p256") => Box::new(SoftP256::from_seed(seed()?)),
        _ => return Err("--alg is ed25519 or p256".into()),
    };
    let key = signer.public_key();
    let mut room = [0; DEVICE_KEY_STATEMENT_MAX];
    let statement = device_key_statement(chain, &registry, &owner, &key, &mut room);
    let proof = signer.sign(ToBeSigned::new(statement))?;
    if !verify_statement(&key, statement, &proof) {
        return Err("the signer's own proof does not verify: do not ship this device".into());
    }
    let kid = key.kid();
    let label = json!({
        "alg": key.alg().id(),
        "public_key": hex::encode(key.bytes()),
        "thumbprint": hex::encode(key.thumbprint()),
        "kid": hex::encode(kid),
        "chain": chain,
        "device_registry": hex::encode(registry),
        "owner": hex::encode(owner),
        "proof_of_possession": hex::encode(proof),
        "network": flag("--network-registry").map(|_| address("--network-registry")).transpose()?
            .map(|at| hex::encode(network_id(chain, &at))),
        "topics": Class::ALL.map(|class| topic_up(class, &kid).as_str().to_owned()),
    });
    println!("{}", serde_json::to_string_pretty(&label)?);
    Ok(())
}
