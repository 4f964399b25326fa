//! Hostcalls one by one, in Rust types. Guests normally use the `http` types and
//! [`crate::RequestExt`] instead; this is what those are made of, and the way to what they leave
//! out, such as [`debug`].

pub mod raw;
pub mod types;

pub use self::types::{
    GuestSlice, HostcallStatus, PendingRequestHandle, PollResult, RequestHandle, ResponseHandle,
};

use crate::memory::{receive_bytes, receive_list};
use std::convert::TryFrom;

/// The bytes as text, with replacement characters where they are not UTF-8.
pub(crate) fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

fn texts(list: Vec<Vec<u8>>) -> Vec<String> {
    list.into_iter().map(text_of).collect()
}

fn slices<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<GuestSlice<u8>> {
    values.map(|v| GuestSlice::new(v.as_ptr(), v.len())).collect()
}

impl RequestHandle {
    /// Makes a request to be sent. `None` when the method or the URL is malformed.
    pub fn create(method: &str, url: &str) -> Option<RequestHandle> {
        let (m, u) = (method.as_bytes(), url.as_bytes());
        RequestHandle::from_host(unsafe {
            raw::hostcall_req_create(m.as_ptr(), m.len(), u.as_ptr(), u.len())
        })
    }

    /// Sends the request and waits for the response. `None` when it failed.
    pub fn send(self) -> Option<ResponseHandle> {
        ResponseHandle::from_host(unsafe { raw::hostcall_req_send(self.into()) })
    }

    /// Sends the request and waits for the head of the response, whose body is then read with
    /// [`ResponseHandle::read_body`] or passed on. `None` when it failed.
    pub fn send_head(self) -> Option<ResponseHandle> {
        ResponseHandle::from_host(unsafe { raw::hostcall_req_send_head(self.into()) })
    }

    /// Reads on in the body of the incoming request; 0 is its end. `None` when it broke off or was
    /// passed on.
    pub fn read_body(&self, buffer: &mut [u8]) -> Option<usize> {
        let read = unsafe {
            raw::hostcall_req_body_read(self.into(), buffer.as_mut_ptr(), buffer.len())
        };
        usize::try_from(read).ok()
    }

    /// Makes what is left of the body of the incoming request the body of this one.
    pub fn set_body_from(&mut self, incoming: &RequestHandle) -> HostcallStatus {
        HostcallStatus::from_host(unsafe {
            raw::hostcall_req_set_body_from(self.into(), incoming.into())
        })
    }

    /// Starts sending the request. `None` when that failed at once.
    pub fn send_async(self) -> Option<PendingRequestHandle> {
        PendingRequestHandle::from_host(unsafe { raw::hostcall_req_send_async(self.into()) })
    }

    pub fn get_method(&self) -> String {
        let method = receive_bytes(|out, len| unsafe {
            raw::hostcall_req_get_method(out, len, self.into())
        });
        text_of(method.unwrap_or_default())
    }

    /// Path and query: `/a?b=1`.
    pub fn get_path(&self) -> String {
        let path =
            receive_bytes(|out, len| unsafe { raw::hostcall_req_get_path(out, len, self.into()) });
        text_of(path.unwrap_or_default())
    }

    /// The names of the headers, in lower case, each once.
    pub fn get_headers(&self) -> Vec<String> {
        let names = receive_list(|out, count| unsafe {
            raw::hostcall_req_get_headers(out, count, self.into())
        });
        texts(names.unwrap_or_default())
    }

    /// All values of one header, in order, with replacement characters where they are not UTF-8.
    pub fn get_header(&self, name: &str) -> Vec<String> {
        texts(self.get_header_bytes(name))
    }

    /// All values of one header, in order, as they came.
    pub fn get_header_bytes(&self, name: &str) -> Vec<Vec<u8>> {
        let values = receive_list(|out, count| unsafe {
            raw::hostcall_req_get_header(out, count, self.into(), name.as_ptr(), name.len())
        });
        values.unwrap_or_default()
    }

    pub fn get_body(&self) -> Vec<u8> {
        let body =
            receive_bytes(|out, len| unsafe { raw::hostcall_req_get_body(out, len, self.into()) });
        body.unwrap_or_default()
    }

    /// Replaces all values of one header.
    pub fn set_header(&mut self, name: &str, values: &[&str]) -> HostcallStatus {
        self.set_header_bytes(name, values.iter().map(|v| v.as_bytes()))
    }

    /// Replaces all values of one header.
    pub fn set_header_bytes<'a>(
        &mut self,
        name: &str,
        values: impl Iterator<Item = &'a [u8]>,
    ) -> HostcallStatus {
        let v = slices(values);
        HostcallStatus::from_host(unsafe {
            raw::hostcall_req_set_header(
                self.into(),
                name.as_ptr(),
                name.len(),
                v.as_ptr(),
                v.len(),
            )
        })
    }

    pub fn set_body(&mut self, body: &[u8]) -> HostcallStatus {
        HostcallStatus::from_host(unsafe {
            raw::hostcall_req_set_body(self.into(), body.as_ptr(), body.len())
        })
    }
}

impl ResponseHandle {
    /// The names of the headers, in lower case, each once.
    pub fn get_headers(&self) -> Vec<String> {
        let names = receive_list(|out, count| unsafe {
            raw::hostcall_resp_get_headers(out, count, self.into())
        });
        texts(names.unwrap_or_default())
    }

    /// All values of one header, in order, with replacement characters where they are not UTF-8.
    pub fn get_header(&self, name: &str) -> Vec<String> {
        texts(self.get_header_bytes(name))
    }

    /// All values of one header, in order, as they came.
    pub fn get_header_bytes(&self, name: &str) -> Vec<Vec<u8>> {
        let values = receive_list(|out, count| unsafe {
            raw::hostcall_resp_get_header(out, count, self.into(), name.as_ptr(), name.len())
        });
        values.unwrap_or_default()
    }

    pub fn get_body(&self) -> Vec<u8> {
        let body =
            receive_bytes(|out, len| unsafe { raw::hostcall_resp_get_body(out, len, self.into()) });
        body.unwrap_or_default()
    }

    /// # Panics
    /// When the host returns a number that is no status code.
    pub fn get_response_code(&self) -> u16 {
        let code = unsafe { raw::hostcall_resp_get_response_code(self.into()) };
        match code {
            100..=999 => code as u16,
            _ => panic!("the host returned the status code {}", code),
        }
    }

    /// Replaces all values of one header. Several values become several header lines.
    pub fn set_header(&mut self, name: &str, values: &[&str]) -> HostcallStatus {
        self.set_header_bytes(name, values.iter().map(|v| v.as_bytes()))
    }

    /// Replaces all values of one header. Several values become several header lines.
    pub fn set_header_bytes<'a>(
        &mut self,
        name: &str,
        values: impl Iterator<Item = &'a [u8]>,
    ) -> HostcallStatus {
        let v = slices(values);
        HostcallStatus::from_host(unsafe {
            raw::hostcall_resp_set_header(
                self.into(),
                name.as_ptr(),
                name.len(),
                v.as_ptr(),
                v.len(),
            )
        })
    }

    /// Replaces the body.
    pub fn set_body(&mut self, body: &[u8]) -> HostcallStatus {
        HostcallStatus::from_host(unsafe {
            raw::hostcall_resp_set_body(self.into(), body.as_ptr(), body.len())
        })
    }

    /// Reads on in the body of a response of [`RequestHandle::send_head`]; 0 is its end. `None` when
    /// it broke off or was passed on.
    pub fn read_body(&self, buffer: &mut [u8]) -> Option<usize> {
        let read = unsafe {
            raw::hostcall_resp_body_read(self.into(), buffer.as_mut_ptr(), buffer.len())
        };
        usize::try_from(read).ok()
    }

    /// Makes what is left of the body of a response of [`RequestHandle::send_head`] the body of
    /// this one.
    pub fn set_body_from(&mut self, received: &ResponseHandle) -> HostcallStatus {
        HostcallStatus::from_host(unsafe {
            raw::hostcall_resp_set_body_from(self.into(), received.into())
        })
    }

    /// Sets the status code, 100 to 999.
    pub fn set_response_code(&mut self, code: u16) -> HostcallStatus {
        HostcallStatus::from_host(unsafe {
            raw::hostcall_resp_set_response_code(self.into(), code.into())
        })
    }
}

impl PendingRequestHandle {
    /// Waits for the response. `None` when the request failed.
    pub fn wait(self) -> Option<ResponseHandle> {
        ResponseHandle::from_host(unsafe { raw::hostcall_pending_req_wait(self.into()) })
    }

    /// Looks whether the response is there, without waiting.
    pub fn poll(self) -> PollResult {
        let response =
            ResponseHandle::from(unsafe { raw::hostcall_pending_req_poll((&self).into()) });
        if response.is_not_ready() {
            PollResult::NotReady(self)
        } else if response.is_error() {
            PollResult::Error
        } else {
            PollResult::Response(response)
        }
    }
}

/// Waits for the first of several requests to finish. Says which it was, with its response if it
/// succeeded; that handle is used up, the others stay good.
pub fn select(
    pendings: &[&PendingRequestHandle],
) -> Result<(PendingRequestHandle, ResponseHandle), PendingRequestHandle> {
    let handles: Vec<i32> = pendings.iter().map(|&pending| pending.into()).collect();
    let mut finished = -1;
    let response =
        unsafe { raw::hostcall_pending_req_select(handles.as_ptr(), handles.len(), &mut finished) };
    let finished = PendingRequestHandle::from(finished);
    match ResponseHandle::from_host(response) {
        Some(response) => Ok((finished, response)),
        None => Err(finished),
    }
}

/// Sets the value. True when the key was absent.
pub fn kvstore_insert(key: &str, value: &[u8]) -> bool {
    0 != unsafe {
        raw::hostcall_kvstore_insert(key.as_ptr(), key.len(), value.as_ptr(), value.len())
    }
}

/// Sets the value if the key is absent. True when it was.
pub fn kvstore_upsert(key: &str, value: &[u8]) -> bool {
    0 != unsafe {
        raw::hostcall_kvstore_upsert(key.as_ptr(), key.len(), value.as_ptr(), value.len())
    }
}

/// Appends to the value, or sets it if the key is absent. True when it was.
pub fn kvstore_append(key: &str, value: &[u8]) -> bool {
    0 != unsafe {
        raw::hostcall_kvstore_append(key.as_ptr(), key.len(), value.as_ptr(), value.len())
    }
}

/// The value, or `None` when the key is absent.
pub fn kvstore_get(key: &str) -> Option<Vec<u8>> {
    let mut found = 0;
    let value = receive_bytes(|out, len| unsafe {
        found = raw::hostcall_kvstore_get(out, len, key.as_ptr(), key.len());
    });
    match found {
        0 => None,
        _ => Some(value.unwrap_or_default()),
    }
}

/// Removes the key. True when it was there.
pub fn kvstore_remove(key: &str) -> bool {
    0 != unsafe { raw::hostcall_kvstore_remove(key.as_ptr(), key.len()) }
}

/// An environment variable of the app, or `None` when it is not set.
pub fn env_get(name: &str) -> Option<Vec<u8>> {
    let mut found = 0;
    let value = receive_bytes(|out, len| unsafe {
        found = raw::hostcall_env_get(out, len, name.as_ptr(), name.len());
    });
    value.filter(|_| found != 0)
}

/// The value of a secret of the app, or `None` when there is none.
pub fn secret_get(name: &str) -> Option<Vec<u8>> {
    let mut found = 0;
    let value = receive_bytes(|out, len| unsafe {
        found = raw::hostcall_secret_get(out, len, name.as_ptr(), name.len());
    });
    value.filter(|_| found != 0)
}

/// Writes one line to the deployment's log.
pub fn debug(message: &str) {
    unsafe { raw::hostcall_debug(message.as_ptr(), message.len()) }
}

/// Ends the instance; the message is the response.
pub(crate) fn panic_hook(message: &str) {
    unsafe { raw::hostcall_panic_hook(message.as_ptr(), message.len()) }
}
