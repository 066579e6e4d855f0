//! Generates the order domain's contracts.

fn main() {
    unchain_codegen::generate(".");
}
