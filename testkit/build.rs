//! Generates the contracts of tests.

fn main() {
    unchain_codegen::generate("schemas");
}
