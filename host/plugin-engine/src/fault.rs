//! A call that broke, in the operator's words: one sentence that says why, and in which functions of the plugin.
//!
//! A backtrace of a component is mostly the panic's own machinery and the glue of its language, frame by frame with
//! offsets that only its author can read. So the sentence names the innermost functions that have a name and are of
//! neither kind; the frames themselves are for the author's tools ([`hooks::CallReport::backtrace`]).

use hooks::FailureKind;
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

/// Frames that are kept of a broken call: a panic takes ten of its own.
pub(crate) const FRAMES_MAX: usize = 32;
/// Functions that the sentence names.
const NAMED_MAX: usize = 2;
/// Longest text that is told, in octets.
const TEXT_MAX: usize = 500;
/// Longest name of a function that is told, in characters: generic ones have no end.
const NAME_MAX: usize = 120;
/// What a panic or a failed allocation calls on its way out: nobody's fault is in there.
const MACHINERY: [&str; 16] = [
    "core::panicking",
    "core::option::unwrap_failed",
    "core::option::expect_failed",
    "core::result::unwrap_failed",
    "core::str::slice_error_fail",
    "core::slice::index::",
    "std::panicking",
    "std::sys",
    "std::process::abort",
    "std::alloc::",
    "alloc::alloc::handle_alloc_error",
    "rust_",
    "__rust",
    "abort",
    "<pyo3::",
    "wit_dylib_",
];

/// What Python calls to print an exception that nobody caught: it breaks there, and everything within is its printing.
const PRINTING: [&str; 2] = ["PyErr_", "_PyErr_"];

/// How a call broke.
pub(crate) struct Fault {
    pub(crate) kind: FailureKind,
    /// One sentence, without a full stop.
    pub(crate) sentence: String,
    /// A line for each frame, the innermost first.
    pub(crate) backtrace: Vec<String>,
}

impl Fault {
    /// What an error of the engine says.
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        let trap = error.downcast_ref::<Trap>();
        let kind = match trap {
            Some(Trap::Interrupt | Trap::OutOfFuel) => FailureKind::Cpu,
            // Others hold what it wanted: nothing that it did.
            None if error.is::<PoolConcurrencyLimitError>() => FailureKind::Busy,
            None if is_too_much(error) => FailureKind::Calls,
            _ => FailureKind::Trap,
        };
        let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
        let frames: Vec<Frame> = frames
            .iter()
            .map(|frame| Frame {
                name: frame.func_name().map(plain),
                index: frame.func_index(),
                offset: frame.module_offset(),
            })
            .collect();
        let cause = match trap {
            Some(trap) => cause(*trap),
            None if kind == FailureKind::Calls => {
                "it handed the host more at a time than it may (limits.output)".to_owned()
            }
            None => one_line(&error.root_cause().to_string()),
        };
        let sentence = one_line(&format!("{cause}{}", place(&frames)));
        Self { kind, sentence, backtrace: frames.iter().map(Frame::line).collect() }
    }
}

/// Whether it broke because the host would have taken too much off its hands. The engine's error for that has no public
/// type, so it is known by its words; a test sees that it is.
fn is_too_much(error: &wasmtime::Error) -> bool {
    error.root_cause().to_string().contains("fuel allocated for hostcalls")
}

/// A function that had not returned.
struct Frame {
    name: Option<String>,
    index: u32,
    offset: Option<usize>,
}

impl Frame {
    fn line(&self) -> String {
        let name = self.name.clone().unwrap_or_else(|| format!("function {}", self.index));
        self.offset.map_or_else(|| name.clone(), |offset| format!("{name} at {offset:#x}"))
    }
}

/// Why, as far as the engine knows: what the plugin's language knew is lost with it.
fn cause(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => {
            "it gave up: a panic, an exception that nobody caught, or an abort".to_owned()
        }
        Trap::StackOverflow => "its calls went deeper than its stack".to_owned(),
        Trap::MemoryOutOfBounds => "it reached outside of its memory".to_owned(),
        Trap::IntegerDivisionByZero => "it divided by zero".to_owned(),
        other => one_line(other.to_string().trim_start_matches("wasm trap: ")),
    }
}

/// Where it was.
fn place(frames: &[Frame]) -> String {
    let prints = |frame: &Frame| {
        frame.name.as_ref().is_some_and(|name| PRINTING.iter().any(|beginning| name.starts_with(beginning)))
    };
    let first = frames.iter().rposition(prints).map_or(0, |printing| printing + 1);
    let named = frames.iter().skip(first).filter_map(|frame| frame.name.as_deref());
    let own: Vec<&str> = named.filter(|name| !is_machinery(name)).take(NAMED_MAX).collect();
    match own[..] {
        [] if frames.is_empty() => String::new(),
        [] => "; its functions have no names: build it with names to learn where".to_owned(),
        [inner] => format!(", in {inner}"),
        [inner, outer, ..] => format!(", in {inner}, called by {outer}"),
    }
}

fn is_machinery(name: &str) -> bool {
    MACHINERY.iter().any(|beginning| name.starts_with(beginning))
}

/// A function's name as its author wrote it.
fn plain(name: &str) -> String {
    // Without the hash that tells versions of a crate apart.
    let name = one_line(&format!("{:#}", rustc_demangle::demangle(name)));
    match name.char_indices().nth(NAME_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

/// A text of a plugin, on one line and of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // Whoever reads it may do so on a terminal, which such characters command.
    line = line.replace(char::is_control, "\u{fffd}");
    if line.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(names: &[&str]) -> Vec<Frame> {
        let frame = |(index, name): (u32, &&str)| Frame {
            name: Some(plain(name)).filter(|name| !name.is_empty()),
            index,
            offset: Some(0x10),
        };
        (0..).zip(names).map(frame).collect()
    }

    #[test]
    fn the_innermost_functions_of_the_plugins_own_are_named() {
        for (names, wanted) in [
            (&[][..], ""),
            (&["", ""], "; its functions have no names: build it with names to learn where"),
            (&["decide"], ", in decide"),
            (&["parse", "", "decide", "export"], ", in parse, called by decide"),
            (&["stat", "_PyErr_Display", "hook", "PyErr_PrintEx", "wit_dylib_call", "decide"], ", in decide"),
            (
                &[
                    "abort",
                    "rust_panic",
                    "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
                    "_RNvC4mine5split",
                ],
                ", in mine::split",
            ),
            (
                &["_ZN4core6option13unwrap_failed17h0123456789abcdefE"],
                "; its functions have no names: build it \
              with names to learn where",
            ),
        ] {
            assert_eq!(place(&frames(names)), wanted, "{names:?}");
        }
    }

    #[test]
    fn texts_are_lines_of_bounded_length() {
        assert_eq!(one_line(" a\r\n b\tc "), "a b c");
        let long = one_line(&"ä".repeat(TEXT_MAX));
        assert!(long.len() <= TEXT_MAX + '…'.len_utf8() && long.ends_with('…'), "{long}");
        assert!(plain(&"x".repeat(1000)).chars().count() <= NAME_MAX + 1);
        assert_eq!(
            frames(&["", "decide"]).iter().map(Frame::line).collect::<Vec<_>>(),
            ["function 0 at 0x10", "decide at 0x10"]
        );
    }
}
