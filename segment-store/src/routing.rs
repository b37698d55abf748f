//! Where a routing key belongs.
//!
//! Pravega's hash, so that a stream means the same to every client: Guava's `murmur3_128` over the UTF-16 code units of the key (little
//! endian, `hashUnencodedChars`), seeded with the hash code of the Java string `EventRouter`; the upper 53 of the first 64 bits are a number in [0, 1).
//! Source: MurmurHash3_x64_128 by Austin Appleby (public domain).

/// `"EventRouter".hashCode()` in Java.
const SEED: u64 = java_hash_code("EventRouter") as u64;

const fn java_hash_code(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let mut hash: u32 = 0;
    let mut i = 0;
    while i < bytes.len() {
        hash = hash.wrapping_mul(31).wrapping_add(bytes[i] as u32);
        i += 1;
    }
    hash
}

/// The position of a routing key in [0, 1).
pub fn position(key: &str) -> f64 {
    let (first, _) = murmur3(key, SEED);
    to_unit(first)
}

/// The position of what has no key and is to be spread evenly: that of a number.
pub fn spread(number: u64) -> f64 {
    to_unit(mix(number.wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

/// 128 bits of a name.
pub(crate) fn hash_128(text: &str) -> u128 {
    let (first, second) = murmur3(text, SEED);
    u128::from(first) << 64 | u128::from(second)
}

/// As Pravega's `HashHelper`: the upper bits as the fraction of a double.
fn to_unit(bits: u64) -> f64 {
    f64::from_bits(bits >> 12 | 0x3ff0_0000_0000_0000) - 1.0
}

const fn mix(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ k >> 33
}

fn murmur3(text: &str, seed: u64) -> (u64, u64) {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let scramble_1 = |k: u64| k.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let scramble_2 = |k: u64| k.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let (mut h1, mut h2) = (seed, seed);
    let mut block = [0_u64; 2];
    let mut length: u64 = 0;
    for unit in text.encode_utf16() {
        let at = (length % 16) as usize;
        block[at / 8] |= u64::from(unit) << (at % 8 * 8);
        length += 2;
        if length.is_multiple_of(16) {
            h1 ^= scramble_1(block[0]);
            h1 = h1.rotate_left(27).wrapping_add(h2).wrapping_mul(5).wrapping_add(0x52dc_e729);
            h2 ^= scramble_2(block[1]);
            h2 = h2.rotate_left(31).wrapping_add(h1).wrapping_mul(5).wrapping_add(0x3849_5ab5);
            block = [0; 2];
        }
    }
    // What is left over: zeros change nothing.
    h2 ^= scramble_2(block[1]);
    h1 ^= scramble_1(block[0]);
    h1 ^= length;
    h2 ^= length;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    h1 = mix(h1);
    h2 = mix(h2);
    h1 = h1.wrapping_add(h2);
    (h1, h2.wrapping_add(h1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the official Java client 0.13.0 printed.
    #[test]
    fn a_key_belongs_where_the_official_client_puts_it() {
        for (key, expected) in [
            ("", 0.241_178_427_916_235_23),
            ("a", 0.943_391_275_381_688_4),
            ("key-1", 0.382_916_253_976_053_8),
            ("routing key", 0.126_500_677_685_199_57),
            ("ключ", 0.649_594_083_163_773_9),
            ("\u{1F600}", 0.775_025_591_217_116_4),
        ] {
            assert_eq!(position(key), expected, "{key:?}");
        }
    }

    #[test]
    fn numbers_are_spread_over_all_positions() {
        let mut counts = [0; 4];
        for n in 0..4000 {
            counts[(spread(n) * 4.0) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
