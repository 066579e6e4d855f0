//! The steps of a resolution, and how they run.

use super::super::datum::{Input, write_long};
use super::super::malformed::{Malformed, MalformedReason};

/// What is done with one value: its bytes are read from the writer's datum, and the reader's are written.
#[derive(Debug)]
pub(super) enum Step {
    /// Null: no bytes.
    Nothing,
    /// Booleans, floats, doubles and fixed.
    Fixed(usize),
    /// Ints and longs: both have one encoding.
    Integer,
    /// Strings and bytes: both have one encoding.
    Prefixed,
    IntegerToFloat,
    IntegerToDouble,
    FloatToDouble,
    /// The reader's index of each of the writer's symbols.
    Enum {
        name: String,
        indexes: Vec<Option<i32>>,
    },
    Array(Box<Step>),
    Map(Box<Step>),
    /// The writer's value is a branch of a union; `Err` names a branch that the reader has no place for.
    FromUnion(Vec<Result<Step, String>>),
    /// The reader's value is a branch of a union.
    ToUnion {
        branch: i64,
        step: Box<Step>,
    },
    /// The fields that both have stand in one order.
    Record(Vec<Action>),
    /// The reader has the fields in another order. One source a field of the reader.
    Reordered {
        fields: Vec<(String, Step)>,
        sources: Vec<Source>,
    },
}

/// What is done for one field, in the writer's order.
#[derive(Debug)]
pub(super) enum Action {
    Keep(String, Step),
    /// The reader does not have the field.
    Drop(String, Step),
    /// The writer does not have the field: its default, encoded.
    Default(Vec<u8>),
}

/// Where a field of the reader comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The writer's field of this index.
    Field(usize),
    Default(Vec<u8>),
}

impl Step {
    pub(super) fn run(&self, input: &mut Input<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Step::Nothing => {}
            Step::Fixed(bytes) => out.extend_from_slice(input.take(*bytes)?),
            Step::Integer => copy(input, out, |input| input.long().map(drop))?,
            Step::Prefixed => copy(input, out, |input| {
                let length = input.length()?;
                input.take(length).map(drop)
            })?,
            Step::IntegerToFloat => out.extend_from_slice(&(input.long()? as f32).to_le_bytes()),
            Step::IntegerToDouble => out.extend_from_slice(&(input.long()? as f64).to_le_bytes()),
            Step::FloatToDouble => {
                let mut float = [0; 4];
                float.copy_from_slice(input.take(4)?);
                out.extend_from_slice(&f64::from(f32::from_le_bytes(float)).to_le_bytes());
            }
            Step::Enum { name, indexes } => write_long(i64::from(symbol(input, name, indexes)?), out),
            Step::Array(item) => items(input, out, |input, out| item.run(input, out))?,
            Step::Map(value) => items(input, out, |input, out| {
                Step::Prefixed.run(input, out)?;
                value.run(input, out)
            })?,
            Step::FromUnion(branches) => branch(input, branches)?.run(input, out)?,
            Step::ToUnion { branch, step } => {
                write_long(*branch, out);
                step.run(input, out)?;
            }
            Step::Record(actions) => actions.iter().try_for_each(|action| action.run(input, out))?,
            Step::Reordered { fields, sources } => reordered(input, out, fields, sources)?,
        }
        Ok(())
    }
}

impl Action {
    fn run(&self, input: &mut Input<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self {
            Action::Keep(field, step) => step.run(input, out).map_err(|malformed| malformed.within(field)),
            Action::Drop(field, step) => {
                let end = out.len();
                step.run(input, out).map_err(|malformed| malformed.within(field))?;
                out.truncate(end);
                Ok(())
            }
            Action::Default(bytes) => {
                out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }
}

fn copy(
    input: &mut Input<'_>,
    out: &mut Vec<u8>,
    skip: impl FnOnce(&mut Input<'_>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let start = input.offset();
    skip(input)?;
    out.extend_from_slice(input.since(start));
    Ok(())
}

fn items(
    input: &mut Input<'_>,
    out: &mut Vec<u8>,
    mut one: impl FnMut(&mut Input<'_>, &mut Vec<u8>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    loop {
        let count = input.block()?;
        write_long(count as i64, out);
        if count == 0 {
            return Ok(());
        }
        for _ in 0..count {
            one(input, out)?;
        }
    }
}

fn symbol(input: &mut Input<'_>, name: &str, indexes: &[Option<i32>]) -> Result<i32, Malformed> {
    let written = input.long()?;
    let index = usize::try_from(written).ok().and_then(|written| indexes.get(written));
    match index {
        Some(Some(index)) => Ok(*index),
        Some(None) => Err(input.malformed(MalformedReason::NoPlace { written: format!("symbol {written} of {name}") })),
        None => {
            let index = i32::try_from(written).unwrap_or(i32::MAX);
            Err(input.malformed(MalformedReason::NoSymbol { index, enumeration: name.to_owned() }))
        }
    }
}

fn branch<'s>(input: &mut Input<'_>, branches: &'s [Result<Step, String>]) -> Result<&'s Step, Malformed> {
    let branch = input.long()?;
    match usize::try_from(branch).ok().and_then(|index| branches.get(index)) {
        Some(Ok(step)) => Ok(step),
        Some(Err(written)) => Err(input.malformed(MalformedReason::NoPlace { written: written.clone() })),
        None => Err(input.malformed(MalformedReason::NoBranch { branch })),
    }
}

fn reordered(
    input: &mut Input<'_>,
    out: &mut Vec<u8>,
    fields: &[(String, Step)],
    sources: &[Source],
) -> Result<(), Malformed> {
    let mut written = Vec::new();
    let mut ends = Vec::with_capacity(fields.len() + 1);
    ends.push(0);
    for (field, step) in fields {
        step.run(input, &mut written).map_err(|malformed| malformed.within(field))?;
        ends.push(written.len());
    }
    for source in sources {
        match source {
            Source::Field(index) => out.extend_from_slice(&written[ends[*index]..ends[*index + 1]]),
            Source::Default(bytes) => out.extend_from_slice(bytes),
        }
    }
    Ok(())
}
