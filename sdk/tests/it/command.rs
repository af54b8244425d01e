//! The `plumbline` binary: what it prints and how it exits.

use std::process::{Command, Output};

use crate::support::{Dir, POLICY, addresses, archived, chain_log, store};

fn plumbline(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plumbline")).args(arguments).output().unwrap()
}

fn replay(dir: &Dir, more: &[&str]) -> (Option<i32>, String, String) {
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let [registry, devices, escrow, hub] = addresses().map(|address| address.to_string());
    let (log, policy) = (path("chain.jsonl"), path("policy.json"));
    let archive = dir.path().to_str().unwrap();
    let mut arguments = vec!["replay", "--archive", archive, "--chain-log", &log, "--policy", &policy];
    arguments.extend(["--chain-id", "31337", "--registry", &registry, "--devices", &devices]);
    arguments.extend(["--escrow", &escrow, "--hub", &hub]);
    arguments.extend(more);
    let output = plumbline(&arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn replay_tells_what_holds_and_exits_accordingly() {
    let (world, bundles) = archived(2, &[0, 1]);
    let dir = Dir::new("command");
    store(dir.path(), &bundles);
    std::fs::write(dir.path().join("policy.json"), POLICY).unwrap();
    std::fs::write(dir.path().join("chain.jsonl"), chain_log(&world.chain)).unwrap();
    let (code, said, complained) = replay(&dir, &["--lease", "102"]);
    assert_eq!((code, complained.as_str()), (Some(0), ""), "{said}");
    assert!(said.ends_with("every digest matches what the chain settled\n"), "{said}");
    assert!(said.contains("epoch 1: 0x") && said.contains("NO_ANSWER"), "{said}");

    let mut bent = bundles.clone();
    let middle = bent[1].len() / 2;
    bent[1][middle] ^= 1;
    store(dir.path(), &bent);
    let (code, said, complained) = replay(&dir, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        !said.contains("every digest matches") && complained.starts_with("mismatch: epoch 1: "),
        "{said}{complained}"
    );

    std::fs::write(dir.path().join("chain.jsonl"), "{}\n").unwrap();
    let (code, _, complained) = replay(&dir, &[]);
    assert_eq!(code, Some(2));
    assert!(complained.contains("chain log, line 1"), "{complained}");
}

#[test]
fn usage_is_taught() {
    assert_eq!(plumbline(&["replay", "--archive", "here"]).status.code(), Some(2));
    let help = plumbline(&["replay", "--help"]);
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("Example:") && help.contains("epoch-000000.bundle"), "{help}");
}
