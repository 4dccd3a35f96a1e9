//! `status --watch`: the live screen. Keys and news come in, a view is drawn; what takes time happens in threads of its own.
//!
//! Invariants: the screen answers keys whatever disks and peers do; the terminal is given back on every way out, before anything
//! else is waited for; nothing is changed anywhere (a dry run leaves its record, as always).

mod dry;
mod looking;
mod screen;
#[cfg(test)]
mod tests;

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::dry::DryRun;
use self::screen::Screen;
use super::args::Global;
use super::failure::Failure;
use super::out;
use super::render::Style;
use super::render::live::{Dry, Facts, HELP, Page, View, draw};
use super::runs::{self, RunsArgs, RunsCommand};
use crate::audit::store::Store;
use crate::host::{clock, policy_file, process, signals};
use crate::model::exit;
use crate::model::policy::Policy;
use crate::model::text::neutral;

/// How long a key, a signal or a piece of news may go unnoticed.
const TICK: Duration = Duration::from_millis(200);

const INSTEAD: &str = "for one look: ubos-sync status; for a program: ubos-sync status --json";

/// What the threads bring.
enum News {
    Facts(Box<Facts>),
    /// The text of what was opened by this number.
    Page(u64, Page),
    Dry(Dry),
}

/// What a key leads to.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Stay,
    Quit,
    Suspend,
}

struct Live {
    policy: Policy,
    view: View,
    dry: Option<DryRun>,
    /// Counts what is opened and closed: the text of an earlier one is nobody's any more.
    opened: u64,
    sender: Sender<News>,
    news: Receiver<News>,
    /// Columns and rows.
    size: (u16, u16),
}

/// Shows it until somebody quits; the exit code.
pub fn run(global: &Global) -> Result<u8, Failure> {
    let policy = policy_file::load(global.policy.as_deref())?;
    if global.json {
        return Err(Failure::usage(format!(
            "--watch is for eyes and --json for programs; {INSTEAD}"
        )));
    }
    let is_dumb = policy_file::variable("TERM").is_none_or(|t| t == "dumb");
    if !std::io::stdout().is_terminal() || is_dumb {
        return Err(Failure::usage(format!(
            "status --watch needs a terminal that can be drawn on; {INSTEAD}"
        )));
    }
    signals::listen();
    let color = out::style(global, false).color;
    let (sender, news) = channel();
    looking::start(global.policy.clone(), policy.clone(), sender.clone());
    let mut live = Live {
        policy,
        view: View {
            now: clock::now(),
            color,
            facts: None,
            dry: Dry::None,
            chosen: 0,
            page: None,
        },
        dry: None,
        opened: 0,
        sender,
        news,
        size: (80, 24),
    };
    live.run()
}

impl Live {
    /// Until somebody quits; then nothing that was begun here goes on.
    fn run(&mut self) -> Result<u8, Failure> {
        self.with(Self::show)
    }

    /// Whatever happens while it is shown, the terminal is given back before anything is said.
    fn with(&mut self, show: impl FnOnce(&mut Self) -> std::io::Result<u8>) -> Result<u8, Failure> {
        let ended = screen::guarded(|| show(self));
        if let Some(dry) = self.dry.take() {
            dry.end();
        }
        let drawn = ended.map_err(|said| {
            let said: Vec<String> = said.lines().map(neutral).collect();
            Failure::failed(format!(
                "the live screen broke off, by a fault of this program; nothing was changed: {}\n{instead}",
                said.join("\n"),
                instead = INSTEAD
            ))
        })?;
        drawn.map_err(|e| Failure::failed(format!("the terminal cannot be used: {e}")))
    }

    fn show(&mut self) -> std::io::Result<u8> {
        let mut screen = Screen::open(self.view.color)?;
        // The words of a panic are told by who guards this.
        while !screen::has_panicked() {
            match signals::stop_wish() {
                None => {}
                Some(2) => return Ok(exit::INTERRUPTED),
                Some(_) => return Ok(exit::TERMINATED),
            }
            while let Ok(news) = self.news.try_recv() {
                self.hear(news);
            }
            self.view.now = clock::now();
            screen.terminal.draw(|frame| {
                self.size = (frame.area().width, frame.area().height);
                draw(frame, &self.view);
            })?;
            if !event::poll(TICK)? {
                continue;
            }
            let next = match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => self.press(key),
                Event::Resize(width, height) => {
                    self.size = (width, height);
                    // What is open was laid out for another width.
                    let run = self.view.page.as_ref().and_then(|p| p.run.clone());
                    if let Some(run) = run {
                        self.open(&run);
                    }
                    Next::Stay
                }
                _ => Next::Stay,
            };
            match next {
                Next::Stay => {}
                Next::Quit => return Ok(exit::DONE),
                Next::Suspend => {
                    drop(screen);
                    process::suspend_self();
                    screen = Screen::open(self.view.color)?;
                }
            }
        }
        Ok(exit::FAILED)
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Facts(facts) => {
                // Who had chosen a run means that run, also when newer ones come.
                if self.view.chosen > 0
                    && let Some(old) = &self.view.facts
                    && let Some(run) = old.runs.get(self.view.chosen).map(|r| &r.run)
                {
                    let place = facts.runs.iter().position(|r| r.run == *run);
                    self.view.chosen = place.unwrap_or(facts.runs.len().saturating_sub(1));
                }
                self.view.facts = Some(*facts);
            }
            News::Page(number, _) if number != self.opened => {}
            News::Page(_, page) => {
                self.view.page = Some(match &self.view.page {
                    Some(old) => page.in_place_of(old),
                    None => page,
                });
            }
            News::Dry(dry) => {
                self.view.dry = dry;
                self.dry = None;
            }
        }
    }

    fn press(&mut self, key: KeyEvent) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Next::Quit,
                KeyCode::Char('z') => Next::Suspend,
                _ => Next::Stay,
            };
        }
        if key.code == KeyCode::Char('q') {
            return Next::Quit;
        }
        let rows = View::page_rows(self.size.1);
        if let Some(page) = &mut self.view.page {
            let screen = isize::try_from(rows.saturating_sub(1).max(1)).unwrap_or(1);
            let all = isize::MAX;
            match key.code {
                KeyCode::Esc | KeyCode::Backspace | KeyCode::Left => self.show_page(None),
                KeyCode::Up | KeyCode::Char('k') => page.scroll(-1, rows),
                KeyCode::Down | KeyCode::Char('j') | KeyCode::Enter => page.scroll(1, rows),
                KeyCode::PageUp | KeyCode::Char('b') => page.scroll(-screen, rows),
                KeyCode::PageDown | KeyCode::Char(' ') => page.scroll(screen, rows),
                KeyCode::Home | KeyCode::Char('g') => page.scroll(-all, rows),
                KeyCode::End | KeyCode::Char('G') => page.scroll(all, rows),
                _ => {}
            }
            return Next::Stay;
        }
        let runs = self.view.facts.as_ref().map_or(0, |f| f.runs.len());
        let last = runs.saturating_sub(1);
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => {
                self.view.chosen = self.view.chosen.saturating_sub(1);
            }
            KeyCode::Down | KeyCode::Char('j') => {
                self.view.chosen = (self.view.chosen + 1).min(last)
            }
            KeyCode::Home | KeyCode::Char('g') => self.view.chosen = 0,
            KeyCode::End | KeyCode::Char('G') => self.view.chosen = last,
            KeyCode::Enter | KeyCode::Right => self.open_number(self.view.chosen),
            KeyCode::Char('o') => match &self.view.dry {
                Dry::Ended { run: Some(run), .. } => {
                    let run = run.clone();
                    self.open(&run);
                }
                _ => self.open_number(0),
            },
            KeyCode::Char('d') => self.ask(),
            KeyCode::Char('x') => {
                if let Some(dry) = &self.dry {
                    dry.ask_to_end();
                }
            }
            KeyCode::Char('?' | 'h') => self.show_page(Some(Page::new("Help", None, HELP))),
            _ => {}
        }
        Next::Stay
    }

    /// At once, whatever is still being read.
    fn show_page(&mut self, page: Option<Page>) {
        self.opened += 1;
        self.view.page = page;
    }

    fn open_number(&mut self, number: usize) {
        let runs = self.view.facts.as_ref().map(|f| &f.runs);
        if let Some(run) = runs.and_then(|r| r.get(number)).map(|r| r.run.clone()) {
            self.open(&run);
        }
    }

    /// Reads and lays out a run, as `runs show` would; a long one takes its time, so somebody else does it.
    fn open(&mut self, run: &str) {
        self.opened += 1;
        let number = self.opened;
        let (sender, run, dir) = (
            self.sender.clone(),
            run.to_owned(),
            self.policy.audit.dir.clone(),
        );
        let style = Style {
            color: self.view.color,
            width: usize::from(self.size.0.max(40)),
            all: false,
        };
        std::thread::spawn(move || {
            let what = RunsCommand::Show { run: run.clone() };
            let text = match Store::open(&dir) {
                Ok(store) => runs::run(&RunsArgs { what: Some(what) }, &store, &style, false).0,
                Err(e) => format!("{e}\n"),
            };
            // Its own first line is its name.
            let head = style.paint(super::render::Meaning::Heading, &run);
            let text = text.strip_prefix(&head).unwrap_or(&text);
            let text = text.trim_start_matches('\n').to_owned();
            let _ = sender.send(News::Page(
                number,
                Page::new(&run, Some(run.clone()), &text),
            ));
        });
    }

    /// A dry run, unless one is under way.
    fn ask(&mut self) {
        if self.dry.is_none() {
            self.view.dry = Dry::Running(clock::now());
            self.dry = Some(DryRun::start(&self.policy.file, self.sender.clone()));
        }
    }
}
