//! `attest-provision`: a device's first minute at the factory, and its replacement when it breaks. Makes or imports a key
//! and prints the registration with its proof of possession (docs/protocol.md §3) as text, JSON and a QR code for the
//! label. Leaves out: sending transactions (the owner's wallet does) and keys inside a secure element, for which it prints
//! what the element must sign and checks what it signed.

#![forbid(unsafe_code)]

mod key;
mod label;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use attest::{DEVICE_KEY_STATEMENT_MAX, PublicKey, ToBeSigned, device_key_statement, verify_statement};
use clap::{Args, Parser, Subcommand, ValueEnum};

use label::{Label, Place};

/// Makes or imports a device key and prints its registration; prints what replaces a broken device.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "A software key, made if the file is not there:\n  \
        attest-provision register --alg ed25519 --key-file device.key --chain 31337 --registry 0x… --owner 0x…\n\n\
        A key that a secure element holds:\n  \
        attest-provision statement --public-key <128 hex digits> --alg p256 --chain 31337 --registry 0x… --owner 0x…\n  \
        attest-provision register --public-key <128 hex digits> --proof <128 hex digits> …\n\n\
        A broken device, its lease still running:\n  \
        attest-provision replace --token 7 --alg p256 --key-file new.key …"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new device's registration: DeviceRegistry.register.
    Register(Flags),
    /// Print what puts a new key in the place of a broken device's: DeviceRegistry.rotateKey. Its lease goes on.
    Replace {
        /// The device's token.
        #[arg(long)]
        token: u64,
        #[command(flatten)]
        flags: Flags,
    },
    /// Print what a secure element must sign: the statement for Ed25519, its SHA-256 for P-256.
    Statement(Flags),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256.
    P256,
}

#[derive(Debug, Args)]
struct Flags {
    /// Key algorithm.
    #[arg(long)]
    alg: Algorithm,
    /// Chain id.
    #[arg(long)]
    chain: u64,
    /// DeviceRegistry's address.
    #[arg(long)]
    registry: String,
    /// Who sends the transaction and will own (or owns) the device.
    #[arg(long)]
    owner: String,
    /// CommitteeRegistry's address: adds the network id that the firmware signs for.
    #[arg(long)]
    network_registry: Option<String>,
    /// File of a software key: 32 bytes, or 64 hex digits. Made with mode 600 when it is not there.
    #[arg(long, conflicts_with = "public_key")]
    key_file: Option<PathBuf>,
    /// Public key of a secure element, hex: 32 bytes for Ed25519, x then y for P-256.
    #[arg(long)]
    public_key: Option<String>,
    /// What the secure element signed (`statement`), 64 bytes hex.
    #[arg(long, requires = "public_key")]
    proof: Option<String>,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("attest-provision: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<String> {
    match command {
        Command::Register(flags) => proven(&flags)?.print(flags.json),
        Command::Replace { token, flags } => Label { token: Some(token), ..proven(&flags)? }.print(flags.json),
        Command::Statement(flags) => {
            let (place, key) = (flags.place()?, flags.public_key()?);
            let mut room = [0; DEVICE_KEY_STATEMENT_MAX];
            let statement = device_key_statement(place.chain, &place.registry, &place.owner, &key, &mut room);
            let digest = hex::encode(ToBeSigned::new(statement).digest());
            Ok(match flags.alg {
                Algorithm::Ed25519 => format!("sign these bytes: {}\n", hex::encode(statement)),
                Algorithm::P256 => format!("sign this SHA-256 digest: {digest}\n"),
            })
        }
    }
}

/// The label of a key whose proof of possession verifies.
fn proven(flags: &Flags) -> Result<Label> {
    let place = flags.place()?;
    let mut room = [0; DEVICE_KEY_STATEMENT_MAX];
    let (key, proof) = match &flags.proof {
        Some(proof) => (flags.public_key()?, label::fixed("--proof", proof)?),
        None => {
            ensure!(flags.public_key.is_none(), "--proof is missing: `attest-provision statement` prints what to sign");
            let file = flags.key_file.as_deref().context("--key-file is missing (or --public-key and --proof)")?;
            let signer = key::open(file, flags.alg)?;
            let key = signer.public_key();
            let statement = device_key_statement(place.chain, &place.registry, &place.owner, &key, &mut room);
            (key, signer.sign(ToBeSigned::new(statement))?)
        }
    };
    let statement = device_key_statement(place.chain, &place.registry, &place.owner, &key, &mut room);
    ensure!(
        verify_statement(&key, statement, &proof),
        "the proof of possession does not verify for this key, chain, registry and owner: do not ship this device"
    );
    Ok(Label { place, key, proof, token: None })
}

impl Flags {
    fn place(&self) -> Result<Place> {
        let network =
            self.network_registry.as_deref().map(|text| label::fixed("--network-registry", text)).transpose()?;
        Ok(Place {
            chain: self.chain,
            registry: label::fixed("--registry", &self.registry)?,
            owner: label::fixed("--owner", &self.owner)?,
            network: network.map(|at: [u8; 20]| attest::network_id(self.chain, &at)),
        })
    }

    fn public_key(&self) -> Result<PublicKey> {
        let text = self.public_key.as_deref().context("--public-key is missing")?;
        Ok(match self.alg {
            Algorithm::Ed25519 => PublicKey::Ed25519(label::fixed("--public-key", text)?),
            Algorithm::P256 => PublicKey::P256(label::fixed("--public-key", text)?),
        })
    }
}

#[cfg(test)]
mod tests;
