//! The lab itself: two homes, the sshd between them, policies, and runs of the program on either host.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use rustix::process::Signal;
use tempfile::TempDir;

use super::procs;
use super::run::{Output, Running, wait_until};
use super::snapshot::{Snapshot, truth_difference};
use super::sshd::{Session, Sshd, keygen};
use super::tools::{Unison, libfaketime, tool_path};
use super::unprivileged;

/// One of the two hosts: `mac`, the laptop, and `balaur`, the server. A test may set up one more, `nas`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Laptop,
    Server,
    Third,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::Laptop, Side::Server];

    pub fn other(self) -> Side {
        match self {
            Side::Laptop => Side::Server,
            Side::Server | Side::Third => Side::Laptop,
        }
    }

    /// Its name in a federation.
    pub fn host(self) -> &'static str {
        match self {
            Side::Laptop => "mac",
            Side::Server => "balaur",
            Side::Third => "nas",
        }
    }

    fn dir(self) -> &'static str {
        match self {
            Side::Laptop => "laptop",
            Side::Server => "server",
            Side::Third => "third",
        }
    }
}

/// What is special about a lab; the plain one is `Lab::new()`.
#[derive(Debug, Clone, Default)]
pub struct LabBuilder {
    noise: Option<String>,
    skew_seconds: i64,
    unison: [Unison; 2],
    hide: [Vec<String>; 2],
    session_env: Vec<(String, String)>,
    no_sshd: bool,
    unprivileged: bool,
    in_memory: bool,
}

impl LabBuilder {
    /// On a file system in memory where there is a fit one: for many labs in a row, none of which cares for what a power cut leaves.
    pub fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    /// Sessions on the server run as somebody who is not root, so that modes mean something there. What the test
    /// writes becomes theirs with [`Lab::hand_over`].
    pub fn unprivileged_server(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// The server's login shell prints this before it runs anything.
    pub fn noisy(mut self, text: &str) -> Self {
        self.noise = Some(text.to_owned());
        self
    }

    /// The server's clock is off by so many seconds, as `date`, `touch` and every program there see it.
    /// Plain writes still get the kernel's time.
    pub fn skew(mut self, seconds: i64) -> Self {
        self.skew_seconds = seconds;
        self
    }

    pub fn unison(mut self, side: Side, which: Unison) -> Self {
        self.unison[side as usize] = which;
        self
    }

    /// Programs that a host does not have.
    pub fn hide(mut self, side: Side, programs: &[&str]) -> Self {
        self.hide[side as usize].extend(programs.iter().map(|&p| p.to_owned()));
        self
    }

    /// One more variable in every session on the server.
    pub fn session_env(mut self, name: &str, value: &str) -> Self {
        self.session_env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Two directories and no ssh, for what a local peer can show as well.
    pub fn without_sshd(mut self) -> Self {
        self.no_sshd = true;
        self
    }

    pub fn build(self) -> Lab {
        Lab::build(&self)
    }
}

/// Two hosts on this machine.
#[derive(Debug)]
pub struct Lab {
    dir: Option<TempDir>,
    root: PathBuf,
    paths: [String; 3],
    server: Option<Sshd>,
    laptop: Option<Sshd>,
}

impl Lab {
    pub fn new() -> Lab {
        LabBuilder::default().build()
    }

    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    fn build(options: &LabBuilder) -> Lab {
        // Straight under /tmp: a control socket's whole path has to fit into some 100 bytes.
        let place = memory().filter(|_| options.in_memory).unwrap_or("/tmp");
        let dir = tempfile::Builder::new()
            .prefix("ubl-")
            .tempdir_in(place)
            .unwrap();
        // macOS: /tmp is a link, and the programs will report the real place.
        let root = dir.path().canonicalize().unwrap();
        for made in ["laptop/tree", "server/tree", "ssh", "tmp"] {
            fs::create_dir_all(root.join(made)).unwrap();
        }
        for side in ["laptop", "server"] {
            fs::write(root.join(side).join("tree/.ubos-root"), "").unwrap();
        }
        let path_of = |side: Side| {
            let farm = root.join(format!("{}-bin", side.dir()));
            tool_path(
                &farm,
                options.unison[side as usize],
                &options.hide[side as usize],
            )
        };
        let plain = tool_path(&root, Unison::System, &[]);
        let paths = [path_of(Side::Laptop), path_of(Side::Server), plain];
        let mut lab = Lab {
            dir: Some(dir),
            root,
            paths,
            server: None,
            laptop: None,
        };
        if options.unprivileged {
            // Another user has to get through to the server's home.
            fs::set_permissions(&lab.root, fs::Permissions::from_mode(0o755)).unwrap();
            unprivileged::hand_over(&lab.home(Side::Server));
        }
        if !options.no_sshd {
            keygen(&lab.root.join("ssh/client"));
            let session = lab.server_session(options);
            let key = lab.root.join("ssh/client");
            lab.server = Some(Sshd::start_in(lab.root.join("ssh/balaur"), &key, &session));
            lab.write_ssh_config();
        }
        lab
    }

    // -- places

    /// The directory that holds everything of this lab.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn home(&self, side: Side) -> PathBuf {
        self.root.join(side.dir())
    }

    /// The replica.
    pub fn tree(&self, side: Side) -> PathBuf {
        self.home(side).join("tree")
    }

    /// Where the program keeps locks, archives and snapshots on that host.
    pub fn state_dir(&self, side: Side) -> PathBuf {
        self.home(side).join(".local/state/ubos-sync")
    }

    /// The policy that runs on that host use.
    pub fn policy_file(&self, side: Side) -> PathBuf {
        self.home(side).join("ubos-sync.toml")
    }

    /// For `ssh -F`: knows `balaur` (and `mac` once `server_policy` was called).
    pub fn ssh_config(&self) -> PathBuf {
        self.root.join("ssh/config")
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.root.join("ssh/known_hosts")
    }

    /// The sshd through which sessions on the server come in.
    pub fn sshd(&mut self) -> &mut Sshd {
        self.server
            .as_mut()
            .expect("the lab was built with an sshd")
    }

    /// The sshd of the laptop; there once `server_policy` was called.
    pub fn laptop_sshd(&mut self) -> &mut Sshd {
        self.laptop
            .as_mut()
            .expect("server_policy() starts the laptop's sshd")
    }

    // -- policies

    /// Writes the laptop's policy: site `mac`, peer `balaur` over ssh. `extra` follows right behind the peer's
    /// keys, so it may begin with more of them, then hold `[[peer.log]]`, `[truth]` and so on.
    pub fn policy(&self, extra: &str) -> PathBuf {
        self.write_policy(Side::Laptop, &self.policy_text(Side::Laptop, extra))
    }

    /// Writes a policy on the server that points back at the laptop, and starts the laptop's sshd.
    pub fn server_policy(&mut self, extra: &str) -> PathBuf {
        if self.laptop.is_none() {
            let session = Session {
                env: self.session_env(Side::Laptop),
                force_command: None,
            };
            let key = self.root.join("ssh/client");
            self.laptop = Some(Sshd::start_in(self.root.join("ssh/mac"), &key, &session));
            self.write_ssh_config();
        }
        self.write_policy(Side::Server, &self.policy_text(Side::Server, extra))
    }

    /// Writes the laptop's policy with the server's tree as a local directory: no ssh involved.
    pub fn local_policy(&self, extra: &str) -> PathBuf {
        let text = format!(
            "{}[[peer]]\nname = \"balaur\"\nroot = {:?}\n{extra}\n",
            self.site_text(Side::Laptop),
            self.tree(Side::Server)
        );
        self.write_policy(Side::Laptop, &text)
    }

    /// The text that `policy` and `server_policy` write.
    pub fn policy_text(&self, side: Side, extra: &str) -> String {
        let sshd = match side {
            Side::Laptop => self.server.as_ref(),
            Side::Server | Side::Third => self.laptop.as_ref(),
        };
        let port = sshd.expect("an sshd for the peer").port;
        let peer = side.other();
        format!(
            "{}[[peer]]\nname = \"{name}\"\nhost = \"{name}\"\nuser = \"{user}\"\nport = {port}\n\
             ssh_config = {config:?}\nroot = {root:?}\n{extra}\n",
            self.site_text(side),
            name = peer.host(),
            user = user_name(),
            config = self.ssh_config(),
            root = self.tree(peer),
        )
    }

    fn site_text(&self, side: Side) -> String {
        format!(
            "schema = 1\n\n[site]\nname = \"{}\"\nroot = {:?}\n\n",
            side.host(),
            self.tree(side)
        )
    }

    /// Writes any text as the policy of a host, readable and writable by its owner only.
    pub fn write_policy(&self, side: Side, text: &str) -> PathBuf {
        let file = self.policy_file(side);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    // -- runs

    /// Runs the program on the laptop and waits for its end.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Output {
        self.spawn(args).wait()
    }

    /// Runs the program on the given host and waits for its end.
    #[track_caller]
    pub fn run_on(&self, side: Side, args: &[&str]) -> Output {
        self.spawn_on(side, args).wait()
    }

    /// Starts the program on the laptop.
    pub fn spawn(&self, args: &[&str]) -> Running {
        self.spawn_on(Side::Laptop, args)
    }

    /// Starts the program on the given host.
    pub fn spawn_on(&self, side: Side, args: &[&str]) -> Running {
        let mut command = self.command(side);
        command.args(args);
        Running::start(command)
    }

    /// The program with a host's environment and nothing else, for tests that add to it.
    pub fn command(&self, side: Side) -> Command {
        let mut command = self.tool(side, env!("CARGO_BIN_EXE_ubos-sync"));
        command.env("UBOS_SYNC_POLICY", self.policy_file(side));
        command
    }

    /// Starts a command made by `command` or `tool`; its output is kept, its standard input is empty.
    pub fn start(&self, command: Command) -> Running {
        Running::start(command)
    }

    /// Any other program in a host's environment: its home as `HOME` and current directory.
    pub fn tool(&self, side: Side, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home(side))
            .env("PATH", &self.paths[side as usize])
            .env("TMPDIR", self.root.join("tmp"))
            .env("TZ", "UTC")
            .env("LANG", "C.UTF-8")
            .env("USER", user_name())
            .env("LOGNAME", user_name())
            .env("UBOS_LAB", &self.root)
            // `make coverage`: where a process is to leave what it counted.
            .envs(std::env::var_os("LLVM_PROFILE_FILE").map(|at| ("LLVM_PROFILE_FILE", at)))
            .current_dir(self.home(side))
            .stdin(Stdio::null());
        command
    }

    /// Git in the laptop's tree, as somebody who has a name; what it says.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        let mut command = self.tool(Side::Laptop, "git");
        command.current_dir(self.tree(Side::Laptop)).args([
            "-c",
            "user.name=n",
            "-c",
            "user.email=e@example",
            "-c",
            "commit.gpgsign=false",
        ]);
        command.args(args);
        let out = self.start(command).wait().expect(0);
        out.stdout.trim().to_owned()
    }

    /// Runs a shell command on the server through ssh, as the program would.
    #[track_caller]
    pub fn ssh(&self, script: &str) -> Output {
        let mut command = self.tool(Side::Laptop, "ssh");
        command.arg("-F").arg(self.ssh_config());
        command.args(["-o", "BatchMode=yes", "balaur", script]);
        Running::start(command).wait()
    }

    // -- judging

    pub fn snapshot(&self, side: Side) -> Snapshot {
        Snapshot::of(&self.tree(side))
    }

    /// Fails, listing what differs, unless both trees are equal as truth (see [`truth_difference`]).
    #[track_caller]
    pub fn assert_equal_truth(&self, ignore: &[&str]) {
        let difference = truth_difference(
            &self.snapshot(Side::Laptop),
            &self.snapshot(Side::Server),
            ignore,
        );
        assert!(
            difference.is_empty(),
            "the trees differ (- only mac, + only balaur)\n{difference}"
        );
    }

    /// Every process that belongs to this lab now, the sshd included.
    pub fn processes(&self) -> Vec<procs::Proc> {
        procs::of_lab(&self.root)
    }

    // -- inside

    fn session_env(&self, side: Side) -> Vec<(String, String)> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let lab = self.root.to_str().unwrap();
        vec![
            pair("HOME", self.home(side).to_str().unwrap()),
            pair("PATH", &self.paths[side as usize]),
            pair("UBOS_LAB", lab),
        ]
    }

    fn server_session(&self, options: &LabBuilder) -> Session {
        let mut env = self.session_env(Side::Server);
        env.extend(options.session_env.clone());
        if options.skew_seconds != 0 {
            let library = libfaketime().expect("libfaketime is installed");
            env.push((
                "LD_PRELOAD".to_owned(),
                library.to_str().unwrap().to_owned(),
            ));
            env.push((
                "FAKETIME".to_owned(),
                format!("{:+}s", options.skew_seconds),
            ));
            // Without it the shift of a whole process tree is shared through a file in /dev/shm.
            env.push(("FAKETIME_DISABLE_SHM".to_owned(), "1".to_owned()));
        }
        let force_command = if options.unprivileged {
            unprivileged::wrapper(&self.root.join("ssh/unprivileged"))
        } else {
            self.noisy_wrapper(options)
        };
        Session { env, force_command }
    }

    fn noisy_wrapper(&self, options: &LabBuilder) -> Option<PathBuf> {
        options.noise.as_ref().map(|text| {
            let wrapper = self.root.join("ssh/noisy");
            let mut script = String::from("#!/bin/sh\ncat <<'NOISE'\n");
            writeln!(
                script,
                "{text}\nNOISE\nexec sh -c \"$SSH_ORIGINAL_COMMAND\""
            )
            .unwrap();
            fs::write(&wrapper, script).unwrap();
            fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
            wrapper
        })
    }

    fn write_ssh_config(&self) {
        let dir = self.root.join("ssh");
        let mut config = String::new();
        let mut known = String::new();
        for (name, sshd) in [("balaur", &self.server), ("mac", &self.laptop)] {
            let Some(sshd) = sshd else { continue };
            writeln!(known, "{name} {}", sshd.host_public_key()).unwrap();
            write!(
                config,
                "Host {name}\n  HostName 127.0.0.1\n  Port {}\n  HostKeyAlias {name}\n",
                sshd.port
            )
            .unwrap();
        }
        write!(
            config,
            "Host *\n  User {}\n  IdentityFile {dir}/client\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
             UserKnownHostsFile {dir}/known_hosts\n  GlobalKnownHostsFile /dev/null\n  \
             StrictHostKeyChecking yes\n  UpdateHostKeys no\n",
            user_name(),
            dir = dir.display(),
        )
        .unwrap();
        fs::write(self.ssh_config(), config).unwrap();
        fs::write(self.known_hosts(), known).unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let gone = || {
            let left = procs::of_lab(&self.root);
            for p in &left {
                procs::signal(p.pid, Signal::KILL);
            }
            // Our own children stay zombies until their handles are dropped; those do not count as alive.
            left.is_empty()
        };
        if std::thread::panicking() {
            gone();
        } else {
            wait_until("every process of the lab is gone", gone);
        }
        if std::env::var_os("UBOS_LAB_KEEP").is_some()
            && let Some(dir) = self.dir.take()
        {
            eprintln!("lab kept: {}", dir.keep().display());
        }
    }
}

/// Where files cost no disk. Containers may let nothing be run there, or give it next to no room.
fn memory() -> Option<&'static str> {
    static FOUND: LazyLock<Option<&str>> = LazyLock::new(|| {
        let place = "/dev/shm";
        let space = rustix::fs::statvfs(place).ok()?;
        let dir = tempfile::tempdir_in(place).ok()?;
        let script = dir.path().join("runs");
        fs::write(&script, "#!/bin/sh\n").ok()?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).ok()?;
        let is_run = Command::new("/bin/sh")
            .arg("-c")
            .arg(script)
            .status()
            .is_ok_and(|s| s.success());
        (is_run && space.f_bavail * space.f_frsize >= 48 << 20).then_some(place)
    });
    *FOUND
}

/// The name sshd knows the current user by.
fn user_name() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let out = Command::new("id").arg("-un").output().expect("id runs");
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    });
    &NAME
}
