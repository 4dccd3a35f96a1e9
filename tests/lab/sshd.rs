//! One real sshd on the loopback, run by the current user, with a home of its own for every session.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::procs;
use super::run::wait_until;
use super::tools::find_program;

/// A running (or stopped) sshd.
#[derive(Debug)]
pub struct Sshd {
    /// Holds its configuration, host key, pid file and log.
    pub dir: PathBuf,
    /// Stays the same over `stop` and `start`.
    pub port: u16,
    child: Option<Child>,
}

/// What a session finds.
#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    pub env: Vec<(String, String)>,
    /// Runs instead of the asked-for command, which it finds in `SSH_ORIGINAL_COMMAND`.
    pub force_command: Option<PathBuf>,
}

impl Sshd {
    /// Starts an instance that lets the holder of `client_key` in. Files go to `dir`, which must not exist.
    pub(super) fn start_in(dir: PathBuf, client_key: &Path, session: &Session) -> Sshd {
        fs::create_dir_all(&dir).unwrap();
        keygen(&dir.join("host_key"));
        fs::copy(
            client_key.with_extension("pub"),
            dir.join("authorized_keys"),
        )
        .unwrap();
        if rustix::process::geteuid().is_root() {
            // Debian's sshd wants it when started by root; the package makes it only when the service starts.
            let _ = fs::create_dir_all("/run/sshd");
        }
        let mut sshd = Sshd {
            dir,
            port: 0,
            child: None,
        };
        for _ in 0..5 {
            sshd.port = free_port();
            sshd.write_config(session);
            if sshd.try_start() {
                return sshd;
            }
        }
        panic!("sshd does not start:\n{}", sshd.log());
    }

    /// What the host says it is, for a `known_hosts` line.
    pub fn host_public_key(&self) -> String {
        let text = fs::read_to_string(self.dir.join("host_key.pub")).unwrap();
        let mut words = text.split_whitespace();
        format!("{} {}", words.next().unwrap(), words.next().unwrap())
    }

    /// Everything sshd has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Starts it again on the same port.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "sshd runs already");
        assert!(
            self.try_start(),
            "sshd does not start again:\n{}",
            self.log()
        );
    }

    /// Ends the listener; sessions live on, as they do when a real sshd is stopped.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Every process that a session of this instance runs now, sshd's own halves included.
    pub fn sessions(&self) -> Vec<procs::Proc> {
        self.child
            .as_ref()
            .map(|child| procs::descendants(child.id()))
            .unwrap_or_default()
    }

    /// Cuts every session off with SIGKILL: the far end dies in the middle of what it does.
    pub fn kill_sessions(&self) {
        for p in self.sessions() {
            procs::signal(p.pid, Signal::KILL);
        }
    }

    /// Cuts the connections only: what the sessions run finds its pipes closed, as after a lost network.
    pub fn drop_connections(&self) {
        for p in self.sessions() {
            if p.program().starts_with("sshd") {
                procs::signal(p.pid, Signal::KILL);
            }
        }
    }

    /// `kill -9` of every process in a session that runs this program; tells how many there were.
    pub fn kill_program(&self, name: &str) -> usize {
        let running = self.sessions();
        let hit = running.iter().filter(|p| p.program() == name);
        hit.inspect(|p| procs::signal(p.pid, Signal::KILL)).count()
    }

    fn write_config(&self, session: &Session) {
        let dir = self.dir.display();
        // The key exchange that is the default since 9.0 costs both ends some 80 ms of processor time, a thousand times over.
        let mut text = format!(
            "Port {}\n\
             ListenAddress 127.0.0.1\n\
             HostKey {dir}/host_key\n\
             AuthorizedKeysFile {dir}/authorized_keys\n\
             PidFile {dir}/pid\n\
             UsePAM no\n\
             StrictModes no\n\
             PermitRootLogin yes\n\
             PasswordAuthentication no\n\
             KbdInteractiveAuthentication no\n\
             UseDNS no\n\
             PrintMotd no\n\
             KexAlgorithms curve25519-sha256\n\
             MaxSessions 64\n\
             MaxStartups 100\n\
             LogLevel VERBOSE\n",
            self.port
        );
        if !session.env.is_empty() {
            // One line: of several SetEnv lines sshd heeds the first only.
            text.push_str("SetEnv");
            for (name, value) in &session.env {
                write!(text, " \"{name}={value}\"").unwrap();
            }
            text.push('\n');
        }
        if let Some(wrapper) = &session.force_command {
            writeln!(text, "ForceCommand {}", wrapper.display()).unwrap();
        }
        fs::write(self.dir.join("sshd_config"), text).unwrap();
    }

    fn try_start(&mut self) -> bool {
        // sshd re-executes itself, therefore the absolute path.
        let program = find_program("sshd").expect("sshd is installed");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .unwrap();
        let mut child = Command::new(program)
            .args(["-D", "-e", "-f"])
            .arg(self.dir.join("sshd_config"))
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut up = false;
        wait_until("sshd answers or gives up", || {
            up = answers(self.port);
            up || child.try_wait().unwrap().is_some()
        });
        // Another program may have taken the port: then something answers, but our child is gone.
        if up && child.try_wait().unwrap().is_none() {
            self.child = Some(child);
            return true;
        }
        let _ = child.kill();
        let _ = child.wait();
        false
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill_sessions();
        self.stop();
    }
}

/// Makes a key pair without a passphrase.
pub(super) fn keygen(file: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .status()
        .expect("ssh-keygen is installed");
    assert!(made.success(), "ssh-keygen fails");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut banner = [0; 4];
    stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-"
}
