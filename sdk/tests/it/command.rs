//! The `plumbline` binary: what it prints and how it exits.

use std::process::{Command, Output};

use crate::support::{Dir, POLICY, addresses, archived, book_text, chain_log, store};

fn plumbline(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_plumbline")).args(arguments).output().unwrap()
}

fn replay(dir: &Dir, more: &[&str]) -> (Option<i32>, String, String) {
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let [registry, devices, escrow, hub] = addresses().map(|address| address.to_string());
    let (log, book) = (path("chain.jsonl"), path("book.jsonl"));
    let archive = dir.path().to_str().unwrap();
    let mut arguments = vec!["replay", "--archive", archive, "--chain-log", &log, "--book", &book];
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
    std::fs::write(dir.path().join("book.jsonl"), book_text(POLICY, &[])).unwrap();
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

/// The address book of the test chain; its ABI hashes are nobody's.
fn book() -> String {
    let [registry, devices, escrow, hub] = addresses().map(|address| address.to_string());
    let other = |byte: &str| format!("0x{}", byte.repeat(20));
    let (verifier, stake, zero) = (other("e1"), other("e2"), format!("0x{}", "00".repeat(32)));
    let entry = |name: &str, at: &str| format!(r#""{name}":{{"address":"{at}","abi":"{zero}","code":"{zero}"}}"#);
    let contracts = [
        entry("BlsVerifier", &verifier),
        entry("CommitteeRegistry", &registry),
        entry("ReportHub", &hub),
        entry("DeviceRegistry", &devices),
        entry("LeaseEscrow", &escrow),
        entry("OperatorStake", &stake),
    ];
    format!(
        r#"{{"version":1,"chainId":31337,"block":0,"deployer":"{verifier}","governance":{{"timelock":"{stake}","delaySeconds":1}},"contracts":{{{}}},"committees":[]}}"#,
        contracts.join(",")
    )
}

#[test]
fn an_address_book_stands_for_every_address() {
    let (world, bundles) = archived(1, &[0]);
    let dir = Dir::new("book");
    store(dir.path(), &bundles);
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (log, book) = (write("chain.jsonl", &chain_log(&world.chain)), write("deployment.json", &book()));
    let policies = write("book.jsonl", &String::from_utf8(book_text(POLICY, &[])).unwrap());
    let archive = dir.path().to_str().unwrap().to_owned();
    let arguments = ["replay", "--archive", &archive, "--chain-log", &log, "--book", &policies, "--addresses", &book];
    let output = plumbline(&arguments);
    let (told, noted) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{told}{noted}");
    assert!(noted.contains("another ABI than this build knows") && noted.contains("LeaseEscrow"), "{noted}");

    let both = [&arguments[..], &["--chain-id", "31337"]].concat();
    assert_eq!(plumbline(&both).status.code(), Some(2), "a book and an address: which one counts?");
    write("deployment.json", "{}");
    let output = plumbline(&arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("address book"), "the file is named for what it is");
}

#[test]
fn a_fault_proof_is_verified_offline_and_a_changed_one_refused() {
    use alloy_primitives::{Address, B256};
    use oracle_core::fault::{FaultProof, Published};
    use oracle_core::typed::{Kind, MemberKey, Phase, Scope};
    use oracle_core::wire::{InstanceId, Statement};

    let (key, registry) = (MemberKey::from_bytes(&[7; 32]).unwrap(), Address::repeat_byte(3));
    let scope = Scope { chain_id: 31_337, registry, committee: 1, term: 1, config_digest: B256::repeat_byte(4) };
    let say = |value: u8| {
        let instance = InstanceId::new(Kind::Report, 0, 9);
        Statement::sign(&scope, &key, 0, instance, Phase::Commit, 1, B256::repeat_byte(value))
    };
    let published = Published::of(&FaultProof { a: say(1), b: say(2) }, &scope, &[key.address()]).unwrap();
    let dir = Dir::new("fault");
    let path = dir.path().join("fault.json");
    let run = |file: &Published, more: &[&str]| {
        std::fs::write(&path, serde_json::to_string(file).unwrap()).unwrap();
        let output = plumbline(&[&["verify-fault", path.to_str().unwrap()], more].concat());
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) = run(&published, &["--chain-id", "31337", "--registry", &registry.to_string()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&key.address().to_string()) && said.contains("report 9, commit, view 1"), "{said}");
    for other in [["--chain-id", "1"], ["--registry", "0x0000000000000000000000000000000000000009"]] {
        let (code, said) = run(&published, &other);
        assert!(code == Some(1) && said.contains("mismatch: it is about"), "{said}");
    }
    let framed = Published { member: Address::repeat_byte(8).to_string(), ..published };
    assert_eq!(run(&framed, &[]).0, Some(1));
    std::fs::write(&path, "{}").unwrap();
    assert_eq!(plumbline(&["verify-fault", path.to_str().unwrap()]).status.code(), Some(2));
}
