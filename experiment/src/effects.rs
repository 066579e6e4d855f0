//! What a service of the synchronous chain has done, on disk: one line an effect, there even after kill -9.
//!
//! It stands for the rows that the service's database would have.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

/// One effect of one step on one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    pub order_id: String,
    /// The step's name; `placed` is that of the pipeline's front.
    pub step: String,
    pub at_us: u64,
}

/// A file of effects, which grows by one write for each line: what the system has taken outlives the process.
#[derive(Debug)]
pub struct EffectsLog {
    file: File,
    step: &'static str,
}

impl EffectsLog {
    pub fn append_to(path: &Path, step: &'static str) -> io::Result<EffectsLog> {
        Ok(EffectsLog { file: File::options().create(true).append(true).open(path)?, step })
    }

    pub fn add(&self, order_id: &str, at_us: u64) -> io::Result<()> {
        (&self.file).write_all(format!("{order_id},{},{at_us}\n", self.step).as_bytes())
    }
}

/// All effects of a file; none where it does not exist. A last line that was cut off is no effect.
///
/// # Errors
/// What keeps the file from being read, or the first line that is none of ours.
pub fn read_effects(path: &Path) -> io::Result<Vec<Effect>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    let no_effect = |line: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{line:?} is no effect"));
    whole.lines().map(|line| line.parse().map_err(|()| no_effect(line))).collect()
}

impl FromStr for Effect {
    type Err = ();

    fn from_str(line: &str) -> Result<Effect, ()> {
        let mut parts = line.split(',');
        let (Some(order_id), Some(step), Some(at_us), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        Ok(Effect { order_id: order_id.to_owned(), step: step.to_owned(), at_us: at_us.parse().map_err(|_| ())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_read_as_they_were_written_and_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payment.effects");
        assert_eq!(read_effects(&path).unwrap(), []);
        for (order_id, at_us) in [("1", 10), ("2", 20)] {
            EffectsLog::append_to(&path, "payment").unwrap().add(order_id, at_us).unwrap();
        }
        let effect = |order_id: &str, at_us| Effect { order_id: order_id.into(), step: "payment".into(), at_us };
        assert_eq!(read_effects(&path).unwrap(), [effect("1", 10), effect("2", 20)]);
    }

    #[test]
    fn a_line_that_was_cut_off_is_no_effect_and_any_other_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("effects");
        std::fs::write(&path, "1,email,10\n2,ema").unwrap();
        assert_eq!(read_effects(&path).unwrap().len(), 1);
        std::fs::write(&path, "1,email\n").unwrap();
        assert!(read_effects(&path).unwrap_err().to_string().contains("1,email"));
    }
}
