//! What single values may be: durations, sizes, limits, words, names, hosts. Pure text to value.
//!
//! Invariant: nothing accepted here can be read as an option, hold a control character, or be
//! pasted into something else than what it says.

use std::time::Duration;

use toml::de::DeValue;

use super::fault::Bad;
use super::types::DeleteLimit;
use crate::model::text::nearest;

type Value<'a> = DeValue<'a>;

/// Longest time accepted; beyond it arithmetic on dates stops being safe.
const MAX_DURATION: Duration = Duration::from_secs(100 * 365 * 86_400);

pub fn wrong_type(value: &Value, wanted: &str) -> Bad {
    Bad::new(format!("wanted {wanted}, found {}", type_name(value)))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A non-empty string without control characters.
pub fn text<'a>(value: &'a Value) -> Result<&'a str, Bad> {
    let text = text_or_empty(value)?;
    if text.is_empty() {
        return Err(Bad::new("may not be empty"));
    }
    Ok(text)
}

pub fn text_or_empty<'a>(value: &'a Value) -> Result<&'a str, Bad> {
    let text = value
        .as_str()
        .ok_or_else(|| wrong_type(value, "a string"))?;
    if text.chars().any(char::is_control) {
        return Err(Bad::new("may not hold control characters"));
    }
    Ok(text)
}

pub fn boolean(value: &Value) -> Result<bool, Bad> {
    value
        .as_bool()
        .ok_or_else(|| wrong_type(value, "true or false"))
}

/// A whole number within the limits.
pub fn integer(value: &Value, min: u64, max: u64) -> Result<u64, Bad> {
    let written = value
        .as_integer()
        .ok_or_else(|| wrong_type(value, "a whole number"))?;
    let number = u64::from_str_radix(written.as_str(), written.radix());
    match number {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        _ if max == u64::MAX => Err(Bad::new(format!(
            "must be a whole number of at least {min}"
        ))),
        _ => Err(Bad::new(format!(
            "must be a whole number from {min} to {max}"
        ))),
    }
}

/// `"300"`, `"5m"`, `"1h30m"`, `"300ms"`, or a bare integer; without a unit, seconds.
pub fn duration(value: &Value) -> Result<Duration, Bad> {
    let found = match value {
        DeValue::Integer(n) if n.radix() == 10 => parse_duration(n.as_str()),
        DeValue::String(s) => parse_duration(s),
        _ => return Err(wrong_type(value, "a duration such as \"5m\"")),
    };
    found.ok_or_else(|| {
        Bad::with(
            "is not a duration",
            "a number of seconds or units: \"300\", \"5m\", \"1h30m\", \"2d\", \"300ms\"",
        )
    })
}

/// The same grammar for the command line.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.is_ascii() {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().ok()?)).filter(|d| *d <= MAX_DURATION);
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        let number: u64 = number.parse().ok()?;
        total = total.checked_add(Duration::from_millis(number.checked_mul(millis)?))?;
        rest = after;
    }
    Some(total).filter(|d| *d <= MAX_DURATION)
}

/// The shortest way to write a duration that [`parse_duration`] reads back.
pub fn show_duration(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    let mut out = String::new();
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)] {
        if seconds >= length {
            out.push_str(&format!("{}{unit}", seconds / length));
            seconds %= length;
        }
    }
    if duration.subsec_millis() > 0 {
        out.push_str(&format!("{}ms", duration.subsec_millis()));
    }
    if out.is_empty() { "0s".into() } else { out }
}

/// `"256MiB"`, `"1GB"`, `"64k"`, `"0"`, or a bare integer of bytes.
pub fn size(value: &Value) -> Result<u64, Bad> {
    let found = match value {
        DeValue::Integer(n) if n.radix() == 10 => parse_size(n.as_str()),
        DeValue::String(s) => parse_size(s),
        _ => return Err(wrong_type(value, "a size such as \"256MiB\"")),
    };
    found.ok_or_else(|| {
        Bad::with(
            "is not a size",
            "a number of bytes, or with a unit: \"256MiB\", \"1GB\"",
        )
    })
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

pub fn show_size(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// `"20%"` or a plain count, as a number or a string.
pub fn delete_limit(value: &Value) -> Result<DeleteLimit, Bad> {
    let bad = || {
        Bad::with(
            "must be a percentage from 0% to 100% or a count of files",
            "\"20%\" or 100",
        )
    };
    match value {
        DeValue::Integer(_) => integer(value, 0, u64::MAX)
            .map(DeleteLimit::Count)
            .map_err(|_| bad()),
        DeValue::String(s) => match s.strip_suffix('%') {
            Some(number)
                if !number.is_empty()
                    && number.bytes().all(|b| b.is_ascii_digit() || b == b'.') =>
            {
                match number.parse::<f64>() {
                    Ok(p) if (0.0..=100.0).contains(&p) => Ok(DeleteLimit::Percent(p)),
                    _ => Err(bad()),
                }
            }
            Some(_) => Err(bad()),
            None if s.bytes().all(|b| b.is_ascii_digit()) => {
                s.parse().map(DeleteLimit::Count).map_err(|_| bad())
            }
            None => Err(bad()),
        },
        _ => Err(bad()),
    }
}

/// One of a few words.
pub fn word<T: Copy>(value: &Value, words: &[(&'static str, T)]) -> Result<T, Bad> {
    let found = value.as_str().ok_or_else(|| wrong_type(value, "a word"))?;
    if let Some((_, meaning)) = words.iter().find(|(w, _)| *w == found) {
        return Ok(*meaning);
    }
    let all: Vec<String> = words.iter().map(|(w, _)| format!("\"{w}\"")).collect();
    let mut bad = Bad::new(format!("must be {}", all.join(", ")));
    bad.suggestion = nearest(found, words.iter().map(|(w, _)| *w)).map(|w| format!("\"{w}\""));
    Err(bad)
}

fn is_name(text: &str, first: fn(u8) -> bool, max: usize) -> bool {
    text.len() <= max
        && text.bytes().next().is_some_and(first)
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The name of a site, peer or target: it becomes part of file names and of the engine's host names.
pub fn name(value: &Value) -> Result<String, Bad> {
    let name = text(value)?;
    if is_site_name(name) {
        return Ok(name.to_owned());
    }
    Err(Bad::new(
        "a name begins with a letter or digit and has only letters, digits, `.`, `_`, `-`, at most 64",
    ))
}

pub fn is_site_name(name: &str) -> bool {
    is_name(name, |b| b.is_ascii_alphanumeric(), 64)
}

/// A host name, an address or an alias of the ssh configuration; never something ssh could take for an option.
pub fn host(value: &Value) -> Result<String, Bad> {
    let host = text(value)?;
    let is_plain = is_name(host, |b| b.is_ascii_alphanumeric(), 253) && !host.contains('_');
    // Without a colon a hexadecimal word is a plain name; with two it can only be an address.
    let is_v6 = host.len() <= 45
        && host.bytes().filter(|b| *b == b':').count() >= 2
        && host.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    if is_plain || is_v6 {
        return Ok(host.to_owned());
    }
    if let Some((user, rest)) = host.split_once('@') {
        return Err(Bad::with(
            "a host has no user in it",
            format!("user = \"{user}\" and host = \"{rest}\""),
        ));
    }
    Err(Bad::new(
        "a host begins with a letter or digit and has only letters, digits, `.`, `-` (or is a plain IPv6 address)",
    ))
}

pub fn user(value: &Value) -> Result<String, Bad> {
    let user = text(value)?;
    if is_name(user, |b| b.is_ascii_alphanumeric() || b == b'_', 64) {
        return Ok(user.to_owned());
    }
    Err(Bad::new(
        "a user begins with a letter, digit or `_` and has only letters, digits, `.`, `_`, `-`",
    ))
}

/// A program on the peer: a name or an absolute path, never an option or a command line.
pub fn program(value: &Value) -> Result<String, Bad> {
    let program = text(value)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+' | b'/');
    let starts_well = !program.starts_with(['-', '.']);
    if program.len() <= 255 && program.bytes().all(plain) && starts_well && !program.ends_with('/')
    {
        return Ok(program.to_owned());
    }
    Err(Bad::new(
        "a program is a name or an absolute path of letters, digits, `.`, `_`, `-`, `+`, without arguments",
    ))
}

/// The name of an environment variable; the value itself (an address, a secret) does not belong here.
pub fn env_name(value: &Value) -> Result<String, Bad> {
    let found = text(value)?;
    let sound = found
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && found.len() <= 128
        && found
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if sound {
        return Ok(found.to_owned());
    }
    Err(Bad::with(
        "must be the NAME of an environment variable, never the address itself",
        "\"UBOS_SYNC_WEBHOOK\"",
    )
    .hidden())
}

/// A limit in systemd's words: `768M`, `50%`, `infinity`.
pub fn memory_limit(value: &Value) -> Result<String, Bad> {
    let found = text(value)?;
    let number = found.trim_end_matches(['K', 'M', 'G', 'T', '%']);
    let sound = found == "infinity"
        || (!number.is_empty()
            && found.len() - number.len() <= 1
            && number.bytes().all(|b| b.is_ascii_digit()));
    if sound {
        Ok(found.to_owned())
    } else {
        Err(Bad::with("is not a memory limit", "\"768M\""))
    }
}

pub fn cpu_quota(value: &Value) -> Result<String, Bad> {
    let found = text(value)?;
    match found.strip_suffix('%').map(str::parse::<u32>) {
        Some(Ok(1..)) => Ok(found.to_owned()),
        _ => Err(Bad::with("is not a CPU quota", "\"50%\"")),
    }
}

pub fn unit_name(value: &Value) -> Result<String, Bad> {
    let found = text(value)?;
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_' | b'.' | b'@' | b'\\');
    if found.len() <= 255 && found.bytes().all(plain) && !found.starts_with(['-', '.']) {
        return Ok(found.to_owned());
    }
    Err(Bad::with("is not the name of a unit", "\"my-app.service\""))
}

/// A git remote or branch name, or empty where that has a meaning.
pub fn git_name(value: &Value) -> Result<String, Bad> {
    let found = text_or_empty(value)?;
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b'+' | b'#');
    let sound = found.bytes().all(plain)
        && !found.starts_with(['-', '.', '/'])
        && !found.ends_with(['.', '/'])
        && !found.ends_with(".lock")
        && !["..", "//", "/."].iter().any(|s| found.contains(s));
    if sound {
        Ok(found.to_owned())
    } else {
        Err(Bad::new("is not a name that git accepts"))
    }
}

/// Where to clone from. Helper transports run commands, and a password in an address ends up in logs.
pub fn git_url(value: &Value) -> Result<String, Bad> {
    let found = text_or_empty(value)?;
    if found.starts_with('-') || found.contains("::") || found.contains(' ') {
        return Err(Bad::new("is not an address to clone from").hidden());
    }
    let authority = found
        .split_once("://")
        .map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    if authority
        .split_once('@')
        .is_some_and(|(user, _)| user.contains(':'))
    {
        return Err(Bad::with("holds a password", "ssh, or git's credential helper").hidden());
    }
    Ok(found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> toml::Spanned<DeValue<'_>> {
        DeValue::parse(text).unwrap()
    }

    #[test]
    fn durations_are_read_and_shown() {
        for (text, seconds) in [
            ("300", 300),
            ("5m", 300),
            ("1h30m", 5400),
            ("0s", 0),
            ("2d", 172_800),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_secs(seconds)),
                "{text}"
            );
            let again = show_duration(Duration::from_secs(seconds));
            assert_eq!(
                parse_duration(&again),
                Some(Duration::from_secs(seconds)),
                "{again}"
            );
        }
        assert_eq!(parse_duration("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(
            duration(parsed("300").get_ref()),
            Ok(Duration::from_secs(300))
        );
        for bad in [
            "",
            "m",
            "5x",
            "-1",
            "1.5h",
            "5 m",
            "99999999999999999999",
            "9999999w",
            "5m3",
            "٣s",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes) in [
            ("0", 0),
            ("256MiB", 256 << 20),
            ("64k", 65536),
            ("1GB", 1_000_000_000),
        ] {
            assert_eq!(parse_size(text), Some(bytes));
            assert_eq!(parse_size(&show_size(bytes)), Some(bytes));
        }
        for bad in ["", "MiB", "1XB", "-1", "99999999999TiB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_ssh_could_take_for_an_option_is_no_host_and_no_user() {
        for good in [
            "\"a.example\"",
            "\"192.0.2.7\"",
            "\"::1\"",
            "\"fe80::1\"",
            "\"A-1\"",
        ] {
            assert!(host(parsed(good).get_ref()).is_ok(), "{good}");
        }
        let long = format!("\"{}\"", "a".repeat(300));
        for bad in [
            "\"-oProxyCommand=x\"",
            "\"h:22\"",
            "\"h:22 -oX\"",
            "\"a;b\"",
            "\"a b\"",
            "\"a\\nb\"",
            "\"\"",
            "\"u@h\"",
            "\"[::1]\"",
            &long,
        ] {
            assert!(host(parsed(bad).get_ref()).is_err(), "{bad}");
        }
        for bad in ["\"a@b\"", "\"a/b\"", "\"-l\"", "\"\"", "\"a b\"", "\".a\""] {
            assert!(user(parsed(bad).get_ref()).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_are_percentages_or_counts() {
        assert_eq!(
            delete_limit(parsed("\"20%\"").get_ref()),
            Ok(DeleteLimit::Percent(20.0))
        );
        assert_eq!(
            delete_limit(parsed("100").get_ref()),
            Ok(DeleteLimit::Count(100))
        );
        assert_eq!(
            delete_limit(parsed("\"0\"").get_ref()),
            Ok(DeleteLimit::Count(0))
        );
        for bad in [
            "-1", "\"abc\"", "\"101%\"", "\"%\"", "\"-5%\"", "\"nan%\"", "nan", "1.5", "\"\"",
            "\"1e1%\"",
        ] {
            assert!(delete_limit(parsed(bad).get_ref()).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_and_passwords_are_not_accepted_where_names_belong() {
        assert!(
            env_name(parsed("\"https://hooks.example/x\"").get_ref())
                .unwrap_err()
                .hide
        );
        assert!(
            git_url(parsed("\"https://u:pw@h.example/r\"").get_ref())
                .unwrap_err()
                .hide
        );
        assert!(git_url(parsed("\"ext::sh -c x\"").get_ref()).is_err());
        assert!(git_url(parsed("\"git@h.example:o/r.git\"").get_ref()).is_ok());
    }
}
