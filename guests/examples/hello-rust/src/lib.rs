//! The smallest guest: every request gets the same answer.

use http_guest::{guest_app, Request, Response};

fn hello(_request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
    Response::builder()
        .header("content-type", "text/plain; charset=utf-8")
        .body(b"Hello from Rust\n".to_vec())
        .unwrap()
}

guest_app!(hello);
