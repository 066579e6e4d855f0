//! Draws processors and the topics between them, as Mermaid or as text.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use super::Processor;

/// The topology of some processors.
pub struct Graph<'a> {
    processors: &'a [Processor],
}

impl<'a> Graph<'a> {
    pub fn of(processors: &'a [Processor]) -> Graph<'a> {
        Graph { processors }
    }

    /// A Mermaid flowchart: topics as cylinders, processors as boxes, tables and lookups by dotted lines.
    pub fn mermaid(&self) -> String {
        let mut out = String::new();
        self.write_mermaid(&mut out).expect("writing to a string does not fail");
        out
    }

    /// One paragraph a processor: what it reads, keeps, looks up and writes.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write_text(&mut out).expect("writing to a string does not fail");
        out
    }

    fn write_mermaid(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "flowchart LR")?;
        let topics: BTreeSet<&str> = self
            .processors
            .iter()
            .flat_map(|processor| processor.declaration().topics().into_iter().map(|topic| topic.name))
            .collect();
        for topic in topics {
            writeln!(out, "    {}[({topic})]", node(topic))?;
        }
        for processor in self.processors {
            let (name, declared) = (processor.name(), processor.declaration());
            let box_ = format!("processor_{}", node(name));
            writeln!(out, "    {box_}[\"{name}\"]")?;
            for topic in declared.inputs() {
                writeln!(out, "    {} --> {box_}", node(topic.name))?;
            }
            for topic in declared.lookups() {
                writeln!(out, "    {} -. lookup .-> {box_}", node(topic.name))?;
            }
            for topic in declared.tables() {
                writeln!(out, "    {box_} -. table .- {}", node(topic.name))?;
            }
            for topic in declared.outputs() {
                writeln!(out, "    {box_} --> {}", node(topic.name))?;
            }
        }
        Ok(())
    }

    fn write_text(&self, out: &mut String) -> fmt::Result {
        for (index, processor) in self.processors.iter().enumerate() {
            let declared = processor.declaration();
            if index > 0 {
                writeln!(out)?;
            }
            writeln!(out, "{}", processor.name())?;
            if !processor.description().is_empty() {
                writeln!(out, "  {}", processor.description())?;
            }
            let lookups: Vec<_> = declared.lookups().collect();
            let lists = [
                ("reads", declared.inputs()),
                ("looks up", &lookups),
                ("keeps", declared.tables()),
                ("writes", declared.outputs()),
            ];
            for (verb, topics) in lists.into_iter().filter(|(_, topics)| !topics.is_empty()) {
                let names: Vec<&str> = topics.iter().map(|topic| topic.name).collect();
                writeln!(out, "  {verb:<8}  {}", names.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Mermaid's node names are letters, digits and underscores.
fn node(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
