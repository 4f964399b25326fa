//! The time of day: `std::time` has no clock on this target, this is the one there is.

use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, Sub, SubAssign};

use crate::hostcalls::raw;

/// The clock.
pub struct Time {}

impl Time {
    /// The time since the beginning of 1970, UTC.
    ///
    /// # Panics
    /// When the host returns a second of 1,000,000,000 nanoseconds or more.
    pub fn since_epoch() -> Duration {
        let mut nanoseconds = 0;
        let seconds = unsafe { raw::hostcall_time_now(&mut nanoseconds) };
        assert!(nanoseconds < 1_000_000_000, "the host returned {} ns", nanoseconds);
        Duration::new(seconds, nanoseconds)
    }
}

/// A span of time: the standard library's, with the whole counts as `u64` and as a floating-point
/// number of seconds. It converts to and from `std::time::Duration`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// Nanoseconds beyond a second are carried over.
    pub fn new(seconds: u64, nanoseconds: u32) -> Duration {
        Duration(std::time::Duration::new(seconds, nanoseconds))
    }

    pub fn from_secs(seconds: u64) -> Duration {
        Duration(std::time::Duration::from_secs(seconds))
    }

    pub fn from_millis(milliseconds: u64) -> Duration {
        Duration(std::time::Duration::from_millis(milliseconds))
    }

    pub fn as_secs(&self) -> u64 {
        self.0.as_secs()
    }

    pub fn as_millis(&self) -> u64 {
        self.0.as_millis() as u64
    }

    pub fn as_micros(&self) -> u64 {
        self.0.as_micros() as u64
    }

    pub fn as_nanos(&self) -> u64 {
        self.0.as_nanos() as u64
    }

    pub fn subsec_millis(&self) -> u32 {
        self.0.subsec_millis()
    }

    pub fn subsec_micros(&self) -> u32 {
        self.0.subsec_micros()
    }

    pub fn subsec_nanos(&self) -> u32 {
        self.0.subsec_nanos()
    }

    /// Seconds, with the fraction.
    pub fn as_f64(&self) -> f64 {
        self.0.as_secs_f64()
    }
}

impl fmt::Display for Duration {
    /// Seconds to the nanosecond: `1542672000.000000000`.
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}.{:09}", self.as_secs(), self.subsec_nanos())
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Duration {
        Duration(duration)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> std::time::Duration {
        duration.0
    }
}

impl Add for Duration {
    type Output = Duration;
    fn add(self, other: Duration) -> Duration {
        Duration(self.0 + other.0)
    }
}

impl AddAssign for Duration {
    fn add_assign(&mut self, other: Duration) {
        *self = *self + other;
    }
}

impl Sub for Duration {
    type Output = Duration;
    fn sub(self, other: Duration) -> Duration {
        Duration(self.0 - other.0)
    }
}

impl SubAssign for Duration {
    fn sub_assign(&mut self, other: Duration) {
        *self = *self - other;
    }
}

impl Mul<u32> for Duration {
    type Output = Duration;
    fn mul(self, factor: u32) -> Duration {
        Duration(self.0 * factor)
    }
}

impl Div<u32> for Duration {
    type Output = Duration;
    fn div(self, divisor: u32) -> Duration {
        Duration(self.0 / divisor)
    }
}
