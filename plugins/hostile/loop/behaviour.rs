//! Never comes back. `bulk@` fills memory for ever: one instruction that takes long, with few places to stop at.

use crate::{GOOD, Hostile};
use std::hint::black_box;

const BULK: usize = 8 << 20;

pub struct Behaviour;

impl Hostile for Behaviour {
    const NAME: &str = "loop";
    const SUMMARY: &str = "Hostile: an endless loop";

    fn act(word: &str) {
        match word {
            GOOD => {}
            "bulk" => {
                let mut memory = vec![0_u8; BULK];
                for value in (0..=u8::MAX).cycle() {
                    black_box(&mut memory[..]).fill(value);
                }
            }
            _ => loop {
                black_box(0);
            },
        }
    }
}
