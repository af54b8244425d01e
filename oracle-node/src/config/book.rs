//! `[chain] addresses = "deployment.json"`: the contracts' addresses out of the address book of the deployment
//! (`contracts/script/Deploy.s.sol` writes it), instead of one key each. Leaves out: whether the chain holds what the book
//! says; the script's `check` tells.

use std::path::Path;

use serde_json::Value as Json;
use toml::{Table, Value};

/// Key of the `[chain]` section and name in the book.
const KEYS: [(&str, &str); 5] = [
    ("registry", "CommitteeRegistry"),
    ("devices", "DeviceRegistry"),
    ("escrow", "LeaseEscrow"),
    ("hub", "ReportHub"),
    ("stake", "OperatorStake"),
];

/// The file with the book's addresses and first block written out in its `[chain]` section; as it was, when it names none.
pub(super) fn expand(mut file: Table, base: &Path, faults: &mut Vec<String>) -> Table {
    let Some(Value::Table(chain)) = file.get_mut("chain") else { return file };
    let Some(Value::String(name)) = chain.get("addresses") else { return file };
    let path = base.join(name);
    match read(&path) {
        Ok((addresses, block)) => {
            for (key, address) in addresses {
                if chain.insert(key.to_owned(), Value::String(address)).is_some() {
                    faults.push(format!("[chain] {key} is in the address book already; leave one of them out"));
                }
            }
            chain.entry("start_block").or_insert(Value::Integer(block));
        }
        Err(what) => faults.push(format!("[chain] addresses: {}: {what}", path.display())),
    }
    file
}

/// Every address by its key, and a block before the first event of the set.
type Book = (Vec<(&'static str, String)>, i64);

fn read(path: &Path) -> Result<Book, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("cannot be read: {e}"))?;
    let book: Json = serde_json::from_str(&text).map_err(|e| format!("not JSON: {e}"))?;
    if book.get("version").and_then(Json::as_u64) != Some(1) {
        return Err("not an address book of version 1".into());
    }
    let address = |contract: &str| book.pointer(&format!("/contracts/{contract}/address"))?.as_str().map(str::to_owned);
    let named = KEYS.iter().map(|(key, contract)| {
        let address = address(contract).ok_or_else(|| format!("no address of {contract}"))?;
        Ok((*key, address))
    });
    let block = book.get("block").and_then(Json::as_i64).filter(|block| *block >= 0).ok_or("no block")?;
    Ok((named.collect::<Result<_, String>>()?, block))
}
