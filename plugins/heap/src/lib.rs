//! A heap that begins inside the memory that an instance starts with.
//!
//! Rust's own allocator for WebAssembly asks for more memory at its first allocation. For a plugin that lives for one
//! message this is most of its start: the host has to change what the memory may be accessed for, and back again, and
//! each time every processor has to hear of it. The first 128 KiB are here already; what needs more grows as usual.
//!
//! A plugin uses it by naming it: `use heap as _;`. Each plugin could do without, and would only start slower. Where
//! plugins do not run, in unit tests, there is nothing here.
#![no_std]
#![cfg(target_arch = "wasm32")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};

use dlmalloc::{Allocator, Dlmalloc};

/// Octets of the heap that an instance begins with.
const FIRST: usize = 128 << 10;
/// Octets of a page of memory.
const PAGE: usize = 64 << 10;

#[repr(align(16))]
struct Room(UnsafeCell<[u8; FIRST]>);

/// Where the heap gets its memory from.
struct Pages {
    first_is_taken: Cell<bool>,
}

struct Heap(UnsafeCell<Dlmalloc<Pages>>);

// SAFETY: an instance has one thread.
unsafe impl Sync for Room {}
// SAFETY: an instance has one thread.
unsafe impl Sync for Heap {}
// SAFETY: an instance has one thread.
unsafe impl Send for Pages {}

static ROOM: Room = Room(UnsafeCell::new([0; FIRST]));

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(Dlmalloc::new_with_allocator(Pages { first_is_taken: Cell::new(false) })));

// SAFETY: what is given out was never given out before, is zero, and stays.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if size <= FIRST && !self.first_is_taken.replace(true) {
            return (ROOM.0.get().cast(), FIRST, 0);
        }
        grow(size.div_ceil(PAGE))
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        core::ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

/// So many pages more; none where the host has no more for it.
fn grow(pages: usize) -> (*mut u8, usize, u32) {
    match core::arch::wasm32::memory_grow(0, pages) {
        usize::MAX => (core::ptr::null_mut(), 0, 0),
        before => ((before * PAGE) as *mut u8, pages * PAGE, 0),
    }
}

// SAFETY: the allocator below keeps what is asked of one; the one thread is never in it twice.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { (*self.0.get()).free(at, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { (*self.0.get()).realloc(at, layout.size(), layout.align(), size) }
    }
}
