//! Why bytes are not evidence, and why claims cannot become bytes. Signature faults are elsewhere: form comes first.

/// Why the strict gate refuses bytes (docs/protocol.md §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More than [`MAX_MESSAGE`](crate::MAX_MESSAGE) bytes.
    #[error("longer than 1024 bytes")]
    TooLong,
    /// The bytes end inside an item.
    #[error("truncated")]
    Truncated,
    /// Bytes follow the one item.
    #[error("trailing bytes")]
    Trailing,
    /// Not the fixed frame of a tagged COSE_Sign1 with an empty unprotected map and a 64-byte signature.
    #[error("not the frame of an evidence envelope")]
    Frame,
    /// The protected header names another algorithm.
    #[error("unknown algorithm")]
    Algorithm,
    /// An item of another CBOR type, an indefinite length or a float stands where the format has none.
    #[error("unexpected CBOR type")]
    Type,
    /// A number or length is not in its shortest form.
    #[error("not in shortest form")]
    NotShortest,
    /// A claim key that is unknown, repeated or out of order.
    #[error("unexpected claim key")]
    Key,
    /// The class lacks a claim or adds one.
    #[error("claims do not fit the class")]
    Class,
    /// A number, string or list is over its bound or has the wrong length.
    #[error("out of bounds")]
    Bounds,
    /// Rows of a list are not in their order.
    #[error("not ascending")]
    Order,
}

/// Why claims cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The caller's buffer is too small, or the message would be longer than [`MAX_MESSAGE`](crate::MAX_MESSAGE).
    #[error("buffer too small")]
    Buffer,
    /// A nonce outside an answer, or an answer without one.
    #[error("claims do not fit the class")]
    Class,
    /// A number or list is over its bound.
    #[error("out of bounds")]
    Bounds,
    /// Rows of a list are not in their order.
    #[error("not ascending")]
    Order,
}
