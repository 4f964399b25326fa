//! What the app was given beside its code.

use crate::hostcalls;

/// An environment variable of the app, or `None` when it is not set.
pub fn env_var(name: &str) -> Option<String> {
    hostcalls::env_get(name).map(hostcalls::text_of)
}

/// The value of a secret of the app that is in effect now, or `None` when there is none.
pub fn secret(name: &str) -> Option<Vec<u8>> {
    hostcalls::secret_get(name)
}
