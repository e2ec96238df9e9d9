//! The one binary.

fn main() -> std::process::ExitCode {
    wasmta::cli::main()
}
