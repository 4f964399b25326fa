//! Fetches the URL in the query and relays what comes back: `/?url=https://example.com/`.
//! Everything after `url=` is the URL, percent-encoded or not. The body flows through without being
//! held, however large it is.

use http_guest::{guest_app, query, Body, Request, Response, SendHead};

/// Headers that belong to one connection and not to the response, and the length, which the host
/// counts again.
const NOT_RELAYED: [&str; 7] =
    ["connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"];

fn problem(status: u16, text: String) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "text/plain; charset=utf-8")
        .body(Body::Bytes(text.into_bytes()))
        .unwrap()
}

fn relay(request: &Request<Vec<u8>>) -> Response<Body> {
    let url = match request.uri().query().and_then(|query| query.strip_prefix("url=")) {
        Some(url) if url.contains("://") => url.to_string(),
        Some(encoded) => query::decode(encoded),
        None => return problem(400, "Usage: /?url=https://example.com/\n".to_string()),
    };
    let outgoing = match Request::get(&url).body(Vec::new()) {
        Ok(outgoing) => outgoing,
        Err(e) => return problem(400, format!("{} is no URL: {}\n", url, e)),
    };
    match outgoing.send_head() {
        Ok(mut response) => {
            for name in NOT_RELAYED {
                response.headers_mut().remove(name);
            }
            response.map(Body::Upstream)
        }
        Err(e) => problem(502, format!("{} could not be fetched: {}\n", url, e)),
    }
}

guest_app!(relay);
