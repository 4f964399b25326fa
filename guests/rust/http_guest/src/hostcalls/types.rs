//! The values that hostcalls exchange: status, slices, and one handle type for each kind of thing
//! the host keeps.

use std::mem::size_of;
use std::slice;

/// Whether the host accepted a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum HostcallStatus {
    Ok = 0,
    Invalid = 1,
}

impl HostcallStatus {
    /// The status that the host wrote as `value`, or nothing when it is none.
    pub fn try_from_u8(value: u8) -> Option<HostcallStatus> {
        match value {
            0 => Some(HostcallStatus::Ok),
            1 => Some(HostcallStatus::Invalid),
            _ => None,
        }
    }

    /// Zero is success; whatever else the host says is a refusal.
    pub(crate) fn from_host(value: i32) -> HostcallStatus {
        match value {
            0 => HostcallStatus::Ok,
            _ => HostcallStatus::Invalid,
        }
    }
}

/// A run of `T` in the guest's memory, as the host reads and writes it: two words, the length in
/// bytes.
#[repr(C)]
#[derive(Debug)]
pub struct GuestSlice<T> {
    ptr: *const T,
    len: usize,
}

impl<T> GuestSlice<T> {
    pub fn new(ptr: *const T, len: usize) -> Self {
        GuestSlice { ptr, len }
    }

    /// The elements; a null pointer stands for none.
    ///
    /// # Safety
    /// The memory must hold what the host said, and stay alive and unchanged for `'a`.
    ///
    /// # Panics
    /// When the length is not a whole number of elements.
    pub unsafe fn to_slice<'a>(&self) -> &'a [T] {
        assert!(
            self.len % size_of::<T>() == 0,
            "a slice of {} bytes does not hold a whole number of elements",
            self.len
        );
        if self.ptr.is_null() {
            return &[];
        }
        slice::from_raw_parts(self.ptr, self.len / size_of::<T>())
    }

    pub fn raw(&self) -> *const T {
        self.ptr
    }
}

/// Defines a handle: a number that names something the host keeps for this instance. Handles are
/// not `Clone`, because sending or waiting uses them up.
macro_rules! handle {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Debug, Eq, Hash, PartialEq)]
        pub struct $name(i32);

        impl $name {
            /// What the host returns instead of a handle when it fails.
            pub const ERROR: $name = $name(-1);

            pub fn is_error(&self) -> bool {
                *self == $name::ERROR
            }

            /// The handle, unless it stands for an error.
            pub(crate) fn from_host(value: i32) -> Option<$name> {
                Some($name(value)).filter(|handle| !handle.is_error())
            }
        }

        impl From<i32> for $name {
            fn from(value: i32) -> $name {
                $name(value)
            }
        }

        impl From<$name> for i32 {
            fn from(handle: $name) -> i32 {
                handle.0
            }
        }

        impl<'a> From<&'a $name> for i32 {
            fn from(handle: &'a $name) -> i32 {
                handle.0
            }
        }

        impl<'a> From<&'a mut $name> for i32 {
            fn from(handle: &'a mut $name) -> i32 {
                handle.0
            }
        }
    };
}

handle!(
    /// The incoming request, or one that the guest makes and sends.
    RequestHandle
);
handle!(
    /// The outgoing response, or one that a sent request brought back.
    ResponseHandle
);
handle!(
    /// A request on its way.
    PendingRequestHandle
);

impl RequestHandle {
    /// The request that this instance answers.
    pub const INCOMING: RequestHandle = RequestHandle(0);
}

impl ResponseHandle {
    /// The response that this instance gives.
    pub const OUTGOING: ResponseHandle = ResponseHandle(0);

    /// What polling returns while the response is still on its way.
    pub const NOT_READY: ResponseHandle = ResponseHandle(-2);

    pub fn is_not_ready(&self) -> bool {
        *self == ResponseHandle::NOT_READY
    }
}

/// What polling a [`PendingRequestHandle`] found.
#[derive(Debug, PartialEq)]
pub enum PollResult {
    NotReady(PendingRequestHandle),
    Response(ResponseHandle),
    Error,
}
