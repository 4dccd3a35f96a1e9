//! The scan for secrets: the built-in one against the real gitleaks, rule files, lists of findings that were looked at, and what a
//! later commit is scanned for.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod fleet;
mod lab;

use std::collections::BTreeSet;
use std::fs;

use fleet::Fleet;
use lab::{Side, need};

fn ready() -> bool {
    need(&["git", "rsync", "ssh", "sshd", "gitleaks"])
}

/// Nobody's; all secrets here are put together from parts, so that no scan of this project finds one.
fn token() -> String {
    ["ghp", "_", "0aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX"].concat()
}

fn set(fleet: &Fleet, key: &str, value: &str) {
    let file = fleet.lab.policy_file(Side::Laptop);
    let text = fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|l| match l.starts_with(key) {
        true => format!("{key} = {value}"),
        false => l.to_owned(),
    });
    let text = lines.collect::<Vec<_>>().join("\n") + "\n";
    fleet.lab.write_policy(Side::Laptop, &text);
}

/// What the scan says, each finding in one line.
fn findings(fleet: &Fleet) -> BTreeSet<String> {
    let out = fleet.lab.run(&["publish", "vm0", "--json"]);
    let doc = out.json();
    let all = doc["findings"].as_array().unwrap().iter();
    all.filter(|f| f["guard"] == "secrets")
        .map(|f| f["message"].as_str().unwrap().to_owned())
        .collect()
}

/// Secrets of many kinds and what only looks like one: path and content.
fn planted() -> Vec<(&'static str, String)> {
    let varied = "k3Jq9ZxW7vB2nM5pL8rT4yH6";
    let hex = "9f86d081884c7d659a2feaa0c55ad015";
    let upper = "QW3ERTYUI5OPASD2";
    let key = |kind: &str| {
        let body = "MIIEpAIBAAKCAQEAx7Vb0n4Ql1c9kT2\n".repeat(8);
        let (a, b) = ("-----BEGIN ", "-----END ");
        format!("{a}{kind}PRIVATE KEY-----\n{body}{b}{kind}PRIVATE KEY-----\n")
    };
    let far = "x = 1\n".repeat(60_000);
    vec![
        ("github.toml", format!("a = 1\ntoken = \"{}\"\n", token())),
        ("last-line", format!("one\ntwo\n{}", token())),
        ("one-line", token()),
        ("crlf.ini", format!("[a]\r\nkey={}\r\n", token())),
        ("twice", format!("{0}\n\n{0} {0}\n", token())),
        ("deep/er/far.txt", format!("{far}{}\n{far}", token())),
        (
            "aws.cfg",
            format!("id = {}{upper}\n", ["AK", "IA"].concat()),
        ),
        (
            "aws-doc.md",
            format!("id = {}IOSFODNN7EXAMPLE\n", ["AK", "IA"].concat()),
        ),
        ("rsa", key("RSA ")),
        ("notes/key.txt", format!("see:\n{}", key("OPENSSH "))),
        (
            "google.js",
            format!(
                "const k = '{}SyD{varied}9sQ1wEr2';\n",
                ["AI", "za"].concat()
            ),
        ),
        (
            "stripe.rb",
            format!("x = '{}live_{varied}'\n", ["sk", "_"].concat()),
        ),
        (
            "slack.py",
            format!(
                "t = '{}-123456789012-123456789012-{varied}'\n",
                ["xo", "xb"].concat()
            ),
        ),
        (
            "gitlab.sh",
            format!("export T={}-{}\n", ["gl", "pat"].concat(), &varied[..20]),
        ),
        (
            "npm.rc",
            format!(
                "//r/:_authToken={}_{varied}{}\n",
                ["n", "pm"].concat(),
                &varied[..12]
            ),
        ),
        ("generic.yml", format!("service:\n  api_{}: {hex}\n", "key")),
        (
            "generic.env.md",
            format!("DB_{}=\"{varied}\"\nDB_USER=admin\n", "PASSWORD"),
        ),
        (
            "curl.sh",
            format!("curl -u 'joe:{varied}' https://example.com\n"),
        ),
        (
            "main.tf",
            format!("pass{} = \"{}\"\n", "word", &varied[..16]),
        ),
        (
            "plain.txt",
            format!("pass{} = \"{}\"\n", "word", &varied[..16]),
        ),
        (
            "secret.yaml",
            format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\ndata:\n  pw: {varied}\n"),
        ),
        (
            "nuget.config",
            format!(
                "<add key=\"ClearText{}\" value=\"{varied}\" />\n",
                "Password"
            ),
        ),
        ("store.p12", "not empty".into()),
        (
            "jwt",
            format!(
                "{}hbGciOiJIUzI1NiJ9.{}zdWIiOiIxMjM0NTY3ODkwIn0.{varied}{varied}\n",
                "eyJ", "eyJ"
            ),
        ),
        (
            "allowed.txt",
            format!("{} # gitleaks:{}\n", token(), "allow"),
        ),
        ("package-lock.json", token()),
        ("image.png", token()),
        (
            "words.txt",
            format!("api_{} = \"example-placeholder-value\"\n", "key"),
        ),
        (
            "same.txt",
            format!("token = {}{}\n", ["ghp", "_"].concat(), "X".repeat(36)),
        ),
        ("wide.txt", format!("é à\napi_{}: {hex}\n", "key")),
        (
            "config/azure.tf",
            format!(
                "client_{} = \"abc8Q~{}\"\n",
                "secret", "dFgHjKlQwErTyUiOpAsDfGhJkLzXcVbNm"
            ),
        ),
    ]
}

#[test]
fn se_10_the_built_in_scan_finds_what_gitleaks_finds_rule_by_rule_and_line_by_line() {
    if !ready() {
        return;
    }
    let fleet = Fleet::new("scan = \"gitleaks\"");
    for (path, text) in planted() {
        fleet.write(path, &text);
    }
    fleet.commit();
    let theirs = findings(&fleet);
    set(&fleet, "scan", "\"builtin\"");
    let ours = findings(&fleet);
    assert!(theirs.len() > 20, "{theirs:#?}");
    let only =
        |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!(
        (only(&theirs, &ours), only(&ours, &theirs)),
        (vec![], vec![])
    );
}

#[test]
fn rule_files_and_lists_of_the_tree_count_for_both_scanners_until_the_policy_names_its_own() {
    if !ready() {
        return;
    }
    for scan in ["gitleaks", "builtin"] {
        let fleet = Fleet::new(&format!("scan = \"{scan}\"\nscan_config = \"\""));
        let file = fleet.lab.policy_file(Side::Laptop);
        let text = fs::read_to_string(&file).unwrap();
        fleet.lab.write_policy(
            Side::Laptop,
            &text.replace("scan_config = \"\"\n", "# config\n"),
        );
        fleet.write("conf/a.toml", &format!("token = \"{}\"\n", token()));
        fleet.write("conf/b.toml", &format!("\ntoken = \"{}\"\n", token()));
        fleet.write("c", &format!("{} # gitleaks:{}\n", token(), "allow"));
        fleet.write(
            ".gitleaks.toml",
            "[extend]\nuseDefault = true\n[[rules]]\nid = \"own\"\nregex = '''own-[0-9]{6}'''\n[allowlist]\npaths = ['''^conf/a''']\n",
        );
        fleet.write(".gitleaksignore", "conf/b.toml:github-pat:2\n");
        fleet.write("d", "own-123456\n");
        fleet.commit();
        let told = |path: &str, rule: &str, line: u32| {
            format!("rule {rule} found what looks like a secret in {path}, line {line}")
        };
        assert_eq!(
            findings(&fleet),
            BTreeSet::from([told("d", "own", 1)]),
            "{scan}"
        );
        // Whoever can write to the repository has no say any more.
        let strict = fleet.lab.root().join("strict.toml");
        fs::write(&strict, "[extend]\nuseDefault = true\n").unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let named = format!("scan_config = {strict:?}");
        fleet
            .lab
            .write_policy(Side::Laptop, &text.replacen("# config", &named, 1));
        let all = [("conf/a.toml", 1), ("conf/b.toml", 2), ("c", 1)];
        let all = all.map(|(path, line)| told(path, "github-pat", line));
        assert_eq!(findings(&fleet), BTreeSet::from(all), "{scan}");
        // Rules that cannot be read let nothing pass.
        fs::write(&strict, "[[rules]]\nid = \"x\"\nregex = '''(?<!a)b'''\n").unwrap();
        let out = fleet.publish(&["vm0"]).expect(3);
        assert!(out.stdout.contains("scan for secrets failed"), "{out}");
    }
}

#[test]
fn of_a_later_commit_only_what_is_new_is_scanned_and_what_was_found_stays_found() {
    if !ready() {
        return;
    }
    let fleet = Fleet::injectable("scan = \"gitleaks\"\nallow = []");
    let said = fleet.lab.root().join("tmp/scanned");
    let script = format!(
        "find . -type f | sort >>{}\nexec \"$REAL\" \"$@\"",
        said.display()
    );
    fleet.lab.stand_in(Side::Laptop, "gitleaks", &script);
    let scanned = || fs::read_to_string(&said).unwrap_or_default();
    fleet.write("looked-at", &token());
    fleet.commit();
    fleet.publish(&["vm0"]).expect(3);
    set(&fleet, "allow", "[\"looked-at:github-pat:1\"]");
    fleet.publish(&["vm0"]).expect(0);
    assert!(scanned().contains("./README.md"), "{}", scanned());
    fs::remove_file(&said).unwrap();
    fleet.write("new/one", "nothing");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    assert_eq!(scanned(), "./new/one\n");
    fleet.publish(&["vm0"]).expect(0);
    assert_eq!(scanned(), "./new/one\n");
    // What was found before is not forgotten because it was not scanned again.
    set(&fleet, "allow", "[]");
    fleet.publish(&["vm0"]).expect(3);
    assert_eq!(scanned(), "./new/one\n");
    fleet.write("looked-at", "harmless");
    fleet.commit();
    fleet.publish(&["vm0"]).expect(0);
    // Another rule file: everything again.
    fleet.write(".gitleaks.toml", "[extend]\nuseDefault = true\n");
    fleet.commit();
    fs::remove_file(&said).unwrap();
    fleet.publish(&["vm0"]).expect(0);
    assert!(scanned().contains("./docs/a b.md"), "{}", scanned());
}
