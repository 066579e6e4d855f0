//! How windows are declared: `.window::<RevenueHour>(Tumbling::of(hours(1)).grace(minutes(5)))`.

use std::marker::PhantomData;
use std::time::Duration;

use super::WindowError;
use super::timing::{Shape, Timing, millis};

/// A kind of windows over rows of `C`.
pub trait WindowKind<C> {
    fn spec(self) -> WindowSpec<C>;
}

/// What a processor's windows over rows of `C` are like.
#[derive(Debug)]
pub struct WindowSpec<C> {
    pub(super) timing: Timing,
    /// How two sessions that a record joins become one.
    pub(super) merge: Option<fn(C, C) -> C>,
    row: PhantomData<fn(C) -> C>,
}

impl<C> Clone for WindowSpec<C> {
    fn clone(&self) -> Self {
        WindowSpec { timing: self.timing, merge: self.merge, row: PhantomData }
    }
}

impl<C> WindowSpec<C> {
    pub(crate) fn check(&self) -> Result<(), WindowError> {
        self.timing.check()
    }
}

macro_rules! lifetimes {
    () => {
        /// How far stream time may pass a window's end while records are still added to it. None by default.
        pub fn grace(mut self, grace: Duration) -> Self {
            self.timing.grace_ms = millis(grace);
            self
        }

        /// How far stream time passes a window's end before its row is deleted, where that is longer than until the
        /// window closes: closed windows can be queried so long.
        pub fn retention(mut self, retention: Duration) -> Self {
            self.timing.retention_ms = millis(retention);
            self
        }
    };
}

/// Windows of one size, each beginning where the one before ends, counted from the Unix epoch: every record is in one.
#[derive(Debug, Clone, Copy)]
pub struct Tumbling {
    timing: Timing,
}

impl Tumbling {
    pub fn of(size: Duration) -> Tumbling {
        let size_ms = millis(size);
        Tumbling { timing: Timing::new(Shape::Time { size_ms, advance_ms: size_ms }) }
    }

    lifetimes!();
}

/// Windows of one size, of which one begins at each multiple of the advance: they overlap, and a record is in several.
#[derive(Debug, Clone, Copy)]
pub struct Hopping {
    timing: Timing,
}

impl Hopping {
    pub fn of(size: Duration, advance: Duration) -> Hopping {
        Hopping { timing: Timing::new(Shape::Time { size_ms: millis(size), advance_ms: millis(advance) }) }
    }

    lifetimes!();
}

/// Windows of activity: a session goes on as long as no two records of its key are further apart than the gap.
#[derive(Debug, Clone, Copy)]
pub struct Session<C> {
    timing: Timing,
    merge: fn(C, C) -> C,
}

impl<C> Session<C> {
    /// `merge` makes one row of an earlier and a later session's, where a record between them joins the two.
    pub fn of(gap: Duration, merge: fn(C, C) -> C) -> Session<C> {
        Session { timing: Timing::new(Shape::Session { gap_ms: millis(gap) }), merge }
    }

    lifetimes!();
}

impl Timing {
    fn new(shape: Shape) -> Timing {
        Timing { shape, grace_ms: 0, retention_ms: 0 }
    }
}

impl<C> WindowKind<C> for Tumbling {
    fn spec(self) -> WindowSpec<C> {
        WindowSpec { timing: self.timing, merge: None, row: PhantomData }
    }
}

impl<C> WindowKind<C> for Hopping {
    fn spec(self) -> WindowSpec<C> {
        WindowSpec { timing: self.timing, merge: None, row: PhantomData }
    }
}

impl<C> WindowKind<C> for Session<C> {
    fn spec(self) -> WindowSpec<C> {
        WindowSpec { timing: self.timing, merge: Some(self.merge), row: PhantomData }
    }
}
