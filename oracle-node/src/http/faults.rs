//! Fault proofs over the API, each a file that stands alone (`oracle_core::fault::Published`).
//! Leaves out: bringing them to the chain (`chain::faults`).

use axum::Json;
use axum::extract::State;
use oracle_core::fault::Published;
use serde_json::json;

use super::{Answer, ApiError, Shared, read};

/// `GET /v1/faults`
pub(super) async fn faults(State(board): Shared) -> Answer {
    let Some(term) = board.live().term else {
        return Err(ApiError::missing("no term is known here yet", "wait until the node has read the chain"));
    };
    let proofs = read(&board, crate::store::Store::faults).await?;
    // Proofs of an earlier term do not verify under this one, and are left out.
    let published = proofs.iter().filter_map(|proof| Published::of(proof, &term.scope, &term.addresses()).ok());
    Ok(Json(json!({ "faults": published.collect::<Vec<_>>() })))
}
