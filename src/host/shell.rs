//! A shell that stays on a host, for the many small scripts of a run: one session serves them all.
//!
//! Invariants: one script at a time; what does not fit into it gets a session of its own; a shell that broke is not used again.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::host::process::{Heard, Session};
use crate::host::{clock, signals};
use crate::model::invocation::Invocation;
use crate::tool::remote;

/// A shell has to keep all of it at once: what is longer goes through a session of its own.
const MOST: usize = 128 << 10;
/// What stands between a script and what it reads, and for a line break; neither has one.
const SEPARATOR: u8 = 0x1f;
const LINE: u8 = 0x1e;
/// A far login shell that says nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(120);

/// The place for the shell of one connection; clones share it.
#[derive(Clone, Default)]
pub struct Place(Arc<Mutex<Option<Shell>>>);

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Place")
    }
}

struct Shell {
    session: Session,
    errors: File,
}

/// What a script said, framed as it framed it, and what it complained of.
pub struct Said {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Place {
    /// Runs a script there, which reads the input. `None`: all of it is too long for that. `nonce` is the one that frames its answer.
    pub fn run(
        &self,
        start: &dyn Fn() -> Invocation,
        nonce: &str,
        script: &str,
        input: &[&[u8]],
    ) -> Option<io::Result<Said>> {
        // The loader escapes such a script.
        if script.bytes().any(|b| matches!(b, SEPARATOR | LINE)) {
            return None;
        }
        // It only becomes longer.
        if input.iter().map(|part| part.len()).sum::<usize>() > MOST {
            return None;
        }
        let request = request(nonce, script, &input.concat());
        if request.len() > MOST {
            return None;
        }
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match Self::stand(&mut place, start, nonce) {
            Ok(Ok(())) => {}
            Ok(Err(said)) => return Some(Ok(said)),
            Err(e) => return Some(Err(e)),
        }
        let shell = place.as_mut()?;
        let said = shell.ask(&request, nonce);
        if said.is_err() {
            let broken = place.take();
            return Some(Ok(Said {
                stdout: Vec::new(),
                stderr: broken.map_or_else(Vec::new, Shell::complaints),
            }));
        }
        Some(said)
    }

    /// Has a shell stand there, for scripts that will come; one that cannot be started is told of by the first of them.
    pub fn prepare(&self, start: &dyn Fn() -> Invocation, nonce: &str) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = Self::stand(&mut place, start, nonce);
    }

    fn stand(
        place: &mut Option<Shell>,
        start: &dyn Fn() -> Invocation,
        nonce: &str,
    ) -> io::Result<Result<(), Said>> {
        if place.is_some() {
            return Ok(Ok(()));
        }
        let opened = Shell::open(&start(), nonce)?;
        Ok(opened.map(|shell| *place = Some(shell)))
    }

    /// Starts the shell now, by a session that makes the connection; what was complained of when that failed.
    pub fn open(&self, how: &Invocation, nonce: &str) -> io::Result<Result<(), Vec<u8>>> {
        Ok(match Shell::open(how, nonce)? {
            Ok(shell) => {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(shell);
                Ok(())
            }
            Err(said) => Err(said.stderr),
        })
    }

    /// Whether a shell stands and answers within so long; one that does not is cut off.
    pub fn answers(&self, nonce: &str, patience: Duration) -> bool {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shell) = place.as_mut() else {
            return false;
        };
        let asked = shell.session.send(&request(nonce, ":", b""));
        let mark = format!("\n{nonce} OVER\n");
        let answers = asked.is_ok() && shell.hear(&mark, Some(patience)).is_some();
        if !answers && let Some(mut broken) = place.take() {
            broken.session.kill();
        }
        answers
    }

    /// Ends the shell without asking it: its connection is believed to be dead.
    pub fn cut(&self) {
        let shell = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut shell) = shell {
            shell.session.kill();
        }
    }

    /// Ends the shell, which keeps its connection open otherwise.
    pub fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Shell {
    /// Starts one; what was complained of when that failed.
    fn open(how: &Invocation, nonce: &str) -> io::Result<Result<Shell, Said>> {
        let errors = tempfile::tempfile()?;
        let session = Session::start(how, errors.try_clone()?)?;
        let mut shell = Shell { session, errors };
        let [separator, line] = [SEPARATOR, LINE].map(|b| char::from(b).to_string());
        let Some(first) = remote::encode(remote::SHELL, &[nonce, &separator, &line]) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let _ = shell.session.send(&first);
        match shell.hear(&format!("{nonce} END\n"), Some(SILENCE)) {
            Some(_) => Ok(Ok(shell)),
            None => Ok(Err(Said {
                stdout: Vec::new(),
                stderr: shell.complaints(),
            })),
        }
    }

    fn ask(&mut self, line: &[u8], nonce: &str) -> io::Result<Said> {
        self.session.send(line)?;
        let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let all = self
            .hear(&format!("\n{nonce} OVER\n"), None)
            .ok_or_else(ended)?;
        let mark = format!("\n{nonce} COMPLAINT\n");
        let cut = remote::find(&all, mark.as_bytes()).ok_or_else(ended)?;
        Ok(Said {
            stderr: all[cut + mark.len()..].to_vec(),
            stdout: all[..cut].to_vec(),
        })
    }

    /// Everything up to a mark; `None` when the session ended before. Where nothing is under way yet, it may be given up.
    fn hear(&mut self, mark: &str, patience: Option<Duration>) -> Option<Vec<u8>> {
        let mut heard = Vec::new();
        let begun = clock::monotonic();
        loop {
            let over = |p: Duration| signals::stop_wish().is_some() || begun.elapsed() > p;
            if patience.is_some_and(over) {
                return None;
            }
            match self.session.hear(Duration::from_millis(100)) {
                Heard::Bytes(bytes) => {
                    let from = usize::saturating_sub(heard.len(), mark.len());
                    heard.extend_from_slice(&bytes);
                    if let Some(at) = remote::find(&heard[from..], mark.as_bytes()) {
                        heard.truncate(from + at);
                        return Some(heard);
                    }
                }
                Heard::Nothing => {}
                Heard::End => return None,
            }
        }
    }

    fn complaints(mut self) -> Vec<u8> {
        let mut said = Vec::new();
        self.session.end(Duration::from_millis(500));
        let _ = self.errors.rewind();
        let _ = self.errors.take(1 << 16).read_to_end(&mut said);
        said
    }
}

/// One script for the shell, as it reads it.
fn request(mark: &str, script: &str, data: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(script.len() + data.len());
    for line in remote::code(script) {
        all.extend_from_slice(line.as_bytes());
        all.push(LINE);
    }
    all.push(SEPARATOR);
    let is_plain = is_plain(data);
    if is_plain {
        let line_break = |b: &u8| if *b == b'\n' { LINE } else { *b };
        all.extend(data.iter().map(line_break));
        // Behind the last line break, or the shell that divides this would forget empty lines at its end.
        all.push(b'.');
    } else {
        remote::push_escaped(&mut all, data);
    }
    let how = if is_plain { "plain" } else { "escaped" };
    let mut out = format!("{mark} {} {how}\n", all.len()).into_bytes();
    out.extend(all);
    out
}

/// Whether it is lines of text that no shell would read as anything else.
fn is_plain(data: &[u8]) -> bool {
    let is_text = |b: &u8| matches!(b, b' '..=b'~' | b'\n' | b'\t');
    data.ends_with(b"\n") && data.iter().all(is_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> Invocation {
        Invocation::new("/bin/sh").args(["-c", remote::LOADER])
    }

    fn ask(place: &Place, script: &str, parameters: &[&str], data: &[u8]) -> Said {
        let parameters = remote::lines(parameters).unwrap();
        let said = place.run(&local, "n0", script, &[&parameters, data]);
        said.unwrap().unwrap()
    }

    #[test]
    fn scripts_follow_each_other_and_leave_nothing_behind_but_their_words() {
        let place = Place::default();
        let all: Vec<u8> = (0..=255).collect();
        for _ in 0..2 {
            let said = ask(
                &place,
                "IFS= read -r a\nprintf '%s\\n' \"$a\"\ncat\nx=1\ncd /",
                &["p \\n 1"],
                &all,
            );
            assert_eq!(said.stdout, [b"p \\n 1\n".as_slice(), &all].concat());
        }
        let said = ask(&place, "echo \"${x-none}\"; echo no >&2; exit 3", &[], b"");
        assert_eq!(said.stdout, b"none\n");
        assert_eq!(said.stderr, b"no");
        // One that ends the shell itself is told from one that ended, and the next gets a new one.
        let said = ask(&place, "kill -9 $$", &[], b"");
        assert_eq!(said.stdout, b"");
        assert_eq!(ask(&place, "echo again", &[], b"").stdout, b"again\n");
        let long = vec![b'x'; MOST];
        assert!(place.run(&local, "n0", "cat", &[&long]).is_none());
        assert!(place.run(&local, "n0", "echo \u{1f}", &[]).is_none());
    }

    #[test]
    fn what_a_script_reads_is_what_was_sent_to_the_byte() {
        let place = Place::default();
        for data in [
            "",
            "\n",
            "\n\n\n",
            " a  b \n\n",
            "no end",
            "$HOME `id` \\n \\\\ \"'\n",
            "DATA\n)\n.\n",
            "* ? [a]\n\t\tb\t\n",
            "\u{e4}\n",
            "\u{1e}\u{1f}\n",
            "-n\n",
        ] {
            let said = ask(&place, "cat", &[], data.as_bytes());
            assert_eq!(String::from_utf8(said.stdout).unwrap(), data);
        }
        let many = "a line of a list that is longer than a pipe holds\n".repeat(2000);
        let said = ask(&place, "# said\n\n  cat", &[], many.as_bytes());
        assert_eq!(said.stdout, many.as_bytes());
    }
}
