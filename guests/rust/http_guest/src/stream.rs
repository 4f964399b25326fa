//! Bodies that are read as they arrive, or passed on unread: one of a gigabyte costs a guest no
//! more memory than one of a kilobyte.

use std::io::{Error, ErrorKind, Read, Result as IoResult};

use crate::client::SendError;
use crate::hostcalls::{HostcallStatus, RequestHandle, ResponseHandle};
use http::{Request, Response};

/// The body of the incoming request; see [`guest_app_stream!`](crate::guest_app_stream). Read it,
/// or make it the body of a request and send that.
#[derive(Debug)]
pub struct IncomingBody(());

/// The body of a response that [`SendHead::send_head`] brought. Read it, or answer with it.
#[derive(Debug)]
pub struct UpstreamBody(pub(crate) ResponseHandle);

/// What a guest answers with: bytes, or what is left of an upstream's body.
#[derive(Debug)]
pub enum Body {
    Bytes(Vec<u8>),
    Upstream(UpstreamBody),
}

fn io_result(read: Option<usize>) -> IoResult<usize> {
    read.ok_or_else(|| Error::new(ErrorKind::Other, "the body broke off, or was passed on"))
}

impl Read for IncomingBody {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        io_result(RequestHandle::INCOMING.read_body(buffer))
    }
}

impl Read for UpstreamBody {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        io_result(self.0.read_body(buffer))
    }
}

impl IncomingBody {
    /// Made once, by the scaffolding.
    pub(crate) fn new() -> IncomingBody {
        IncomingBody(())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::Bytes(bytes)
    }
}

impl From<UpstreamBody> for Body {
    fn from(body: UpstreamBody) -> Body {
        Body::Upstream(body)
    }
}

/// What can be the body of the response: bytes, an [`UpstreamBody`], or a [`Body`].
pub trait ResponseBody {
    #[doc(hidden)]
    fn give(self, response: &mut ResponseHandle) -> HostcallStatus;
}

impl ResponseBody for Vec<u8> {
    fn give(self, response: &mut ResponseHandle) -> HostcallStatus {
        response.set_body(&self)
    }
}

impl ResponseBody for UpstreamBody {
    fn give(self, response: &mut ResponseHandle) -> HostcallStatus {
        response.set_body_from(&self.0)
    }
}

impl ResponseBody for Body {
    fn give(self, response: &mut ResponseHandle) -> HostcallStatus {
        match self {
            Body::Bytes(bytes) => bytes.give(response),
            Body::Upstream(body) => body.give(response),
        }
    }
}

/// What can be the body of a request: bytes, or the [`IncomingBody`].
pub trait RequestBody {
    #[doc(hidden)]
    fn give_to(self, request: &mut RequestHandle) -> HostcallStatus;
}

impl RequestBody for Vec<u8> {
    fn give_to(self, request: &mut RequestHandle) -> HostcallStatus {
        request.set_body(&self)
    }
}

impl RequestBody for IncomingBody {
    fn give_to(self, request: &mut RequestHandle) -> HostcallStatus {
        request.set_body_from(&RequestHandle::INCOMING)
    }
}

/// Sending without waiting for the body of the response, added to the `http` crate's `Request`.
pub trait SendHead {
    /// Sends the request and waits for the head of the response.
    fn send_head(self) -> Result<Response<UpstreamBody>, SendError>;
}

impl<B: RequestBody> SendHead for Request<B> {
    fn send_head(self) -> Result<Response<UpstreamBody>, SendError> {
        let handle = crate::client::hand_over(self)?.send_head().ok_or(SendError::Hostcall)?;
        let head = crate::client::take_over_head(&handle)?;
        Ok(head.map(|()| UpstreamBody(handle)))
    }
}
