//! Fetches two URLs at once and answers with whichever comes first:
//! `/?a=https://one.example/&b=https://other.example/`.

use http_guest::{guest_app, query, select};
use http_guest::{PendingRequest, Request, RequestExt, Response, SendError};

fn start(url: &str) -> Result<PendingRequest, SendError> {
    Request::get(url).body(Vec::new()).map_err(SendError::Http)?.send_async()
}

/// The winner's name and response. One that fails does not win: the other is waited for.
fn race(a: &str, b: &str) -> Result<(char, Response<Vec<u8>>), SendError> {
    let (a, b) = match (start(a), start(b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Ok(a), Err(_)) => return Ok(('a', a.wait()?)),
        (Err(_), b) => return Ok(('b', b?.wait()?)),
    };
    match select(&[&a, &b]) {
        Ok((first, response)) => Ok((if first == a { 'a' } else { 'b' }, response)),
        Err(failed) if failed == a => Ok(('b', b.wait()?)),
        Err(_) => Ok(('a', a.wait()?)),
    }
}

fn answer(request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
    let parameter = |name| query::parameter(request.uri(), name);
    let (status, text) = match (parameter("a"), parameter("b")) {
        (Some(a), Some(b)) => match race(&a, &b) {
            Ok((winner, response)) => {
                let body = String::from_utf8_lossy(response.body()).into_owned();
                (200, format!("{} won with status {}\n\n{}", winner, response.status(), body))
            }
            Err(e) => (502, format!("neither could be fetched: {}\n", e)),
        },
        _ => (400, "Usage: /?a=https://one.example/&b=https://other.example/\n".to_string()),
    };
    Response::builder()
        .status(status)
        .header("content-type", "text/plain; charset=utf-8")
        .body(text.into_bytes())
        .unwrap()
}

guest_app!(answer);
