//! Breaks. By a panic; `overflow@` by calls without end, `bounds@` by a look where there is no memory.

use crate::{GOOD, Hostile};
use std::hint::black_box;

pub struct Behaviour;

impl Hostile for Behaviour {
    const NAME: &str = "trap";
    const SUMMARY: &str = "Hostile: panics";

    fn act(word: &str) {
        match word {
            GOOD => {}
            "overflow" => {
                black_box(deeper(0));
            }
            "bounds" => {
                // What no safe program can do, and a plugin in C can: the last octet of four GiB.
                let nowhere = black_box(u32::MAX as usize) as *const u8;
                black_box(unsafe { nowhere.read_volatile() });
            }
            _ => panic!("asked to"),
        }
    }
}

#[expect(unconditional_recursion, reason = "the misdeed")]
fn deeper(depth: u32) -> u32 {
    let here = black_box([depth; 64]);
    black_box(deeper(here[0] + 1)) + here[1]
}
