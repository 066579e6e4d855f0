//! Writes the topics and the `Contract` of each.

use heck::ToShoutySnakeCase;

use crate::catalogue::{Catalogue, short_name};
use crate::rust::{field_name, line};
use crate::topics::{Cleanup, TopicSpec};

/// Writes a static for each topic, its record's `Contract`, and the list of all.
pub(crate) fn contracts(catalogue: &Catalogue, topics: &[TopicSpec], code: &mut String) {
    for topic in topics {
        topic_static(catalogue, topic, code);
        contract(topic, code);
    }
    line(code, format_args!("/// Every topic of these contracts, by name."));
    line(code, format_args!("pub const TOPICS: &[&::unchain::contract::Topic] = &["));
    for topic in topics {
        line(code, format_args!("    &{},", static_name(topic)));
    }
    line(code, format_args!("];"));
}

fn static_name(topic: &TopicSpec) -> String {
    topic.name.to_shouty_snake_case()
}

fn topic_static(catalogue: &Catalogue, topic: &TopicSpec, code: &mut String) {
    let doc = catalogue.types.get(&topic.record).map_or("", |named| named.doc.as_str());
    let cleanup = match topic.cleanup {
        Cleanup::Delete => "Delete",
        Cleanup::Compact => "Compact",
    };
    let retention = match topic.retention_seconds {
        None => "Forever".to_owned(),
        Some(seconds) => format!("For(::std::time::Duration::from_secs({seconds}))"),
    };
    line(code, format_args!("/// The topic `{}`.", topic.name));
    line(
        code,
        format_args!("pub static {}: ::unchain::contract::Topic = ::unchain::contract::Topic {{", static_name(topic)),
    );
    line(code, format_args!("    name: {:?},", topic.name));
    line(code, format_args!("    schema_name: {:?},", topic.record));
    line(code, format_args!("    schema: {},", raw_string(&catalogue.self_contained(&topic.record).to_string())));
    line(code, format_args!("    key: {:?},", topic.key));
    line(code, format_args!("    partitions: {},", topic.partitions));
    line(code, format_args!("    cleanup: ::unchain::contract::Cleanup::{cleanup},"));
    line(code, format_args!("    retention: ::unchain::contract::Retention::{retention},"));
    line(code, format_args!("    doc: {doc:?},"));
    line(code, format_args!("}};\n"));
}

fn contract(topic: &TopicSpec, code: &mut String) {
    let field = field_name(&topic.key);
    let key = if topic.key_is_text {
        format!("::std::borrow::Cow::Borrowed(&self.{field})")
    } else {
        format!("::std::borrow::Cow::Owned(self.{field}.to_string())")
    };
    line(code, format_args!("impl ::unchain::contract::Contract for {} {{", short_name(&topic.record)));
    line(code, format_args!("    const TOPIC: &'static ::unchain::contract::Topic = &{};\n", static_name(topic)));
    line(code, format_args!("    fn key(&self) -> ::std::borrow::Cow<'_, str> {{\n        {key}\n    }}\n}}\n"));
}

/// A raw string literal with as many `#` as the text needs.
fn raw_string(text: &str) -> String {
    let mut hashes = "#".to_owned();
    while text.contains(&format!("\"{hashes}")) {
        hashes.push('#');
    }
    format!("r{hashes}\"{text}\"{hashes}")
}
