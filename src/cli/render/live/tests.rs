//! The live screen on canvases of several sizes, as text.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use serde_json::json;

use super::*;
use crate::audit::catalog::Facts as RunFacts;
use crate::model::overview::Last;
use crate::model::record::{Mode, Outcome};
use crate::model::under_way::Work;
use crate::model::verdict::Verdict;

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn standing(subject: &str, lane: &'static str, outcome: Outcome, message: &str) -> Standing {
    let good = crate::model::overview::is_good(outcome);
    Standing {
        subject: subject.into(),
        lane,
        last_success: Some("2026-11-25T14:06:00Z".into()),
        last: Some(Last {
            run: "r".into(),
            at: "2026-11-25T14:06:00Z".into(),
            outcome,
            message: (!message.is_empty()).then(|| message.into()),
            hint: None,
        }),
        since: (!good).then(|| "2026-11-25T12:00:00Z".into()),
    }
}

fn run(n: u32, mode: Mode, outcome: Outcome, seconds: f64, complete: bool) -> Summary {
    Summary {
        run: format!("20261125T1405{n:02}Z-full-{n:06x}"),
        facts: Some(RunFacts {
            command: "full".into(),
            mode,
            outcome,
            exit_code: 0,
            started: format!("2026-11-25T14:05:{n:02}Z"),
            seconds,
            plan: None,
            complete,
            peers: vec!["balaur".into(), "disk".into()],
            changes: n as usize,
            left: 0,
        }),
        damaged: None,
    }
}

fn facts() -> Facts {
    let mut runs = vec![
        run(59, Mode::Apply, Outcome::Interrupted, 0.0, false),
        run(58, Mode::DryRun, Outcome::Pending, 1.5, true),
        run(57, Mode::Apply, Outcome::Failed, 12.0, true),
        run(56, Mode::Apply, Outcome::Partial, 2.0, true),
        Summary {
            run: "evil\u{1b}[2J".into(),
            facts: None,
            damaged: Some("it is \u{1b}damaged".into()),
        },
    ];
    runs.extend(
        (10..50)
            .rev()
            .map(|n| run(n, Mode::Apply, Outcome::Applied, f64::from(n % 7), true)),
    );
    Facts {
        looked: at("2026-11-25T14:09:59Z"),
        site: "mac".into(),
        verdict: Verdict {
            level: Level::Bad,
            words: "Not fine: logs of disk offline; 1 conflict for a person.".into(),
            until: None,
            overdue: false,
        },
        standings: vec![
            standing("balaur", "truth", Outcome::InSync, ""),
            standing("balaur", "logs", Outcome::Applied, ""),
            standing(
                "disk",
                "logs",
                Outcome::Offline,
                "disk is\u{1b}[31m away: ssh: connect to host disk port 22: timed out",
            ),
            standing("日本の名前", "truth", Outcome::Partial, ""),
            standing("vm01", "publish", Outcome::Failed, "no room on vm01"),
        ],
        held: vec![("balaur".into(), "rolled back by th".into())],
        streak: Streak {
            since: Some("2026-11-22T14:10:00Z".into()),
            runs: 862,
            ..Streak::default()
        },
        worker: Some((
            true,
            WorkerDoc {
                pid: 7,
                applies: true,
                interval_seconds: 300,
                cycles: 3,
                succeeded: 2,
                failed: 1,
                ..WorkerDoc::default()
            },
        )),
        units: Some(vec![]),
        next_run: Some("2026-11-25T14:10:50Z".into()),
        runs,
        under_way: Some(UnderWay {
            pid: 7,
            command: "full".into(),
            since: "2026-11-25T14:09:30Z".into(),
            works: vec![
                Work {
                    name: Some("balaur".into()),
                    phase: "carrying it out".into(),
                    since: "2026-11-25T14:09:40Z".into(),
                    done: 60,
                    total: Some(120),
                    message: "docs/\u{202e}evil\n.md".into(),
                },
                Work {
                    name: Some("disk".into()),
                    phase: "looking at the logs of disk".into(),
                    since: "2026-11-25T14:09:30Z".into(),
                    ..Work::default()
                },
            ],
            ..UnderWay::default()
        }),
        trouble: None,
    }
}

fn view(facts: Option<Facts>) -> View {
    View {
        now: at("2026-11-25T14:10:00Z"),
        color: false,
        facts,
        dry: Dry::None,
        chosen: 0,
        page: None,
    }
}

fn drawn(view: &View, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view)).unwrap();
    terminal
}

fn text(terminal: &Terminal<TestBackend>) -> String {
    let buffer = terminal.backend().buffer();
    let mut lines = Vec::new();
    for y in 0..buffer.area.height {
        let (mut line, mut x) = (String::new(), 0);
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line += symbol;
            // The cell beside a wide character holds nothing.
            x += u16::try_from(unicode_width::UnicodeWidthStr::width(symbol).max(1)).unwrap();
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n")
}

#[test]
fn a_small_terminal_shows_the_worst_first() {
    insta::assert_snapshot!(text(&drawn(&view(Some(facts())), 80, 24)));
}

#[test]
fn a_wide_terminal_has_the_runs_beside_the_lanes() {
    let mut view = view(Some(facts()));
    view.chosen = 2;
    view.dry = Dry::Ended {
        meaning: Meaning::Look,
        words: "14:09:58 pending, 4 changes; o opens it".into(),
        run: None,
    };
    insta::assert_snapshot!(text(&drawn(&view, 200, 50)));
}

#[test]
fn a_calm_host_says_so_in_its_first_line() {
    let mut calm = facts();
    calm.verdict.level = Level::Good;
    calm.verdict.words = "Everything is fine.".into();
    calm.standings.truncate(1);
    calm.held.clear();
    calm.under_way = None;
    calm.runs.truncate(0);
    calm.worker = None;
    let unit = json!({ "unit": "ubos-sync.timer", "scope": "user", "applies": true, "interval_seconds": 300,
                       "enabled": true, "active": true, "next_run": "2026-11-25T14:10:50Z" });
    calm.units = Some(vec![unit]);
    insta::assert_snapshot!(text(&drawn(&view(Some(calm)), 80, 14)));
}

#[test]
fn a_look_that_is_never_over_is_not_called_fine() {
    let mut calm = facts();
    calm.verdict.level = Level::Good;
    calm.verdict.words = "Everything is fine.".into();
    let mut view = view(Some(calm));
    view.color = true;
    let mut first = |now: &str| {
        view.now = at(now);
        let terminal = drawn(&view, 80, 24);
        let color = terminal.backend().buffer()[(0, 1)].fg;
        let text = text(&terminal);
        let lines: Vec<&str> = text.lines().skip(1).take(2).collect();
        (color, lines.join(" "))
    };
    let (color, words) = first("2026-11-25T14:10:09Z");
    assert_eq!((color, words.trim()), (Color::Green, "Everything is fine."));
    let (color, words) = first("2026-11-25T14:11:39Z");
    let said = "Not looked since 14:09:59 UTC, 2 min ago: a disk or a program of this host does";
    assert!(words.starts_with(said), "{words}");
    assert!(words.ends_with("It was: Everything is fine."), "{words}");
    assert_eq!(color, Color::Yellow);
}

#[test]
fn colour_means_what_the_words_say_and_is_absent_where_it_is_not_wanted() {
    let mut view = view(Some(facts()));
    let colours = |view: &View| -> Vec<Color> {
        let terminal = drawn(view, 80, 24);
        let cells = terminal.backend().buffer().content.iter();
        cells.map(|c| c.fg).filter(|c| *c != Color::Reset).collect()
    };
    assert_eq!(colours(&view), []);
    let plain = text(&drawn(&view, 80, 24));
    view.color = true;
    let seen = colours(&view);
    assert!(seen.contains(&Color::Red) && seen.contains(&Color::Green));
    assert_eq!(text(&drawn(&view, 80, 24)), plain);
}

#[test]
fn no_size_and_no_choice_is_too_odd() {
    let mut view = view(Some(facts()));
    for (width, height) in [
        (1, 1),
        (3, 2),
        (20, 5),
        (39, 8),
        (80, 3),
        (149, 200),
        (150, 4),
        (400, 100),
    ] {
        for chosen in [0, 3, 44, usize::MAX] {
            view.chosen = chosen;
            drawn(&view, width, height);
        }
    }
    view.page = Some(Page::new("Help", None, HELP));
    drawn(&view, 1, 1);
    view.page = None;
    view.facts = None;
    assert!(text(&drawn(&view, 80, 24)).starts_with("Looking"));
}

#[test]
fn the_chosen_run_is_always_on_the_screen() {
    let mut view = view(Some(facts()));
    for chosen in 0..view.facts.as_ref().unwrap().runs.len() {
        view.chosen = chosen;
        let text = text(&drawn(&view, 80, 24));
        let marked: Vec<&str> = text.lines().filter(|l| l.starts_with('>')).collect();
        assert_eq!(marked.len(), 1, "{text}");
    }
}

#[test]
fn a_page_scrolls_to_its_ends_and_no_further() {
    let lines: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
    let mut view = view(Some(facts()));
    let mut page = Page::new("run\u{1b}x", Some("r".into()), &lines.join("\n"));
    let rows = View::page_rows(24);
    page.scroll(-1, rows);
    page.scroll(isize::MAX, rows);
    view.page = Some(page);
    let shown = text(&drawn(&view, 80, 24));
    assert!(shown.starts_with("run\\ex\nline 78\n"), "{shown}");
    assert!(
        shown.contains("line 99") && shown.ends_with("79–100 of 100"),
        "{shown}"
    );
    view.page.as_mut().unwrap().scroll(-21, rows);
    assert!(text(&drawn(&view, 80, 24)).contains("line 57\n"));
    // Laid out anew for another width, it stays where it was.
    let again = Page::new("run", Some("r".into()), &lines.join("\n"));
    view.page = view.page.take().map(|old| again.in_place_of(&old));
    assert!(text(&drawn(&view, 80, 24)).contains("line 57\n"));
}

#[test]
fn the_help_fits_a_small_terminal() {
    let mut view = view(Some(facts()));
    view.page = Some(Page::new("Help", None, HELP));
    let shown = text(&drawn(&view, 80, 24));
    assert!(
        HELP.lines().all(|l| shown.contains(l.trim_end())),
        "{shown}"
    );
}
