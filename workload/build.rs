//! Generates the contracts that benchmarks of processors and of Avro use.

fn main() {
    unchain_codegen::generate("schemas");
}
