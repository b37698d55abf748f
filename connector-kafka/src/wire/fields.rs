//! Reads answers. Not the codec's decoders: those reserve memory by the lengths that the bytes claim (rule S-3).

use std::borrow::Cow;

/// Why bytes are no answer.
pub(crate) type Reason = Cow<'static, str>;
type Read<T> = Result<T, Reason>;

/// An answer's bytes, read from the front. `flexible` is how the version spells lengths (KIP-482).
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    flexible: bool,
}

fn short() -> Reason {
    "it ends too early".into()
}

impl<'a> Fields<'a> {
    pub(crate) fn new(bytes: &'a [u8], flexible: bool) -> Self {
        Self { rest: bytes, flexible }
    }

    fn take<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (front, rest) = self.rest.split_first_chunk::<N>().ok_or_else(short)?;
        self.rest = rest;
        Ok(*front)
    }

    pub(crate) fn i8(&mut self) -> Read<i8> {
        Ok(i8::from_be_bytes(self.take()?))
    }

    pub(crate) fn i16(&mut self) -> Read<i16> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    pub(crate) fn i32(&mut self) -> Read<i32> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    pub(crate) fn i64(&mut self) -> Read<i64> {
        Ok(i64::from_be_bytes(self.take()?))
    }

    fn varint(&mut self) -> Read<u32> {
        let mut value = 0_u32;
        for shift in (0..35).step_by(7) {
            let [byte] = self.take::<1>()?;
            let bits = u32::from(byte & 0x7f);
            value |= bits.checked_shl(shift).filter(|v| v >> shift == bits).ok_or("a length is too long")?;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a length is too long".into())
    }

    /// How many follow; none for null.
    fn count(&mut self, long: bool) -> Read<Option<usize>> {
        if self.flexible {
            return Ok(self.varint()?.checked_sub(1).map(|n| n as usize));
        }
        let count = if long { self.i32()? } else { i32::from(self.i16()?) };
        Ok(usize::try_from(count).ok())
    }

    fn slice(&mut self, length: usize) -> Read<&'a [u8]> {
        let (front, rest) = self.rest.split_at_checked(length).ok_or_else(short)?;
        self.rest = rest;
        Ok(front)
    }

    /// A string; null is none.
    pub(crate) fn text(&mut self) -> Read<Option<String>> {
        let Some(length) = self.count(false)? else { return Ok(None) };
        let text = std::str::from_utf8(self.slice(length)?).map_err(|_| "a text is not UTF-8")?;
        Ok(Some(text.to_owned()))
    }

    /// Bytes; null is empty.
    pub(crate) fn bytes(&mut self) -> Read<Vec<u8>> {
        let length = self.count(true)?.unwrap_or(0);
        Ok(self.slice(length)?.to_vec())
    }

    /// A string that is never null.
    pub(crate) fn name(&mut self) -> Read<String> {
        self.text()?.ok_or_else(|| "a name is null".into())
    }

    /// An array; null is empty. Memory grows with what is there, not with the length that is claimed.
    pub(crate) fn array<T>(&mut self, mut item: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut items = Vec::new();
        for _ in 0..self.count(true)?.unwrap_or(0) {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// The tagged fields that end a flexible structure: `field` gets each tag with its bytes.
    pub(crate) fn tagged(&mut self, mut field: impl FnMut(u32, Self) -> Read<()>) -> Read<()> {
        if !self.flexible {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            let (tag, length) = (self.varint()?, self.varint()? as usize);
            let bytes = self.slice(length)?;
            field(tag, Self::new(bytes, true))?;
        }
        Ok(())
    }

    /// Passes over the tagged fields.
    pub(crate) fn end(&mut self) -> Read<()> {
        self.tagged(|_, _| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_are_claimed_and_not_there_are_errors() {
        assert!(Fields::new(&[0x7f, 0xff, 0xff, 0xff, 0], false).array(Fields::i32).is_err());
        assert!(Fields::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], true).array(Fields::i32).is_err());
        assert!(Fields::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff], true).text().is_err());
        assert!(Fields::new(&[0, 5, b'a'], false).text().is_err());
        assert_eq!(Fields::new(&[0xff, 0xff], false).text(), Ok(None));
        assert_eq!(Fields::new(&[2, b'a'], true).text(), Ok(Some("a".to_owned())));
    }

    #[test]
    fn no_bytes_make_a_reader_panic() {
        let mut state = 7_u64;
        for length in 0..2_000_usize {
            let bytes: Vec<u8> = (0..length % 64)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            for flexible in [false, true] {
                for answer in super::super::calls::EVERY_READER {
                    let _ = answer(&mut Fields::new(&bytes, flexible));
                }
            }
        }
    }
}
