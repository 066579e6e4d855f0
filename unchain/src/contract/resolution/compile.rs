//! Works out the steps from a writer's schema to a reader's.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{
    Alias, DecimalSchema, EnumSchema, FixedSchema, InnerDecimalSchema, Name, RecordField, RecordSchema, UuidSchema,
};

use super::default::default_bytes;
use super::rewrite::{Action, Source, Step};
use super::{Resolution, ResolutionError};

/// Types nested deeper than this, as a type that holds itself is, are refused.
const MAX_DEPTH: usize = 64;
const TOO_DEEP: &str = "the types nest deeper than 64, or hold themselves";

pub(super) fn compile(writer: &Schema, reader: &Schema) -> Result<Resolution, ResolutionError> {
    let mut compiler = Compiler {
        names: [names_of(writer), names_of(reader)],
        path: Vec::new(),
        depth: 0,
        is_too_deep: false,
        gaps: Vec::new(),
    };
    let root = compiler.step(writer, reader)?;
    if compiler.is_too_deep {
        return Err(compiler.error(TOO_DEEP.to_owned()));
    }
    Ok(Resolution { root, gaps: compiler.gaps })
}

/// A schema's named types.
pub(in super::super) type Names<'s> = HashMap<&'s Name, &'s Schema>;

struct Compiler<'s> {
    /// Of the writer and of the reader.
    names: [Names<'s>; 2],
    path: Vec<String>,
    depth: usize,
    /// Found once, no branch of a union may hide it.
    is_too_deep: bool,
    gaps: Vec<ResolutionError>,
}

impl<'s> Compiler<'s> {
    fn error(&self, reason: String) -> ResolutionError {
        ResolutionError { field: self.path.join("."), reason }
    }

    fn step(&mut self, writer: &'s Schema, reader: &'s Schema) -> Result<Step, ResolutionError> {
        self.is_too_deep |= self.depth == MAX_DEPTH;
        if self.is_too_deep {
            return Err(self.error(TOO_DEEP.to_owned()));
        }
        self.depth += 1;
        let writer = target(&self.names[0], writer);
        let reader = target(&self.names[1], reader);
        let step = match (base(writer), base(reader)) {
            (Base::Union(branches), _) => self.leave_union(branches, reader),
            (_, Base::Union(branches)) => self.enter_union(writer, branches),
            (Base::Null, Base::Null) => Ok(Step::Nothing),
            (Base::Boolean, Base::Boolean) => Ok(Step::Fixed(1)),
            (Base::Int, Base::Int | Base::Long) | (Base::Long, Base::Long) => Ok(Step::Integer),
            (Base::Int | Base::Long, Base::Float) => Ok(Step::IntegerToFloat),
            (Base::Int | Base::Long, Base::Double) => Ok(Step::IntegerToDouble),
            (Base::Float, Base::Float) => Ok(Step::Fixed(4)),
            (Base::Float, Base::Double) => Ok(Step::FloatToDouble),
            (Base::Double, Base::Double) => Ok(Step::Fixed(8)),
            (Base::Bytes | Base::String, Base::Bytes | Base::String) => Ok(Step::Prefixed),
            (Base::Fixed(w), Base::Fixed(r))
                if same_name(&w.name, &r.name, aliases(&r.aliases)) && w.size == r.size =>
            {
                Ok(Step::Fixed(w.size))
            }
            (Base::Enum(w), Base::Enum(r)) if same_name(&w.name, &r.name, aliases(&r.aliases)) => self.symbols(w, r),
            (Base::Array(w), Base::Array(r)) => self.step(w, r).map(|item| Step::Array(Box::new(item))),
            (Base::Map(w), Base::Map(r)) => self.step(w, r).map(|value| Step::Map(Box::new(value))),
            (Base::Record(w), Base::Record(r)) if same_name(&w.name, &r.name, aliases(&r.aliases)) => self.record(w, r),
            _ => Err(self.error(format!("{} cannot be read as {}", shown(writer), shown(reader)))),
        };
        self.depth -= 1;
        step
    }

    fn leave_union(&mut self, branches: &'s [Schema], reader: &'s Schema) -> Result<Step, ResolutionError> {
        let mut first_error = None;
        let mut steps = Vec::new();
        for branch in branches {
            match self.attempt(branch, reader) {
                Ok(step) => steps.push(Ok(step)),
                Err(error) => {
                    steps.push(Err(shown(branch)));
                    self.gaps.push(error.clone());
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) if steps.iter().all(Result::is_err) => Err(error),
            _ => Ok(Step::FromUnion(steps)),
        }
    }

    /// The first branch of the written type itself, or else the first that the type widens to.
    fn enter_union(&mut self, writer: &'s Schema, branches: &'s [Schema]) -> Result<Step, ResolutionError> {
        let kind = |schema: &'s Schema| std::mem::discriminant(&base(schema));
        for same_kind in [true, false] {
            for (index, branch) in branches.iter().enumerate() {
                let is_same_kind = kind(target(&self.names[1], branch)) == kind(writer);
                if is_same_kind == same_kind
                    && let Ok(step) = self.attempt(writer, branch)
                {
                    return Ok(Step::ToUnion { branch: index as i64, step: Box::new(step) });
                }
            }
        }
        let shown: Vec<_> = branches.iter().map(shown).collect();
        Err(self.error(format!("{} cannot be read as any of {}", self::shown(writer), shown.join(", "))))
    }

    /// A step that may fail without a trace.
    fn attempt(&mut self, writer: &'s Schema, reader: &'s Schema) -> Result<Step, ResolutionError> {
        let (depth, fields, gaps) = (self.depth, self.path.len(), self.gaps.len());
        let step = self.step(writer, reader);
        if step.is_err() {
            self.depth = depth;
            self.path.truncate(fields);
            self.gaps.truncate(gaps);
        }
        step
    }

    fn symbols(&mut self, writer: &EnumSchema, reader: &EnumSchema) -> Result<Step, ResolutionError> {
        let place = |symbol: &String| reader.symbols.iter().position(|other| other == symbol);
        let default = reader.default.as_ref().and_then(place);
        let mut indexes = Vec::new();
        for symbol in &writer.symbols {
            let index = place(symbol).or(default);
            if index.is_none() {
                self.gaps.push(self.error(format!("{} has no symbol {symbol} and no default", reader.name)));
            }
            indexes.push(index.and_then(|index| i32::try_from(index).ok()));
        }
        Ok(Step::Enum { name: writer.name.to_string(), indexes })
    }

    fn record(&mut self, writer: &'s RecordSchema, reader: &'s RecordSchema) -> Result<Step, ResolutionError> {
        // Where each of the reader's fields comes from, and which of them each of the writer's fields goes to.
        let mut sources = Vec::new();
        let mut goes_to = vec![None; writer.fields.len()];
        for (index, field) in reader.fields.iter().enumerate() {
            match source_of(writer, field).filter(|source| goes_to[*source].is_none()) {
                Some(source) => {
                    goes_to[source] = Some(index);
                    sources.push(Source::Field(source));
                }
                None => sources.push(Source::Default(self.default(field)?)),
            }
        }
        let mut fields = Vec::new();
        for (field, goes_to) in writer.fields.iter().zip(&goes_to) {
            self.path.push(field.name.clone());
            let step = match goes_to {
                Some(index) => self.step(&field.schema, &reader.fields[*index].schema)?,
                None => self.own(&field.schema)?,
            };
            self.path.pop();
            fields.push((field.name.clone(), step));
        }
        if goes_to.iter().flatten().is_sorted() {
            Ok(Step::Record(in_order(fields, &goes_to, sources)))
        } else {
            Ok(Step::Reordered { fields, sources })
        }
    }

    /// The step of a field that is read past.
    fn own(&mut self, writer: &'s Schema) -> Result<Step, ResolutionError> {
        let names = self.names[0].clone();
        let reader_names = std::mem::replace(&mut self.names[1], names);
        let step = self.step(writer, writer);
        self.names[1] = reader_names;
        step
    }

    fn default(&self, field: &'s RecordField) -> Result<Vec<u8>, ResolutionError> {
        let field_path = || self.path.iter().chain([&field.name]).cloned().collect::<Vec<_>>().join(".");
        let error = |reason: &str| ResolutionError { field: field_path(), reason: reason.to_owned() };
        let default = field.default.as_ref().ok_or_else(|| error("is new and has no default"))?;
        let mut bytes = Vec::new();
        default_bytes(&self.names[1], &field.schema, default, &mut bytes)
            .ok_or_else(|| error("its default is not of its type"))?;
        Ok(bytes)
    }
}

/// The writer's field of the same name, or else of an alias.
fn source_of(writer: &RecordSchema, field: &RecordField) -> Option<usize> {
    let position = |name: &String| writer.fields.iter().position(|other| other.name == *name);
    position(&field.name).or_else(|| field.aliases.iter().find_map(position))
}

/// The actions of a record whose common fields stand in one order.
fn in_order(fields: Vec<(String, Step)>, goes_to: &[Option<usize>], sources: Vec<Source>) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut fields = fields.into_iter().zip(goes_to);
    for source in sources {
        match source {
            Source::Default(bytes) => actions.push(Action::Default(bytes)),
            Source::Field(_) => {
                for ((name, step), goes_to) in fields.by_ref() {
                    if goes_to.is_some() {
                        actions.push(Action::Keep(name, step));
                        break;
                    }
                    actions.push(Action::Drop(name, step));
                }
            }
        }
    }
    actions.extend(fields.map(|((name, step), _)| Action::Drop(name, step)));
    actions
}

/// A schema without its logical type.
pub(in super::super) enum Base<'s> {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(&'s FixedSchema),
    Enum(&'s EnumSchema),
    Array(&'s Schema),
    Map(&'s Schema),
    Union(&'s [Schema]),
    Record(&'s RecordSchema),
    /// A reference that the schema does not define.
    Unknown,
}

pub(in super::super) fn base(schema: &Schema) -> Base<'_> {
    match schema {
        Schema::Null => Base::Null,
        Schema::Boolean => Base::Boolean,
        Schema::Int | Schema::Date | Schema::TimeMillis => Base::Int,
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => Base::Long,
        Schema::Float => Base::Float,
        Schema::Double => Base::Double,
        Schema::Bytes
        | Schema::BigDecimal
        | Schema::Uuid(UuidSchema::Bytes)
        | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Bytes, .. }) => Base::Bytes,
        Schema::String | Schema::Uuid(UuidSchema::String) => Base::String,
        Schema::Fixed(fixed)
        | Schema::Duration(fixed)
        | Schema::Uuid(UuidSchema::Fixed(fixed))
        | Schema::Decimal(DecimalSchema { inner: InnerDecimalSchema::Fixed(fixed), .. }) => Base::Fixed(fixed),
        Schema::Enum(schema) => Base::Enum(schema),
        Schema::Array(schema) => Base::Array(&schema.items),
        Schema::Map(schema) => Base::Map(&schema.types),
        Schema::Union(schema) => Base::Union(schema.variants()),
        Schema::Record(schema) => Base::Record(schema),
        Schema::Ref { .. } => Base::Unknown,
    }
}

pub(in super::super) fn names_of(schema: &Schema) -> Names<'_> {
    fn collect<'s>(schema: &'s Schema, names: &mut Names<'s>) {
        match base(schema) {
            Base::Fixed(fixed) => drop(names.insert(&fixed.name, schema)),
            Base::Enum(symbols) => drop(names.insert(&symbols.name, schema)),
            Base::Array(inner) | Base::Map(inner) => collect(inner, names),
            Base::Union(branches) => branches.iter().for_each(|branch| collect(branch, names)),
            Base::Record(record) => {
                names.insert(&record.name, schema);
                record.fields.iter().for_each(|field| collect(&field.schema, names));
            }
            _ => {}
        }
    }
    let mut names = Names::new();
    collect(schema, &mut names);
    names
}

/// What a reference refers to.
pub(in super::super) fn target<'s>(names: &Names<'s>, schema: &'s Schema) -> &'s Schema {
    match schema {
        Schema::Ref { name } => names.get(name).copied().unwrap_or(schema),
        schema => schema,
    }
}

fn aliases(aliases: &Option<Vec<Alias>>) -> impl Iterator<Item = &str> {
    aliases.iter().flatten().map(|alias| alias.name())
}

/// Named types correspond by unqualified name, or by an alias of the reader's.
fn same_name<'a>(writer: &Name, reader: &Name, mut reader_aliases: impl Iterator<Item = &'a str>) -> bool {
    writer.name() == reader.name() || reader_aliases.any(|alias| alias == writer.name())
}

/// A type in a message.
fn shown(schema: &Schema) -> String {
    match base(schema) {
        Base::Null => "null".to_owned(),
        Base::Boolean => "boolean".to_owned(),
        Base::Int => "int".to_owned(),
        Base::Long => "long".to_owned(),
        Base::Float => "float".to_owned(),
        Base::Double => "double".to_owned(),
        Base::Bytes => "bytes".to_owned(),
        Base::String => "string".to_owned(),
        Base::Fixed(fixed) => format!("fixed {} of {} bytes", fixed.name, fixed.size),
        Base::Enum(symbols) => format!("enum {}", symbols.name),
        Base::Array(_) => "array".to_owned(),
        Base::Map(_) => "map".to_owned(),
        Base::Union(branches) => branches.iter().map(shown).collect::<Vec<_>>().join(" or "),
        Base::Record(record) => format!("record {}", record.name),
        Base::Unknown => "an undefined type".to_owned(),
    }
}
