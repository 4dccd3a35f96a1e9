//! The page that `report` writes, in a real browser: it renders on a phone and on a desk, says nothing to the console, asks nobody
//! for anything, and knows when it has grown old.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::path::Path;
use std::process::Command;

use lab::{Lab, find_program, need};
use pair::{BALAUR, MAC, S, T, pair_with};

/// What the browser printed, and what it complained of.
fn browse(page: &Path, args: &[&str]) -> (String, String) {
    let home = tempfile::tempdir().unwrap();
    let out = Command::new(find_program("chromium").unwrap())
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
        ])
        .args(["--disable-background-networking", "--no-first-run"])
        .args(["--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", home.path().display()))
        .args(args)
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (text(&out.stdout), text(&out.stderr))
}

fn page(lab: &Lab) -> std::path::PathBuf {
    let file = lab.root().join("report.html");
    let out = lab
        .run(&["report", "--out", file.to_str().unwrap()])
        .expect(0);
    assert!(out.stdout.contains("report.html"), "{out}");
    file
}

/// The first line of the page, as the browser has it.
fn verdict(dom: &str) -> String {
    let rest = dom.split("id=\"verdict\"").nth(1).unwrap();
    rest.split("</p>").next().unwrap().to_owned()
}

/// Width and height of a PNG, and whether it shows more than one colour.
fn picture(file: &Path) -> (u32, u32, usize) {
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20), bytes.len())
}

#[test]
fn the_page_renders_everywhere_and_asks_nobody_for_anything() {
    if !need(&["chromium"]) {
        return;
    }
    let Some(mut lab) = pair_with(Lab::builder(), "[truth]\nconflicts = \"manual\"\n") else {
        return;
    };
    pair::sync(&lab);
    let evil = "docs/<img src=x onerror=alert(1)>&\"'.md";
    lab.write_at(MAC, evil, "one", T + S);
    lab.write_at(BALAUR, evil, "two", T + 2 * S);
    pair::apply(&lab, 4);
    lab.sshd().stop();
    lab.run(&["truth", "--apply"]).expect(5);
    let file = page(&lab);
    let html = std::fs::read_to_string(&file).unwrap();
    assert!(html.len() < 300_000, "{}", html.len());
    for (width, height) in [(390, 844), (1280, 900)] {
        let shot = lab.root().join(format!("{width}.png"));
        let size = format!("--window-size={width},{height}");
        let (_, said) = browse(&file, &[&size, &format!("--screenshot={}", shot.display())]);
        assert!(!said.contains("CONSOLE"), "{said}");
        let (w, h, bytes) = picture(&shot);
        assert_eq!((w, h), (width, height));
        assert!(bytes > 10_000, "an empty picture");
    }
    let (dom, said) = browse(&file, &["--dump-dom"]);
    assert!(
        !said.contains("CONSOLE") && !said.contains("Refused to"),
        "{said}"
    );
    let verdict = verdict(&dom);
    assert!(
        verdict.contains("truth of balaur offline") && verdict.contains("1 conflict for a person"),
        "{verdict}"
    );
    // The name of a file is text and nothing else.
    assert!(
        dom.contains("&lt;img src=x onerror=alert(1)&gt;") && !dom.contains("<img"),
        "{dom}"
    );
}

#[test]
fn a_page_that_has_grown_old_says_so_when_it_is_opened() {
    if !need(&["chromium"]) {
        return;
    }
    let Some(lab) = pair_with(Lab::builder(), "") else {
        return;
    };
    pair::sync(&lab);
    let file = page(&lab);
    let (dom, _) = browse(&file, &["--dump-dom"]);
    assert!(dom.contains("Everything is fine."), "{dom}");
    assert!(!verdict(&dom).contains("OVERDUE"), "{dom}");
    // Nobody has written a newer one, and a year goes by.
    let html = std::fs::read_to_string(&file).unwrap();
    let old = html.replace("data-until=\"20", "data-until=\"19");
    assert_ne!(old, html);
    std::fs::write(&file, old).unwrap();
    let (dom, _) = browse(&file, &["--dump-dom"]);
    let verdict = verdict(&dom);
    assert!(
        verdict.contains("class=\"bad\"") && verdict.contains("OVERDUE"),
        "{dom}"
    );
}
