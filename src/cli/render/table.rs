//! Columns that line up and lines that fit, by the width characters have on a screen.
//!
//! Invariant: only the one flexible column is ever shortened, in its middle, and never when everything was asked for.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::paint::{Meaning, Style};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// One cell: neutral text and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    pub meaning: Meaning,
}

impl Cell {
    pub fn new(text: impl Into<String>) -> Self {
        Self::of(Meaning::Plain, text)
    }

    pub fn of(meaning: Meaning, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            meaning,
        }
    }
}

const GAP: usize = 2;
/// A shortened column keeps at least this much, however narrow the screen.
const LEAST: usize = 12;

/// The rows as lines, indented, two spaces between columns, no spaces at the ends. Column `flexible` gives way.
pub fn lines(
    rows: &[Vec<Cell>],
    align: &[Align],
    flexible: usize,
    indent: usize,
    style: &Style,
) -> String {
    let mut widths = vec![0; align.len()];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.width());
        }
    }
    let used: usize = indent
        + widths
            .iter()
            .filter(|w| **w > 0)
            .map(|w| w + GAP)
            .sum::<usize>();
    let over = used.saturating_sub(GAP).saturating_sub(style.width);
    if over > 0 && !style.all {
        widths[flexible] = widths[flexible].saturating_sub(over).max(LEAST);
    }
    let mut out = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        let last = row.iter().rposition(|c| !c.text.is_empty());
        for (i, cell) in row.iter().enumerate() {
            if widths[i] == 0 || last.is_none_or(|l| i > l) {
                continue;
            }
            let text = match i == flexible && !style.all {
                true => shorten(&cell.text, widths[i]),
                false => cell.text.clone(),
            };
            let pad = " ".repeat(widths[i].saturating_sub(text.width()));
            let text = style.paint(cell.meaning, &text);
            line += &match align[i] {
                Align::Right => pad + &text,
                Align::Left if Some(i) == last => text,
                Align::Left => text + &pad,
            };
            if Some(i) != last {
                line += &" ".repeat(GAP);
            }
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// `text` in at most `width` columns: the middle goes, because the end of a path tells most.
pub fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.into();
    }
    let room = width.saturating_sub(1);
    let (head, tail) = (room / 3, room - room / 3);
    let take = |chars: &mut dyn Iterator<Item = char>, room: usize| -> String {
        let mut left = room;
        let fits = |c: &char| match left.checked_sub(c.width().unwrap_or(0)) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        chars.take_while(fits).collect()
    };
    let front = take(&mut text.chars(), head);
    let back = take(&mut text.chars().rev(), tail);
    let back: String = back.chars().rev().collect();
    format!("{front}…{back}")
}

/// `text` broken at spaces, every line indented; words longer than a line stay whole.
pub fn wrap(text: &str, indent: usize, style: &Style) -> String {
    let room = style.width.saturating_sub(indent).max(LEAST);
    let mut out = String::new();
    let mut line = String::new();
    let mut flush = |line: &mut String| {
        if !line.is_empty() {
            out += &" ".repeat(indent);
            out += line;
            out.push('\n');
            line.clear();
        }
    };
    for word in text.split_whitespace() {
        if !line.is_empty() && line.width() + 1 + word.width() > room {
            flush(&mut line);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    flush(&mut line);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_screen_width_not_by_characters() {
        let row = |a: &str, b: &str, c: &str| vec![Cell::new(a), Cell::new(b), Cell::new(c)];
        let rows = [row("日本", "1 B", ""), row("a", "10 B", "x")];
        let align = [Align::Left, Align::Right, Align::Left];
        let text = lines(&rows, &align, 0, 2, &Style::default());
        assert_eq!(text, "  日本   1 B\n  a     10 B  x\n");
    }

    #[test]
    fn only_the_flexible_column_gives_way() {
        let rows = [vec![Cell::new("x".repeat(40)), Cell::new("12 B")]];
        let align = [Align::Left, Align::Right];
        let mut style = Style {
            width: 30,
            ..Style::default()
        };
        let text = lines(&rows, &align, 0, 2, &style);
        assert_eq!(text.trim_end().width(), 30, "{text}");
        assert!(text.ends_with("  12 B\n"));
        style.all = true;
        assert!(lines(&rows, &align, 0, 2, &style).contains(&"x".repeat(40)));
    }

    #[test]
    fn a_shortened_path_keeps_its_end() {
        let short = shorten("missions/2025/a/very/long/way/to/report.md", 20);
        assert!(
            short.width() <= 20 && short.ends_with("/report.md"),
            "{short}"
        );
        assert!(shorten("日本日本日本日本", 7).width() <= 7);
    }

    #[test]
    fn text_wraps_at_spaces() {
        let style = Style {
            width: 16,
            ..Style::default()
        };
        assert_eq!(
            wrap("one two three four", 2, &style),
            "  one two three\n  four\n"
        );
        assert_eq!(wrap("", 2, &style), "");
    }
}
