//! As much DER as signatures need: sequences and positive integers. Strict:
//! the shortest length, nothing left over. Source: X.690. Leaves out: everything else.

/// Tags.
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The contents of the next value, which must have this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, rest) = self.0.split_first()?;
        let (length, rest) = length(rest)?;
        if *found != tag {
            return None;
        }
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(contents)
    }

    /// A positive integer, its sign byte taken off, written into the end of `out`.
    fn integer(&mut self, out: &mut [u8]) -> Option<()> {
        let contents = self.take(INTEGER)?;
        let digits = match contents {
            // The sign byte stands only where the number would look negative without it.
            [0, next, ..] if *next >= 0x80 => contents.get(1..)?,
            [first, ..] if *first != 0 && *first < 0x80 => contents,
            _ => return None,
        };
        let from = out.len().checked_sub(digits.len())?;
        out.get_mut(from..)?.copy_from_slice(digits);
        Some(())
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [short, rest @ ..] if *short < 0x80 => Some((usize::from(*short), rest)),
        [0x81, long, rest @ ..] if *long >= 0x80 => Some((usize::from(*long), rest)),
        [0x82, high, low, rest @ ..] if *high > 0 => Some((usize::from(u16::from_be_bytes([*high, *low])), rest)),
        _ => None,
    }
}

/// `SEQUENCE { INTEGER r, INTEGER s }` as r‖s, each of half the length of `out`.
pub(super) fn signature(der: &[u8], out: &mut [u8]) -> Option<()> {
    let mut outer = Reader(der);
    let mut inner = Reader(outer.take(SEQUENCE)?);
    let (r, s) = out.split_at_mut(out.len() / 2);
    inner.integer(r)?;
    inner.integer(s)?;
    (inner.is_empty() && outer.is_empty()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(der: &[u8]) -> Option<[u8; 4]> {
        let mut out = [0; 4];
        signature(der, &mut out).map(|()| out)
    }

    #[test]
    fn only_the_shortest_form_of_two_positive_integers() {
        assert_eq!(read(&[0x30, 6, 2, 1, 5, 2, 1, 9]), Some([0, 5, 0, 9]));
        assert_eq!(read(&[0x30, 8, 2, 2, 0, 0x80, 2, 2, 0x12, 0x34]), Some([0, 0x80, 0x12, 0x34]));
        assert_eq!(read(&[0x30, 10, 2, 3, 0, 0xff, 0xff, 2, 3, 0, 0x80, 1]), Some([0xff, 0xff, 0x80, 1]));
        let wrong: [&[u8]; 11] = [
            &[],
            &[0x30],
            &[0x30, 6, 2, 1, 5, 2, 1],
            &[0x30, 6, 2, 1, 5, 2, 1, 9, 0],
            &[0x30, 7, 2, 1, 5, 2, 1, 9, 0],
            &[0x30, 0x81, 6, 2, 1, 5, 2, 1, 9],
            &[0x30, 7, 2, 2, 0, 5, 2, 1, 9],
            &[0x30, 6, 2, 1, 0x85, 2, 1, 9],
            &[0x30, 6, 2, 1, 0, 2, 1, 9],
            &[0x30, 5, 2, 0, 2, 1, 9],
            &[0x30, 9, 2, 1, 5, 2, 4, 1, 2, 3, 4],
        ];
        for der in wrong {
            assert_eq!(read(der), None, "{der:?}");
        }
    }
}
