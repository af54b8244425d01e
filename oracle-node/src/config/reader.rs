//! Reads one section of the TOML file: typed look-ups that note faults instead of stopping at the first.
//! Leaves out: what the keys mean (`config`).

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use oracle_core::limits::STREAMS_MAX;
use toml::{Table, Value};

/// One table of the file and the list that collects what is wrong with it.
pub(super) struct Section<'a> {
    name: &'a str,
    table: Option<&'a Table>,
    faults: &'a mut Vec<String>,
}

impl<'a> Section<'a> {
    /// A section; every key that is not `known` is a fault.
    pub(super) fn new(name: &'a str, table: Option<&'a Table>, known: &[&str], faults: &'a mut Vec<String>) -> Self {
        let mut section = Self { name, table, faults };
        for key in table.into_iter().flat_map(Table::keys).filter(|key| !known.contains(&key.as_str())) {
            let hint = nearest(key, known).map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
            section.fault(&format!("unknown key {key:?}{hint}"));
        }
        section
    }

    /// The section called `name`; missing is the same as empty, anything but a table is a fault.
    pub(super) fn of(file: &'a Table, name: &'a str, known: &[&str], faults: &'a mut Vec<String>) -> Self {
        let table = match file.get(name) {
            Some(Value::Table(table)) => Some(table),
            Some(_) => {
                faults.push(format!("{name} must be a section, [{name}]"));
                None
            }
            None => None,
        };
        Self::new(name, table, known, faults)
    }

    /// Notes a fault of this section.
    pub(super) fn fault(&mut self, what: &str) {
        let prefix = if self.name.is_empty() { String::new() } else { format!("[{}] ", self.name) };
        self.faults.push(format!("{prefix}{what}"));
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.table.and_then(|table| table.get(key))
    }

    /// A text; without a default it must be there.
    pub(super) fn text(&mut self, key: &str, default: Option<&str>) -> String {
        match (self.get(key), default) {
            (Some(Value::String(text)), _) => return text.clone(),
            (Some(_), _) => self.fault(&format!("{key} must be text in quotes")),
            (None, Some(default)) => return default.to_owned(),
            (None, None) => self.fault(&format!("{key} is missing")),
        }
        String::new()
    }

    /// A text that may be left out.
    pub(super) fn optional(&mut self, key: &str) -> Option<String> {
        self.get(key).is_some().then(|| self.text(key, Some("")))
    }

    /// A whole number from 0.
    pub(super) fn integer(&mut self, key: &str, default: Option<u64>) -> u64 {
        match (self.get(key).map(|value| value.as_integer().map(u64::try_from)), default) {
            (Some(Some(Ok(number))), _) => return number,
            (Some(_), _) => self.fault(&format!("{key} must be a whole number from 0")),
            (None, Some(default)) => return default,
            (None, None) => self.fault(&format!("{key} is missing")),
        }
        default.unwrap_or_default()
    }

    /// A whole number of 32 bits.
    pub(super) fn number_u32(&mut self, key: &str, default: u32) -> u32 {
        u32::try_from(self.integer(key, Some(default.into()))).unwrap_or_else(|_| {
            self.fault(&format!("{key} must be below 4294967296"));
            default
        })
    }

    /// A list of different stream numbers; missing means stream 0 alone.
    pub(super) fn streams(&mut self, key: &str) -> BTreeSet<u32> {
        let Some(value) = self.get(key) else { return BTreeSet::from([0]) };
        let number = |item: &Value| item.as_integer().and_then(|number| u32::try_from(number).ok());
        let listed = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let streams: BTreeSet<u32> = listed.iter().filter_map(number).collect();
        if streams.is_empty() || streams.len() != listed.len() || streams.len() > STREAMS_MAX {
            let what = format!("a list of 1 to {STREAMS_MAX} different whole numbers below 4294967296, such as [0, 1]");
            self.fault(&format!("{key} must be {what}"));
        }
        streams
    }

    /// A list of texts, of these when it is missing.
    pub(super) fn list_or(&mut self, key: &str, default: &[&str]) -> Vec<String> {
        if self.get(key).is_none() {
            return default.iter().map(|text| (*text).to_owned()).collect();
        }
        self.list(key)
    }

    /// A list of texts; missing is empty.
    pub(super) fn list(&mut self, key: &str) -> Vec<String> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let texts = value.as_array().map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        match texts {
            Some(Some(texts)) => texts,
            _ => {
                self.fault(&format!("{key} must be a list of texts"));
                Vec::new()
            }
        }
    }

    /// A text parsed as `T`. An empty default means that it must be there.
    pub(super) fn parsed<T: FromStr + Fallback>(&mut self, key: &str, default: &str, what: &str) -> T {
        let text = self.text(key, (!default.is_empty()).then_some(default));
        text.parse().unwrap_or_else(|_| {
            if self.get(key).is_some_and(Value::is_str) {
                self.fault(&format!("{key}: {text:?} is not {what}"));
            }
            T::fallback()
        })
    }

    /// A duration as text: `500ms`, `2s`, `5m`, `1h`; at least 1 ms.
    pub(super) fn duration(&mut self, key: &str, default: Duration) -> Duration {
        let Some(text) = self.optional(key) else { return default };
        parse_duration(&text).unwrap_or_else(|| {
            self.fault(&format!("{key}: {text:?} is not a duration such as \"500ms\", \"2s\", \"5m\" or \"1h\""));
            default
        })
    }
}

/// A value that stands in while other faults are collected; a file with a fault is never used.
pub(super) trait Fallback {
    /// The stand-in.
    fn fallback() -> Self;
}

impl Fallback for alloy::primitives::Address {
    fn fallback() -> Self {
        Self::ZERO
    }
}

impl Fallback for std::net::SocketAddr {
    fn fallback() -> Self {
        Self::from(([127, 0, 0, 1], 0))
    }
}

/// `<number><unit>`, unit one of ms, s, m, h.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = number.parse::<u64>().ok()?.checked_mul(factor)?;
    (millis > 0).then(|| Duration::from_millis(millis))
}

/// The known key nearest to a mistyped one, if it is near at all (at most a third of its letters differ).
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let best = known.iter().map(|candidate| (strsim::levenshtein(key, candidate), *candidate)).min()?;
    (best.0 <= key.len().div_ceil(3)).then_some(best.1)
}
