//! The `unchain` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    unchain_cli::main()
}
