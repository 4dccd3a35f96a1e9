//! Invocations of `ssh`: one connection per peer that everything shares. Pure: builds argument lists.

use std::path::Path;

use crate::model::policy::Remote;
use crate::tool::remote::REMOTE_COMMAND;

/// Options that hold for every connection of ours, each with its reason.
fn common(remote: &Remote, socket: &Path) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    if let Some(config) = &remote.ssh_config {
        args.extend(["-F".into(), config.display().to_string()]);
    }
    let path = socket.display().to_string().replace('%', "%%");
    for option in [
        // Nobody is there to answer a question.
        "BatchMode=yes",
        // A host key is verified against what a person accepted, never accepted by us.
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        // The session carries our data and nothing else.
        "ClearAllForwardings=yes",
        "ForwardAgent=no",
        "ForwardX11=no",
        "PermitLocalCommand=no",
        "RequestTTY=no",
        "EscapeChar=none",
        // A peer that vanished is noticed within 15 seconds.
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "LogLevel=ERROR",
    ] {
        args.extend(["-o".into(), option.into()]);
    }
    // In quotes, because ssh reads an option as a line of its configuration, in which a blank ends the value.
    args.extend(["-o".into(), format!("ControlPath=\"{path}\"")]);
    if let Some(port) = remote.port {
        args.extend(["-p".into(), port.to_string()]);
    }
    if let Some(user) = &remote.user {
        args.extend(["-l".into(), user.clone()]);
    }
    if let Some(identity) = &remote.identity {
        let identity = identity.display().to_string().replace('%', "%%");
        args.extend(["-i".into(), identity]);
        args.extend(["-o".into(), "IdentitiesOnly=yes".into()]);
    }
    args
}

/// Whether a socket can lie there: ssh adds a suffix of 17 bytes while it makes it, and the limit is 104 bytes on macOS; and no version
/// of ssh reads all of these characters back from within quotes.
pub fn fits(socket: &Path) -> bool {
    let text = socket.to_string_lossy();
    text.len() <= 84
        && !text.contains(['"', '\'', '\\', '$'])
        && !text.chars().any(char::is_control)
}

/// The first session: makes the shared connection, and is itself a session that runs a script.
/// With `persist` seconds the connection outlives it for that long.
pub fn first_session(
    remote: &Remote,
    socket: &Path,
    persist: u64,
    connect_timeout: u64,
) -> Vec<String> {
    let mut args = common(remote, socket);
    args.extend(["-o".into(), "ControlMaster=auto".into()]);
    let persist = if persist == 0 {
        "no".to_owned()
    } else {
        persist.to_string()
    };
    args.extend(["-o".into(), format!("ControlPersist={persist}")]);
    args.extend(["-o".into(), format!("ConnectTimeout={connect_timeout}")]);
    args.extend(["--".into(), remote.host.clone(), REMOTE_COMMAND.into()]);
    args
}

/// A further session over the shared connection; never makes one of its own.
pub fn session(remote: &Remote, socket: &Path, command: &str) -> Vec<String> {
    let mut args = common(remote, socket);
    args.extend(["-o".into(), "ControlMaster=no".into()]);
    // Should the shared connection be gone, fail at once instead of opening a second one.
    args.extend(["-o".into(), "ProxyCommand=false".into()]);
    args.extend(["--".into(), remote.host.clone(), command.into()]);
    args
}

/// What kind of failure a failed connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The peer is merely not there.
    Away,
    /// It will be the same the next time, unless a person does something.
    Refused,
    /// It may go well the next time.
    Broken,
}

/// What a failed connection means, for a person: its kind, a sentence, the next command.
pub fn explain_failure(remote: &Remote, stderr: &str) -> (Failure, String, String) {
    let host = &remote.host;
    let port = remote.port.map_or(String::new(), |p| format!(" -p {p}"));
    let said = crate::model::text::neutral(stderr.trim().lines().last().unwrap_or("no answer"));
    if stderr.contains("Host key verification failed")
        || stderr.contains("HOST IDENTIFICATION HAS CHANGED")
    {
        let what = if stderr.contains("HAS CHANGED") {
            "shows another host key than the one you accepted"
        } else {
            "has a host key that nobody has accepted yet"
        };
        return (
            Failure::Refused,
            format!("{host} {what}; nothing was sent to it"),
            format!(
                "ssh-keyscan{port} {host} 2>/dev/null | ssh-keygen -lf -   # compare with the server's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
            ),
        );
    }
    if stderr.contains("Permission denied") || stderr.contains("Too many authentication failures") {
        return (
            Failure::Refused,
            format!("{host} let nobody in with the keys that were offered"),
            format!("ssh -v{port} {host} true"),
        );
    }
    if stderr.contains("Session open refused by peer") {
        return (
            Failure::Refused,
            format!("{host} lets no second session into a connection, and a run needs several"),
            format!(
                "on {host}: set `MaxSessions 10` in /etc/ssh/sshd_config, then systemctl reload ssh"
            ),
        );
    }
    let away = [
        "timed out",
        "Connection refused",
        "No route to host",
        "Network is unreachable",
        "Could not resolve hostname",
        "Host is down",
        "Connection reset",
        "Connection closed",
        "closed by remote host",
        "banner exchange",
    ];
    if away.iter().any(|a| stderr.contains(a)) {
        return (
            Failure::Away,
            format!("{host} is offline: {said}"),
            format!("ssh{port} {host} true"),
        );
    }
    (
        Failure::Broken,
        format!("ssh to {host} failed: {said}"),
        format!("ssh -v{port} {host} true"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote() -> Remote {
        Remote {
            host: "h.example".into(),
            user: Some("u".into()),
            port: Some(2222),
            identity: Some("/k 1%".into()),
            ssh_config: Some("/c".into()),
        }
    }

    #[test]
    fn the_host_comes_after_the_end_of_options() {
        for args in [
            first_session(&remote(), Path::new("/s t/x"), 0, 10),
            session(&remote(), Path::new("/s t/x"), "true"),
        ] {
            assert!(args.iter().any(|a| a == "ControlPath=\"/s t/x\""));
            assert!(args.iter().any(|a| a == "/k 1%%"));
            let end = args.iter().position(|a| a == "--").unwrap();
            assert_eq!(args[end + 1], "h.example");
            assert!(args.iter().any(|a| a == "StrictHostKeyChecking=yes"));
            assert_eq!(args[0], "-F");
        }
    }

    #[test]
    fn a_socket_lies_where_every_ssh_can_name_it() {
        assert!(fits(Path::new("/home/u/Application Support/x%")));
        assert!(!fits(Path::new("/home/\"u\"/x")));
        assert!(!fits(Path::new(&"/long".repeat(20))));
    }

    #[test]
    fn failures_are_told_apart() {
        let r = remote();
        let kind = |said: &str| explain_failure(&r, said).0;
        let refused = "ssh: connect to host h port 22: Connection refused\n";
        assert_eq!(kind(refused), Failure::Away);
        assert_eq!(
            kind("mux_client_request_session: read from master failed: Broken pipe"),
            Failure::Broken
        );
        let (what, say, hint) = explain_failure(&r, "Host key verification failed.\r\n");
        assert!(
            what == Failure::Refused
                && say.contains("nobody has accepted")
                && hint.contains("ssh-keyscan -p 2222")
        );
        assert_eq!(
            kind("u@h: Permission denied (publickey)."),
            Failure::Refused
        );
        let refused = "mux_client_request_session: session request failed: Session open refused by peer\nConnection closed by UNKNOWN port 65535\n";
        let (what, _, hint) = explain_failure(&r, refused);
        assert_eq!(what, Failure::Refused);
        assert!(hint.contains("MaxSessions"), "{hint}");
    }
}
