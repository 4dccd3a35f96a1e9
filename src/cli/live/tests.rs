//! The live screen in a real pseudo-terminal that this test gives itself.
#![allow(clippy::disallowed_methods, reason = "a test starts itself anew")]

use std::path::Path;
use std::process::Command;

use ratatui::crossterm::terminal::is_raw_mode_enabled;

use super::*;
use crate::model::policy;

#[path = "../../../tests/lab"]
#[allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "the lab has more to it"
)]
mod lab {
    pub mod procs;
    pub mod pty;
    pub mod run;
}

fn live() -> Live {
    let text =
        "schema = 1\n[site]\nname = \"mac\"\nroot = \"/nowhere\"\nstate_dir = \"/nowhere/state\"\n";
    let env = policy::Env::default();
    let (sender, news) = channel();
    Live {
        policy: policy::read(text.as_bytes(), Path::new("/nowhere/p.toml"), &env).unwrap(),
        view: View {
            now: clock::now(),
            color: false,
            facts: None,
            dry: Dry::None,
            chosen: 0,
            page: Some(Page::new("It is drawn", None, "")),
        },
        dry: None,
        opened: 0,
        sender,
        news,
        size: (80, 24),
    }
}

#[test]
fn what_was_closed_before_it_had_been_read_does_not_open() {
    let mut live = live();
    let press = |live: &mut Live, code| live.press(KeyEvent::new(code, KeyModifiers::NONE));
    let read = |live: &Live| live.news.recv().unwrap();
    live.view.page = None;
    live.open("first");
    let first = read(&live);
    press(&mut live, KeyCode::Char('?'));
    press(&mut live, KeyCode::Esc);
    live.hear(first);
    assert!(live.view.page.is_none(), "it opened after it was closed");
    live.open("second");
    live.open("third");
    for news in [read(&live), read(&live)] {
        live.hear(news);
    }
    let shown = live.view.page.and_then(|p| p.run);
    assert_eq!(shown.as_deref(), Some("third"));
}

/// Where the started test reads what is to panic.
const WHO: &str = "UBOS_TEST_WHO_PANICS";

/// In the pseudo-terminal: the screen is drawn, a key comes, and then this thread or another panics.
fn panics(who: &str) -> Failure {
    let mut live = live();
    let wait = || while !matches!(event::read().unwrap(), Event::Key(_)) {};
    let ended = match who {
        "other" => {
            std::thread::spawn(|| {
                while !is_raw_mode_enabled().unwrap() {
                    std::thread::yield_now();
                }
                panic!("a panic \u{1b}[31mof the other thread");
            });
            live.run()
        }
        _ => live.with(|live| {
            let mut screen = Screen::open(false)?;
            screen.terminal.draw(|frame| draw(frame, &live.view))?;
            wait();
            panic!("a panic \u{1b}[31mof the same thread");
        }),
    };
    ended.unwrap_err()
}

#[test]
fn a_panic_gives_the_terminal_back_and_its_words_can_be_read() {
    if let Some(who) = std::env::var_os(WHO) {
        let failure = panics(who.to_str().unwrap());
        out::note(&failure.message);
        std::process::exit(failure.code.into());
    }
    for who in ["same", "other"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let name = "cli::live::tests::a_panic_gives_the_terminal_back_and_its_words_can_be_read";
        command.args(["--exact", "--nocapture", name]);
        command.env(WHO, who).env("TERM", "xterm-256color");
        let mut pty = lab::pty::Pty::start(command);
        if who == "same" {
            pty.sees("It is drawn");
            pty.press("x");
        }
        let (code, text) = pty.ended_with();
        assert_eq!(code, i32::from(exit::FAILED), "{text}");
        let text = text.replace('\n', "");
        for words in [
            &format!("\\e[31mof the {who} thread"),
            "live/tests.rs:",
            "ubos-sync status",
        ] {
            assert!(text.contains(words), "no {words} in {text}");
        }
    }
}
