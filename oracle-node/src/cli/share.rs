//! `oracle-node keys export-share` and `import-share`: this member's share of the committee's key, out of the store and
//! back into one. A share without its member key signs nothing; both together are the member.
//! Leaves out: how the core keeps it (`oracle_core::bootstrap`); its keys there are `key/<term>/share` and `…/sharing`.

use std::path::{Path, PathBuf};

use aggregator::{Share, Sharing};
use alloy::primitives::Address;
use anyhow::{Context as _, bail, ensure};
use clap::Args;
use oracle_core::effect::{Journal, Record};
use oracle_node::config::Config;
use oracle_node::keys::{Keys, Passwords, Secret, read_private};
use oracle_node::keystore::{Cost, Format, Keystore, Label};
use oracle_node::store::{Seal, Store};
use serde_json::json;
use zeroize::Zeroizing;

use super::ConfigPath;

#[derive(Debug, Args)]
pub(crate) struct ExportShare {
    #[command(flatten)]
    config: ConfigPath,
    /// Term; the configuration's when left out.
    #[arg(long, value_name = "N")]
    term: Option<u64>,
    /// The new file; must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File with the new file's password; else the password of the keys.
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportShare {
    /// The exported share.
    from: PathBuf,
    #[command(flatten)]
    config: ConfigPath,
    /// File with its password; else the password of the keys.
    #[arg(long, value_name = "FILE")]
    from_password_file: Option<PathBuf>,
}

/// A share with the public polynomial that it belongs to.
struct Held {
    share: Share,
    sharing: Sharing,
}

impl Held {
    /// Refuses halves that do not belong together.
    fn new(index: u32, secret: &[u8; 32], sharing: &[u8]) -> anyhow::Result<Self> {
        let share = Share::from_bytes(index, secret).context("the secret is no share")?;
        let sharing = Sharing::decode(sharing).context("the public part is damaged")?;
        let fits = sharing.public_share(index).is_ok_and(|public| *public == share.public_share());
        ensure!(fits, "the share does not belong to the committee key beside it");
        Ok(Self { share, sharing })
    }

    /// The one share of a term: that of the key generation, or of the last refresh once that is in force.
    fn of(journal: &Journal, term: u64) -> anyhow::Result<Self> {
        let value = |key: &[u8]| journal.iter().find(|record| record.key == key).map(|record| record.value.as_slice());
        let [first_share, _] = keys_of(term);
        let refreshed = format!("key/{term}/root/").into_bytes();
        let is_share = |key: &[u8]| key == first_share || (key.starts_with(&refreshed) && key.ends_with(b"/share"));
        let shares: Vec<_> =
            journal.iter().filter(|record| is_share(&record.key) && !record.value.is_empty()).collect();
        ensure!(
            shares.len() < 2,
            "a refresh of the shares of term {term} is under way and both are needed; export once the node has erased the old one"
        );
        let none = || format!("the store holds no share of term {term}");
        let record = shares.first().with_context(none)?;
        let beside = [record.key.strip_suffix(b"share").unwrap_or_default(), b"sharing".as_slice()].concat();
        let found = record.value.split_first_chunk::<4>().zip(value(&beside));
        let ((index, secret), sharing) = found.with_context(none)?;
        Self::new(u32::from_be_bytes(*index), secret.try_into().context("a share has 32 bytes")?, sharing)
    }
}

fn keys_of(term: u64) -> [Vec<u8>; 2] {
    [format!("key/{term}/share").into_bytes(), format!("key/{term}/sharing").into_bytes()]
}

/// The store of a stopped node.
fn open(config: &Config, keys: &Keys) -> anyhow::Result<Store> {
    let seal = Seal::new(&keys.store, &config.keys.store);
    Store::open(&config.data_dir.join("store"), seal).context("is the node stopped?")
}

pub(super) fn export_share(export: &ExportShare) -> anyhow::Result<()> {
    let config = Config::load(&export.config.config)?;
    let keys = Keys::load(&config.keys)?;
    let term = export.term.unwrap_or(config.term);
    let held = Held::of(&open(&config, &keys)?.journal()?, term)?;
    let extra = json!({
        "committee": config.committee, "term": term, "index": held.share.index, "member": keys.member.address(),
        "sharing": hex::encode(held.sharing.encode()),
    });
    let label = Label {
        format: Format::Eip2335,
        public: hex::encode(held.share.public_share().to_bytes()),
        description: format!(
            "plumbline share of member {}, committee {}, term {term}",
            held.share.index, config.committee
        ),
        extra,
    };
    let file = export.new_password_file.clone().or_else(|| config.keys.password_file.clone());
    let secret = Secret::new(*held.share.to_bytes_secret());
    secret.write_keystore(&export.out, &label, Cost::Standard, &Passwords::new(file))?;
    println!("the share of term {term} is in {}", export.out.display());
    Ok(())
}

pub(super) fn import_share(import: &ImportShare) -> anyhow::Result<()> {
    let config = Config::load(&import.config.config)?;
    let keys = Keys::load(&config.keys)?;
    let of = (config.committee, keys.member.address());
    let password_file = import.from_password_file.clone().or_else(|| config.keys.password_file.clone());
    let (term, held) = read(&import.from, of, password_file)?;
    let store = open(&config, &keys)?;
    if let Ok(known) = Held::of(&store.journal()?, term) {
        let same = known.share.public_share() == held.share.public_share();
        ensure!(same, "the store holds another share of term {term}; it was not replaced");
        println!("the store holds this share already");
        return Ok(());
    }
    let [share_key, sharing_key] = keys_of(term);
    let secret = held.share.to_bytes_secret();
    let value = [held.share.index.to_be_bytes().as_slice(), secret.as_slice()].concat();
    store.persist(&Record { key: share_key, value })?;
    store.persist(&Record { key: sharing_key, value: held.sharing.encode() })?;
    println!("the share of member {} in term {term} is in the store", held.share.index);
    Ok(())
}

/// An exported share and its term; it must be this member's in this committee, since another's would never be used.
fn read(path: &Path, of: (u64, Address), password_file: Option<PathBuf>) -> anyhow::Result<(u64, Held)> {
    let text = read_private(path)?;
    let keystore = Keystore::parse(&text).with_context(|| format!("{}", path.display()))?;
    let extra = keystore.label.extra.clone();
    let (term, index) = (extra["term"].as_u64(), extra["index"].as_u64().and_then(|index| u32::try_from(index).ok()));
    let sharing = extra["sharing"].as_str().and_then(|digits| hex::decode(digits).ok());
    let (Some(term), Some(index), Some(sharing)) = (term, index, sharing) else {
        bail!("{}: this key file is no exported share", path.display())
    };
    let (committee, member) = (extra["committee"].as_u64(), extra["member"].as_str().and_then(|m| m.parse().ok()));
    let (Some(committee), Some(member)) = (committee, member) else {
        bail!("{}: it does not say whose share of which committee it is", path.display())
    };
    ensure!(
        (committee, member) == of,
        "{}: this is the share of member {member} in committee {committee}; the configuration is of member {} in committee {}",
        path.display(),
        of.1,
        of.0
    );
    let secret = Zeroizing::new(*Secret::read(path, &Passwords::new(password_file))?.expose());
    Ok((term, Held::new(index, &secret, &sharing).with_context(|| format!("{}", path.display()))?))
}
