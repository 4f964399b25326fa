//! Panics on purpose: the message is what the client sees.

use http_guest::{guest_app, Request, Response};

fn give_up(request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
    panic!("nothing to see at {}", request.uri().path());
}

guest_app!(give_up);
