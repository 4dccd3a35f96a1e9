//! What a listener on another host says: records framed by the nonce of its call, whatever a file is called. Pure: parses bytes.
//!
//! Invariants: what is not framed is not believed; a record has a greatest length, and so has everything together between two
//! cycles, so that a host that talks without end costs a bounded amount.

use crate::model::path::RelPath;
use crate::tool::remote::find;

/// A record longer than this is none: a path has at most 4 KiB, of which each byte may need several.
const LONGEST: usize = 64 << 10;
/// More than this between two cycles is a flood; all that changed is looked at anyway.
const FLOOD: usize = 8 << 20;

/// One thing that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// There is no tool over there.
    None,
    /// The tool that listens.
    Tool(String),
    Changed(RelPath),
    /// Something got another name: what lies below it has moved without a word.
    Renamed(RelPath),
    /// Everything up to this mark of ours has been said.
    Mark(u64),
    /// Something was missed.
    Missed,
    /// It hears nothing any more; why, as far as it knows.
    Died(String),
}

/// Takes bytes, gives words.
#[derive(Debug)]
pub struct Parser {
    nonce: String,
    rest: Vec<u8>,
    said: usize,
    root: Vec<u8>,
    marks: Vec<u8>,
}

impl Parser {
    pub fn new(nonce: &str) -> Self {
        Self {
            nonce: nonce.to_owned(),
            rest: Vec::new(),
            said: 0,
            root: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// A cycle looks at everything: what is said from now on is counted anew.
    pub fn begin_count(&mut self) {
        self.said = 0;
    }

    /// The words that are whole by now; why it is not listened to any longer.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Vec<Word>, &'static str> {
        self.said += bytes.len();
        if self.said > FLOOD {
            return Err("it said more than is read between two cycles");
        }
        self.rest.extend_from_slice(bytes);
        let begin = format!("{} ", self.nonce);
        let end = format!("/{}\n", self.nonce);
        let mut words = Vec::new();
        let mut at = 0;
        while let Some(from) = find(&self.rest[at..], begin.as_bytes()) {
            let body = at + from + begin.len();
            let Some(len) = find(&self.rest[body..], end.as_bytes()) else {
                at += from;
                break;
            };
            let record = self.rest[body..body + len].to_vec();
            at = body + len + end.len();
            words.extend(self.word(&record));
        }
        self.rest.drain(..at);
        match self.rest.len() > LONGEST {
            true => Err("it said something that is no list of changes"),
            false => Ok(words),
        }
    }

    fn word(&mut self, record: &[u8]) -> Option<Word> {
        let cut = record.iter().position(|b| *b == b' ')?;
        let (what, text) = (&record[..cut], &record[cut + 1..]);
        match what {
            b"NONE" => return Some(Word::None),
            b"TOOL" => return Some(Word::Tool(crate::model::text::neutral_bytes(text))),
            b"DIED" => return Some(Word::Died(crate::model::text::neutral_bytes(text))),
            b"ROOT" => {
                self.root = [text, b"/"].concat();
                return None;
            }
            b"MARKS" => {
                self.marks = [text, b"/mark."].concat();
                return None;
            }
            _ => {}
        }
        let (mut is_change, mut is_rename) = (false, false);
        for flag in what.split(|b| *b == b',') {
            match flag {
                b"Q_OVERFLOW" | b"UNMOUNT" | b"Overflow" => return Some(Word::Missed),
                b"MOVED_FROM" | b"MOVED_TO" | b"MovedFrom" | b"MovedTo" | b"Renamed" => {
                    is_rename = true;
                }
                b"CREATE" | b"MODIFY" | b"ATTRIB" | b"DELETE" | b"Created" | b"Updated"
                | b"Removed" | b"AttributeModified" | b"OwnerModified" => is_change = true,
                // That something was opened or read is no change.
                _ => {}
            }
        }
        if let Some(n) = strip(text, &self.marks) {
            return std::str::from_utf8(n).ok()?.parse().ok().map(Word::Mark);
        }
        let path = RelPath::new(strip(text, &self.root)?).filter(|p| !p.is_root())?;
        match (is_rename, is_change) {
            (true, _) => Some(Word::Renamed(path)),
            (false, true) => Some(Word::Changed(path)),
            (false, false) => None,
        }
    }
}

fn strip<'a>(text: &'a [u8], head: &[u8]) -> Option<&'a [u8]> {
    text.strip_prefix(head).filter(|_| !head.is_empty())
}

/// The directories that hold nothing of interest, as one extended regular expression; empty when there are none.
pub fn exclusion(names: &[String]) -> String {
    let plain = |n: &&String| !n.contains(|c: char| c.is_control());
    let each: Vec<String> = names.iter().filter(plain).map(|n| literal(n)).collect();
    match each.is_empty() {
        true => String::new(),
        false => format!("/({})(/|$)", each.join("|")),
    }
}

fn literal(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if r".[]{}()\*+?|^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(p: &str) -> RelPath {
        RelPath::new(p).unwrap()
    }

    fn parser() -> Parser {
        let mut p = Parser::new("N0");
        let said =
            p.take(b"motd\nN0 TOOL inotifywait/N0\nN0 ROOT /srv/r/N0\nN0 MARKS /h/s/ear.7/N0\n");
        assert_eq!(said.unwrap(), [Word::Tool("inotifywait".into())]);
        p
    }

    #[test]
    fn words_come_whole_in_whatever_pieces_they_arrive() {
        let text = b"N0 MODIFY /srv/r/docs/a\nN0 CREATE b/N0\nN0 MOVED_TO,ISDIR /srv/r/d/N0\nN0 CREATE /h/s/ear.7/mark.12/N0\nx\nN0 OPEN /srv/r/o/N0\n";
        let all = [
            Word::Changed(path("docs/a\nN0 CREATE b")),
            Word::Renamed(path("d")),
            Word::Mark(12),
        ];
        assert_eq!(parser().take(text).unwrap(), all);
        let (mut p, mut heard) = (parser(), Vec::new());
        for b in text {
            heard.extend(p.take(&[*b]).unwrap());
        }
        assert_eq!(heard, all);
    }

    #[test]
    fn both_tools_are_understood_and_what_is_outside_or_only_read_is_not() {
        let text = b"N0 Created,MovedTo /srv/r/a/N0\nN0 Updated /srv/r/b/N0\nN0 PlatformSpecific /srv/r/c/N0\nN0 IsDir /srv/r/N0\nN0 MODIFY /etc/x/N0\nN0 MODIFY /srv/r/../x/N0\nN0 Overflow /srv/r/N0\n";
        assert_eq!(
            parser().take(text).unwrap(),
            [
                Word::Renamed(path("a")),
                Word::Changed(path("b")),
                Word::Missed
            ]
        );
    }

    #[test]
    fn endless_talk_costs_a_bounded_amount() {
        let mut p = parser();
        let mut read = 0;
        // A record that never ends.
        p.take(b"N0 MODIFY /srv/r/").unwrap();
        while p.take(&[b'x'; 4096]).is_ok() {
            read += 4096;
        }
        assert!(read <= LONGEST);
        // Records without end, and noise without end.
        for text in [&b"N0 MODIFY /srv/r/a/N0\n"[..], &b"noise\n"[..]] {
            let (mut p, mut read) = (parser(), 0);
            while p.take(text).is_ok() {
                read += text.len();
                assert!(read <= FLOOD && p.rest.len() <= LONGEST);
            }
        }
        let mut p = parser();
        for _ in 0..100 {
            p.begin_count();
            p.take(&b"N0 MODIFY /srv/r/a/N0\n".repeat(9000)).unwrap();
        }
    }

    #[test]
    fn names_become_a_pattern_that_means_just_them() {
        assert_eq!(exclusion(&[]), "");
        let names = [".git".to_owned(), "a+b".to_owned()];
        assert_eq!(exclusion(&names), r"/(\.git|a\+b)(/|$)");
    }
}
