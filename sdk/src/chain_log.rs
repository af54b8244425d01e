//! The auditor's chain log: JSON lines, one finalized block each, from the registry's first block on without a gap.
//! docs/protocol.md §10. Leaves out: where it comes from. Export it from a chain node you trust: every key is in it.

use std::io::BufRead;

use alloy_primitives::{Address, B256};
use oracle_core::registry::{Block, Contracts, History, RawLog};
use serde::Deserialize;

/// The chain and the committee that an audit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// EIP-155 chain id.
    pub id: u64,
    /// The contracts whose logs count.
    pub contracts: Contracts,
    /// Committee, from 1.
    pub committee: u64,
    /// Term of the committee, from 1.
    pub term: u64,
}

/// A line of the log that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chain log, line {line}: {what}")]
pub struct LineError {
    /// From 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

#[derive(Deserialize)]
struct Line {
    block: LineBlock,
    logs: Vec<LineLog>,
}

#[derive(Deserialize)]
struct LineBlock {
    number: u64,
    hash: String,
    timestamp: u64,
}

#[derive(Deserialize)]
struct LineLog {
    address: String,
    topics: Vec<String>,
    data: String,
}

/// Parses one line. Further keys are passed over, so that logs may stay as a chain node gave them.
///
/// # Errors
/// A sentence naming what is wrong.
pub fn parse_line(text: &str) -> Result<(Block, Vec<RawLog>), String> {
    let line: Line = serde_json::from_str(text).map_err(|e| format!("not a block with its logs: {e}"))?;
    let hash = hash(&line.block.hash).map_err(|what| format!("block hash: {what}"))?;
    let block = Block { number: line.block.number, hash, timestamp: line.block.timestamp };
    let logs = (1u32..).zip(&line.logs).map(|(place, one)| log(one).map_err(|what| format!("log {place}: {what}")));
    Ok((block, logs.collect::<Result<_, _>>()?))
}

fn log(line: &LineLog) -> Result<RawLog, String> {
    let address: Address = line.address.parse().map_err(|_| format!("{:?} is not an address", line.address))?;
    let topics = line.topics.iter().map(|topic| hash(topic).map_err(|what| format!("topic: {what}")));
    let topics = topics.collect::<Result<_, _>>()?;
    let data = bytes(&line.data).map_err(|what| format!("data: {what}"))?;
    Ok(RawLog { address, topics, data })
}

fn hash(text: &str) -> Result<B256, String> {
    B256::try_from(bytes(text)?.as_slice()).map_err(|_| format!("{text:?} is not 32 bytes"))
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.strip_prefix("0x").ok_or_else(|| format!("{text:?} does not start with 0x"))?;
    hex::decode(digits).map_err(|e| format!("not hex digits: {e}"))
}

/// Folds a whole log. `lag_ms` is the policy's snapshot lag L. Empty lines are passed over.
///
/// # Errors
/// The first line that cannot be read, or whose block does not follow the one before (a snapshot may be any block, so
/// none may be left out).
pub fn fold(chain: &Chain, lag_ms: u64, log: impl BufRead) -> Result<History, LineError> {
    let mut history = History::new(chain.contracts, chain.id, chain.committee, chain.term, lag_ms);
    let mut last: Option<Block> = None;
    for (line, text) in (1u64..).zip(log.lines()) {
        let fail = |what: String| LineError { line, what };
        let text = text.map_err(|e| fail(format!("cannot be read: {e}")))?;
        if text.trim().is_empty() {
            continue;
        }
        let (block, logs) = parse_line(&text).map_err(fail)?;
        follows(last.as_ref(), &block).map_err(fail)?;
        history.apply(block, &logs);
        last = Some(block);
    }
    Ok(history)
}

fn follows(last: Option<&Block>, block: &Block) -> Result<(), String> {
    let Some(last) = last else { return Ok(()) };
    if last.number.checked_add(1) != Some(block.number) {
        return Err(format!("block {} follows block {}; no block may be left out", block.number, last.number));
    }
    if block.timestamp < last.timestamp {
        return Err(format!("block {} is older than the block before it", block.number));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0x1111111111111111111111111111111111111111111111111111111111111111";

    fn line(number: u64, timestamp: u64) -> String {
        format!(r#"{{"block":{{"number":{number},"hash":"{HASH}","timestamp":{timestamp}}},"logs":[]}}"#)
    }

    fn chain() -> Chain {
        let [registry, devices, escrow, hub] = [1, 2, 3, 4].map(Address::repeat_byte);
        Chain { id: 1, contracts: Contracts { registry, devices, escrow, hub }, committee: 1, term: 1 }
    }

    fn fault(text: &str) -> String {
        fold(&chain(), 0, text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_block_with_logs_is_read_and_further_keys_are_passed_over() {
        let text = format!(
            r#"{{"block":{{"number":7,"hash":"{HASH}","timestamp":9,"x":1}},"logs":[{{"address":"0x0101010101010101010101010101010101010101","topics":["{HASH}"],"data":"0x0aff","logIndex":"0x0"}}]}}"#
        );
        let (block, logs) = parse_line(&text).unwrap();
        assert_eq!((block.number, block.timestamp, block.hash), (7, 9, B256::repeat_byte(0x11)));
        let expected =
            RawLog { address: Address::repeat_byte(1), topics: vec![B256::repeat_byte(0x11)], data: vec![0x0a, 0xff] };
        assert_eq!(logs, [expected]);
    }

    #[test]
    fn faults_name_their_line() {
        let good = [line(1, 5), line(2, 5), String::new(), line(3, 6)].join("\n");
        assert_eq!(fold(&chain(), 0, good.as_bytes()).unwrap().registry().snapshot().block.number, 3);
        let cut = format!("{}\n{{\"block\":", line(1, 5));
        assert!(fault(&cut).starts_with("chain log, line 2: not a block with its logs"), "{}", fault(&cut));
        let gap = [line(1, 5), String::new(), line(3, 6)].join("\n");
        assert!(fault(&gap).starts_with("chain log, line 3: block 3 follows block 1"), "{}", fault(&gap));
        let back = [line(1, 5), line(2, 4)].join("\n");
        assert!(fault(&back).starts_with("chain log, line 2: block 2 is older"), "{}", fault(&back));
        let short = line(1, 5).replace(HASH, "0x11");
        assert_eq!(fault(&short), "chain log, line 1: block hash: \"0x11\" is not 32 bytes");
        let bare = line(1, 5).replace("0x11", "11");
        assert!(fault(&bare).contains("does not start with 0x"), "{}", fault(&bare));
        let odd = line(1, 5).replace("[]", r#"[{"address":"0x01","topics":[],"data":"0x"}]"#);
        assert_eq!(fault(&odd), "chain log, line 1: log 1: \"0x01\" is not an address");
    }
}
