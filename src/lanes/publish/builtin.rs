//! The scan that needs no other program: names that keys go by, and a few unmistakable shapes of secrets.
//!
//! Invariant: it only ever adds findings; what a secret is stays unsaid. It knows far less than a real scanner does.

use crate::host::export as lay;
use crate::lanes::publish::export::Export;
use crate::model::entry::Entry;
use crate::model::path::RelPath;
use crate::tool::gitleaks::Leak;

/// Longer files are not read; what is that big is data.
const LONGEST: u64 = 8 << 20;

/// Findings by name and by content.
pub fn scan(export: &Export) -> Result<Vec<Leak>, String> {
    let mut leaks = by_name(export);
    for (path, entry) in &export.want {
        let Entry::File(file) = entry else { continue };
        if file.size > LONGEST {
            continue;
        }
        let bytes = lay::read(&lay::at(&export.dir, path)).map_err(|e| format!("{path}: {e}"))?;
        for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
            if let Some(rule) = shape(line) {
                leaks.push(leak(path, number as u64 + 1, rule));
            }
        }
    }
    Ok(leaks)
}

/// Files that hold secrets by what they are called.
pub fn by_name(export: &Export) -> Vec<Leak> {
    export
        .want
        .iter()
        .filter(|(p, e)| matches!(e, Entry::File(f) if f.size > 0) && is_secret_name(p.name()))
        .map(|(p, _)| leak(p, 1, "secret-file-name"))
        .collect()
}

fn leak(path: &RelPath, line: u64, rule: &str) -> Leak {
    Leak {
        path: path.lossy(),
        line,
        rule: rule.into(),
    }
}

fn is_secret_name(name: &[u8]) -> bool {
    let ends = |tail: &str| name.ends_with(tail.as_bytes());
    let is = |whole: &str| name == whole.as_bytes();
    let keys = [
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        "id_ecdsa_sk",
        "id_ed25519_sk",
    ];
    is(".env")
        || is(".netrc")
        || is(".pgpass")
        || is(".htpasswd")
        || keys.iter().any(|k| is(k))
        || [
            ".pem",
            ".key",
            ".p12",
            ".pfx",
            ".jks",
            ".keystore",
            ".kdbx",
            ".ppk",
        ]
        .iter()
        .any(|t| ends(t))
        || ends("_state.json")
}

/// Prefixes that issuers give their tokens, and how many token characters must follow.
const TOKENS: [(&str, &str, usize); 14] = [
    ("aws-access-key", "AKIA", 16),
    ("aws-access-key", "ASIA", 16),
    ("github-token", "ghp_", 36),
    ("github-token", "gho_", 36),
    ("github-token", "ghs_", 36),
    ("github-token", "github_pat_", 40),
    ("gitlab-token", "glpat-", 20),
    ("slack-token", "xoxb-", 20),
    ("slack-token", "xoxp-", 20),
    ("stripe-key", "sk_live_", 20),
    ("google-key", "AIza", 35),
    ("pypi-token", "pypi-AgEI", 40),
    ("npm-token", "npm_", 36),
    ("anthropic-key", "sk-ant-", 40),
];

/// The rule that a line breaks.
fn shape(line: &[u8]) -> Option<&'static str> {
    if has(line, b"-----BEGIN ").is_some() && has(line, b"PRIVATE KEY").is_some() {
        return Some("private-key");
    }
    for (rule, prefix, least) in TOKENS {
        let mut rest = line;
        while let Some(at) = has(rest, prefix.as_bytes()) {
            let before = at.checked_sub(1).map(|i| rest[i]);
            let tail = &rest[at + prefix.len()..];
            let run = tail
                .iter()
                .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_' || **b == b'-')
                .count();
            if run >= least
                && before.is_none_or(|b| !b.is_ascii_alphanumeric())
                && varied(&tail[..run])
            {
                return Some(rule);
            }
            rest = tail;
        }
    }
    None
}

fn has(line: &[u8], needle: &[u8]) -> Option<usize> {
    crate::tool::remote::find(line, needle)
}

/// Placeholders such as `XXXX…` repeat themselves; a token does not.
fn varied(token: &[u8]) -> bool {
    let mut seen = [false; 256];
    token.iter().for_each(|b| seen[usize::from(*b)] = true);
    seen.iter().filter(|s| **s).count() >= 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmistakable_shapes_are_found_and_placeholders_are_not() {
        assert_eq!(
            shape(b"-----BEGIN OPENSSH PRIVATE KEY-----"),
            Some("private-key")
        );
        let token = ["ghp", "_", "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX"].concat();
        assert_eq!(
            shape(format!("token = {token}").as_bytes()),
            Some("github-token")
        );
        assert_eq!(shape(format!("ghp_{}", "X".repeat(36)).as_bytes()), None);
        assert_eq!(shape(b"AKIA is a prefix"), None);
    }

    #[test]
    fn keys_are_known_by_their_names() {
        for bad in [
            ".env",
            "id_ed25519",
            "server.pem",
            "tls.key",
            "mission_state.json",
        ] {
            assert!(is_secret_name(bad.as_bytes()), "{bad}");
        }
        for good in ["env.md", "id_ed25519.pub", "keyboard", ".env.example"] {
            assert!(!is_secret_name(good.as_bytes()), "{good}");
        }
    }
}
