//! Counts visits. An instance forgets everything when its request is answered; the key-value store
//! does not.

use http_guest::{guest_app_kvs, KVStore, Request, Response};

/// How many taken numbers stay in the store: more than there are ever requests at once.
const KEPT: u64 = 10_000;

/// Takes the next free number. Requests that run at the same time may read the same last number,
/// but `upsert` lets only one of them take the one after it; the others go on to the next. Adding
/// one to what was read and writing it back would count them as one visit.
fn take_number(store: &mut KVStore) -> u64 {
    let last = store.get("last").and_then(|text| String::from_utf8(text).ok()?.parse().ok());
    let mut number = last.unwrap_or(0) + 1;
    while !store.upsert(&format!("taken-{}", number), b"") {
        number += 1;
    }
    store.insert("last", number.to_string().as_bytes());
    if number > KEPT {
        store.remove(&format!("taken-{}", number - KEPT));
    }
    number
}

fn visit(store: &mut KVStore, _request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
    Response::builder()
        .header("content-type", "text/plain; charset=utf-8")
        .header("cache-control", "no-store")
        .body(format!("visit {}\n", take_number(store)).into_bytes())
        .unwrap()
}

guest_app_kvs!(visit);
