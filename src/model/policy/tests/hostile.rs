//! Whatever bytes a policy is made of: a fault with its place, never a panic.

use super::*;

#[test]
fn hostile_files_are_faults_with_a_place_and_never_a_panic() {
    let deep = format!("a = {}1{}\n", "[".repeat(5000), "]".repeat(5000));
    let deep_key = format!("{} = 1\n", vec!["a"; 5000].join("."));
    let deep_header = format!("[{}]\n", vec!["a"; 5000].join("."));
    let deep_inline = format!("a = {}1{}\n", "{b=".repeat(3000), "}".repeat(3000));
    let big = vec![b'#'; 10 << 20];
    let table: [(&[u8], &str); 14] = [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"\xef\xbb\xbfschema = 1\n", "byte order mark"),
        (b"schema = 1\r\n", "carriage return"),
        (b"a = \"\0\"\n", "NUL"),
        (b"a = 1\nb = \"\xff\"\n", "UTF-8"),
        (b"a = \n", "TOML"),
        (b"a = 1\na = 2\n", "TOML"),
        (b"[site\nroot = 3", "TOML"),
        (&big, "bytes"),
        (deep.as_bytes(), "TOML"),
        (deep_key.as_bytes(), "TOML"),
        (deep_header.as_bytes(), "TOML"),
        (deep_inline.as_bytes(), "TOML"),
    ];
    for (bytes, reason) in table {
        let faults = read(bytes, Path::new("/p.toml"), &env()).unwrap_err();
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]);
        assert!(
            faults.iter().any(|f| f.reason.contains(reason)),
            "{start:?}: {faults:?}"
        );
        assert!(faults.iter().all(|f| f.line > 0 && f.column > 0));
    }
    let place = read(b"a = 1\nb = \"\xff\"\n", Path::new("/p.toml"), &env()).unwrap_err();
    assert_eq!((place[0].line, place[0].column), (2, 6));
}

#[test]
fn no_text_makes_the_parser_panic() {
    use proptest::prelude::*;
    proptest!(ProptestConfig::with_cases(200), |(text in "[\\[\\]a-c=\"'\\n{},.#0-9 \u{e9}-]{0,60}")| {
        let _ = with(&text);
        let _ = parse(&text);
    });
}

#[test]
fn a_damaged_policy_is_a_fault_or_a_policy_and_never_a_panic() {
    use proptest::prelude::*;
    let whole = include_bytes!("../../../../profiles/federation.toml");
    let edit = (0..whole.len(), any::<u8>(), 0..40usize);
    let config = ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(edits in proptest::collection::vec(edit, 1..4))| {
        let mut bytes = whole.to_vec();
        for (at, byte, cut) in edits {
            let at = at.min(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, [byte]);
        }
        if let Err(faults) = read(&bytes, Path::new("/etc/p.toml"), &env()) {
            prop_assert!(!faults.is_empty() && faults.iter().all(|f| f.line > 0 && f.column > 0));
        }
    });
}

#[test]
fn a_flood_of_faults_is_cut_short() {
    let text = format!("{SITE}[truth]\nexclude = [{}]\n", "1,".repeat(200_000));
    assert_eq!(parse(&text).unwrap_err().len(), 100);
}
