//! Text of the other screens on this one: their colours become styles of cells.
//!
//! Invariant: the only escapes in it are those of [`Style::paint`](crate::cli::render::Style::paint); foreign text was neutralised
//! before it was painted, and what is not understood is left out, never sent to the terminal.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::cli::render::{Meaning, Style as Ours};

/// The lines of a painted text.
pub fn painted(text: &str) -> Vec<Line<'static>> {
    text.lines().map(line).collect()
}

fn line(text: &str) -> Line<'static> {
    let mut spans = Vec::new();
    let mut style = Style::default();
    for (i, part) in text.split('\x1b').enumerate() {
        let shown = match i {
            0 => part,
            _ => {
                let code = part.strip_prefix('[').and_then(|p| p.split_once('m'));
                let Some((code, rest)) = code else { continue };
                style = styled(code);
                rest
            }
        };
        if !shown.is_empty() {
            spans.push(Span::styled(shown.to_owned(), style));
        }
    }
    Line::from(spans)
}

/// What a meaning looks like in a cell.
pub fn of(meaning: Meaning, color: bool) -> Style {
    let ours = Ours {
        color,
        ..Ours::default()
    };
    // Any text will do: the colour is what is asked for.
    let line = line(&ours.paint(meaning, "x"));
    line.spans.first().map_or(Style::default(), |s| s.style)
}

fn styled(code: &str) -> Style {
    let style = Style::default();
    match code {
        "1" => style.add_modifier(Modifier::BOLD),
        "2" => style.add_modifier(Modifier::DIM),
        "31" => style.fg(Color::Red),
        "32" => style.fg(Color::Green),
        "33" => style.fg(Color::Yellow),
        "36" => style.fg(Color::Cyan),
        _ => style,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_styles_and_no_escape_is_left() {
        let ours = Ours {
            color: true,
            ..Ours::default()
        };
        let text = format!(
            "a {} b\n{}",
            ours.paint(Meaning::Loss, "gone"),
            "x\x1b]0;evil\x07y"
        );
        let lines = painted(&text);
        assert_eq!(lines[0].spans.len(), 3);
        assert_eq!(lines[0].spans[1].style.fg, Some(Color::Red));
        assert_eq!(lines[0].spans[2].style, Style::default());
        assert_eq!(lines[0].to_string(), "a gone b");
        assert_eq!(lines[1].to_string(), "x");
    }
}
