//! What a host says of itself before a run: the answer of the agent, behind whatever its login shell printed.

use ubos_sync::lanes::truth::hosts::{Holder, holder};
use ubos_sync::lanes::truth::said::{Said, parse_said};
use ubos_sync::model::policy::Remote;
use ubos_sync::tool::manager;
use ubos_sync::tool::remote::{encode, escaped, framed, values};
use ubos_sync::tool::ssh::explain_failure;

use super::{NONCE, assert_harmless};

pub fn check(data: &[u8]) {
    let body = match framed(data, NONCE) {
        Some((noise, body)) => {
            assert!(noise.len() + body.len() < data.len());
            body
        }
        None => data,
    };
    let said = parse_said(body);
    assert_eq!(parse_said(&written(&said)), said);
    assert!(said.generations.len() + said.pending.len() <= body.len());
    let Holder { words, .. } = holder("p", body);
    assert_harmless(&words);
    assert!(values(body, "gen").count() <= body.len());
    travels(data);
    told(&String::from_utf8_lossy(data));
}

/// What programs beside the scripts say reaches a screen in our words.
fn told(text: &str) {
    for told in [
        manager::systemd(text),
        manager::launchd(text, true),
        manager::launchd(text, false),
    ] {
        let words = [told.next_run, told.last_run, told.last_result];
        words.iter().flatten().for_each(|w| assert_harmless(w));
    }
    let remote = Remote {
        host: "h".into(),
        user: None,
        port: None,
        identity: None,
        ssh_config: None,
    };
    let (_, message, hint) = explain_failure(&remote, text);
    [message, hint].iter().for_each(|t| assert_harmless(t));
}

/// As the agent would have said it.
fn written(said: &Said) -> Vec<u8> {
    let mut out = String::new();
    let mut say = |key: &str, value: &str| out.push_str(&format!("{key} {value}\n"));
    let known = [
        ("state", &said.state),
        ("rootid", &said.root_identity),
        ("unison", &said.unison),
        ("stat", &said.style),
    ];
    known.iter().for_each(|(key, value)| say(key, value));
    let maybe = [
        ("root", &said.root),
        ("rootbad", &said.root_problem),
        ("heldby", &said.held),
        ("undoing", &said.undoing),
        ("cleared", &said.cleared),
        ("lockdead", &said.dead_lock),
        ("lockodd", &said.odd_lock),
    ];
    for (key, value) in maybe {
        value.iter().for_each(|v| say(key, v));
    }
    let flags = [
        ("rootrwx", said.root_usable),
        ("marker", said.marker),
        ("synced", said.synced),
    ];
    flags.iter().filter(|f| f.1).for_each(|f| say(f.0, "1"));
    let sizes = [("space", said.free_bytes), ("statespace", said.state_free)];
    for (key, bytes) in sizes {
        // As many KiB as were said: of more than there can be, the most there can be.
        bytes
            .iter()
            .for_each(|b| say(key, &b.div_ceil(1024).to_string()));
    }
    for what in &said.missing {
        say(
            if what.starts_with("sha") {
                "sha"
            } else {
                "stat"
            },
            "none",
        );
    }
    for g in &said.generations {
        let from = g.from.as_deref().unwrap_or_default();
        say(
            "gen",
            &format!("{} {} {} {from}", g.name, g.digest, g.serial),
        );
    }
    said.pending.iter().for_each(|p| say("pending", p));
    said.through.iter().for_each(|t| say("through", t));
    let time = |ns: i128| {
        format!(
            "{}.{:09}",
            ns.div_euclid(1_000_000_000),
            ns.rem_euclid(1_000_000_000)
        )
    };
    said.clock.iter().for_each(|c| say("clock", &time(*c)));
    say("swept", &time(said.swept_at));
    out.into_bytes()
}

/// A script and its parameters arrive as they were sent.
fn travels(data: &[u8]) {
    let word = escaped(data);
    assert!(!word.contains('\n') && word.len() <= 5 * data.len());
    if let Some(sent) = encode("true\n", &[&word]) {
        assert_eq!(sent, [b"6\ntrue\\n", word.as_bytes(), b"\n"].concat());
    }
}
