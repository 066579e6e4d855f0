//! Generates the contracts of the topics that unchain itself writes.

fn main() {
    unchain_codegen::generate("schemas");
}
