//! What turns the user's function into the `run` export.

use http::header::{HeaderName, HeaderValue};
use http::uri::InvalidUri;
use http::{Method, Request, Response, Uri};

use crate::hostcalls::{debug, HostcallStatus, RequestHandle, ResponseHandle};
use crate::kvstore::KVStore;
use crate::stream::{IncomingBody, ResponseBody};

/// Makes a function `fn(&Request<Vec<u8>>) -> Response<Vec<u8>>` the guest. The body of the response
/// may also be an [`UpstreamBody`](crate::UpstreamBody) or a [`Body`](crate::Body).
#[macro_export]
macro_rules! guest_app {
    ($entrypoint:path) => {
        #[no_mangle]
        pub extern "C" fn run() {
            $crate::panic_set_once();
            $crate::init_mm_default();
            $crate::raw_entrypoint($entrypoint);
        }
    };
}

/// Makes a function `fn(&mut KVStore, &Request<Vec<u8>>) -> Response<Vec<u8>>` the guest: as
/// [`guest_app!`], with the deployment's key-value store.
#[macro_export]
macro_rules! guest_app_kvs {
    ($entrypoint:path) => {
        #[no_mangle]
        pub extern "C" fn run() {
            $crate::panic_set_once();
            $crate::init_mm_default();
            $crate::raw_entrypoint_kvs($entrypoint);
        }
    };
}

/// Makes a function `fn(Request<IncomingBody>) -> Response<B>` the guest, where `B` is bytes, an
/// [`UpstreamBody`](crate::UpstreamBody) or a [`Body`](crate::Body). A large body of the request is
/// not held then: the function reads it as it arrives, or passes it on.
#[macro_export]
macro_rules! guest_app_stream {
    ($entrypoint:path) => {
        #[no_mangle]
        pub extern "C" fn run() {
            $crate::panic_set_once();
            $crate::init_mm_default();
            $crate::raw_entrypoint_stream($entrypoint);
        }
    };
}

#[doc(hidden)]
pub fn raw_entrypoint<F, B>(entrypoint: F)
where
    F: Fn(&Request<Vec<u8>>) -> Response<B>,
    B: ResponseBody,
{
    answer(entrypoint(&incoming()));
}

#[doc(hidden)]
pub fn raw_entrypoint_kvs<F, B>(entrypoint: F)
where
    F: Fn(&mut KVStore, &Request<Vec<u8>>) -> Response<B>,
    B: ResponseBody,
{
    answer(entrypoint(&mut KVStore::global(), &incoming()));
}

#[doc(hidden)]
pub fn raw_entrypoint_stream<F, B>(entrypoint: F)
where
    F: Fn(Request<IncomingBody>) -> Response<B>,
    B: ResponseBody,
{
    answer(entrypoint(incoming_head().map(|()| IncomingBody::new())));
}

/// Reads the request that this instance answers.
fn incoming() -> Request<Vec<u8>> {
    let body = RequestHandle::INCOMING.get_body();
    incoming_head().map(|()| body)
}

fn incoming_head() -> Request<()> {
    let handle = RequestHandle::INCOMING;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(handle.get_method().as_bytes())
        .expect("the host passed a method that is none");
    *request.uri_mut() =
        target(&handle.get_path()).expect("the host passed a path that is not one of a URL");
    for name in handle.get_headers() {
        let header = HeaderName::from_bytes(name.as_bytes())
            .expect("the host passed a header name that is none");
        for value in handle.get_header_bytes(&name) {
            let value = HeaderValue::from_bytes(&value)
                .expect("the host passed a header value that is none");
            request.headers_mut().append(header.clone(), value);
        }
    }
    request
}

/// Parses path and query. Clients send characters that RFC 3986 has no place for and `Uri` refuses,
/// such as `<`; these are percent-encoded, so that a stray character in a URL is not a panic.
fn target(path: &str) -> Result<Uri, InvalidUri> {
    path.parse().or_else(|_| {
        let mut encoded = String::with_capacity(path.len() + 16);
        for byte in path.bytes() {
            match byte {
                b'!' | b'$'..=b';' | b'=' | b'?'..=b'[' | b']' | b'_' | b'a'..=b'z' | b'~' => {
                    encoded.push(byte.into())
                }
                _ => encoded.push_str(&format!("%{:02X}", byte)),
            }
        }
        encoded.parse()
    })
}

/// Gives the response. A header that the host refuses is left out and noted in the deployment's
/// log.
fn answer<B: ResponseBody>(response: Response<B>) {
    let mut handle = ResponseHandle::OUTGOING;
    let headers = response.headers();
    for name in headers.keys() {
        let values = headers.get_all(name).iter().map(|value| value.as_bytes());
        if handle.set_header_bytes(name.as_str(), values) == HostcallStatus::Invalid {
            debug(&format!("the host refused the response header {}", name));
        }
    }
    if handle.set_response_code(response.status().as_u16()) == HostcallStatus::Invalid {
        panic!("the host refused the status code {}", response.status());
    }
    if response.into_body().give(&mut handle) == HostcallStatus::Invalid {
        panic!("the host refused the response body");
    }
}
