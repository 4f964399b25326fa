//! Requests that the guest sends: one at a time, or many at once.

use std::fmt;

use crate::hostcalls::types::{PendingRequestHandle, PollResult as HandlePoll};
use crate::hostcalls::{self, HostcallStatus, RequestHandle, ResponseHandle};
use crate::stream::RequestBody;
use http::header::{HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};

/// Why a request could not be sent, or brought no response.
#[derive(Debug)]
pub enum SendError {
    /// The host refused the request, or could not get a response: no such host, connection
    /// refused, a limit reached. The deployment's log says which.
    Hostcall,
    /// Never returned, because header values pass as bytes. It is here so that code which names it
    /// compiles.
    HeaderToStr(http::header::ToStrError),
    /// The response could not be expressed in the types of the `http` crate.
    Http(http::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            SendError::Hostcall => write!(formatter, "the request failed"),
            SendError::HeaderToStr(e) => write!(formatter, "a header is not text: {}", e),
            SendError::Http(e) => write!(formatter, "the response is malformed: {}", e),
        }
    }
}

impl std::error::Error for SendError {}

/// A request on its way. Two compare equal when they are the same request.
#[derive(Debug, PartialEq)]
pub struct PendingRequest(PendingRequestHandle);

/// What [`PendingRequest::poll`] found.
pub enum PollResult {
    /// Still on its way; here is the request, to be polled again.
    NotReady(PendingRequest),
    Response(Response<Vec<u8>>),
}

/// Sending, added to the `http` crate's `Request`.
///
/// The URL must be absolute, `http` or `https`. The `version` of the request is ignored.
pub trait RequestExt {
    type R;
    type Pending;

    /// Sends the request and waits for the whole response.
    fn send(self) -> Result<Self::R, SendError>;

    /// Starts sending the request and returns at once.
    fn send_async(self) -> Result<Self::Pending, SendError>;
}

impl RequestExt for Request<Vec<u8>> {
    type R = Response<Vec<u8>>;
    type Pending = PendingRequest;

    fn send(self) -> Result<Response<Vec<u8>>, SendError> {
        let response = hand_over(self)?.send().ok_or(SendError::Hostcall)?;
        take_over(&response)
    }

    fn send_async(self) -> Result<PendingRequest, SendError> {
        let pending = hand_over(self)?.send_async().ok_or(SendError::Hostcall)?;
        Ok(PendingRequest(pending))
    }
}

impl PendingRequest {
    /// Waits for the whole response.
    pub fn wait(self) -> Result<Response<Vec<u8>>, SendError> {
        let response = self.0.wait().ok_or(SendError::Hostcall)?;
        take_over(&response)
    }

    /// Looks whether the response is there, without waiting.
    pub fn poll(self) -> Result<PollResult, SendError> {
        match self.0.poll() {
            HandlePoll::NotReady(pending) => Ok(PollResult::NotReady(PendingRequest(pending))),
            HandlePoll::Response(response) => take_over(&response).map(PollResult::Response),
            HandlePoll::Error => Err(SendError::Hostcall),
        }
    }
}

/// Waits until the first of several requests has finished, and says which: `Ok` with its response,
/// or `Err` when it failed. The returned [`PendingRequest`] is used up and good for comparing only;
/// the others stay good.
pub fn select(
    pendings: &[&PendingRequest],
) -> Result<(PendingRequest, Response<Vec<u8>>), PendingRequest> {
    let handles: Vec<&PendingRequestHandle> = pendings.iter().map(|pending| &pending.0).collect();
    let (finished, response) = hostcalls::select(&handles).map_err(PendingRequest)?;
    let finished = PendingRequest(finished);
    match take_over(&response) {
        Ok(response) => Ok((finished, response)),
        Err(_) => Err(finished),
    }
}

fn accepted(status: HostcallStatus) -> Result<(), SendError> {
    match status {
        HostcallStatus::Ok => Ok(()),
        HostcallStatus::Invalid => Err(SendError::Hostcall),
    }
}

/// Describes a request to the host.
pub(crate) fn hand_over<B: RequestBody>(request: Request<B>) -> Result<RequestHandle, SendError> {
    let url = request.uri().to_string();
    let mut handle =
        RequestHandle::create(request.method().as_str(), &url).ok_or(SendError::Hostcall)?;
    let headers = request.headers();
    for name in headers.keys() {
        let values = headers.get_all(name).iter().map(|value| value.as_bytes());
        accepted(handle.set_header_bytes(name.as_str(), values))?;
    }
    accepted(request.into_body().give_to(&mut handle))?;
    Ok(handle)
}

fn malformed(e: impl Into<http::Error>) -> SendError {
    SendError::Http(e.into())
}

/// Reads a response from the host.
fn take_over(handle: &ResponseHandle) -> Result<Response<Vec<u8>>, SendError> {
    let body = handle.get_body();
    Ok(take_over_head(handle)?.map(|()| body))
}

/// Reads a response from the host, its body apart.
pub(crate) fn take_over_head(handle: &ResponseHandle) -> Result<Response<()>, SendError> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(handle.get_response_code()).map_err(malformed)?;
    for name in handle.get_headers() {
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(malformed)?;
        for value in handle.get_header_bytes(&name) {
            let value = HeaderValue::from_bytes(&value).map_err(malformed)?;
            response.headers_mut().append(header.clone(), value);
        }
    }
    Ok(response)
}
