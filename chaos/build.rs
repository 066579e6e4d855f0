//! Generates the contracts of the checker's workload.

fn main() {
    unchain_codegen::generate("schemas");
}
