//! What the server is to the programs that it starts: run by the tests of programs, in its place.

fn main() -> std::process::ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    eprintln!("{}", runtime::supervise(&words));
    std::process::ExitCode::from(71)
}
