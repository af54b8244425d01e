//! The key commands as an operator runs them: keystores under a password, backup, import, and what is refused.

#![allow(clippy::unwrap_used)] // tests: a panic is the failure

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("plumbline-keys-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A private file.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `oracle-node keys …`; gives the exit code and everything it said.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oracle-node"));
    command.args(arguments).stdin(Stdio::null()).env_remove("ORACLE_NODE_PASSWORD");
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_node_has_keystores_that_only_its_password_opens() {
    let folder = Folder::new();
    let (right, wrong) = (folder.file("right", "a long password\n"), folder.file("wrong", "another password\n"));
    let home = folder.path("node");

    let (code, said) = run(&["init", &home]);
    assert!(code != Some(0) && said.contains("password is needed") && said.contains("password_file"), "{said}");
    let (code, said) = run(&["init", &home, "--password-file", &folder.file("short", "seven77")]);
    assert!(code != Some(0) && said.contains("at least 8"), "{said}");
    let (code, said) = run(&["init", &home, "--password-file", &right]);
    assert_eq!(code, Some(0), "{said}");
    let address = said.lines().find_map(|line| line.trim().strip_prefix("\"address\": \"")).unwrap();
    let address = address.trim_end_matches(['"', ',']).to_owned();

    let keys = folder.0.join("node/keys");
    for name in ["member", "peer", "dkg", "receipt", "store"] {
        let path = keys.join(format!("{name}.key"));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(mode(&path) == 0o600 && text.contains("aes-128-ctr") && text.contains("262144"), "{name}");
    }
    assert_eq!(mode(&keys.join("member.mark")), 0o600);
    let member = keys.join("member.key");
    let member = member.to_str().unwrap();
    let inspected = |password: &str| run(&["keys", "inspect", member, "--open", "--password-file", password]);
    let (code, said) = inspected(&right);
    let digits = address.trim_start_matches("0x").to_lowercase();
    assert!(code == Some(0) && said.contains("web3") && said.contains(&digits) && said.contains("opens"), "{said}");
    let (code, said) = inspected(&wrong);
    assert!(code == Some(3) && said.contains("member.key") && said.contains("does not open"), "{said}");

    // A backup under another password, and the same key from it in another place: that one has signed before.
    let backup = folder.path("backup.json");
    let export = ["keys", "export", member, "--out", &backup, "--password-file", &right, "--new-password-file", &wrong];
    assert_eq!(run(&export).0, Some(0));
    assert!(run(&export).0 != Some(0), "never overwritten");
    let moved = folder.path("member.key");
    let import = ["keys", "import", &backup, "--kind", "member", "--out", &moved];
    let (code, said) = run(&[&import[..], &["--from-password-file", &wrong, "--password-file", &right]].concat());
    assert!(code == Some(0) && said.contains(&address) && said.contains("only listen for an epoch or two"), "{said}");
    assert!(!folder.0.join("member.mark").exists());

    // Thirty-two bytes that are no secp256k1 key, a file that others can read, one that is no key.
    let zero = folder.file("zero", &"0".repeat(64));
    let (code, said) = run(&["keys", "import", &zero, "--kind", "member", "--out", &folder.path("x"), "--plain"]);
    assert!(code != Some(0) && said.contains("no member key"), "{said}");
    std::fs::set_permissions(&backup, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = run(&["keys", "inspect", &backup]);
    assert!(code == Some(3) && said.contains("chmod 600"), "{said}");
    let (code, said) = run(&["keys", "inspect", &folder.file("junk", "{\"version\": 9}")]);
    assert!(code != Some(0) && said.contains("junk"), "{said}");
}
