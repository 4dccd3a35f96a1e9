//! Whole numbers in lists of many lines, read from bytes and written to them.
//!
//! Invariant: what is read is exactly what was written; anything but digits (and a minus where there may be one) is no number.

use std::io::Write;

/// Digits of which any number fits, whatever they are.
const SAFE: usize = 18;

pub fn unsigned(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if bytes.len() <= SAFE {
        let sum = |n: u64, b: &u8| n * 10 + u64::from(b - b'0');
        return Some(bytes.iter().fold(0, sum));
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Permission bits.
pub fn octal(bytes: &[u8]) -> Option<u32> {
    let is_digit = |b: &u8| (b'0'..=b'7').contains(b);
    if bytes.is_empty() || !bytes.iter().all(is_digit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(bytes).ok()?, 8).ok()
}

/// Nanoseconds, mostly: wide, because some disks hold times that no 64 bits of them reach.
pub fn signed(bytes: &[u8]) -> Option<i128> {
    let (minus, digits) = match bytes.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, bytes),
    };
    let n = match unsigned(digits) {
        Some(n) => i128::from(n),
        None if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(digits).ok()?.parse().ok()?
        }
        None => return None,
    };
    Some(if minus { -n } else { n })
}

pub fn push(out: &mut Vec<u8>, n: i128) {
    // Writing to memory does not fail; the narrow way is the quick one.
    let _ = match i64::try_from(n) {
        Ok(n) => write!(out, "{n}"),
        Err(_) => write!(out, "{n}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sign_is_no_digit() {
        for signed in [&b"+644"[..], b"-644", b"+", b""] {
            assert_eq!((octal(signed), unsigned(signed)), (None, None));
        }
        assert_eq!((octal(b"0644"), octal(b"648")), (Some(0o644), None));
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(n in any::<i128>(), small in any::<u32>(), u in any::<u64>()) {
            for n in [n, i128::from(small), -i128::from(small), i128::from(u), -i128::from(u)] {
                let mut out = Vec::new();
                push(&mut out, n);
                prop_assert_eq!(out.clone(), n.to_string().into_bytes());
                prop_assert_eq!(signed(&out), n.to_string().parse().ok());
                prop_assert_eq!(unsigned(&out), n.to_string().parse().ok());
            }
        }

        #[test]
        fn anything_else_is_no_number(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let text = std::str::from_utf8(&bytes).ok().filter(|t| !t.starts_with('+'));
            prop_assert_eq!(unsigned(&bytes), text.and_then(|t| t.parse().ok()));
            prop_assert_eq!(signed(&bytes), text.and_then(|t| t.parse().ok()));
            prop_assert_eq!(octal(&bytes), text.and_then(|t| u32::from_str_radix(t, 8).ok()));
        }
    }
}
