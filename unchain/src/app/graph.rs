//! `graph`: draws the processors and the topics between them.

use clap::{Args, ValueEnum};

use super::AppError;
use crate::process::{Graph, Processor};

/// How to draw.
#[derive(Debug, Clone, Copy, Args)]
pub struct GraphArguments {
    /// Text for readers, Mermaid for pages that draw it.
    #[arg(long, value_enum, default_value = "text")]
    pub format: GraphFormat,
}

/// The forms of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    Text,
    Mermaid,
}

pub(super) fn graph(processors: &[Processor], arguments: &GraphArguments) -> Result<(), AppError> {
    let graph = Graph::of(processors);
    match arguments.format {
        GraphFormat::Text => print!("{}", graph.text()),
        GraphFormat::Mermaid => print!("{}", graph.mermaid()),
    }
    Ok(())
}
