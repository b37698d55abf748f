//! A record: the length of its content (`u32`), its event time (`i64`, milliseconds since the Unix epoch), both
//! little-endian, and its content.

use connector_api::{Error, Result};

/// Bytes before the content.
pub const HEAD: usize = 12;

/// The largest record with its head, in bytes.
pub const LARGEST: usize = 64 << 10;

/// Appends a record.
///
/// # Errors
///
/// For content that a journal can't hold: none at all, or too much.
pub fn put(journal: &mut Vec<u8>, millis: i64, content: Option<&[u8]>) -> Result<()> {
    let content = content.filter(|content| HEAD + content.len() <= LARGEST);
    let content = content.ok_or_else(|| Error::data("a row", None, "is null or larger than 64 KiB"))?;
    journal.extend_from_slice(&(content.len() as u32).to_le_bytes());
    journal.extend_from_slice(&millis.to_le_bytes());
    journal.extend_from_slice(content);
    Ok(())
}

/// The time of the first record and the length of its content, if it is there as a whole.
pub fn first(journal: &[u8]) -> Option<(i64, usize)> {
    let (length, rest) = journal.split_first_chunk::<4>()?;
    let (millis, rest) = rest.split_first_chunk::<8>()?;
    let length = u32::from_le_bytes(*length) as usize;
    rest.get(..length).map(|_| (i64::from_le_bytes(*millis), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_a_part_of_one_is_none() {
        let mut journal = Vec::new();
        put(&mut journal, -7, Some(b"abc")).unwrap();
        assert_eq!(first(&journal), Some((-7, 3)));
        for cut in 0..journal.len() {
            assert_eq!(first(&journal[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_a_journal_cannot_hold_is_refused() {
        let largest = vec![b'x'; LARGEST - HEAD];
        assert!(put(&mut Vec::new(), 0, Some(&largest)).is_ok());
        assert!(put(&mut Vec::new(), 0, Some(&[&largest[..], b"x"].concat())).is_err());
        assert!(put(&mut Vec::new(), 0, None).is_err());
    }
}
