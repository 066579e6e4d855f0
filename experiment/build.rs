//! Generates the contracts of the experiment's pipeline.

fn main() {
    unchain_codegen::generate("schemas");
}
