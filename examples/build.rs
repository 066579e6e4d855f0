//! Generates the contracts.
fn main() {
    unchain_codegen::generate("schemas");
}
