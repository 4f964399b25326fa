//! Write Wardian guests in Rust.
//!
//! A guest is a function from a request to a response. `guest_app!` turns it into the `run` export
//! that the host calls once per request, in a fresh instance:
//!
//! ```ignore
//! use http_guest::{guest_app, Request, Response};
//!
//! fn greet(request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
//!     Response::new(format!("You asked for {}\n", request.uri()).into_bytes())
//! }
//!
//! guest_app!(greet);
//! ```
//!
//! Nothing in memory outlives a request; what should, goes to the [`KVStore`] (see
//! [`guest_app_kvs!`]) or to a [`Store`]. Requests to other servers are sent with [`RequestExt`], or
//! with [`SendHead`] where their bodies may be large (see [`guest_app_stream!`] for those of the
//! incoming request). A panic ends the instance, and its message is the response.
//!
//! The types of requests and responses are those of the `http` crate, version 0.2, or 0.1 with the
//! feature `http-0-1`.

#[cfg(feature = "http-0-1")]
extern crate http01 as http;
#[cfg(not(feature = "http-0-1"))]
extern crate http02 as http;

mod client;
mod dns;
mod environment;
pub mod hostcalls;
pub mod kvstore;
mod memory;
mod panic;
pub mod query;
pub mod rand;
mod scaffolding;
pub mod store;
mod stream;
pub mod time;

pub use crate::client::{select, PendingRequest, PollResult, RequestExt, SendError};
pub use crate::dns::{DNSError, DNS};
pub use crate::environment::{env_var, secret};
pub use crate::kvstore::KVStore;
pub use crate::store::{Store, StoreError};
pub use crate::stream::{Body, IncomingBody, RequestBody, ResponseBody, SendHead, UpstreamBody};
pub use crate::time::Time;
pub use http::{header, Error, HeaderMap, Method, Request, Response, StatusCode, Uri};

// What the macros expand to.
pub use crate::memory::init_mm_default;
pub use crate::panic::panic_set_once;
pub use crate::scaffolding::{raw_entrypoint, raw_entrypoint_kvs, raw_entrypoint_stream};
