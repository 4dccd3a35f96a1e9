//! The documents of `service`.

use serde::Serialize;

use crate::lanes::installed::Standing as Unit;

/// `service print`, and `install` and `interval` without --apply
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServicePrint<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "service")))]
    pub command: &'static str,
    pub files: Vec<ServiceFile<'a>>,
    /// What would be run after they are written
    pub commands: Vec<String>,
    pub exit_code: u8,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceFile<'a> {
    pub path: String,
    pub content: &'a str,
    #[cfg_attr(test, schemars(extend("enum" = ["new", "as it is", "changes", "somebody else's"])))]
    pub now: &'static str,
}

/// Commands that were run: `service enable`, `disable`, `trigger`, and `install` and `interval` with --apply
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceCommands {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "service")))]
    pub command: &'static str,
    pub commands: Vec<String>,
    /// What failed of that which may fail
    pub note: Option<String>,
    pub exit_code: u8,
}

/// `service uninstall`
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceUninstall<'a> {
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "service")))]
    pub command: &'static str,
    /// Files
    pub removed: &'a [String],
    pub commands: Vec<String>,
    /// False: it was only shown
    pub done: bool,
    pub exit_code: u8,
}

/// `service status`: the first unit's facts, when there is any, and all units
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceStatus<'a> {
    #[serde(flatten)]
    pub first: Option<&'a Unit>,
    pub schema: u32,
    #[cfg_attr(test, schemars(extend("const" = "service")))]
    pub command: &'static str,
    pub installed: bool,
    pub all: &'a [Unit],
    pub exit_code: u8,
}
