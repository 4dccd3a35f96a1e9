//! Bad policies, command lines and surroundings (catalogue BI): a clean answer, exit 2 where it is the user's to mend, nothing run.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use lab::{Lab, Output, Side, need};

/// Two directories without ssh. Whatever is called `ssh` or `unison` there leaves a trace when it is started.
fn pair() -> Lab {
    let lab = Lab::builder().without_sshd().build();
    lab.local_policy("");
    lab.write(Side::Laptop, "docs/a", "a");
    lab
}

const HEAD: &str = "schema = 1\n[site]\nname = \"mac\"\nroot = \"tree\"\n";
const PEER: &str = "[[peer]]\nname = \"balaur\"\nhost = \"balaur.example\"\nroot = \"/srv/repo\"\n";

/// Runs `truth --apply` with this policy: exit 2, said on standard error with file, line and column, and without a trace.
#[track_caller]
fn refused(lab: &Lab, policy: &[u8], about: &str) -> Output {
    let file = lab.policy_file(Side::Laptop);
    std::fs::write(&file, policy).unwrap();
    let before = Side::BOTH.map(|side| lab.snapshot(side));
    let out = lab.run(&["truth", "--apply"]);
    assert_eq!(out.code, 2, "{about}\n{out}");
    assert!(out.stdout.is_empty(), "{about}\n{out}");
    assert!(out.stderr.contains("ubos-sync.toml"), "{about}\n{out}");
    assert!(!out.stderr.contains("panicked"), "{about}\n{out}");
    for (side, before) in Side::BOTH.iter().zip(&before) {
        before.assert_unchanged(&lab.tree(*side), about);
    }
    assert!(
        !lab.home(Side::Laptop).join("logs").exists(),
        "{about}: a run was recorded"
    );
    out
}

/// Whether a place `:LINE:COLUMN` is named.
fn has_place(text: &str) -> bool {
    text.split(char::is_whitespace).any(|word| {
        let mut parts = word.trim_end_matches(':').rsplit(':');
        let mut number = || parts.next().is_some_and(|p| p.parse::<u32>().is_ok());
        number() && number()
    })
}

#[test]
fn bi_01_malformed_files_are_refused_with_a_place() {
    let lab = pair();
    let deep = [b"x = ".to_vec(), b"[".repeat(100_000)].concat();
    let huge = [HEAD.as_bytes().to_vec(), b"# comment\n".repeat(1_100_000)].concat();
    let bad: [(&str, &[u8]); 11] = [
        ("empty", b""),
        ("a byte order mark", b"\xef\xbb\xbfschema = 1\n"),
        ("line ends of another system", b"schema = 1\r\n[site]\r\n"),
        ("not toml", b"schema = 1\n[site\nname"),
        ("no value", b"schema = \n"),
        ("a NUL byte", b"schema = 1\n[site]\nname = \"m\0ac\"\n"),
        (
            "bytes that are not text",
            b"schema = 1\n[site]\nname = \"\xff\xfe\"\n",
        ),
        ("twice the same key", b"schema = 1\nschema = 1\n"),
        ("an unclosed string", b"schema = 1\n[site]\nname = \"mac\n"),
        ("nested beyond reason", &deep),
        ("a directory of bytes", &huge),
    ];
    for (about, policy) in bad {
        let out = refused(&lab, policy, about);
        assert!(
            has_place(&out.stderr) || about == "a directory of bytes",
            "{about}\n{out}"
        );
        assert!(
            out.stderr.len() < 20_000,
            "{about}: {} bytes",
            out.stderr.len()
        );
    }
}

#[test]
fn bi_02_03_misspelt_keys_and_wrong_values_are_named_with_the_nearest_word() {
    let lab = pair();
    let near = [
        ("[truth]\nexlude = []", "exclude"),
        ("[guards]\nmax_deletes = 3", "max_delete"),
        ("[truht]", "truth"),
        ("[truth]\nconflicts = \"never\"", "newer"),
        ("[publish]\nlayout = \"inplace\"", "in-place"),
    ];
    for (rest, word) in near {
        let out = refused(&lab, format!("{HEAD}{PEER}{rest}\n").as_bytes(), rest);
        assert!(
            out.stderr.contains(word) && has_place(&out.stderr),
            "{rest}\n{out}"
        );
    }
    let wrong = [
        "[truth]\ninclude = \"docs\"",
        "[truth]\ninclude = [\"/etc\"]",
        "[truth]\ninclude = [\"../up\"]",
        "[truth]\ninclude = [\"~/x\"]",
        "[truth]\npermissions = \"yes\"",
        "[truth]\nfull_scan_every = \"-1h\"",
        "[truth]\nfull_scan_every = nan",
        "[guards]\nmax_delete_floor = -1",
        "[guards]\nmax_clock_skew = \"2 parsecs\"",
        "[guards]\nmin_free_space = \"99999999999999999999GiB\"",
        "[guards]\nmarker = \"\"",
        "[guards]\nmarker = \"../x\"",
        "[snapshots]\nkeep = 99999999999999999999",
        "[schedule]\ninterval = \"0\"",
        "[audit]\nkeep = []",
    ];
    for rest in wrong {
        let out = refused(&lab, format!("{HEAD}{PEER}{rest}\n").as_bytes(), rest);
        assert!(has_place(&out.stderr), "{rest}\n{out}");
    }
    // All faults at once, not the first.
    let many = format!(
        "{HEAD}{PEER}[truth]\nexlude = []\n[guards]\nmax_delete = true\n[snapshots]\nkeep = -1\n"
    );
    let out = refused(&lab, many.as_bytes(), "three faults");
    for word in ["exlude", "max_delete", "keep", "3 faults"] {
        assert!(out.stderr.contains(word), "{word}\n{out}");
    }
}

#[test]
fn bi_04_bad_globs_are_faults_and_one_that_takes_everything_out_is_too() {
    let lab = pair();
    for glob in [
        "[abc", "{a", "a\\\\", "**", "*", "", "/", "a//b", "../a", "{z,*}", "{*,z}",
    ] {
        let text = format!("{HEAD}{PEER}[truth]\nexclude = [\"{glob}\"]\n");
        let out = refused(&lab, text.as_bytes(), glob);
        assert!(has_place(&out.stderr), "{glob}\n{out}");
    }
}

#[test]
fn bi_05_duplicate_names_and_roots_within_each_other_are_faults() {
    let lab = pair();
    let tree = lab.tree(Side::Laptop);
    let cases = [
        format!("{PEER}{PEER}"),
        PEER.replace("balaur\"", "mac\""),
        format!("[[peer]]\nname = \"balaur\"\nroot = {tree:?}\n"),
        format!(
            "[[peer]]\nname = \"balaur\"\nroot = {:?}\n",
            tree.join("in")
        ),
        format!(
            "[[peer]]\nname = \"balaur\"\nroot = {:?}\n",
            tree.parent().unwrap()
        ),
        "[[peer]]\nname = \"b\"\nroot = \"one\"\n[[peer]]\nname = \"c\"\nroot = \"one/two\"\n"
            .into(),
    ];
    for rest in cases {
        refused(&lab, format!("{HEAD}{rest}").as_bytes(), &rest);
    }
    let same = "schema = 1\n[site]\nname = \"mac\"\nroot = \"tree\"\nstate_dir = \"tree\"\n";
    refused(
        &lab,
        format!("{same}{PEER}").as_bytes(),
        "root == state_dir",
    );
}

#[test]
fn bi_06_hosts_and_users_that_are_options_never_reach_ssh() {
    let lab = pair();
    // Found before the real one, should anything look for it.
    let bin = lab.root().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let trace = lab.root().join("started");
    for name in ["ssh", "unison", "rsync"] {
        let file = bin.join(name);
        std::fs::write(&file, format!("#!/bin/sh\ntouch {}\n", trace.display())).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    let long = "h".repeat(300);
    let hosts = [
        "-oProxyCommand=x",
        "h:22 -oX",
        "a;b",
        "a b",
        "a\\nb",
        "",
        "$(x)",
        "h/../x",
        "[::1",
        long.as_str(),
    ];
    let users = ["-l", "a@b", "a/b", "a b", "", "a\\u001bb"];
    let policy = |key: &str, value: &str| match key {
        "host" => format!("{HEAD}[[peer]]\nname = \"b\"\nhost = \"{value}\"\nroot = \"/srv\"\n"),
        key => format!("{HEAD}{PEER}{key} = {value}\n"),
    };
    let mut cases: Vec<String> = hosts.iter().map(|h| policy("host", h)).collect();
    cases.extend(users.iter().map(|u| policy("user", &format!("\"{u}\""))));
    cases.extend(["0", "-1", "65536", "\"22\"", "22.0"].map(|p| policy("port", p)));
    cases.extend(["\"uni son\"", "\"-x\"", "\"\"", "\"unison;x\""].map(|u| policy("unison", u)));
    for text in cases {
        lab.write_policy(Side::Laptop, &text);
        let mut command = lab.command(Side::Laptop);
        let path = format!("{}:/usr/bin:/bin", bin.display());
        command.env("PATH", path).args(["truth", "--apply"]);
        let out = lab.start(command).wait();
        assert_eq!(out.code, 2, "{text}\n{out}");
        assert!(!out.stderr.contains('\u{1b}'), "{text}\n{out}");
        assert!(!trace.exists(), "something was started by\n{text}");
    }
}

#[test]
fn bi_07_wrong_command_lines_run_nothing() {
    let lab = pair();
    let before = Side::BOTH.map(|side| lab.snapshot(side));
    let wrong: [&[&str]; 13] = [
        &[],
        &["trut"],
        &["truth", "--apply=yes please"],
        &["truth", "--apply", "--dry-run"],
        &["truth", "--allow"],
        &["truth", "--apply", "--allow", "max_delet"],
        &["truth", "--wait", "soon"],
        &["truth", "--color", "pink"],
        &["truth", "-q", "-v"],
        &["truth", "--path"],
        &["truth", "--apply", "--apply", "--frobnicate"],
        &["truth", "balaur", "nobody", "--apply"],
        &["check", "--apply"],
    ];
    for args in wrong {
        let out = lab.run(args);
        assert_eq!(out.code, 2, "{args:?}\n{out}");
        assert!(!out.stderr.contains("panicked"), "{args:?}\n{out}");
    }
    let out = lab.run(&["truth", "--apply", "--allow", "max_delet"]);
    assert!(out.stderr.contains("max_delete"), "{out}");
    for (side, before) in Side::BOTH.iter().zip(&before) {
        before.assert_unchanged(&lab.tree(*side), "a wrong command line");
    }
    assert!(!lab.home(Side::Laptop).join("logs").exists());
}

#[test]
fn bi_08_odd_surroundings_work_or_end_cleanly() {
    if !need(&["unison", "sh"]) {
        return;
    }
    let lab = pair();
    let run = |what: &str, script: &str, code: i32| {
        let mut command = lab.tool(Side::Laptop, "/bin/sh");
        command
            .env("UBOS_SYNC_POLICY", lab.policy_file(Side::Laptop))
            .env("BIN", env!("CARGO_BIN_EXE_ubos-sync"))
            .args(["-c", script]);
        let out = lab.start(command).wait();
        assert_eq!(out.code, code, "{what}\n{out}");
        assert!(!out.stderr.contains("panicked"), "{what}\n{out}");
        out
    };
    run(
        "closed standard input",
        "exec \"$BIN\" truth --apply <&-",
        0,
    );
    lab.write(Side::Laptop, "docs/b", "b");
    run(
        "no terminal, no language",
        "unset LANG TERM; LC_ALL=C exec \"$BIN\" truth --apply",
        0,
    );
    lab.write(Side::Laptop, "docs/c", "c");
    run("umask 000", "umask 000; exec \"$BIN\" truth --apply", 0);
    let logs = lab.home(Side::Laptop).join("logs/runs");
    assert_eq!(mode(&logs), 0o700);
    assert_eq!(mode(&lab.state_dir(Side::Laptop)), 0o700);
    lab.write(Side::Laptop, "docs/d", "d");
    run("umask 777", "umask 777; exec \"$BIN\" truth --apply", 0);
    lab.assert_equal_truth(&[]);
    run(
        "a closed standard output",
        "\"$BIN\" truth --apply >&-; [ $? -lt 126 ]",
        0,
    );
    run(
        "a full standard output",
        "\"$BIN\" truth >/dev/full; [ $? -lt 126 ]",
        0,
    );
    run("a reader that went away", "\"$BIN\" truth --all | true", 0);
    let out = run("no home", "unset HOME; exec \"$BIN\" truth --apply", 2);
    assert!(out.stderr.contains("HOME"), "{out}");
    run(
        "a home that is not there",
        "HOME=/nonexistent/home exec \"$BIN\" check",
        0,
    );
    run(
        "a policy that is a directory",
        "exec \"$BIN\" --policy . check",
        2,
    );
    run(
        "a policy that is not there",
        "exec \"$BIN\" --policy ./none check",
        2,
    );
}

fn mode(file: &std::path::Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions()) & 0o7777
}
