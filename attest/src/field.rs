//! How one field of a message is written and read, and the macro that makes a CBOR tuple of a struct's fields. Every
//! layout of docs/protocol.md §2 is put together from these; there is one encoding of each and it is read back by the
//! same type. What the fields mean is in `body`.

use crate::{
    DecodeError, EncodeError,
    cbor::{Reader, Writer},
};

/// A value with one canonical encoding.
pub(crate) trait Field<'a>: Sized {
    /// Writes it.
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError>;
    /// Reads it and nothing else.
    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError>;
}

impl<'a> Field<'a> for u64 {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.uint(*self)
    }

    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        input.uint()
    }
}

impl<'a> Field<'a> for i64 {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.int(*self)
    }

    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        input.int()
    }
}

/// Narrower integers are written like their wide kin and refused when they do not fit.
macro_rules! narrow {
    ($($narrow:ty as $wide:ty),*) => {$(
        impl<'a> Field<'a> for $narrow {
            fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
                Field::write(&<$wide>::from(*self), out)
            }

            fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
                <$wide as Field<'a>>::read(input)?.try_into().map_err(|_| DecodeError::Bounds)
            }
        }
    )*};
}
narrow!(u8 as u64, u16 as u64, u32 as u64, i8 as i64, i32 as i64);

impl<'a, const N: usize> Field<'a> for [u8; N] {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.bytes(self)
    }

    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        input.array_of()
    }
}

/// A byte string of any length; whoever uses it bounds it.
impl<'a> Field<'a> for &'a [u8] {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.bytes(self)
    }

    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        input.bytes()
    }
}

/// A hash that may be missing: then an empty byte string.
impl<'a> Field<'a> for Option<[u8; 32]> {
    fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.bytes(self.as_ref().map_or(&[][..], |hash| hash))
    }

    fn read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        match input.bytes()? {
            [] => Ok(None),
            hash => hash.try_into().map(Some).map_err(|_| DecodeError::Bounds),
        }
    }
}

/// A struct that is written as the CBOR array of its fields, in order. `check` names what its values must hold beyond
/// their types; it is asked on both sides, so that an attester cannot write what the gate refuses.
macro_rules! tuple {
    ($(#[$doc:meta])* pub struct $name:ident<$l:lifetime> { $($(#[$fdoc:meta])* pub $field:ident: $type:ty,)+ }
        check $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<$l> { $($(#[$fdoc])* pub $field: $type,)+ }
        $crate::field::tuple!(@field [$l] [$name<$l>] [$($field)+] $check);
    };
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* pub $field:ident: $type:ty,)+ } check $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(C)]
        pub struct $name { $($(#[$fdoc])* pub $field: $type,)+ }
        $crate::field::tuple!(@field ['a] [$name] [$($field)+] $check);
    };
    (@field [$l:lifetime] [$name:ty] [$($field:ident)+] $check:expr) => {
        impl<$l> $crate::field::Field<$l> for $name {
            fn write(&self, out: &mut $crate::cbor::Writer<'_>) -> Result<(), $crate::EncodeError> {
                const LEN: u64 = [$(stringify!($field)),+].len() as u64;
                let check: fn(&Self) -> bool = $check;
                if !check(self) {
                    return Err($crate::EncodeError::Bounds);
                }
                out.array(LEN)?;
                $($crate::field::Field::write(&self.$field, out)?;)+
                Ok(())
            }

            fn read(input: &mut $crate::cbor::Reader<$l>) -> Result<Self, $crate::DecodeError> {
                const LEN: u64 = [$(stringify!($field)),+].len() as u64;
                input.tuple(LEN)?;
                let read = Self { $($field: $crate::field::Field::read(input)?,)+ };
                let check: fn(&Self) -> bool = $check;
                if check(&read) { Ok(read) } else { Err($crate::DecodeError::Bounds) }
            }
        }
    };
}
pub(crate) use tuple;
