//! Compute: a commitment to the rows of a seeded integer matrix product, and the rows that the next beacon asks for. Rows
//! are larger than a message: the opening signs the digest of their bytes, which travel as content.

use crate::field::tuple;

/// The largest matrix: with entries of 8 bits its sums stay within 32.
pub const MAX_MATRIX: u32 = 131_071;

tuple! {
    /// A commitment to a result.
    pub struct WorkBody {
        /// The challenged lease.
        pub lease: u64,
        /// The slot of the draw that seeds the matrices.
        pub slot: u64,
        /// Rows and columns of the matrices, 1 to [`MAX_MATRIX`].
        pub size: u32,
        /// Products in the chain, at least 1: each takes its matrices from the root before.
        pub rounds: u32,
        /// Merkle root over the rows of the last product.
        pub root: [u8; 32],
    }
    check |body| (1..=MAX_MATRIX).contains(&body.size) && body.rounds >= 1
}

tuple! {
    /// An opening.
    pub struct OpeningBody {
        /// The lease of the commitment.
        pub lease: u64,
        /// The slot of the commitment.
        pub slot: u64,
        /// Rows opened, at least 1.
        pub rows: u32,
        /// SHA-256 of the rows with their paths.
        pub content: [u8; 32],
        /// The length of that content in bytes, at least 1.
        pub length: u64,
    }
    check |body| body.rows >= 1 && body.length >= 1
}
