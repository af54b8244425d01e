//! `rotate`: where the hand-over to the next term stands, asked of a running node. Leaves out: the hand-over itself, which
//! happens inside `run` and needs no command (docs/rotate.md).

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{Api, ask, plain};

/// Flags of `rotate`.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    api: Api,
    /// Say what would happen next and what is missing for it; nothing is changed (nor is it without this flag).
    #[arg(long)]
    dry_run: bool,
    /// Look again every two seconds until the new term is in force.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
}

/// `rotate`
pub(crate) async fn rotate(args: &Rotate) -> anyhow::Result<()> {
    let mut said = String::new();
    loop {
        let status = ask(&args.api, "/v1/status").await?;
        if args.api.json {
            println!("{}", serde_json::to_string_pretty(&status["core"]["rotation"])?);
            return Ok(());
        }
        let (text, over) = progress(&status, args.dry_run);
        if text != said {
            println!("{text}");
            said = text;
        }
        if over || !args.wait {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// What a status says of a rotation, and whether there is nothing left to wait for.
fn progress(status: &Value, dry_run: bool) -> (String, bool) {
    let (core, term) = (&status["core"], plain(&status["term"]));
    let rotation = &core["rotation"];
    let number = |key: &str| rotation[key].as_u64();
    let (epoch, first) = (core["epoch"].as_u64(), number("first_epoch").unwrap_or(0));
    if rotation["inheriting"] == Value::Bool(true) {
        return (
            format!("term {term} is rotated to: the state before epoch {first} is being fetched by its root"),
            false,
        );
    }
    if let Some(until) = number("until_epoch") {
        let now = epoch.map_or_else(|| "unknown".into(), |epoch| epoch.to_string());
        return (
            format!("term {term} ends before epoch {until} (now {now}); keep this node running until then"),
            false,
        );
    }
    match (number("successor"), rotation["successor_key"] == Value::Bool(true), number("planned_epoch")) {
        (Some(next), _, Some(from)) => (
            format!(
                "term {next} takes over from epoch {from}: the old key has agreed, the chain's finality is awaited"
            ),
            false,
        ),
        (Some(next), true, None) if dry_run => (
            format!("term {next} has its key: the members of term {term} would now agree on the first epoch and sign"),
            false,
        ),
        (Some(next), true, None) => {
            (format!("term {next} has its key: term {term} is agreeing on the hand-over"), false)
        }
        (Some(next), false, None) => (
            format!("term {next} is configured: its members' key ceremony is awaited (`oracle-node dkg` there)"),
            false,
        ),
        (None, ..) if first > 0 => {
            (format!("term {term} is in force since epoch {first}; no later term is configured"), true)
        }
        (None, ..) => {
            let next = "governance would call CommitteeRegistry.configure with the new members and the same policy";
            (format!("term {term} is the committee's first; no later term is configured: {next}"), true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_step_has_its_sentence() {
        let say = |rotation: Value| {
            let mut all = json!({ "first_epoch": 0, "until_epoch": null, "successor": null, "successor_key": false,
                "planned_epoch": null, "inheriting": false });
            rotation.as_object().into_iter().flatten().for_each(|(key, value)| all[key] = value.clone());
            progress(&json!({ "term": 3, "core": { "epoch": 8, "rotation": all } }), false)
        };
        assert!(say(json!({})).0.contains("no later term is configured"));
        assert!(say(json!({ "successor": 4 })).0.contains("key ceremony is awaited"));
        assert!(say(json!({ "successor": 4, "successor_key": true })).0.contains("agreeing"));
        let planned = say(json!({ "successor": 4, "successor_key": true, "planned_epoch": 12 }));
        assert!(planned.0.contains("from epoch 12") && !planned.1);
        assert!(say(json!({ "until_epoch": 12 })).0.contains("ends before epoch 12 (now 8)"));
        assert!(say(json!({ "first_epoch": 12, "inheriting": true })).0.contains("fetched by its root"));
        let over = say(json!({ "first_epoch": 12 }));
        assert!(over.0.contains("in force since epoch 12") && over.1);
    }
}
