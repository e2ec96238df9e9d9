//! The one binary.

/// Sessions make what the writers of storage and log free: the system's own allocator spends a quarter of a sync on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    wasmta::cli::main()
}
