//! Who is told of a run: a webhook, a ping, a command, and the metrics.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use lab::{Lab, Output, wait_until};
use pair::{BALAUR, MAC, S, T, pair_with, seed};
use serde_json::Value;

/// A web server of one thread that answers 200 and remembers each request.
fn server() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/secret-path", listener.local_addr().unwrap());
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let all = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let n = stream.read(&mut buffer).unwrap_or(0);
                text.extend_from_slice(&buffer[..n]);
                let said = String::from_utf8_lossy(&text).into_owned();
                let whole = said.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                    let lower = head.to_lowercase();
                    let length = lower
                        .lines()
                        .find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
                    body.len() >= length.unwrap_or(0)
                });
                if n == 0 || whole {
                    all.lock().unwrap().push(said);
                    break;
                }
            }
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (url, heard)
}

fn run(lab: &Lab, env: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = lab.command(MAC);
    command.args(args).envs(env.iter().copied());
    lab.start(command).wait()
}

/// The events that came to the webhook, oldest first.
fn events(heard: &Arc<Mutex<Vec<String>>>) -> Vec<Value> {
    let all = heard.lock().unwrap();
    all.iter()
        .filter(|r| r.starts_with("POST"))
        .map(|r| serde_json::from_str(r.split_once("\r\n\r\n").unwrap().1).unwrap())
        .collect()
}

#[test]
fn a_failure_and_its_end_and_a_new_conflict_are_told_once_each() {
    let Some(lab) = pair_with(Lab::builder(), "") else {
        return;
    };
    let told = lab.root().join("told");
    let metrics = lab.root().join("ubos.prom");
    lab.policy(&format!(
        "[truth]\nconflicts = \"manual\"\n[notify]\nwebhook_url_env = \"UBOS_SYNC_WEBHOOK\"\nping_url_env = \"UBOS_SYNC_PING\"\ncommand = [\"sh\", \"-c\", \"cat >>{}\"]\n[metrics]\ntextfile = {metrics:?}\n",
        told.display()
    ));
    seed(&lab, &["docs/a.md"]);
    let (url, heard) = server();
    let (ping, pinged) = server();
    let env = [
        ("UBOS_SYNC_WEBHOOK", url.as_str()),
        ("UBOS_SYNC_PING", ping.as_str()),
    ];
    run(&lab, &env, &["truth", "--apply"]).expect(0);
    assert!(events(&heard).is_empty(), "success is not asked for");
    fs::rename(lab.tree(MAC).join(".ubos-root"), lab.root().join("marker")).unwrap();
    run(&lab, &env, &["truth", "--apply"]).expect(3);
    run(&lab, &env, &["truth", "--apply"]).expect(3);
    fs::rename(lab.root().join("marker"), lab.tree(MAC).join(".ubos-root")).unwrap();
    run(&lab, &env, &["truth", "--apply"]).expect(0);
    lab.write_at(MAC, "docs/a.md", "mine", T + S);
    lab.write_at(BALAUR, "docs/a.md", "theirs", T + 9 * S);
    run(&lab, &env, &["truth", "--apply"]).expect(4);
    run(&lab, &env, &["truth", "--apply"]).expect(4);
    let all = events(&heard);
    let words: Vec<&str> = all.iter().map(|e| e["event"].as_str().unwrap()).collect();
    assert_eq!(words, ["failure", "recovery", "conflict"], "{all:#?}");
    assert_eq!(all[0]["host"], "mac");
    assert!(all[2]["message"].as_str().unwrap().contains("docs/a.md"));
    let by_command = fs::read_to_string(&told).unwrap();
    assert_eq!(by_command.matches("\"event\"").count(), 3, "{by_command}");
    let pings = pinged.lock().unwrap();
    let failed = pings
        .iter()
        .filter(|p| p.starts_with("GET /secret-path/fail "))
        .count();
    assert_eq!((pings.len(), failed), (6, 2), "{pings:?}");
    let metrics = fs::read_to_string(&metrics).unwrap();
    assert!(
        metrics.contains("ubos_sync_lane_left{lane=\"truth\",peer=\"balaur\"} 1\n"),
        "{metrics}"
    );
}

#[test]
fn se_09_a_webhook_that_hangs_neither_fails_a_run_nor_shows_its_address() {
    let Some(lab) = pair_with(
        Lab::builder(),
        "[notify]\nwebhook_url_env = \"UBOS_SYNC_WEBHOOK\"\non = [\"success\"]\n",
    ) else {
        return;
    };
    seed(&lab, &["docs/a.md"]);
    // It takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/secret-path", listener.local_addr().unwrap());
    let started = Instant::now();
    let out = run(&lab, &[("UBOS_SYNC_WEBHOOK", &url)], &["truth", "--apply"]).expect(0);
    assert!(started.elapsed().as_secs() < 30, "{out}");
    assert!(out.stdout.contains("webhook"), "{out}");
    assert!(
        !out.stdout.contains("secret-path") && !out.stderr.contains("secret-path"),
        "{out}"
    );
    wait_until("the run has come to its end", || {
        lab.exists(BALAUR, "docs/a.md")
    });
}

#[test]
fn a_unit_that_failed_is_told_of_at_the_address_that_lies_in_a_file() {
    let lab = Lab::builder().without_sshd().build();
    let file = lab.home(MAC).join("hook");
    let policy = |on: &str| {
        lab.local_policy(&format!(
            "[notify]\nwebhook_url_file = {file:?}\non = [\"{on}\"]\n"
        ))
    };
    let fails = || {
        let env = [("MONITOR_SERVICE_RESULT", "oom-kill")];
        run(&lab, &env, &["unit-failed", "ubos-sync.service"]).expect(0)
    };
    policy("failure");
    let out = fails();
    assert!(
        out.stderr.contains("the webhook cannot be read"),
        "nobody is told, and that is said: {out}"
    );
    let (url, heard) = server();
    fs::write(&file, format!("{url}\n")).unwrap();
    fails();
    let all = events(&heard);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(
        (&all[0]["event"], &all[0]["host"]),
        (&"failure".into(), &"mac".into())
    );
    let message = all[0]["message"].as_str().unwrap();
    assert!(message.contains("ubos-sync.service failed (oom-kill)"));
    policy("conflict");
    fails();
    assert_eq!(events(&heard).len(), 1, "failures are not asked for");
}
