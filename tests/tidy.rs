//! Layers, sizes, words.
