//! Base64 (RFC 4648 §4), strict: the standard alphabet, padding, no white space, no stray bits, so
//! that every text has one meaning and every meaning one text (RFC 6120 §13.9.1). Used for SASL,
//! SCRAM and the verification string of capabilities.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= chunk.len() {
                text.push(ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize] as char);
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// The bytes that `text` stands for; `None` when it is not what [`encode`] would have written.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let last = (text.len() / 4).checked_sub(1);
    for (index, quad) in text.chunks(4).enumerate() {
        let padding = match quad {
            [_, _, b'=', b'='] => 2,
            [_, _, _, b'='] => 1,
            _ => 0,
        };
        if padding > 0 && Some(index) != last {
            return None;
        }
        let mut bits = 0;
        for &digit in &quad[..4 - padding] {
            bits = bits << 6 | value(digit)?;
        }
        bits <<= 6 * padding;
        let three = &bits.to_be_bytes()[1..];
        let (whole, rest) = three.split_at(3 - padding);
        // Bits that no byte takes must be zero (RFC 4648 §3.5).
        if rest.iter().any(|&byte| byte != 0) {
            return None;
        }
        bytes.extend_from_slice(whole);
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4648_section_10() {
        let vectors: [(&[u8], &str); 9] = [
            (b"", ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
            (&[0xff, 0xef, 0xbe], "/+++"),
            (&[0, 0, 0], "AAAA"),
        ];
        for (bytes, text) in vectors {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).as_deref(), Some(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_strict() {
        let bad = [
            "=",
            "==",
            "====",
            "A",
            "AA",
            "AAA",
            "A===",
            "AA=A",
            "Zg==Zg==",
            "Zh==",
            "Zm9=",
            "Zg= =",
            "Zm9v\n",
            " Zm9v",
            "Zm9v ",
            "Zm-v",
            "Zm_v",
            "Zm9vé",
            "Zg==\0\0\0\0",
            "=AAA",
        ];
        for text in bad {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn every_length_round_trips() {
        let bytes: Vec<u8> = (0..=255).collect();
        for len in 0..bytes.len() {
            assert_eq!(decode(&encode(&bytes[..len])).as_deref(), Some(&bytes[..len]));
        }
    }
}
