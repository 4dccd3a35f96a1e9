//! Colour, one per meaning, on top of words that say the same without it.

/// How a screen is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// Every file, nothing folded or shortened.
    pub all: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            color: false,
            width: 80,
            all: false,
        }
    }
}

/// What a colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Plain,
    Heading,
    /// Something goes away, or went wrong.
    Loss,
    /// A person should look.
    Look,
    Good,
    /// To be typed.
    Command,
    Aside,
}

impl Style {
    /// `text` in the colour of its meaning. The text must be neutral already.
    pub fn paint(&self, meaning: Meaning, text: &str) -> String {
        let code = match meaning {
            Meaning::Plain => "",
            Meaning::Heading => "1",
            Meaning::Loss => "31",
            Meaning::Look => "33",
            Meaning::Good => "32",
            Meaning::Command => "36",
            Meaning::Aside => "2",
        };
        if !self.color || code.is_empty() || text.is_empty() {
            return text.into();
        }
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_only_where_it_was_asked_for() {
        let mut style = Style::default();
        assert_eq!(style.paint(Meaning::Loss, "x"), "x");
        style.color = true;
        assert_eq!(style.paint(Meaning::Loss, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(style.paint(Meaning::Plain, "x"), "x");
    }
}
