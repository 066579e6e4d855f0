//! Generates the contracts of the benchmarks.

fn main() {
    unchain_codegen::generate("schemas");
}
