//! Streams: made, listed, looked at, scaled, truncated.

use connector_api::env::Environment;
use segment_store::client::StoreClient;
use segment_store::{Error, KeyRange, SegmentId, Store, StoreOptions, StreamName, reader};
use serde_json::json;

use super::args::{CreateArgs, ListArgs, ScaleArgs, SealArgs, StatArgs, TruncateArgs};
use super::{attached, closed, cut, failed, info, opened};
use crate::failure::Failure;
use crate::output;

pub(super) async fn create(env: &Environment, args: &CreateArgs) -> Result<(), Failure> {
    let stream = &args.stream.stream;
    let store = Store::open(env.clone(), &*args.stream.dir, StoreOptions::default()).await.map_err(failed)?;
    match store.create_scope(&stream.scope).await {
        Ok(()) | Err(Error::Exists(_)) => {}
        Err(error) => return Err(failed(error)),
    }
    store.create_stream(stream, args.segments).await.map_err(failed)?;
    closed(&store).await?;
    if args.stream.json {
        return super::json(&json!({ "stream": stream.to_string(), "segments": args.segments }));
    }
    output::line(&format!("made {stream} with {} segments", args.segments));
    Ok(())
}

pub(super) async fn list(env: &Environment, args: &ListArgs) -> Result<(), Failure> {
    let store = attached(env, &args.store.dir).await?;
    let mut streams = Vec::new();
    for scope in store.scopes().await.map_err(failed)? {
        for stream in store.streams(&scope).await.map_err(failed)? {
            if args.all || !stream.is_internal() {
                streams.push(stream);
            }
        }
    }
    if args.store.json {
        let names: Vec<_> = streams.iter().map(StreamName::to_string).collect();
        return super::json(&json!({ "streams": names }));
    }
    streams.iter().for_each(|stream| output::line(&stream.to_string()));
    Ok(())
}

pub(super) async fn stat(env: &Environment, args: &StatArgs) -> Result<(), Failure> {
    let store = attached(env, &args.store.dir).await?;
    match &args.stream {
        Some(stream) => stat_stream(&store, stream, args.store.json).await,
        None => stat_store(&store, args.store.json),
    }
}

fn stat_store(store: &Store, as_json: bool) -> Result<(), Failure> {
    let stats = store.stats().map_err(failed)?;
    let rows = [
        ("segments", stats.segments),
        ("bytes", stats.bytes),
        ("bytes_in_objects", stats.bytes_in_objects),
        ("objects", stats.objects),
        ("log_files", stats.log_files),
        ("frames", stats.frames),
        ("openings", stats.openings),
    ];
    if as_json {
        let object: serde_json::Map<_, _> =
            rows.iter().map(|(name, n)| ((*name).into(), (*n).into())).collect();
        return super::json(&object);
    }
    output::table(&rows.map(|(name, n)| vec![name.replace('_', " "), n.to_string()]));
    Ok(())
}

async fn stat_stream(store: &Store, stream: &StreamName, as_json: bool) -> Result<(), Failure> {
    let info = info(store, stream).await?;
    let unread = reader::unread(store, stream, &info.head, None).await.map_err(failed)?;
    let open = store.open_transactions(stream).await.map_err(failed)?.unwrap_or_default();
    let marks = store.marks(stream).await.map_err(failed)?;
    let watermark = marks.last().map(|mark| mark.millis);
    let mut segments = Vec::new();
    for segment in store.history(stream).await.map_err(failed)? {
        let is_current = info.current.iter().any(|(id, _)| *id == segment.id);
        if is_current || segment.length > segment.start {
            segments.push(segment);
        }
    }
    if as_json {
        let segments: Vec<_> = segments
            .iter()
            .map(|s| {
                json!({
                    "segment": s.id.to_string(), "low": s.range.low, "high": s.range.high,
                    "start": s.start, "length": s.length, "made_at": s.made_at, "sealed_at": s.sealed_at,
                })
            })
            .collect();
        return super::json(&json!({
            "stream": stream.to_string(), "sealed": info.is_sealed, "head": info.head.to_string(),
            "tail": info.tail.to_string(), "bytes": unread, "open_transactions": open.len(),
            "watermark": watermark, "segments": segments,
        }));
    }
    let state = if info.is_sealed { ", sealed" } else { "" };
    output::line(&format!("{stream}: {unread} bytes, {} open transactions{state}", open.len()));
    output::line(&format!("head {}\ntail {}", info.head, info.tail));
    if let Some(watermark) = watermark {
        output::line(&format!("watermark {watermark}"));
    }
    let mut rows = vec![["segment", "keys", "start", "length", ""].map(String::from).to_vec()];
    rows.extend(segments.iter().map(|s| {
        let sealed = if s.sealed_at.is_some() { "sealed" } else { "" };
        vec![s.id.to_string(), s.range.to_string(), s.start.to_string(), s.length.to_string(), sealed.into()]
    }));
    output::table(&rows);
    Ok(())
}

pub(super) async fn scale(env: &Environment, args: &ScaleArgs) -> Result<(), Failure> {
    let stream = &args.stream.stream;
    let store = opened(env, &args.stream.dir, StoreOptions::default()).await?;
    let info = info(&store, stream).await?;
    let is_chosen = |id: &SegmentId| args.segments.is_empty() || args.segments.contains(id);
    let chosen: Vec<(SegmentId, KeyRange)> =
        info.current.iter().filter(|(id, _)| is_chosen(id)).copied().collect();
    if let Some(other) = args.segments.iter().find(|id| !chosen.iter().any(|(known, _)| known == *id)) {
        return Err(Failure::Configuration(format!("`{other}` is no current segment of {stream}")));
    }
    let low = chosen.iter().map(|(_, range)| range.low).fold(1.0, f64::min);
    let high = chosen.iter().map(|(_, range)| range.high).fold(0.0, f64::max);
    let ranges: Vec<_> = (0..args.into)
        .map(|n| {
            let at = |i: u32| match i {
                0 => low,
                i if i == args.into => high,
                i => low + (high - low) * f64::from(i) / f64::from(args.into),
            };
            KeyRange { low: at(n), high: at(n + 1) }
        })
        .collect();
    let seal: Vec<_> = chosen.iter().map(|(id, _)| *id).collect();
    let made = store.scale(stream, &seal, &ranges).await.map_err(failed)?;
    closed(&store).await?;
    if args.stream.json {
        let made: Vec<_> = made
            .iter()
            .map(|(id, r)| json!({ "segment": id.to_string(), "low": r.low, "high": r.high }))
            .collect();
        return super::json(&json!({ "made": made }));
    }
    made.iter().for_each(|(id, range)| output::line(&format!("{id}  {range}")));
    Ok(())
}

pub(super) async fn truncate(env: &Environment, args: &TruncateArgs) -> Result<(), Failure> {
    let stream = &args.stream.stream;
    let store = opened(env, &args.stream.dir, StoreOptions::default()).await?;
    let info = info(&store, stream).await?;
    let at = cut(&args.at, &info);
    store.truncate(stream, &at).await.map_err(failed)?;
    closed(&store).await?;
    if args.stream.json {
        return super::json(&json!({ "head": at.to_string() }));
    }
    output::line(&format!("{stream} begins at {at}"));
    Ok(())
}

pub(super) async fn seal(env: &Environment, args: &SealArgs) -> Result<(), Failure> {
    let stream = &args.stream.stream;
    let store = opened(env, &args.stream.dir, StoreOptions::default()).await?;
    store.seal_stream(stream).await.map_err(failed)?;
    closed(&store).await?;
    if args.stream.json {
        return super::json(&json!({ "sealed": stream.to_string() }));
    }
    output::line(&format!("{stream} is sealed"));
    Ok(())
}
