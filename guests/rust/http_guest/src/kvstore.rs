//! What a guest remembers from one request to the next.

use crate::hostcalls;

/// The key-value store of this deployment. All its requests share it, other deployments never see
/// it.
///
/// Each operation is atomic by itself. Two in a row are not: `get` then `insert` can lose an update
/// when two requests run at once, which [`KVStore::append`] and [`KVStore::upsert`] are there to
/// avoid.
pub struct KVStore {
    _private: (),
}

impl KVStore {
    pub(crate) fn global() -> KVStore {
        KVStore { _private: () }
    }

    /// Sets the value. True when the key was absent.
    pub fn insert(&mut self, key: &str, value: &[u8]) -> bool {
        hostcalls::kvstore_insert(key, value)
    }

    /// Sets the value if the key is absent. True when it was.
    pub fn upsert(&mut self, key: &str, value: &[u8]) -> bool {
        hostcalls::kvstore_upsert(key, value)
    }

    /// Appends to the value, or sets it if the key is absent. True when it was.
    pub fn append(&mut self, key: &str, value: &[u8]) -> bool {
        hostcalls::kvstore_append(key, value)
    }

    /// The value, or `None` when the key is absent.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        hostcalls::kvstore_get(key)
    }

    /// Removes the key. True when it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        hostcalls::kvstore_remove(key)
    }
}
