//! What can go wrong with keys, partials and certificates. Ceremony errors live in [`crate::dkg`].

/// Why bytes were not accepted, or why a signature was not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not the one canonical encoding of a point on the curve.
    #[error("not a canonical curve point")]
    Point,
    /// The point at infinity, which verifies everything and is never accepted.
    #[error("the point at infinity is not accepted")]
    Infinity,
    /// The point is on the curve but outside the prime-order subgroup.
    #[error("point outside the prime-order subgroup")]
    Subgroup,
    /// A secret scalar that is zero or not below the group order.
    #[error("not a secret scalar in 1..r")]
    Scalar,
    /// A member index at or above the size of the committee.
    #[error("member index {index} is not below {n}")]
    Index {
        /// The index that was given.
        index: u32,
        /// The size of the committee.
        n: u32,
    },
    /// Two partials carry the same member index.
    #[error("two partials of member {0}")]
    Duplicate(u32),
    /// Fewer partials than the threshold.
    #[error("{have} partials, {need} needed")]
    TooFew {
        /// Partials given.
        have: u32,
        /// The threshold t.
        need: u32,
    },
    /// The signature does not verify under this key, message and tag.
    #[error("signature does not verify")]
    Signature,
    /// Too few partials remain once those of the named members, which do not verify, are set aside.
    #[error("partials of members {0:?} do not verify")]
    Culprits(Vec<u32>),
    /// The bytes are not a canonical encoding of a sharing, or its numbers contradict each other.
    #[error("sharing refused: {0}")]
    Sharing(&'static str),
}

impl Error {
    /// The members whose partials were proven wrong, ascending; empty for every other error.
    #[must_use]
    pub fn culprits(&self) -> Vec<u32> {
        match self {
            Self::Culprits(members) => members.clone(),
            _ => Vec::new(),
        }
    }
}

impl From<blst::BLST_ERROR> for Error {
    fn from(error: blst::BLST_ERROR) -> Self {
        match error {
            blst::BLST_ERROR::BLST_PK_IS_INFINITY => Self::Infinity,
            blst::BLST_ERROR::BLST_POINT_NOT_IN_GROUP => Self::Subgroup,
            blst::BLST_ERROR::BLST_BAD_SCALAR => Self::Scalar,
            blst::BLST_ERROR::BLST_VERIFY_FAIL => Self::Signature,
            _ => Self::Point,
        }
    }
}
