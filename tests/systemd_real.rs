//! The units under a real systemd as process 1: the timer fires and a file arrives over ssh, a failure is told, a worker that
//! hangs is restarted, the memory limit holds, and nothing stays behind.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]
#![allow(clippy::print_stderr, reason = "a test that cannot run says so")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where the policy of the machine lies, for a shell: a name with everything that could mean something to a unit.
const POLICY: &str = r#"'/etc/ubos-sync/1 00% "q" $x & <ä> \z;#/policy.toml'"#;

struct Machine {
    dir: tempfile::TempDir,
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/sdbox")
        .join(name)
}

impl Machine {
    /// `None` where namespaces are forbidden, or there is no systemd; in CI that is a failure.
    fn boot() -> Option<Machine> {
        let machine = Machine {
            dir: tempfile::tempdir().unwrap(),
        };
        let out = machine.box_sh(&["start"]).output().unwrap();
        if out.status.success() {
            return Some(machine);
        }
        let why = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "no box: {why}");
        eprintln!("skipped: no namespaces for a systemd of our own: {why}");
        None
    }

    fn box_sh(&self, args: &[&str]) -> Command {
        let mut command = Command::new("bash");
        command
            .arg(script("box.sh"))
            .args(args)
            .env("BOX", self.dir.path());
        command
    }

    /// Puts bytes into the machine's shell or files.
    fn feed(&self, command: &str, bytes: &[u8]) -> String {
        let mut child = self
            .box_sh(&["run", "sh", "-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        assert!(out.status.success(), "{command}\n{text}");
        text.trim().to_owned()
    }

    fn sh(&self, command: &str) -> String {
        self.feed(command, b"")
    }

    /// A property of a unit.
    fn show(&self, unit: &str, what: &str) -> String {
        self.sh(&format!("systemctl show {unit} -p {what} --value"))
    }

    #[track_caller]
    fn wait(&self, what: &str, test: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.sh(&format!("if {test}; then echo yes; fi")) != "yes" {
            if Instant::now() > until {
                let journal = self.sh("journalctl --no-pager | tail -60");
                panic!("{what} did not come to pass\n{journal}");
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// What `service status` and `status` tell alike, once no turn of the timer comes between the two.
    fn both_statuses(&self) -> serde_json::Value {
        let ask = |what: &str| {
            let command = format!("runuser -u ubos -- ubos-sync --policy {POLICY} --json {what}");
            serde_json::from_str::<serde_json::Value>(&self.sh(&command)).unwrap()
        };
        for _ in 0..20 {
            let own = ask("service status");
            let all = ask("status --offline");
            if own["all"] == all["service"] && own["all"][0]["next_run"].is_string() {
                assert_eq!(all["next_run"], own["next_run"]);
                return own["all"][0].clone();
            }
        }
        panic!("{:#}\n{:#}", ask("service status"), ask("status --offline"));
    }

    fn service(&self, args: &str) -> String {
        self.sh(&format!("ubos-sync --policy {POLICY} service {args}"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.box_sh(&["stop"]).status();
    }
}

#[test]
fn real_units_run_fail_loudly_restart_and_leave_without_a_trace() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may boot a machine");
        return;
    }
    let Some(machine) = Machine::boot() else {
        return;
    };
    let program = std::fs::read(env!("CARGO_BIN_EXE_ubos-sync")).unwrap();
    machine.feed(
        "cat >/usr/local/bin/ubos-sync && chmod 755 /usr/local/bin/ubos-sync",
        &program,
    );
    machine.feed("sh", &std::fs::read(script("host.sh")).unwrap());
    let system = "--system --run-as ubos --apply";
    let before = machine.sh("find /etc/systemd /var/lib/systemd/timers 2>/dev/null | sort");
    machine.service(&format!("install {system}"));

    // The timer fires, again and again and not on the stroke, and what is written here arrives there.
    machine
        .sh("echo news >/home/ubos/tree/docs/news.md && chown ubos: /home/ubos/tree/docs/news.md");
    machine.wait(
        "a file arriving on the peer",
        "[ -f /home/ubos/peer/docs/news.md ]",
    );
    let starts = "journalctl -u ubos-sync.service -o short-unix --no-pager | grep -c Starting";
    machine.wait(
        "three turns of the timer",
        &format!("[ \"$({starts})\" -ge 3 ]"),
    );
    let seconds =
        "journalctl -u ubos-sync.service -o short-unix --no-pager | grep Starting | cut -d. -f1";
    let offsets =
        format!("{seconds} | while read -r t; do echo $((t % 5)); done | sort -u | wc -l");
    machine.wait(
        "turns off the stroke",
        &format!("[ \"$({offsets})\" -ge 2 ]"),
    );
    assert_eq!(machine.show("ubos-sync.timer", "RandomizedDelayUSec"), "2s");
    assert_eq!(machine.show("ubos-sync.timer", "Persistent"), "yes");

    // Both commands tell of the units what the manager tells, at this very moment.
    let told = machine.both_statuses();
    let shown = [&told["enabled"], &told["active"], &told["applies"]];
    assert_eq!(shown, [true, true, true], "{told:#}");
    let texts = [&told["next_run"], &told["last_run"], &told["last_result"]];
    assert!(texts.iter().all(|v| v.is_string()), "{told:#}");
    assert_eq!(told["last_result"], "success", "{told:#}");
    assert_eq!(told["drift"], serde_json::json!([]), "{told:#}");

    // A guard refuses: the unit fails and somebody is told, by the run and by its unit.
    machine.sh("rm /home/ubos/peer/.ubos-root");
    let told = "/home/ubos/logs/notified";
    machine.wait(
        "the failure being told",
        &format!("grep -q '\"event\":\"failure\"' {told}"),
    );
    // The address of the webhook, like the key, came from a file that only root may read.
    machine.wait(
        "the failure being told to the webhook",
        "grep -q '\"event\":\"failure\"' /srv/hooked",
    );
    machine.wait(
        "the failed unit telling",
        "journalctl -u 'ubos-sync-failure@*' --no-pager | grep -q Finished",
    );
    machine.sh("touch /home/ubos/peer/.ubos-root && chown ubos: /home/ubos/peer/.ubos-root");
    machine.wait(
        "the recovery being told",
        &format!("grep -q '\"event\":\"recovery\"' {told}"),
    );

    // What takes too much memory is ended, and the machine lives on.
    assert_eq!(
        machine.show("ubos-sync.service", "MemoryMax"),
        (300_u64 << 20).to_string()
    );
    machine.sh("systemctl stop ubos-sync.timer");
    let unit = "/etc/systemd/system/ubos-sync.service.d";
    machine.sh(&format!(
        "mkdir -p {unit} && printf '[Service]\\nExecStart=\\nExecStart=/usr/bin/tail /dev/zero\\n' >{unit}/greedy.conf && systemctl daemon-reload"
    ));
    machine.sh("systemctl start ubos-sync.service || true");
    // Only with the second kind of control groups does systemd know that it was for want of memory.
    let result = machine.show("ubos-sync.service", "Result");
    assert!(
        ["oom-kill", "signal"].contains(&result.as_str()),
        "{result}"
    );
    assert_eq!(machine.show("ubos-sync.service", "ExecMainStatus"), "9");
    machine.sh(&format!("rm -r {unit} && systemctl daemon-reload"));

    // A worker that hangs is found out by the watchdog and started again.
    machine.service(&format!("install --mode watch {system}"));
    let unit = "/etc/systemd/system/ubos-sync-watch.service.d";
    machine.sh(&format!(
        "mkdir -p {unit} && printf '[Service]\\nWatchdogSec=4s\\nRestartSec=1s\\n' >{unit}/soon.conf && systemctl daemon-reload && systemctl restart ubos-sync-watch"
    ));
    let first = machine.show("ubos-sync-watch", "MainPID");
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(
        machine.show("ubos-sync-watch", "MainPID"),
        first,
        "a healthy worker was restarted"
    );
    machine.sh(&format!("kill -STOP {first}"));
    let now = "$(systemctl show -p MainPID --value ubos-sync-watch)";
    machine.wait(
        "a restart by the watchdog",
        &format!("[ {now} != 0 ] && [ {now} != {first} ] && [ \"$(systemctl is-active ubos-sync-watch)\" = active ]"),
    );
    machine.sh(&format!("rm -r {unit}"));

    // And away: no unit, no link, no stamp.
    machine.service("uninstall --system --apply");
    let after = machine.sh("find /etc/systemd /var/lib/systemd/timers 2>/dev/null | sort");
    assert_eq!(after, before);
    let units = machine.sh("systemctl list-units --all --no-legend 'ubos-sync*' | wc -l");
    let left = machine.sh("systemctl list-units --all --no-legend 'ubos-sync*'");
    assert_eq!(units, "0", "{left}");
}
