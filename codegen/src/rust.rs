//! Writes the Rust types, each with its Avro encoding.

use std::fmt::Write;

use heck::{ToSnakeCase, ToUpperCamelCase};

use crate::catalogue::{Catalogue, Field, Kind, Named, Type, short_name};
use crate::defaults;
use crate::error::CodegenError;

/// Keywords that a raw identifier may spell; the four that it may not get an underscore instead.
const KEYWORDS: [&str; 48] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else", "enum",
    "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move",
    "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

const DERIVES: &str = "::unchain::contract::serde::Serialize, ::unchain::contract::serde::Deserialize";
const SERDE_CRATE: &str = "#[serde(crate = \"::unchain::contract::serde\")]";

/// The Rust name of a field.
pub(crate) fn field_name(avro: &str) -> String {
    let snake = avro.to_snake_case();
    match snake.as_str() {
        "self" | "super" | "crate" | "" => format!("{snake}_"),
        keyword if KEYWORDS.contains(&keyword) => format!("r#{snake}"),
        digits if digits.starts_with(|first: char| first.is_ascii_digit()) => format!("_{snake}"),
        _ => snake,
    }
}

/// The Rust name of an enum symbol.
pub(crate) fn variant_name(symbol: &str) -> String {
    let camel = symbol.to_upper_camel_case();
    match camel.as_str() {
        "Self" | "" => format!("{camel}_"),
        digits if digits.starts_with(|first: char| first.is_ascii_digit()) => format!("_{camel}"),
        _ => camel,
    }
}

/// Writes every type of the catalogue.
pub(crate) fn types(catalogue: &Catalogue, code: &mut String) -> Result<(), CodegenError> {
    for (name, named) in &catalogue.types {
        let rust = short_name(name);
        doc_comment(code, "", &named.doc, &format!("The Avro type `{name}`."));
        match &named.kind {
            Kind::Record(fields) => {
                record(catalogue, code, name, named, fields)?;
                record_datum(code, rust, fields);
            }
            Kind::Enum(symbols) => {
                enumeration(code, rust, symbols);
                enum_datum(code, rust, symbols);
            }
            Kind::Fixed(size) => line(code, format_args!("pub type {rust} = [u8; {size}];\n")),
        }
    }
    Ok(())
}

/// Writing to a String cannot fail.
pub(crate) fn line(code: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = code.write_fmt(text);
    code.push('\n');
}

fn doc_comment(code: &mut String, indent: &str, doc: &str, otherwise: &str) {
    let doc = if doc.trim().is_empty() { otherwise } else { doc };
    for text in doc.lines() {
        line(code, format_args!("{indent}/// {}", text.trim()));
    }
}

fn rust_type(ty: &Type) -> String {
    match ty {
        Type::Boolean => "bool".to_owned(),
        Type::Int => "i32".to_owned(),
        Type::Long => "i64".to_owned(),
        Type::Float => "f32".to_owned(),
        Type::Double => "f64".to_owned(),
        Type::Bytes => "::unchain::contract::Bytes".to_owned(),
        Type::String => "String".to_owned(),
        Type::Array(item) => format!("Vec<{}>", rust_type(item)),
        Type::Map(value) => format!("::std::collections::BTreeMap<String, {}>", rust_type(value)),
        Type::Optional { inner, .. } => format!("Option<{}>", rust_type(inner)),
        Type::Named(name) => short_name(name).to_owned(),
    }
}

fn record(
    catalogue: &Catalogue,
    code: &mut String,
    name: &str,
    named: &Named,
    fields: &[Field],
) -> Result<(), CodegenError> {
    let mut default_functions = String::new();
    line(code, format_args!("#[derive(Debug, Clone, PartialEq)]\n#[derive({DERIVES})]"));
    line(code, format_args!("{SERDE_CRATE}"));
    line(code, format_args!("pub struct {} {{", short_name(name)));
    for field in fields {
        doc_comment(code, "    ", &field.doc, &format!("The Avro field `{}`.", field.name));
        let rust = field_name(&field.name);
        let plain = rust.trim_start_matches("r#");
        let mut attributes = Vec::new();
        if plain != field.name {
            attributes.push(format!("rename = {:?}", field.name));
        }
        if let Some(default) = &field.default {
            let Some(expression) = defaults::expression(catalogue, &field.ty, default) else {
                return Err(CodegenError::unsuitable(
                    &named.file,
                    format!("{name}.{}", field.name),
                    format!("the default {default} is not of the field's type"),
                    "correct it (the default of a union is of its first branch)",
                ));
            };
            if defaults::is_plain(&field.ty, default) {
                attributes.push("default".to_owned());
            } else {
                attributes.push(format!("default = \"{}::default_{plain}\"", short_name(name)));
                let ty = rust_type(&field.ty);
                line(
                    &mut default_functions,
                    format_args!("    fn default_{plain}() -> {ty} {{\n        {expression}\n    }}"),
                );
            }
        }
        if !attributes.is_empty() {
            line(code, format_args!("    #[serde({})]", attributes.join(", ")));
        }
        line(code, format_args!("    pub {rust}: {},", rust_type(&field.ty)));
    }
    line(code, format_args!("}}\n"));
    if !default_functions.is_empty() {
        line(code, format_args!("impl {} {{\n{default_functions}}}\n", short_name(name)));
    }
    Ok(())
}

fn record_datum(code: &mut String, rust: &str, fields: &[Field]) {
    line(code, format_args!("impl ::unchain::contract::Datum for {rust} {{"));
    line(code, format_args!("    fn write(&self, out: &mut Vec<u8>) {{"));
    for field in fields {
        let name = field_name(&field.name);
        let function = if is_null_last(&field.ty) { "write_null_last" } else { "Datum::write" };
        line(code, format_args!("        ::unchain::contract::{function}(&self.{name}, out);"));
    }
    line(code, format_args!("    }}\n"));
    line(
        code,
        format_args!(
            "    fn read(input: &mut ::unchain::contract::Input<'_>) -> Result<Self, ::unchain::contract::Malformed> {{"
        ),
    );
    line(code, format_args!("        Ok({rust} {{"));
    for field in fields {
        let name = field_name(&field.name);
        let function = if is_null_last(&field.ty) { "read_null_last_field" } else { "read_field" };
        line(code, format_args!("            {name}: ::unchain::contract::{function}(input, {:?})?,", field.name));
    }
    line(code, format_args!("        }})\n    }}\n}}\n"));
}

fn is_null_last(ty: &Type) -> bool {
    matches!(ty, Type::Optional { null_first: false, .. })
}

fn enumeration(code: &mut String, rust: &str, symbols: &[String]) {
    line(
        code,
        format_args!("#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]\n#[derive({DERIVES})]"),
    );
    line(code, format_args!("{SERDE_CRATE}"));
    line(code, format_args!("pub enum {rust} {{"));
    for symbol in symbols {
        line(code, format_args!("    #[serde(rename = {symbol:?})]\n    {},", variant_name(symbol)));
    }
    line(code, format_args!("}}\n"));
    line(code, format_args!("impl {rust} {{"));
    line(code, format_args!("    /// The Avro symbol."));
    line(code, format_args!("    pub fn as_str(self) -> &'static str {{\n        match self {{"));
    for symbol in symbols {
        line(code, format_args!("            {rust}::{} => {symbol:?},", variant_name(symbol)));
    }
    line(code, format_args!("        }}\n    }}\n}}\n"));
}

fn enum_datum(code: &mut String, rust: &str, symbols: &[String]) {
    line(code, format_args!("impl ::unchain::contract::Datum for {rust} {{"));
    line(code, format_args!("    fn write(&self, out: &mut Vec<u8>) {{"));
    line(code, format_args!("        ::unchain::contract::Datum::write(&(*self as i32), out);"));
    line(code, format_args!("    }}\n"));
    line(
        code,
        format_args!(
            "    fn read(input: &mut ::unchain::contract::Input<'_>) -> Result<Self, ::unchain::contract::Malformed> {{"
        ),
    );
    line(code, format_args!("        match <i32 as ::unchain::contract::Datum>::read(input)? {{"));
    for (index, symbol) in symbols.iter().enumerate() {
        line(code, format_args!("            {index} => Ok({rust}::{}),", variant_name(symbol)));
    }
    line(code, format_args!("            index => Err(input.no_symbol(index, {rust:?})),"));
    line(code, format_args!("        }}\n    }}\n}}\n"));
}
