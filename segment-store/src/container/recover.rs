//! Coming back to what the log says.

use std::path::Path;
use std::sync::Arc;

use connector_api::env::FileSystem;

use super::extents::Location;
use super::record::{Record, records};
use super::snapshot::{self, Snapshot};
use super::state::State;
use crate::error::{Error, Result};
use crate::log::{self, Frame, Position, Scanner};

/// Where a log begins.
const BEGINNING: Position = Position { file: 0, at: 0, next: 1, previous: 0 };

/// What was found.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) scanner: Scanner,
}

impl Loaded {
    pub(crate) fn position(&self) -> Position {
        self.scanner.position()
    }

    /// Applies what was logged since; says how many frames that were.
    pub(crate) fn advance(&mut self, until: Option<u64>) -> Result<u64> {
        let mut frames = 0;
        while until.is_none_or(|last| self.position().next <= last) {
            let Some(frame) = self.scanner.next()? else {
                if let Some(last) = until {
                    let what = format!("frame {last} was durable, and is gone");
                    return Err(Error::Unavailable { reason: what });
                }
                break;
            };
            self.replay(&frame)?;
            frames += 1;
        }
        Ok(frames)
    }

    fn replay(&mut self, frame: &Frame) -> Result<()> {
        let number = frame.header.number;
        let dir = self.scanner.dir();
        let bad = |reason: String| {
            let path = log::file::path(dir, frame.place.file);
            Error::corrupt(&path, frame.place.at, format!("frame {number}: {reason}"))
        };
        let mut touched = Vec::new();
        let mut count = 0;
        for record in records(&frame.payload) {
            match record.map_err(|why| bad(why.to_owned()))? {
                Record::Append(append, bytes, at) => {
                    let location = Location::Frame { number, at: at as u32 };
                    self.state
                        .append(&append, bytes.len() as u64, location)
                        .map_err(|why| bad(why.to_owned()))?;
                    touched.push(append.segment);
                }
                Record::Change(op) => {
                    self.state.apply(&op, &mut touched).map_err(|e| bad(e.to_string()))?;
                }
            }
            count += 1;
        }
        if count != frame.header.records {
            return Err(bad(format!("it holds {count} records, not {}", frame.header.records)));
        }
        self.state.frames.push(number, frame.place);
        for key in touched {
            if let Some(segment) = self.state.segments.get_mut(&key) {
                segment.show();
                segment.wake();
            }
        }
        Ok(())
    }
}

/// What the snapshot and the log behind it say, up to the frame `until` or to the end.
pub(crate) fn load(fs: &Arc<dyn FileSystem>, dir: &Path, store: u128, until: Option<u64>) -> Result<Loaded> {
    let (state, position) = match snapshot::newest(&**fs, dir)? {
        Some(Snapshot { store: of, position, state }) if of == store => (state, position),
        Some(_) => return Err(Error::corrupt(&snapshot::dir(dir), 0, "a snapshot is that of another store")),
        None => (State::default(), BEGINNING),
    };
    let scanner = Scanner::new(fs.clone(), log::dir(dir), store, position);
    let mut loaded = Loaded { state, scanner };
    loaded.advance(until)?;
    Ok(loaded)
}
