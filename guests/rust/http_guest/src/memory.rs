//! The allocator that the host uses to hand data to the guest, and the reading and freeing of what
//! it hands over.

use std::alloc::{alloc, dealloc, Layout};
use std::os::raw::c_void;
use std::{ptr, slice};

use crate::hostcalls::{raw, GuestSlice};

/// Each block starts with its size, because `free` is told the address alone and `dealloc` wants
/// both:
///
/// ```text
///  base            base + 8 = the pointer that the host gets
///  | size (usize) |  ..size bytes..
/// ```
const PREFIX_BYTES: usize = 8;

fn block_layout(size: usize) -> Option<Layout> {
    let bytes = size.checked_add(PREFIX_BYTES)?;
    Layout::from_size_align(bytes, PREFIX_BYTES).ok()
}

extern "C" fn malloc(size: usize) -> *mut c_void {
    let layout = match block_layout(size) {
        Some(layout) => layout,
        None => return ptr::null_mut(),
    };
    // SAFETY: the layout is never empty, and the prefix lies within it, aligned.
    unsafe {
        let base = alloc(layout);
        if base.is_null() {
            return ptr::null_mut();
        }
        base.cast::<usize>().write(size);
        base.add(PREFIX_BYTES).cast()
    }
}

extern "C" fn free(block: *mut c_void) {
    if block.is_null() {
        return;
    }
    // SAFETY: the block came from `malloc`, which wrote the size in front of it.
    unsafe {
        let base = block.cast::<u8>().sub(PREFIX_BYTES);
        let size = base.cast::<usize>().read();
        if let Some(layout) = block_layout(size) {
            dealloc(base, layout);
        }
    }
}

/// Tells the host how to allocate in this guest. Every hostcall that returns bytes or text needs
/// it; `guest_app!` calls it first of all.
pub fn init_mm_default() {
    // SAFETY: the functions keep the contract of malloc and free.
    unsafe { raw::hostcall_init_mm(malloc, free) }
}

/// Runs a hostcall that stores one byte string through two out-pointers, and takes the string over.
/// `None` stands for a null pointer: there was nothing.
pub(crate) fn receive_bytes(hostcall: impl FnOnce(*mut *mut u8, *mut usize)) -> Option<Vec<u8>> {
    let mut block: *mut u8 = ptr::null_mut();
    let mut length = 0;
    hostcall(&mut block, &mut length);
    if block.is_null() {
        return None;
    }
    // SAFETY: the host allocated at least `length` bytes with `malloc` and wrote them.
    let bytes = unsafe { slice::from_raw_parts(block, length) }.to_vec();
    free(block.cast());
    Some(bytes)
}

/// Runs a hostcall that stores an array of byte strings through two out-pointers, and takes them
/// all over. `None` stands for a null pointer: there was nothing.
pub(crate) fn receive_list(
    hostcall: impl FnOnce(*mut *mut GuestSlice<u8>, *mut usize),
) -> Option<Vec<Vec<u8>>> {
    let mut block: *mut GuestSlice<u8> = ptr::null_mut();
    let mut count = 0;
    hostcall(&mut block, &mut count);
    if block.is_null() {
        return None;
    }
    // SAFETY: the host allocated `count` slices with `malloc`, and a block of its own for each
    // non-empty one.
    let slices = unsafe { slice::from_raw_parts(block, count) };
    let list = slices
        .iter()
        .map(|item| {
            let bytes = unsafe { item.to_slice() }.to_vec();
            free(item.raw() as *mut c_void);
            bytes
        })
        .collect();
    free(block.cast());
    Some(list)
}
