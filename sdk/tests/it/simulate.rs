//! A new policy over an old archive: who would get something else, and what an archive cannot tell.

use std::sync::atomic::{AtomicU32, Ordering};

use sdk::simulate::{Compared, Simulation};

use crate::support::{Dir, POLICY, archived, book_text, store};

/// Folders must differ: tests run side by side.
static RUNS: AtomicU32 = AtomicU32::new(0);

/// The world's policy with another value at a path of keys.
fn changed(path: &str, value: impl Into<serde_json::Value>) -> String {
    let mut policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
    *policy.pointer_mut(path).unwrap() = value.into();
    policy.to_string()
}

fn simulated(policy: &str) -> Result<Vec<Compared>, String> {
    let (world, bundles) = archived(3, &[0, 1]);
    let dir = Dir::new(&format!("simulate-{}", RUNS.fetch_add(1, Ordering::Relaxed)));
    store(dir.path(), &bundles);
    let simulation = Simulation::new(&book_text(POLICY, &[]), policy.as_bytes())?;
    simulation.run(dir.path(), &world.history, 0..3)
}

#[test]
fn the_same_policy_changes_nobodys_pay() {
    let leases = simulated(POLICY).unwrap();
    assert_eq!(leases.len(), 6);
    assert!(leases.iter().all(|lease| !lease.pay_differs() && lease.differing.is_empty()));
}

#[test]
fn a_smaller_credit_changes_only_those_who_failed() {
    let leases = simulated(&changed("/classes/uptime/service/credit_bp", 2_500)).unwrap();
    let differ: Vec<u64> = leases.iter().filter(|lease| lease.pay_differs()).map(|lease| lease.lease).collect();
    assert_eq!(differ, [102], "the silent device's lessee");
    let lease = leases.iter().find(|lease| lease.lease == 102).unwrap();
    let credit = |state: &Option<oracle_core::state::LeaseState>| state.as_ref().unwrap().credit;
    assert!(credit(&lease.now) > credit(&lease.then) && lease.differing.is_empty());
}

#[test]
fn a_class_that_the_policy_lacks_is_judged_by_nobody() {
    let mut policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
    policy["classes"].as_object_mut().unwrap().remove("coverage");
    let leases = simulated(&policy.to_string()).unwrap();
    assert!(leases.iter().all(|lease| lease.then.is_some() == (lease.lease <= 103)));
    assert!(leases.iter().all(|lease| lease.lease <= 103 || !lease.differing.is_empty()));
}

#[test]
fn what_an_archive_cannot_tell_is_refused_by_name() {
    let deadline = simulated(&changed("/classes/uptime/service/deadline_ms", 1_000)).unwrap_err();
    assert!(deadline.contains("classes.uptime: deadlines of [1000] ms for answer messages"), "{deadline}");
    let more = simulated(&changed("/classes/uptime/service/challenge_p", "18446744073709551615")).unwrap_err();
    assert!(more.contains("drawn more often"), "{more}");
    let shadow = POLICY.replacen("\"classes\"", &format!("\"shadow_of\":\"0x{}\",\"classes\"", "11".repeat(32)), 1);
    assert!(simulated(&shadow).unwrap_err().contains("is a shadow"));
}
