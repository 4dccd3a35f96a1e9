//! What the service manager is told, when there is one (`sd_notify`); without one nothing happens.

use sd_notify::NotifyState;

pub fn ready() {
    let _ = sd_notify::notify(false, &[NotifyState::Ready]);
}

/// One line about what is going on.
pub fn status(text: &str) {
    let _ = sd_notify::notify(false, &[NotifyState::Status(text)]);
}

/// Feeds the watchdog: only called where something has really moved on.
pub fn alive() {
    let _ = sd_notify::notify(false, &[NotifyState::Watchdog]);
}

pub fn stopping() {
    let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
}
