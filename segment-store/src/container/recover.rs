//! Coming back to what the log says.

use std::path::Path;
use std::sync::Arc;

use connector_api::env::FileSystem;

use super::extents::Location;
use super::record::{Record, records};
use super::snapshot::{self, Snapshot};
use super::state::{State, Touched};
use crate::error::{Error, Result};
use crate::id::StreamName;
use crate::log::{self, Frame, Position, Scanner};

/// Where a log begins.
pub(crate) const BEGINNING: Position = Position { file: 0, at: 0, next: 1, previous: 0 };

/// Applies what the log holds from where the scanner is, up to the frame `until` or to its end.
pub(crate) fn advance(state: &mut State, scanner: &mut Scanner, until: Option<u64>) -> Result<()> {
    while until.is_none_or(|last| scanner.position().next <= last) {
        let Some(frame) = scanner.next()? else { break };
        replay(state, &frame).map_err(|why| {
            let path = log::file::path(scanner.dir(), frame.place.file);
            Error::corrupt(&path, frame.place.at, format!("frame {}: {why}", frame.header.number))
        })?;
    }
    Ok(())
}

fn replay(state: &mut State, frame: &Frame) -> Result<(), String> {
    let number = frame.header.number;
    let mut touched = Touched::new();
    let mut count = 0;
    for record in records(&frame.payload) {
        match record? {
            Record::Append(append, bytes, at) => {
                let location = Location::Frame { number, at: at as u32 };
                state.append(&append, bytes.len() as u64, location, &mut touched)?;
            }
            Record::Change(op) => state.apply(&op, &mut touched).map_err(|e| e.to_string())?,
        }
        count += 1;
    }
    if count != frame.header.records {
        return Err(format!("it holds {count} records, not {}", frame.header.records));
    }
    state.frames.push(number, frame.place);
    state.show(&touched);
    Ok(())
}

/// What the newest snapshot says, and where the log goes on behind it.
pub(crate) fn start(fs: &Arc<dyn FileSystem>, dir: &Path, store: u128) -> Result<(State, Position)> {
    match snapshot::newest(&**fs, dir)? {
        Some(Snapshot { store: of, position, state }) if of == store => Ok((state, position)),
        Some(_) => Err(Error::corrupt(&snapshot::dir(dir), 0, "a snapshot is that of another store")),
        None => Ok((State::default(), BEGINNING)),
    }
}

/// What the snapshot and the log behind it say, up to the frame `until` or to the end.
pub(crate) fn load(
    fs: &Arc<dyn FileSystem>,
    dir: &Path,
    store: u128,
    until: Option<u64>,
) -> Result<(State, Scanner)> {
    let (mut state, position) = start(fs, dir, store)?;
    let mut scanner = Scanner::new(fs.clone(), log::dir(dir), store, position);
    advance(&mut state, &mut scanner, until)?;
    Ok((state, scanner))
}

/// How often a store is looked at whose files another process takes away meanwhile.
const LOOKS: usize = 5;

/// Whether a stream is in a store, as its files say it at the moment.
pub(crate) fn holds(fs: &Arc<dyn FileSystem>, dir: &Path, store: u128, stream: &StreamName) -> Result<bool> {
    let mut looks = 1;
    let state = loop {
        match load(fs, dir, store, None) {
            Ok((state, _)) => break state,
            // What looks like damage may be a file that has another name by now.
            Err(Error::Io { .. } | Error::Corrupt { .. } | Error::Unavailable { .. }) if looks < LOOKS => {
                looks += 1
            }
            Err(error) => return Err(error),
        }
    };
    match state.streams.stream(stream) {
        Ok(_) => Ok(true),
        Err(Error::NoStream(_) | Error::NoScope(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
