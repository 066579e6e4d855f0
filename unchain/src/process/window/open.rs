//! Opens the windows of a record: reads their rows, and clears away some rows whose time is over.

use std::any::TypeId;
use std::sync::Arc;

use bytes::Bytes;

use super::timing::{Shape, Timing, merged};
use super::windows::{Late, Window, Windows};
use super::{EventTime, WindowSpec, parse_row_key, row_key, rows_from};
use crate::contract::Contract;
use crate::process::{Context, Failure, PendingWrite, TableWrites};

/// Sessions of one key that a record can join. It is two; more only where the gap was longer in an earlier release.
const MAX_JOINED_SESSIONS: usize = 100;

/// # Errors
/// A rejection where the record has no key or no event time that can be believed.
pub(super) fn open<C: Contract>(context: &mut Context<'_>) -> Result<Result<Windows<C>, Late>, Failure> {
    let spec: WindowSpec<C> = context.states.get().expect("the processor was refused if it lacks a declared window");
    let time_ms = match context.event_time() {
        EventTime::At(time_ms) => time_ms,
        unusable => return Err(Failure::reject(unusable)),
    };
    let table = context.table::<C>();
    let key: Arc<str> = context.key()?.into();
    let late = Late { time_ms, stream_time_ms: context.stream_time_ms() };
    let windows = match spec.timing.shape {
        Shape::Time { size_ms, advance_ms } => {
            let mut windows = Vec::new();
            for bounds in Timing::windows_at(size_ms, advance_ms, time_ms) {
                if !spec.timing.is_closed(bounds, late.stream_time_ms) {
                    let row = row_key(&key, bounds);
                    let value = context.row::<C>(table, &row)?;
                    let present = value.iter().map(|_| row.clone()).collect();
                    windows.push(Window::new(context, (table, &key, row), bounds, value, present));
                }
            }
            windows
        }
        Shape::Session { gap_ms } => open_session(context, &spec, (table, &key), gap_ms, late)?.into_iter().collect(),
    };
    if windows.is_empty() {
        return Ok(Err(late));
    }
    sweep::<C>(context, &spec.timing, table)?;
    Ok(Ok(Windows::of(windows)))
}

/// The session that the record makes with those that it joins; `None` where it is late.
fn open_session<C: Contract>(
    context: &mut Context<'_>,
    spec: &WindowSpec<C>,
    (table, key): (usize, &Arc<str>),
    gap_ms: i64,
    Late { time_ms, stream_time_ms }: Late,
) -> Result<Option<Window<C>>, Failure> {
    let timing = &spec.timing;
    // What ended before this is too far from the record or closed already.
    let open_from_ms = stream_time_ms.saturating_sub(gap_ms).saturating_sub(timing.grace_ms);
    let (from, to) = rows_from(key, Timing::joins_from_ms(gap_ms, time_ms).max(open_from_ms));
    let mut joined = Vec::new();
    for (row, value) in context.rows(table, &from, Some(&to), MAX_JOINED_SESSIONS)? {
        let (_, bounds) = parse_row_key(&row).ok_or_else(|| no_row::<C>(&row))?;
        if !timing.joins(bounds, time_ms, stream_time_ms) {
            break;
        }
        joined.push((row, bounds, value));
    }
    let bounds = merged(time_ms, joined.iter().map(|(_, bounds, _)| *bounds));
    if timing.is_closed(bounds, stream_time_ms) {
        return Ok(None);
    }
    let (mut value, mut present) = (None, Vec::with_capacity(joined.len()));
    for (row, _, bytes) in joined {
        let later: C = context.decode_row(&bytes)?;
        value = Some(match (value, spec.merge) {
            (Some(earlier), Some(merge)) => merge(earlier, later),
            _ => later,
        });
        present.push(row);
    }
    Ok(Some(Window::new(context, (table, key, row_key(key, bounds)), bounds, value, present)))
}

#[cold]
fn no_row<C: Contract>(row: &Bytes) -> Failure {
    let row = String::from_utf8_lossy(row);
    Failure::reject(format!("table {} holds {row:?}, which is no key of a window's row", C::TOPIC.name))
}

/// Rows whose time is over, to be deleted if the call succeeds.
#[derive(Debug)]
struct Expired {
    table: usize,
    rows: Vec<Bytes>,
}

impl PendingWrite for Expired {
    fn collect(&self, writes: &mut TableWrites<'_>) -> Result<(), Failure> {
        self.rows.iter().for_each(|row| writes.delete(self.table, row));
        Ok(())
    }
}

fn sweep<C: Contract>(context: &mut Context<'_>, timing: &Timing, table: usize) -> Result<(), Failure> {
    let (swept, stream_time_ms) = ((TypeId::of::<C>(), context.record().partition), context.stream_time_ms());
    let step = context.states.sweeps.with(swept, |sweep| sweep.step(timing, stream_time_ms));
    let Some((from, max_rows)) = step else { return Ok(()) };
    let found = context.rows(table, &from, None, max_rows)?;
    let rows = found.iter().map(|(row, _)| row);
    let rows = context.states.sweeps.with(swept, |sweep| sweep.found(timing, stream_time_ms, max_rows, rows));
    if !rows.is_empty() {
        context.writes.push(Arc::new(Expired { table, rows }));
    }
    Ok(())
}
