//! Takes memory until there is no more, and then breaks. `hold@` takes and fills all it gets and answers as if nothing
//! were; `vec@` asks the allocator for ever more in one piece.

use crate::{GOOD, Hostile};
use std::hint::black_box;

const PIECE: usize = 1 << 20;

/// 1 MiB.
#[cfg(target_arch = "wasm32")]
const PAGES: usize = 16;

pub struct Behaviour;

impl Hostile for Behaviour {
    const NAME: &str = "allocate";
    const SUMMARY: &str = "Hostile: takes all memory";

    fn act(word: &str) {
        match word {
            GOOD => {}
            "hold" => {
                black_box(hold());
            }
            "vec" => {
                let mut memory = vec![1_u8; PIECE];
                loop {
                    memory.extend_from_within(..);
                    black_box(&memory);
                }
            }
            _ => {
                while grows() {}
                panic!("no more memory");
            }
        }
    }
}

fn hold() -> Vec<Vec<u8>> {
    let mut pieces = vec![];
    loop {
        let mut piece = Vec::new();
        if pieces.try_reserve(1).is_err() || piece.try_reserve_exact(PIECE).is_err() {
            // The answer itself needs a little.
            pieces.pop();
            return pieces;
        }
        piece.resize(PIECE, 1);
        pieces.push(piece);
    }
}

#[cfg(target_arch = "wasm32")]
fn grows() -> bool {
    core::arch::wasm32::memory_grow::<0>(PAGES) != usize::MAX
}

/// So that lints can look at this file on the developer's machine.
#[cfg(not(target_arch = "wasm32"))]
fn grows() -> bool {
    false
}
