//! The `unchain` command.

use std::process::ExitCode;

/// Handlers' values come and go by the million: with the system's allocator they cost a third of a stateful job.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    unchain_cli::main()
}
