//! The events of a stream, as lines.

use std::io::Write;
use std::sync::Arc;

use connector_api::env::Environment;
use segment_store::reader::Events;
use segment_store::{StreamName, StreamReader};
use serde_json::json;

use super::args::TailArgs;
use super::{attached, cut, failed, info};
use crate::failure::Failure;

pub(super) async fn tail(env: &Environment, args: &TailArgs) -> Result<(), Failure> {
    let store = attached(env, &args.stream.dir).await?;
    let stream = &args.stream.stream;
    let info = info(&store, stream).await?;
    let (start, end) = (cut(&args.from, &info), args.until.as_ref().map(|until| cut(until, &info)));
    let mut reader =
        StreamReader::open(Arc::new(store), stream.clone(), &start, end).await.map_err(failed)?;
    let mut text = Vec::new();
    while let Some(events) = reader.next().await.map_err(failed)? {
        text.clear();
        if args.stream.json {
            objects(stream, &events, &mut text)
        } else {
            lines(&events, &mut text)
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(&text).and_then(|()| out.flush()) {
            // Whoever read has seen enough.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            Err(e) => return Err(Failure::Surroundings(format!("standard output: {e}"))),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn lines(events: &Events, text: &mut Vec<u8>) {
    for event in events.iter() {
        text.extend_from_slice(event);
        text.push(b'\n');
    }
}

/// What is no text has its bytes replaced.
fn objects(stream: &StreamName, events: &Events, text: &mut Vec<u8>) {
    let mut offset = events.offset;
    for event in events.iter() {
        let object = json!({
            "stream": stream.to_string(), "segment": events.segment.to_string(), "offset": offset,
            "event": String::from_utf8_lossy(event),
        });
        text.extend_from_slice(object.to_string().as_bytes());
        text.push(b'\n');
        offset += (segment_store::event::HEADER + event.len()) as u64;
    }
}
