//! `oracle-node broker`: a small CA and a hardened mosquitto configuration, so that each device and node proves with a
//! certificate who it is and publishes only under its own name. docs/brokers.md explains every setting.
//! Leaves out: running mosquitto, and which devices are real (the registry's word, not the CA's).

mod ca;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};

use ca::{Ca, Role};

/// What `oracle-node broker` does.
#[derive(Debug, Subcommand)]
pub enum BrokerCommand {
    /// Make a folder with a CA, the broker's and the nodes' certificates, mosquitto.conf and its access rules.
    #[command(
        after_help = "Example:\n  oracle-node broker init ./broker --host mqtt.example --node node-a --node node-b\n  \
        mosquitto -c ./broker/mosquitto.conf"
    )]
    Init(Init),
    /// Make a device's client certificate. Its only name is the key id, which its topics end in.
    #[command(after_help = "Example:\n  oracle-node broker device ./broker --kid 0123456789abcdef\n  \
        oracle-node broker device ./broker --kid 0123456789abcdef --csr device.csr   # the key stays in the device")]
    Device(Device),
    /// Shut a device out of every topic, whatever certificate it shows; then: kill -HUP mosquitto.
    #[command(after_help = "Example:\n  oracle-node broker block ./broker --kid 0123456789abcdef")]
    Block {
        /// The folder that `init` made.
        dir: PathBuf,
        /// The device's key id, 16 hex digits.
        #[arg(long)]
        kid: String,
    },
}

/// Flags of `broker init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The folder; made when missing. Nothing that exists is overwritten.
    pub dir: PathBuf,
    /// Name or address that devices and nodes connect to; more than once if it has several.
    #[arg(long = "host", required = true)]
    pub hosts: Vec<String>,
    /// A node that may hear all devices, by a name of your choice; more than once.
    #[arg(long = "node", required = true)]
    pub nodes: Vec<String>,
    /// Port to listen on.
    #[arg(long, default_value_t = 8_883)]
    pub port: u16,
    /// Address to listen on; every interface when left out.
    #[arg(long)]
    pub bind: Option<String>,
    /// Where the folder will be on the broker's machine; where it is now when left out.
    #[arg(long)]
    pub at: Option<PathBuf>,
}

/// Flags of `broker device`.
#[derive(Debug, Args)]
pub struct Device {
    /// The folder that `init` made.
    pub dir: PathBuf,
    /// The device's key id, 16 hex digits (`attest-provision` prints it).
    #[arg(long)]
    pub kid: String,
    /// A certificate request (PEM) made where the key is; without it a key is made here.
    #[arg(long)]
    pub csr: Option<PathBuf>,
    /// Days that the certificate is good for.
    #[arg(long, default_value_t = 3_650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
}

/// Does what was asked.
///
/// # Errors
/// Names that cannot be used, files that exist or cannot be written; each says which.
pub fn run(command: BrokerCommand) -> anyhow::Result<()> {
    match command {
        BrokerCommand::Init(flags) => init(&flags),
        BrokerCommand::Device(flags) => device(&flags),
        BrokerCommand::Block { dir, kid } => block(&dir, &kid),
    }
}

fn init(flags: &Init) -> anyhow::Result<()> {
    for node in &flags.nodes {
        check_node(node)?;
    }
    let dir = &flags.dir;
    std::fs::create_dir_all(dir.join("devices")).with_context(|| format!("make {}", dir.display()))?;
    ensure!(!dir.join("ca.key").exists(), "{} holds a CA already; nothing was changed", dir.display());
    // mosquitto writes here, and fails on its first save if it cannot.
    std::fs::create_dir_all(dir.join("data"))?;
    let at = match &flags.at {
        Some(at) => at.clone(),
        None => dir.canonicalize().with_context(|| format!("find {}", dir.display()))?,
    };
    let ca = Ca::create(&flags.hosts)?;
    write(&dir.join("ca.pem"), &ca.certificate())?;
    write_private(&dir.join("ca.key"), &ca.key())?;
    let server = ca.sign(&Role::Broker(&flags.hosts), ca::YEARS_TEN)?;
    write(&dir.join("broker.pem"), &server.certificate)?;
    write_private(&dir.join("broker.key"), &server.key)?;
    for node in &flags.nodes {
        let made = ca.sign(&Role::Client(node), ca::YEARS_TEN)?;
        write(&dir.join(format!("{node}.pem")), &made.certificate)?;
        write_private(&dir.join(format!("{node}.key")), &made.key)?;
    }
    write(&dir.join("acl"), &acl(&flags.nodes))?;
    write(&dir.join("mosquitto.conf"), &configuration(&at, flags.port, flags.bind.as_deref()))?;
    eprintln!(
        "next: keep {0}/ca.key off the broker's machine; copy the rest to {1}; give broker.key and data/ to mosquitto's user;\n\
         start: mosquitto -c {1}/mosquitto.conf; name the certificates in each node's [[mqtt.tls]]",
        dir.display(),
        at.display()
    );
    Ok(())
}

fn device(flags: &Device) -> anyhow::Result<()> {
    check_kid(&flags.kid)?;
    let (dir, kid) = (&flags.dir, &flags.kid);
    let ca = Ca::load(&dir.join("ca.pem"), &dir.join("ca.key"))?;
    let (pem, key) = (dir.join(format!("devices/{kid}.pem")), dir.join(format!("devices/{kid}.key")));
    if let Some(path) = &flags.csr {
        let request = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let certificate =
            ca.sign_request(&request, kid, flags.days).with_context(|| format!("in {}", path.display()))?;
        write(&pem, &certificate)?;
    } else {
        let made = ca.sign(&Role::Client(kid), flags.days)?;
        write(&pem, &made.certificate)?;
        write_private(&key, &made.key)?;
        println!("{}", key.display());
    }
    println!("{}", pem.display());
    Ok(())
}

fn block(dir: &Path, kid: &str) -> anyhow::Result<()> {
    check_kid(kid)?;
    let path = dir.join("acl");
    let rules = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    if rules.lines().any(|line| line == format!("user {kid}")) {
        eprintln!("{kid} is blocked already");
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new().append(true).open(&path)?;
    file.write_all(format!("\nuser {kid}\ntopic deny #\n").as_bytes())?;
    file.sync_all()?;
    eprintln!("{kid} is blocked once mosquitto reads its rules again: kill -HUP <its process id>");
    Ok(())
}

/// mosquitto's access rules. A user name is the common name of a certificate: a device's key id, or a node's name.
#[must_use]
pub fn acl(nodes: &[String]) -> String {
    let mut text = "# Written by `oracle-node broker`. Whatever is not named here is denied.\n\n\
        # Every device, under its own key id (%u) only.\n\
        pattern write plumbline/v1/up/+/%u\n\
        pattern write plumbline/v1/status/%u\n\
        pattern read plumbline/v1/down/%u/#\n\
        pattern read plumbline/v1/beacon\n\
        pattern read plumbline/v1/term/#\n"
        .to_owned();
    for node in nodes {
        text += &format!(
            "\nuser {node}\n\
             topic read plumbline/v1/up/#\n\
             topic read plumbline/v1/status/+\n\
             topic write plumbline/v1/beacon\n\
             topic write plumbline/v1/term/#\n\
             topic write plumbline/v1/down/#\n"
        );
    }
    text
}

/// mosquitto.conf for a folder at `at`.
#[must_use]
pub fn configuration(at: &Path, port: u16, bind: Option<&str>) -> String {
    let (at, bind) = (at.display(), bind.map_or_else(String::new, |bind| format!(" {bind}")));
    format!(
        "# Written by `oracle-node broker`; docs/brokers.md says why each line is here. Tried with mosquitto 2.0.11.\n\
         listener {port}{bind}\n\
         cafile {at}/ca.pem\n\
         certfile {at}/broker.pem\n\
         keyfile {at}/broker.key\n\
         \n\
         # Nobody without a certificate of our CA; its common name is the user and the client id, so that nobody can take\n\
         # another's session over.\n\
         allow_anonymous false\n\
         require_certificate true\n\
         use_identity_as_username true\n\
         use_username_as_clientid true\n\
         acl_file {at}/acl\n\
         \n\
         # Sessions and what waits for an absent node outlive a restart.\n\
         persistence true\n\
         persistence_location {at}/data/\n\
         autosave_interval 30\n\
         persistent_client_expiration 14d\n\
         \n\
         # Nodes acknowledge in batches after their durable write: mosquitto's usual 20 in flight would slow them down, and\n\
         # its usual queue of 1,000 would throw away what a node missed in an outage, after acknowledging it to the device.\n\
         max_inflight_messages 1000\n\
         max_queued_messages 1000000\n\
         max_queued_bytes 536870912\n\
         queue_qos0_messages false\n\
         \n\
         # What one client may cost.\n\
         message_size_limit 32768\n\
         max_packet_size 65536\n\
         max_keepalive 600\n\
         memory_limit 2147483648\n\
         set_tcp_nodelay true\n\
         \n\
         sys_interval 0\n\
         log_dest stderr\n\
         log_type error\n\
         log_type warning\n\
         log_type notice\n"
    )
}

/// A node's name: one that no device can have.
fn check_node(name: &str) -> anyhow::Result<()> {
    let letters = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let taken = ["ca", "broker", "acl", "data", "devices"].contains(&name);
    if name.is_empty() || name.len() > 32 || !letters || taken || check_kid(name).is_ok() {
        bail!(
            "the node name {name:?} cannot be used: 1 to 32 of a-z, 0-9 and '-', not ca, broker, acl, data or devices, and \
             not 16 hex digits, which is what devices are called"
        );
    }
    Ok(())
}

fn check_kid(kid: &str) -> anyhow::Result<()> {
    let hex = kid.len() == 16 && kid.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    ensure!(hex, "{kid:?} is no key id: 16 hex digits in lower case, the first 8 bytes of the key's thumbprint");
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    create(path, text, 0o644)
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    create(path, text, 0o600)
}

fn create(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    made.with_context(|| format!("write {} (nothing that exists is overwritten)", path.display()))
}
