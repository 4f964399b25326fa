//! Random numbers from the host, fit for cryptography.

use rand_core::{CryptoRng, Error, RngCore};

use crate::hostcalls::raw;

/// The host's random number generator, for everything that takes an `RngCore`.
#[derive(Clone, Debug)]
pub struct GuestRng {
    _private: (),
}

/// The random number generator of this guest.
pub fn guest_rng() -> GuestRng {
    GuestRng { _private: () }
}

impl RngCore for GuestRng {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        unsafe { raw::hostcall_rng_next_u64() }
    }

    fn fill_bytes(&mut self, destination: &mut [u8]) {
        for chunk in destination.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, destination: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(destination);
        Ok(())
    }
}

impl CryptoRng for GuestRng {}

/// The traits as `rand` 0.5 knows them, which sources of 2018 use: `guest_rng().gen_range(1, 7)`.
#[cfg(feature = "http-0-1")]
mod in_2018 {
    use super::GuestRng;
    use rand_core03::{CryptoRng, Error, RngCore};

    impl RngCore for GuestRng {
        fn next_u32(&mut self) -> u32 {
            rand_core::RngCore::next_u32(self)
        }

        fn next_u64(&mut self) -> u64 {
            rand_core::RngCore::next_u64(self)
        }

        fn fill_bytes(&mut self, destination: &mut [u8]) {
            rand_core::RngCore::fill_bytes(self, destination)
        }

        fn try_fill_bytes(&mut self, destination: &mut [u8]) -> Result<(), Error> {
            self.fill_bytes(destination);
            Ok(())
        }
    }

    impl CryptoRng for GuestRng {}
}
