//! Key-value stores by name: namespaces that the app is bound to, and the deployment's own.

use std::convert::TryFrom;
use std::fmt;
use std::time::Duration;

use crate::hostcalls::{raw, GuestSlice};
use crate::memory::{receive_bytes, receive_list};

/// A key-value store. Each operation is atomic by itself; [`Store::compare_and_set`] makes several
/// so.
///
/// ```ignore
/// let users = Store::open("users").expect("the app is bound to users");
/// users.put("ada", b"1815", None)?;
/// let entry = users.get("ada")?.unwrap();
/// users.compare_and_set("ada", entry.revision, b"1852", None)?;
/// ```
#[derive(Debug)]
pub struct Store(i32);

/// A value, and what tells this state of it from every other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    pub value: Vec<u8>,
    /// Never the same for two changes of a store.
    pub revision: u64,
}

/// Some of the keys of a store, in byte order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    pub keys: Vec<Vec<u8>>,
    /// There are keys after the last one of these.
    pub more: bool,
}

/// Why a store refused. Nothing has changed then; the deployment's log tells more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoreError {
    /// A key, prefix, time to live or revision that cannot be.
    Invalid,
    /// The store's keys or bytes are used up.
    Full,
    /// The value is over the limit.
    TooLarge,
    /// What is to be incremented is not a whole number, or the sum has more than 64 bits.
    NotANumber,
    /// The namespace was deleted.
    Gone,
    /// Nothing can be written now. Later it may work.
    Busy,
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            StoreError::Invalid => "a key, prefix, time to live or revision that cannot be",
            StoreError::Full => "the store is full",
            StoreError::TooLarge => "the value is too large",
            StoreError::NotANumber => "not a whole number of 64 bits",
            StoreError::Gone => "the namespace is gone",
            StoreError::Busy => "nothing can be written now",
        })
    }
}

impl std::error::Error for StoreError {}

/// What a hostcall answered: a flag, or the number of a refusal.
fn flag(answer: i32) -> Result<bool, StoreError> {
    match answer {
        0 => Ok(false),
        -1 => Err(StoreError::Invalid),
        -2 => Err(StoreError::Full),
        -3 => Err(StoreError::TooLarge),
        -4 => Err(StoreError::NotANumber),
        -5 => Err(StoreError::Gone),
        negative if negative < 0 => Err(StoreError::Busy),
        _ => Ok(true),
    }
}

/// Whole milliseconds, one at least: 0 would be for ever.
fn milliseconds(ttl: Option<Duration>) -> u64 {
    ttl.map_or(0, |ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1))
}

impl Store {
    /// The deployment's own store, the one of [`crate::KVStore`].
    pub fn own() -> Store {
        Store(0)
    }

    /// The namespace that the app is bound to under this name.
    pub fn open(name: &str) -> Option<Store> {
        let handle = unsafe { raw::hostcall_kv_open(name.as_ptr(), name.len()) };
        Some(Store(handle)).filter(|store| store.0 >= 0)
    }

    /// The entry of a key, or `None` when the key is absent.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Entry>, StoreError> {
        let key = key.as_ref();
        let (mut answer, mut revision) = (0, 0);
        let value = receive_bytes(|out, len| unsafe {
            answer = raw::hostcall_kv_get(out, len, &mut revision, self.0, key.as_ptr(), key.len());
        });
        let found = flag(answer)?;
        Ok(Some(Entry { value: value.unwrap_or_default(), revision }).filter(|_| found))
    }

    /// Sets the value of a key. Answers its revision.
    pub fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<u64, StoreError> {
        self.write(raw::hostcall_kv_put, key.as_ref(), value, ttl).map(|(_, revision)| revision)
    }

    /// Sets the value of a key if the key is absent. `None` when it is not.
    pub fn insert(
        &self,
        key: impl AsRef<[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Option<u64>, StoreError> {
        self.write(raw::hostcall_kv_insert, key.as_ref(), value, ttl)
            .map(|(stored, revision)| Some(revision).filter(|_| stored))
    }

    /// Appends to the value of a key, or sets it if the key is absent. Without a time to live, the
    /// one that the entry has stays.
    pub fn append(
        &self,
        key: impl AsRef<[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<u64, StoreError> {
        self.write(raw::hostcall_kv_append, key.as_ref(), value, ttl).map(|(_, revision)| revision)
    }

    fn write(
        &self,
        hostcall: raw::KvWrite,
        key: &[u8],
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<(bool, u64), StoreError> {
        let mut revision = 0;
        let answer = unsafe {
            hostcall(
                &mut revision,
                self.0,
                key.as_ptr(),
                key.len(),
                value.as_ptr(),
                value.len(),
                milliseconds(ttl),
            )
        };
        flag(answer).map(|flag| (flag, revision))
    }

    /// Sets the value of a key if its entry still has this revision; with 0, if the key is absent.
    /// `None` when somebody else has changed it.
    pub fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        revision: u64,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Option<u64>, StoreError> {
        let key = key.as_ref();
        let mut after = 0;
        let answer = unsafe {
            raw::hostcall_kv_compare_and_set(
                &mut after,
                self.0,
                key.as_ptr(),
                key.len(),
                revision,
                value.as_ptr(),
                value.len(),
                milliseconds(ttl),
            )
        };
        flag(answer).map(|stored| Some(after).filter(|_| stored))
    }

    /// Removes a key if its entry still has this revision. False when somebody else has changed it.
    pub fn compare_and_delete(
        &self,
        key: impl AsRef<[u8]>,
        revision: u64,
    ) -> Result<bool, StoreError> {
        let key = key.as_ref();
        flag(unsafe {
            raw::hostcall_kv_compare_and_delete(self.0, key.as_ptr(), key.len(), revision)
        })
    }

    /// Adds to a whole number, kept as decimal text, and answers the sum. An absent key counts as
    /// 0.
    pub fn increment(&self, key: impl AsRef<[u8]>, delta: i64) -> Result<i64, StoreError> {
        let key = key.as_ref();
        let mut sum = 0;
        flag(unsafe {
            raw::hostcall_kv_increment(&mut sum, self.0, key.as_ptr(), key.len(), delta)
        })?;
        Ok(sum)
    }

    /// Removes a key. True when it was there.
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool, StoreError> {
        let key = key.as_ref();
        flag(unsafe { raw::hostcall_kv_delete(self.0, key.as_ptr(), key.len()) })
    }

    /// Up to `limit` keys that begin with a prefix, after the key `after` if one is given: the last
    /// one of the page before. A limit of 0, or one above 1,000, is 1,000.
    pub fn list(
        &self,
        prefix: impl AsRef<[u8]>,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let (prefix, cursor) = (prefix.as_ref(), after.unwrap_or_default());
        let mut answer = 0;
        let keys = receive_list(|out: *mut *mut GuestSlice<u8>, count| unsafe {
            answer = raw::hostcall_kv_list(
                out,
                count,
                self.0,
                prefix.as_ptr(),
                prefix.len(),
                cursor.as_ptr(),
                cursor.len(),
                limit,
            );
        });
        let more = flag(answer)?;
        Ok(Page { keys: keys.unwrap_or_default(), more })
    }
}
