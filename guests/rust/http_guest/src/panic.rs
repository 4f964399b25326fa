//! Panics become the response: the hook passes the message to the host, which ends the instance.

use std::panic;
use std::sync::Once;

use crate::hostcalls;

/// Installs the panic hook, once. `guest_app!` calls it; calling it again does nothing.
///
/// The text is `panicked at '<message>', <file>:<line>:<column>` whatever the version of the
/// compiler.
#[doc(hidden)]
pub fn panic_set_once() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        panic::set_hook(Box::new(|information| {
            let payload = information.payload();
            let message = match payload.downcast_ref::<&str>() {
                Some(text) => text,
                None => payload.downcast_ref::<String>().map_or("no message", |text| text),
            };
            match information.location() {
                Some(place) => {
                    hostcalls::panic_hook(&format!("panicked at '{}', {}", message, place))
                }
                None => hostcalls::panic_hook(&format!("panicked at '{}'", message)),
            }
        }));
    });
}
