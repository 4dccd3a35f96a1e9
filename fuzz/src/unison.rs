//! What unison asks and says: a list of asked paths (NUL between them), two NULs, then its bytes.

use std::collections::HashMap;

use ubos_sync::tool::unison::{
    Fatal, Prompt, RunProfile, failures, fatal, finished, parse_prompt, run_profile,
};

use super::assert_harmless;

pub fn check(data: &[u8]) {
    let cut = data.windows(2).position(|w| w == b"\0\0");
    let (paths, heard) = cut.map_or((&b""[..], data), |i| (&data[..i], &data[i + 2..]));
    let asked: HashMap<Vec<u8>, ()> = paths.split(|b| *b == 0).map(|p| (p.to_vec(), ())).collect();
    prompt(heard, &asked);
    said(heard);
    profile(heard);
}

fn prompt(heard: &[u8], asked: &HashMap<Vec<u8>, ()>) {
    let Prompt::Item(shown) = parse_prompt(heard, asked) else {
        return;
    };
    let bracket = heard
        .iter()
        .rposition(|b| *b == b'[')
        .expect("a prompt ends with one");
    let text = &heard[..bracket];
    // What an item is called is what stands before the prompt, to the byte.
    let name = text.strip_suffix(b"  ").expect("two blanks");
    assert!(name.ends_with(&shown.path));
    let head = name.len() - shown.path.len() - 26;
    assert!(
        head == 0 || name[head - 1] == b'\n',
        "an item begins a line"
    );
}

fn said(heard: &[u8]) {
    let done = finished(heard);
    let paths = || done.iter().flatten().map(|(path, _)| path);
    assert!(paths().all(|p| heard.windows(p.len().max(1)).any(|w| w.starts_with(p))));
    let kept: usize = paths().map(Vec::len).sum();
    assert!(
        kept <= 4096 * heard.len().max(1),
        "{kept} bytes of {}",
        heard.len()
    );
    let failed = failures(heard);
    failed.values().for_each(|why| assert_harmless(why));
    assert!(failed.keys().map(Vec::len).sum::<usize>() <= heard.len());
    let text = String::from_utf8_lossy(heard);
    let (Fatal::Archives(why) | Fatal::LostConnection(why) | Fatal::Other(why)) = fatal(&text);
    assert_harmless(&why);
}

/// Whatever the fixed profile says, the roots are the run's, and there are two.
fn profile(fixed: &[u8]) {
    let run = RunProfile {
        local_root: "/here",
        peer_name: "p",
        peer_root: "/there",
        starter: "/ssh",
        keep_marker_check: false,
        ignore: vec![b"x".to_vec()],
        backup_not: vec![],
    };
    let rendered = run_profile(fixed, &run);
    let lines: Vec<&[u8]> = rendered.split(|b| *b == b'\n').collect();
    let set = |key: &[u8]| {
        let of = |l: &&&[u8]| {
            l.split(|b| *b == b'=')
                .next()
                .unwrap_or_default()
                .trim_ascii()
                == key
        };
        lines.iter().filter(of).count()
    };
    assert_eq!(
        (
            set(b"root"),
            set(b"sshcmd"),
            set(b"servercmd"),
            set(b"mountpoint")
        ),
        (2, 1, 0, 0)
    );
}
