//! What the guards are told, in plain data: two hosts, their clocks, the base and its evidence.

/// What is known of one host when the guards look.
#[derive(Debug, Clone, Default)]
pub struct HostFacts {
    pub name: String,
    /// As the user knows it.
    pub root: String,
    /// Canonical path of the root, `None` when it is not there.
    pub real_root: Option<String>,
    pub root_problem: Option<String>,
    pub root_is_usable: bool,
    pub root_identity: String,
    /// Identity at the last applied run, if there was one.
    pub root_identity_before: Option<String>,
    pub marker: bool,
    pub free_bytes: Option<u64>,
    /// Where our own files lie, and what is free there when that is another disk.
    pub state: String,
    pub state_free: Option<u64>,
    /// `unison version 2.52.1 (ocaml 4.13.1)`, or empty.
    pub unison: String,
    /// Files of truth on this side now.
    pub files: usize,
    /// Files this side had at the last sync, and how many of them are as they were, under whatever name.
    pub before: usize,
    pub unchanged: usize,
    pub tools_missing: Vec<String>,
}

/// Everything the guards look at.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub peer: String,
    pub local: HostFacts,
    pub remote: HostFacts,
    /// Both replicas are directories of this machine.
    pub same_machine: bool,
    /// How far the clocks are apart, in words, when it is more than the policy allows.
    pub clocks_apart: Option<String>,
    /// Evidence that the pair has synced before although no common base was found.
    pub base_lost: Option<String>,
    pub first_time: bool,
    pub rules_before: Option<String>,
    pub rules_now: String,
    pub held: Option<String>,
    /// The run that a rollback was taking back when it broke off.
    pub undoing: Option<String>,
    /// State paths in the plan or in the engine's list.
    pub leaks: Vec<String>,
    pub marker_name: String,
}
