//! Why a command ends without having done what was asked, and with which exit code.

use super::documents::PolicyFault;
use crate::host::policy_file::PolicyError;
use crate::model::exit;

/// An end that is not a result. Rendered once, in `dispatch`.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    pub message: String,
    /// What is wrong with the policy; `--json` shows it beside the message.
    pub faults: Vec<PolicyFault>,
}

impl Failure {
    /// Bad usage: nothing was touched.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(exit::USAGE, message)
    }

    /// A guard, or the nature of what was asked, says no: nothing was touched.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(exit::REFUSED, message)
    }

    /// With the exit code of a run.
    pub fn with(code: u8, message: impl Into<String>) -> Self {
        Self::new(code, message)
    }

    /// Another live one is in the way.
    pub fn locked(message: impl Into<String>) -> Self {
        Self::new(exit::LOCKED, message)
    }

    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(exit::FAILED, message)
    }

    fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            faults: Vec::new(),
        }
    }
}

impl From<PolicyError> for Failure {
    fn from(error: PolicyError) -> Self {
        let faults = match &error {
            PolicyError::Faults(file, faults) => faults
                .iter()
                .map(|f| PolicyFault {
                    file: file.to_string_lossy().into_owned(),
                    fault: f.clone(),
                })
                .collect(),
            _ => Vec::new(),
        };
        Self {
            code: exit::USAGE,
            message: error.to_string(),
            faults,
        }
    }
}
