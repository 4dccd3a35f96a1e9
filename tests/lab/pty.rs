//! A pseudo-terminal with a program in it: what its screen shows, keys for it, and what it leaves behind.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::procs;
use super::run::wait_until;

const PATIENCE: Duration = Duration::from_secs(60);

/// Dropped, it ends the program.
pub struct Pty {
    master: File,
    /// Held open, so that the terminal outlives the program and can be looked at afterwards.
    slave: OwnedFd,
    before: Termios,
    screen: Arc<Mutex<vt100::Parser>>,
    child: Child,
}

fn cells(n: u16) -> NonZero<u16> {
    NonZero::new(n).unwrap()
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize {
        ws_col: columns,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl Pty {
    /// 80 columns and 24 rows.
    pub fn start(mut command: Command) -> Pty {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        // It must not become the terminal of the tests themselves.
        let slave = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(name.to_str().unwrap())
            .unwrap();
        tcsetwinsize(&slave, size(80, 24)).unwrap();
        let before = tcgetattr(&slave).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = command
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let master = File::from(master);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(cells(24), cells(80), 0)));
        let (mut source, sink) = (master.try_clone().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(n @ 1..) = source.read(&mut chunk) {
                sink.lock().unwrap().process(&chunk[..n]);
            }
        });
        Pty {
            master,
            slave: slave.into(),
            before,
            screen,
            child,
        }
    }

    pub fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen shows these words; all of it.
    #[track_caller]
    pub fn sees(&self, words: &str) -> String {
        let seen = || self.text().contains(words);
        let deadline = Instant::now() + PATIENCE;
        while !seen() {
            assert!(
                Instant::now() < deadline,
                "{words:?} never came:\n{}",
                self.text()
            );
            thread::sleep(Duration::from_millis(5));
        }
        self.text()
    }

    pub fn signal(&self, signal: Signal) {
        procs::signal(self.child.id(), signal);
    }

    /// The window has another size now.
    pub fn resize(&self, columns: u16, rows: u16) {
        let mut screen = self.screen.lock().unwrap();
        screen.screen_mut().set_size(cells(rows), cells(columns));
        tcsetwinsize(&self.slave, size(columns, rows)).unwrap();
        drop(screen);
        // It has the terminal on its descriptors, but is not its session's leader: nobody else would tell it.
        self.signal(Signal::WINCH);
    }

    /// Waits for its end; the exit code. The terminal is as it was before.
    #[track_caller]
    pub fn ended(self) -> i32 {
        self.ended_with().0
    }

    /// The same, with what is on the screen then.
    #[track_caller]
    pub fn ended_with(mut self) -> (i32, String) {
        let mut status = None;
        wait_until("the program has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        wait_until("the terminal shows what it showed before", || {
            let parser = self.screen.lock().unwrap();
            !parser.screen().alternate_screen() && !parser.screen().hide_cursor()
        });
        let now = tcgetattr(&self.slave).unwrap();
        assert_eq!(now.local_modes, self.before.local_modes);
        assert_eq!(now.input_modes, self.before.input_modes);
        assert_eq!(now.output_modes, self.before.output_modes);
        let status = status.unwrap();
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        (code, self.text())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
