//! JSON objects whose values keep their text: a number is read digit by digit, never as a float, and a key that stands
//! twice is refused, so that two readers cannot see two values. Leaves out: what the keys mean (`ocmf`, `reading`).

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{OcmfError, Section};
use super::{KEYS_MAX, NESTING_MAX, TEXT_BYTES_MAX};

/// Keys and the text of their values, in the order of the document.
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    pub(super) fn parse(text: &'a str, section: Section) -> Result<Self, OcmfError> {
        if nests_deeper(text, NESTING_MAX) {
            return Err(OcmfError::TooDeep { section });
        }
        let Pairs(pairs) = serde_json::from_str(text).map_err(|e| OcmfError::Json { section, column: e.column() })?;
        if pairs.len() > KEYS_MAX {
            return Err(OcmfError::TooManyKeys { section, count: pairs.len() });
        }
        for (index, (key, _)) in pairs.iter().enumerate() {
            if pairs.iter().take(index).any(|(earlier, _)| earlier == key) {
                return Err(OcmfError::DuplicateKey { section, key: key.chars().take(32).collect() });
            }
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| *value)
    }

    pub(super) fn required(&self, key: &'static str) -> Result<&'a RawValue, OcmfError> {
        self.get(key).ok_or(OcmfError::Missing { key })
    }

    /// A text of at most [`TEXT_BYTES_MAX`] bytes, if the key is there.
    pub(super) fn text(&self, key: &'static str) -> Result<Option<Cow<'a, str>>, OcmfError> {
        self.get(key).map(|value| long_text(value, key, TEXT_BYTES_MAX)).transpose()
    }

    pub(super) fn required_text(&self, key: &'static str) -> Result<Cow<'a, str>, OcmfError> {
        self.text(key)?.ok_or(OcmfError::Missing { key })
    }
}

/// A text of at most `limit` bytes.
pub(super) fn long_text<'a>(value: &'a RawValue, key: &'static str, limit: usize) -> Result<Cow<'a, str>, OcmfError> {
    let Text(text) = serde_json::from_str(value.get()).map_err(|_| OcmfError::WrongType { key, expected: "a text" })?;
    if text.len() > limit {
        return Err(OcmfError::TextTooLong { key, bytes: text.len() });
    }
    Ok(text)
}

/// The values of an array.
pub(super) fn array<'a>(value: &'a RawValue, key: &'static str) -> Result<Vec<&'a RawValue>, OcmfError> {
    serde_json::from_str(value.get()).map_err(|_| OcmfError::WrongType { key, expected: "an array" })
}

/// Whether brackets outside of texts nest deeper than `limit`.
fn nests_deeper(text: &str, limit: usize) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth = depth.saturating_add(1),
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// An object with all of its keys, repeated ones included.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Text(key), value)) = map.next_entry()? {
            pairs.push((key, value));
        }
        Ok(Pairs(pairs))
    }
}

/// A text, borrowed where the document holds it without escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}
