//! `oracle-node init` and `oracle-node keys …`: making, importing, exporting and inspecting secrets.
//! Leaves out: the formats (`oracle_node::keystore`), and shares (`cli/share.rs`).

use std::path::{Path, PathBuf};

use aggregator::dkg::DkgIdentity;
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use oracle_core::typed::MemberKey;
use oracle_node::config::Config;
use oracle_node::guard::Mark;
use oracle_node::keys::{Keys, Passwords, Secret, is_keystore, read_private, transport};
use oracle_node::keystore::{Cost, Format, Keystore, Label};
use oracle_node::receipts;
use serde_json::{Value, json};

use super::ConfigPath;
use super::share::{ExportShare, ImportShare, export_share, import_share};

/// `oracle-node keys`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct KeysArgs {
    #[command(flatten)]
    config: ConfigPath,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make one new key.
    #[command(after_help = "Example:\n  oracle-node keys new --kind receipt --out keys/receipt.key")]
    New(Target),
    /// Make a key file from an existing key: 64 hex digits, a web3 keystore or an EIP-2335 keystore.
    #[command(after_help = "Example:\n  oracle-node keys import wallet.json --kind member --out keys/member.key\n\n\
        A member key that has signed elsewhere first only listens for an epoch or two (docs/operate.md).")]
    Import(Import),
    /// Write a key under another password into a new file: a backup, or for another tool.
    #[command(
        after_help = "Example:\n  oracle-node keys export keys/store.key --out store-backup.json --new-password-file p"
    )]
    Export(Export),
    /// Say what a key file holds, without opening it; with --open, whether the password fits.
    #[command(after_help = "Example:\n  oracle-node keys inspect keys/member.key")]
    Inspect(Inspect),
    /// Write this member's share of the committee's key into a keystore. The node must be stopped.
    #[command(after_help = "Example:\n  oracle-node keys export-share --config config.toml --out share-term-1.json")]
    ExportShare(ExportShare),
    /// Put a share back into the store. The node must be stopped.
    #[command(after_help = "Example:\n  oracle-node keys import-share share-term-1.json --config config.toml")]
    ImportShare(ImportShare),
}

/// Which secret, and where it goes.
#[derive(Debug, Args)]
struct Target {
    /// What the key is for.
    #[arg(long)]
    kind: Kind,
    /// The file; must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    how: How,
}

/// How new key files are closed.
#[derive(Clone, Debug, Args)]
pub(crate) struct How {
    /// File with the password (mode 0600); else $ORACLE_NODE_PASSWORD, else you are asked.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Plain hex instead of a keystore: for tests and testnets only.
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, Args)]
struct Import {
    /// The key to import; mode 0600.
    from: PathBuf,
    /// File with the password of that keystore; else as for the new one.
    #[arg(long, value_name = "FILE")]
    from_password_file: Option<PathBuf>,
    /// The key has never signed for a committee: there is nothing it could contradict.
    #[arg(long)]
    never_used: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Export {
    /// The key file.
    key: PathBuf,
    /// The new file; must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What the key is for; names the public key in the new file.
    #[arg(long)]
    kind: Option<Kind>,
    /// File with the key's password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// File with the new password; else the same.
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Inspect {
    /// The key file.
    key: PathBuf,
    /// Also open it.
    #[arg(long)]
    open: bool,
    /// File with the password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// secp256k1: statements and transactions.
    Member,
    /// Ed25519: transport.
    Peer,
    /// Ed25519: key generation.
    Dkg,
    /// Ed25519: receipts.
    Receipt,
    /// Seals the store.
    Store,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Member, Self::Peer, Self::Dkg, Self::Receipt, Self::Store];

    const fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Peer => "peer",
            Self::Dkg => "dkg",
            Self::Receipt => "receipt",
            Self::Store => "store",
        }
    }

    /// A new secret of this kind: for a member one that is a secp256k1 scalar (all but one in 2^128 are).
    fn fresh(self) -> Secret {
        loop {
            let secret = Secret::new(rand::random());
            if self.public(&secret).is_some() {
                return secret;
            }
        }
    }

    /// The public key as hex, empty for a symmetric one; `None` when the secret is no key of this kind.
    fn public(self, secret: &Secret) -> Option<String> {
        Some(match self {
            Self::Member => MemberKey::from_bytes(secret.expose())?.address().to_string(),
            Self::Peer => hex::encode(transport(secret)?.public().try_into_ed25519().ok()?.to_bytes()),
            Self::Dkg => hex::encode(DkgIdentity::from_seed(*secret.expose()).public()),
            Self::Receipt => hex::encode(receipts::public_key(secret)),
            Self::Store => String::new(),
        })
    }

    fn write(self, secret: &Secret, path: &Path, plain: bool, under: &Passwords) -> anyhow::Result<()> {
        let Some(public) = self.public(secret) else {
            bail!("{}: these 32 bytes are no {} key", path.display(), self.name())
        };
        if plain {
            return Ok(secret.write_plain(path)?);
        }
        let format = if self == Self::Member { Format::Web3 } else { Format::Eip2335 };
        let description = format!("plumbline {} key", self.name());
        let label = Label { format, public, description, extra: Value::Null };
        Ok(secret.write_keystore(path, &label, Cost::Standard, under)?)
    }
}

/// `init`
pub(crate) fn init(dir: &Path, how: &How) -> anyhow::Result<()> {
    let keys = dir.join("keys");
    std::fs::create_dir_all(&keys).with_context(|| format!("{}", keys.display()))?;
    let config = dir.join("config.toml");
    if config.exists() {
        bail!("{} exists already; nothing was changed", config.display());
    }
    let passwords = Passwords::new(how.password_file.clone());
    let mut public = serde_json::Map::new();
    for kind in Kind::ALL {
        let path = keys.join(format!("{}.key", kind.name()));
        let secret = if path.exists() {
            Secret::read(&path, &passwords)?
        } else {
            let secret = kind.fresh();
            kind.write(&secret, &path, how.plain, &passwords)?;
            if kind == Kind::Member {
                Mark::of_new_key(&path.with_extension("mark"))?;
            }
            secret
        };
        public.extend(shown(kind, &secret));
    }
    std::fs::write(&config, include_str!("../../config.example.toml"))
        .with_context(|| format!("{}", config.display()))?;
    println!("{:#}", Value::Object(public));
    eprintln!("next: edit {} (chain, brokers, policy), then: oracle-node register --config {0}", config.display());
    Ok(())
}

/// The public identity of one key, as [`oracle_node::keys::PublicKeys`] names it.
fn shown(kind: Kind, secret: &Secret) -> Vec<(String, Value)> {
    let Some(public) = kind.public(secret) else { return Vec::new() };
    match kind {
        Kind::Member => vec![("address".into(), json!(public))],
        Kind::Store => Vec::new(),
        Kind::Peer => {
            let id = transport(secret).map(|pair| pair.public().to_peer_id().to_string());
            vec![("peer_key".into(), json!(format!("0x{public}"))), ("peer_id".into(), json!(id))]
        }
        Kind::Dkg | Kind::Receipt => vec![(format!("{}_key", kind.name()), json!(format!("0x{public}")))],
    }
}

/// `keys`
pub(crate) fn keys(args: &KeysArgs) -> anyhow::Result<()> {
    match &args.action {
        None => print_keys(&args.config.config),
        Some(Action::New(target)) => {
            let secret = target.kind.fresh();
            store_key(&secret, target, true)
        }
        Some(Action::Import(import)) => import_key(import),
        Some(Action::Export(export)) => export_key(export),
        Some(Action::Inspect(inspect)) => inspect_key(inspect),
        Some(Action::ExportShare(export)) => export_share(export),
        Some(Action::ImportShare(import)) => import_share(import),
    }
}

fn print_keys(config: &Path) -> anyhow::Result<()> {
    let keys = Keys::load(&Config::load(config)?.keys)?;
    println!("{}", serde_json::to_string_pretty(&keys.public())?);
    Ok(())
}

/// Writes a key file; the mark of a member key says that it has signed nothing, or is not made.
fn store_key(secret: &Secret, target: &Target, never_used: bool) -> anyhow::Result<()> {
    let Target { kind, out, how } = target;
    let mark = out.with_extension("mark");
    if *kind == Kind::Member && mark.exists() {
        bail!("{} belongs to another member key; move it away together with that key", mark.display());
    }
    kind.write(secret, out, how.plain, &Passwords::new(how.password_file.clone()))?;
    if *kind == Kind::Member && never_used {
        Mark::of_new_key(&mark)?;
    }
    println!("{}", kind.public(secret).unwrap_or_default());
    Ok(())
}

fn import_key(import: &Import) -> anyhow::Result<()> {
    let file = import.from_password_file.clone().or_else(|| import.target.how.password_file.clone());
    let secret = Secret::read(&import.from, &Passwords::new(file))?;
    store_key(&secret, &import.target, import.never_used)?;
    if import.target.kind == Kind::Member && !import.never_used {
        eprintln!(
            "this key may have signed elsewhere: the node will only listen for an epoch or two before it takes part"
        );
    }
    Ok(())
}

fn export_key(export: &Export) -> anyhow::Result<()> {
    let secret = Secret::read(&export.key, &Passwords::new(export.password_file.clone()))?;
    let named = Kind::ALL.into_iter().find(|kind| export.key.file_stem().is_some_and(|stem| stem == kind.name()));
    let Some(kind) = export.kind.or(named) else {
        bail!("{}: its name does not say what it is for; give --kind", export.key.display())
    };
    let file = export.new_password_file.clone().or_else(|| export.password_file.clone());
    kind.write(&secret, &export.out, false, &Passwords::new(file))?;
    println!("{} is in {}", kind.name(), export.out.display());
    Ok(())
}

fn inspect_key(inspect: &Inspect) -> anyhow::Result<()> {
    let path = &inspect.key;
    let text = read_private(path)?;
    if !is_keystore(&text) {
        Secret::read(path, &Passwords::default())?;
        println!("plain: 32 bytes in hex, for tests only");
        return Ok(());
    }
    let keystore = Keystore::parse(&text).with_context(|| format!("{}", path.display()))?;
    let label = &keystore.label;
    let format = match label.format {
        Format::Web3 => "web3 secret storage, version 3",
        Format::Eip2335 => "EIP-2335, version 4",
    };
    println!("format       {format}\nderivation   {}\npublic       {}", keystore.derivation(), label.public);
    if !label.description.is_empty() {
        println!("description  {}", label.description);
    }
    if inspect.open {
        Secret::read(path, &Passwords::new(inspect.password_file.clone()))?;
        println!("opens        yes");
    }
    Ok(())
}
