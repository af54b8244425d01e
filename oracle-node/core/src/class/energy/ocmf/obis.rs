//! OBIS codes, as far as they say whether a register counts energy taken or given: `1-0:1.8.0*198`, `01-00:B2.08.00*FF`,
//! `1-b:1.8.0`. Source: IEC 62056-6-1 and OCMF 1.4 table 25. Leaves out: tariffs, phases, and what else a meter counts.

/// What a register counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Active energy taken from the grid: 1.8, or B0 to B3.
    Import,
    /// Active energy given to the grid: 2.8, or C0 to C3.
    Export,
    /// Something else.
    Other,
}

/// What the register of an OBIS code counts; a code that is none counts something else.
#[must_use]
pub(crate) fn flow(code: &str) -> Flow {
    parse(code).unwrap_or(Flow::Other)
}

/// `[A-B:]C.D.E` and, after `*`, `.` or `&`, an F that says nothing here; all hexadecimal, with or without leading zeros.
fn parse(code: &str) -> Option<Flow> {
    let groups = match code.split_once(':') {
        Some((medium, groups)) => {
            let (a, b) = medium.split_once('-')?;
            // Medium 1 is electricity.
            (byte(a)? == 1 && byte(b).is_some()).then_some(groups)?
        }
        None => code,
    };
    let mut groups = groups.split(['.', '*', '&']);
    let (quantity, kind, _tariff) = (byte(groups.next()?)?, byte(groups.next()?)?, byte(groups.next()?)?);
    if kind != 8 {
        return Some(Flow::Other);
    }
    Some(match quantity {
        1 | 0xb0..=0xb3 => Flow::Import,
        2 | 0xc0..=0xc3 => Flow::Export,
        _ => Flow::Other,
    })
}

fn byte(digits: &str) -> Option<u8> {
    let plain = (1..=2).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain.then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_real_meters() {
        for code in [
            "1-b:1.8.0",
            "1-0:1.8.0*198",
            "01-00:01.08.00.FF",
            "1-0:1.8.1",
            "1.8.0",
            "01-00:B2.08.00*FF",
            "01-00:B0.08.00*xx",
            "01-00:b3.08.00*FF",
        ] {
            assert_eq!(flow(code), Flow::Import, "{code}");
        }
        for code in ["1-0:2.8.0", "01-00:C0.08.00*FF", "01-00:C3.08.00*FF"] {
            assert_eq!(flow(code), Flow::Export, "{code}");
        }
        for code in [
            "1-b:1.9.0",
            "01-00:00.08.06.FF",
            "01-00:B4.08.00*FF",
            "01-00:BF.08.00*FF",
            "01-00:C4.08.00*FF",
            "7-0:1.8.0",
            "",
            "1-0",
            "1.8",
            "1-0:+1.8.0",
            "1-0:1.8.x",
        ] {
            assert_eq!(flow(code), Flow::Other, "{code}");
        }
    }
}
