//! The model check of the agreement rule: every behaviour within a bound, not a sample of them. docs/adr/0001.
//!
//! Bound: n = 4, f = 1, two values, every leader adversarial, views up to 2 (`PLUMBLINE_VIEWS` asks for more, up to 5; 4 is
//! what `make deep` uses). Leaves out larger committees, and the code itself: `tests/sim` runs that.

mod explore;
mod rules;
mod state;

use explore::Explored;
use rules::{Moment, Rule};
use state::{A, B, Model, State, Step, VIEWS_MAX};

const DECIDED: Rule = Rule { moment: Moment::Decided, once: true };
const DECIDED_NO_JOURNAL: Rule = Rule { moment: Moment::Decided, once: false };
const PREPARED: Rule = Rule { moment: Moment::Prepared, once: true };
const PREPARED_NO_JOURNAL: Rule = Rule { moment: Moment::Prepared, once: false };
const VOTED: Rule = Rule { moment: Moment::Voted, once: true };
const VOTED_NO_JOURNAL: Rule = Rule { moment: Moment::Voted, once: false };
const ALL: [Rule; 6] = [DECIDED, DECIDED_NO_JOURNAL, PREPARED, PREPARED_NO_JOURNAL, VOTED, VOTED_NO_JOURNAL];

/// Explores, and prints the table of what each rule allows.
fn check(model: Model) -> Explored {
    let explored = Explored::new(model, &ALL);
    println!("{model:?}: {} states", explored.states());
    for (i, rule) in ALL.iter().enumerate() {
        let found = explored.finding(i);
        println!("  {rule:?}: two certificates in {}, honest shares split in {}", found.two_certificates, found.split);
    }
    explored
}

fn place(rule: Rule) -> usize {
    ALL.iter().position(|r| *r == rule).expect("a rule of the list")
}

#[allow(clippy::disallowed_methods)] // a test may read its environment; the core may not
fn views() -> u32 {
    let asked = std::env::var("PLUMBLINE_VIEWS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(2).clamp(1, VIEWS_MAX)
}

#[test]
fn deciding_first_allows_no_second_certificate_and_no_split() {
    let views = views();
    let explored = check(Model::sound(views));
    for rule in [DECIDED, DECIDED_NO_JOURNAL] {
        let found = explored.finding(place(rule));
        assert_eq!((found.two_certificates, found.split), (0, 0), "{rule:?}");
    }
    // Not because nothing is ever decided: a value is, in every view.
    for view in 1..=views {
        assert!(explored.any(|s| s.count(|m| m.commit(view) == A) >= 2), "nothing is decided in view {view}");
    }
    // The one thing that the journal alone gives: whatever the moment, no second certificate.
    for rule in [PREPARED, VOTED] {
        assert_eq!(explored.finding(place(rule)).two_certificates, 0, "{rule:?}");
    }
    // The shortcut without a journal is unsafe exactly when there is room for a fourth view.
    let shortcut = explored.finding(place(PREPARED_NO_JOURNAL)).two_certificates;
    assert_eq!(shortcut > 0, views >= 4, "signing when prepared: {shortcut} states with two certificates");
    for line in explored.trace(place(PREPARED_NO_JOURNAL)) {
        println!("  {line}");
    }
}

#[test]
fn signing_early_is_caught_within_two_views() {
    let explored = check(Model::sound(2));
    assert!(explored.finding(place(VOTED_NO_JOURNAL)).two_certificates > 0);
    assert!(explored.finding(place(VOTED)).split > 0);
    assert!(explored.finding(place(PREPARED)).split > 0);
    assert!(!explored.trace(place(VOTED_NO_JOURNAL)).is_empty());
}

#[test]
fn a_proposal_without_justification_is_caught_within_two_views() {
    let explored = check(Model { justified: false, ..Model::sound(2) });
    assert!(explored.finding(place(DECIDED_NO_JOURNAL)).two_certificates > 0);
    assert!(explored.finding(place(DECIDED)).split > 0);
}

#[test]
fn a_quorum_of_two_is_caught_within_two_views() {
    let explored = check(Model { quorum: 2, ..Model::sound(2) });
    assert!(explored.finding(place(DECIDED_NO_JOURNAL)).two_certificates > 0);
}

/// The known-bad shortcut: each step is one that the model allows, so the exhaustive search finds it too (with four views).
#[test]
fn signing_when_prepared_makes_two_certificates_by_the_fourth_view() {
    let model = Model::sound(4);
    let mut state = State::START;
    let view_1 = [Step::Prepare(0, 1, A), Step::Prepare(1, 1, A), Step::Commit(0)];
    // The liar and two members that saw nothing prepared: any value goes.
    let view_2 = [Step::RoundChange(1, 2), Step::RoundChange(2, 2)];
    let votes_2 = [Step::Prepare(1, 2, B), Step::Prepare(2, 2, B), Step::Commit(1)];
    // Without member 1 the highest prepared value is A of view 1; without member 2 it is then B of view 2.
    let view_3 = [Step::RoundChange(0, 3), Step::RoundChange(2, 3)];
    let votes_3 = [Step::Prepare(0, 3, A), Step::Prepare(2, 3, A), Step::Commit(2)];
    let view_4 = [Step::RoundChange(0, 4), Step::RoundChange(1, 4)];
    let votes_4 = [Step::Prepare(0, 4, B), Step::Prepare(1, 4, B), Step::Commit(0)];
    let steps = [&view_1[..], &view_2, &votes_2, &view_3, &votes_3, &view_4, &votes_4].concat();
    for (i, wanted) in steps.iter().enumerate() {
        let bad = PREPARED_NO_JOURNAL.harm(&model, &state).two_certificates;
        assert!(!bad, "two certificates already before step {i}");
        let mut reached = None;
        model.steps(&state, |step, next| {
            if step == *wanted {
                reached = Some(next);
            }
        });
        state = reached.unwrap_or_else(|| panic!("the model does not allow step {i}: {wanted:?}"));
    }
    assert!(PREPARED_NO_JOURNAL.harm(&model, &state).two_certificates);
    let journal = PREPARED.harm(&model, &state);
    assert!(
        !journal.two_certificates && journal.split,
        "with a journal: one certificate at most, but shares are split"
    );
    for rule in [DECIDED, DECIDED_NO_JOURNAL] {
        assert_eq!(rule.harm(&model, &state), rules::Harm::default(), "{rule:?}");
    }
}

#[test]
fn a_binding_value_cannot_be_replaced() {
    // All three honest members committed A in view 1 and left: nothing but A can be prepared in view 2.
    let model = Model::sound(2);
    let mut state = State::START;
    let votes = (0..3).map(|i| Step::Prepare(i, 1, A)).chain((0..3).map(Step::Commit));
    for wanted in votes.chain((0..3).map(|i| Step::RoundChange(i, 2))) {
        let mut reached = None;
        model.steps(&state, |step, next| {
            if step == wanted {
                reached = Some(next);
            }
        });
        state = reached.expect("a step of the model");
    }
    let mut seen = Vec::new();
    model.steps(&state, |step, _| seen.push(step));
    assert_eq!(seen, (0..3).map(|i| Step::Prepare(i, 2, A)).collect::<Vec<_>>());
}
