//! Checksums of bytes that are put together from parts.

/// CRC-32C's polynomial, its lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// The polynomial 1.
const ONE: u32 = 1 << 31;
/// What appending `n * 256^i` bytes multiplies by, at `i` and `n`: x to the power of eight times that.
static SHIFTS: [[u32; 256]; 4] = shifts();

/// The product of two polynomials, modulo CRC-32C's.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let (mut product, mut bit) = (0, ONE);
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        bit >>= 1;
        b = if b & 1 == 0 { b >> 1 } else { b >> 1 ^ POLYNOMIAL };
    }
    product
}

const fn shifts() -> [[u32; 256]; 4] {
    let mut shifts = [[ONE; 256]; 4];
    let (mut i, mut step) = (0, ONE >> 8);
    while i < shifts.len() {
        let mut n = 1;
        while n < 256 {
            shifts[i][n] = multiply(shifts[i][n - 1], step);
            n += 1;
        }
        step = multiply(shifts[i][255], step);
        i += 1;
    }
    shifts
}

/// What [`combine`] needs to know of `length` bytes that stand behind others: one multiplication for each byte of the length but one, in the manner of
/// zlib's `crc32_combine_gen`. That of the crate `crc32c` squares matrices, which takes as long as summing tens of kilobytes.
pub(crate) fn shift(length: u32) -> u32 {
    let parts = SHIFTS.iter().zip(length.to_le_bytes()).filter(|(_, n)| *n > 0);
    parts.map(|(shifts, n)| shifts[usize::from(n)]).reduce(multiply).unwrap_or(ONE)
}

/// The CRC-32C of bytes whose first part has the checksum `first`, and whose second part, which needs this [`shift`], has the checksum `second`.
pub(crate) fn combine(first: u32, second: u32, shift: u32) -> u32 {
    multiply(shift, first) ^ second
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_two_parts_is_that_of_the_whole() {
        let bytes: Vec<u8> = (0..70_000_u32).map(|n| (n * 7 % 251) as u8).collect();
        let whole = crc32c::crc32c(&bytes);
        for at in [0, 1, 2, 255, 256, 4096, 4464, 65_535, 69_999, 70_000] {
            let (first, second) = bytes.split_at(at);
            let shift = shift(second.len() as u32);
            assert_eq!(combine(crc32c::crc32c(first), crc32c::crc32c(second), shift), whole, "split at {at}");
        }
    }
}
