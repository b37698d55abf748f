//! The few rules of Kafka's wire format that a probe needs (protocol guide, "Protocol Primitive Types").

use std::io;

/// A request without its length: header version 1, then what is put.
pub(super) struct Request(Vec<u8>);

impl Request {
    pub(super) fn new(api: i16, version: i16, correlation: i32) -> Self {
        Self(Vec::new()).i16(api).i16(version).i32(correlation).string("testkit")
    }

    pub(super) fn i8(mut self, value: i8) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A string of at most 32,767 bytes; what is longer is cut, and the broker refuses such names anyway.
    pub(super) fn string(self, text: &str) -> Self {
        let length = i16::try_from(text.len()).unwrap_or(i16::MAX);
        let mut request = self.i16(length);
        request.0.extend(text.bytes().take(usize::from(length.unsigned_abs())));
        request
    }

    /// With its length in front.
    pub(super) fn framed(self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(self.0);
        frame
    }
}

/// A response's bytes, read from the front; running out of them is an error, never a panic.
pub(super) struct Response<'a>(pub(super) &'a [u8]);

impl Response<'_> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>().ok_or_else(short)?;
        self.0 = rest;
        Ok(*front)
    }

    pub(super) fn i8(&mut self) -> io::Result<i8> {
        Ok(i8::from_be_bytes(self.take()?))
    }

    pub(super) fn i16(&mut self) -> io::Result<i16> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    pub(super) fn i32(&mut self) -> io::Result<i32> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    /// A string; null is none.
    pub(super) fn string(&mut self) -> io::Result<Option<String>> {
        let Ok(length) = usize::try_from(self.i16()?) else { return Ok(None) };
        let (text, rest) = self.0.split_at_checked(length).ok_or_else(short)?;
        self.0 = rest;
        Ok(Some(String::from_utf8_lossy(text).into_owned()))
    }

    /// An array; null is empty. Memory grows with what is there, not with the length that is claimed.
    pub(super) fn array<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> io::Result<T>,
    ) -> io::Result<Vec<T>> {
        let length = self.i32()?;
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(item(self)?);
        }
        Ok(items)
    }
}

fn short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the response ends too early")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_that_ends_early_is_an_error() {
        assert!(Response(&[0, 5, b'a']).string().is_err());
        assert!(Response(&[0x7f, 0xff, 0xff, 0xff, 0]).array(Response::i32).is_err());
        assert_eq!(Response(&[0xff, 0xff]).string().unwrap(), None);
        assert_eq!(Response(&[0, 1, b'a']).string().unwrap().as_deref(), Some("a"));
    }
}
