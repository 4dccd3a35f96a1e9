//! POSIX `sh` scripts and how they travel: the program is a constant, everything else is data on standard input.
//!
//! Invariant: no text of a user ever becomes part of a command line or of a script. The loader reads the length of the script,
//! then the script, escaped; the script reads its parameters line by line, then whatever bulk data follows.

/// What every script is started by, here and on a peer. A shell's `read` asks the system for each byte, which costs some 0.7 ms
/// for a kilobyte; `dd` asks for all there is, and never for more than is wanted.
macro_rules! loader {
    () => {
        r#"IFS= read -r length && script= && while [ ${#script} -lt "$length" ]; do piece=$(dd bs=$((length-${#script})) count=1 2>/dev/null) && [ -n "$piece" ] || exit 97; script=$script$piece; done && eval "$(printf %b "$script")""#
    };
}

/// The command that every script starts with here.
pub const LOADER: &str = loader!();

/// What ssh is asked to run: [`LOADER`] under `sh`, quoted for sh, bash, zsh, fish and csh alike.
pub const REMOTE_COMMAND: &str = concat!("exec sh -c '", loader!(), "'");

pub const AGENT: &str = include_str!("sh/agent.sh");
pub const ARM: &str = include_str!("sh/arm.sh");
pub const BEGIN: &str = include_str!("sh/begin.sh");
pub const BULK: &str = include_str!("sh/bulk.sh");
pub const COMMIT: &str = concat!(include_str!("sh/sha.sh"), include_str!("sh/commit.sh"));
pub const DOCTOR: &str = concat!(include_str!("sh/sha.sh"), include_str!("sh/doctor.sh"));
pub const EAR: &str = include_str!("sh/ear.sh");
pub const FACTS: &str = concat!(include_str!("sh/names.sh"), include_str!("sh/facts.sh"));
pub const HOLD: &str = include_str!("sh/hold.sh");
pub const HASH: &str = concat!(include_str!("sh/names.sh"), include_str!("sh/hash.sh"));
pub const LIBRARIAN: &str = include_str!("sh/librarian.sh");
pub const LOG_PROBE: &str = include_str!("sh/log_probe.sh");
pub const LOG_READ: &str = include_str!("sh/log_read.sh");
pub const MEND: &str = include_str!("sh/mend.sh");
pub const PAUSE: &str = include_str!("sh/pause.sh");
pub const PENDING: &str = include_str!("sh/pending.sh");
pub const PUT_BACK: &str = include_str!("sh/put_back.sh");
pub const READ_FILE: &str = include_str!("sh/read_file.sh");
pub const RESTORE: &str = include_str!("sh/restore.sh");
pub const ROOM: &str = include_str!("sh/room.sh");
pub const SHELL: &str = include_str!("sh/shell.sh");
pub const SNAPSHOTS: &str = include_str!("sh/snapshots.sh");
pub const SWEEP_UP: &str = include_str!("sh/sweep_up.sh");

/// The bytes to send: the length of the script in a line, the script with its line breaks escaped, then each parameter on a line
/// of its own. A parameter with a line break cannot be sent and is refused.
pub fn encode(script: &str, parameters: &[&str]) -> Option<Vec<u8>> {
    Some([loaded(script), lines(parameters)?].concat())
}

/// A script as the loader reads it.
pub fn loaded(script: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(script.len());
    for line in code(script) {
        push_escaped(&mut text, line.as_bytes());
        text.extend_from_slice(b"\\n");
    }
    let mut out = format!("{}\n", text.len()).into_bytes();
    out.extend(text);
    out
}

/// The lines of a script that say something to the shell.
pub fn code(script: &str) -> impl Iterator<Item = &str> {
    script.lines().filter(|l| !l.trim_start().starts_with('#'))
}

/// Each parameter on a line of its own; none may hold a line break.
pub fn lines(parameters: &[&str]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for p in parameters {
        if p.contains(['\n', '\0']) {
            return None;
        }
        out.extend_from_slice(p.as_bytes());
        out.push(b'\n');
    }
    Some(out)
}

/// Bytes as `printf %b` gives them back, without a control character: none that a shell would take away at an end of them, and in
/// any locale as many characters as bytes.
pub fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for b in bytes {
        match b {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b' '..=b'~' => out.push(*b),
            b => out.extend_from_slice(format!("\\0{b:03o}").as_bytes()),
        }
    }
}

/// A name as `printf %b` reads it back, whatever its bytes are: a parameter is one line of text. A name in which nothing has to
/// be escaped stands as it is, so that a script can spare itself the reading.
pub fn escaped(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if !text.contains(|c: char| c.is_control() || c == '\\') => text.to_owned(),
        _ => name.iter().map(|b| format!("\\0{b:03o}")).collect(),
    }
}

/// The part of a reply between `<nonce> BEGIN` and `<nonce> END`; `None` when it is not whole.
/// What a talkative login shell printed before is returned too.
pub fn framed<'a>(bytes: &'a [u8], nonce: &str) -> Option<(&'a [u8], &'a [u8])> {
    let begin = begin(nonce);
    let end = format!("{nonce} END\n");
    let start = find(bytes, begin.as_bytes())?;
    let body = &bytes[start + begin.len()..];
    let stop = find(body, end.as_bytes())?;
    Some((&bytes[..start], &body[..stop]))
}

/// The same of bytes that are the caller's: what is long stays where it is.
pub fn unframed(mut bytes: Vec<u8>, nonce: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let (noise, body) = framed(&bytes, nonce)?;
    let (noise, length) = (noise.to_vec(), body.len());
    let start = noise.len() + begin(nonce).len();
    bytes.truncate(start + length);
    bytes.drain(..start);
    Some((noise, bytes))
}

/// What a reply that is not whole yet has said so far.
pub fn begun<'a>(bytes: &'a [u8], nonce: &str) -> Option<&'a [u8]> {
    let begin = begin(nonce);
    Some(&bytes[find(bytes, begin.as_bytes())? + begin.len()..])
}

fn begin(nonce: &str) -> String {
    format!("\n{nonce} BEGIN\n")
}

/// First place of `needle` in `hay`.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(hay, needle)
}

/// The value of the first line `key value` of a reply.
pub fn value<'a>(body: &'a [u8], key: &str) -> Option<&'a str> {
    values(body, key).next()
}

/// All values of lines `key value`.
pub fn values<'a>(body: &'a [u8], key: &str) -> impl Iterator<Item = &'a str> {
    body.split(|b| *b == b'\n')
        .filter_map(|l| std::str::from_utf8(l).ok())
        .filter_map(move |l| l.strip_prefix(key)?.strip_prefix(' '))
        .map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_tells_its_length_and_parameters_follow() {
        let bytes = encode("# why\na='x\\n'\nb\n", &["p 1", ""]).unwrap();
        assert_eq!(bytes, b"13\na='x\\\\n'\\nb\\np 1\n\n");
        assert!(encode("a", &["evil\nline"]).is_none());
    }

    #[test]
    fn a_reply_is_found_behind_a_motd_and_not_believed_when_cut() {
        let whole = b"Welcome!\n\nN0 BEGIN\nhome /h\nx\nN0 END\n";
        let (noise, body) = framed(whole, "N0").unwrap();
        assert_eq!(noise, b"Welcome!\n");
        assert_eq!(value(body, "home"), Some("/h"));
        assert!(framed(&whole[..whole.len() - 2], "N0").is_none());
        assert!(framed(b"", "N0").is_none());
    }
}
