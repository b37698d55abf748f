//! The segments of a stream, drawn over time and keys.

use std::fmt::Write;

use connector_api::env::Environment;
use segment_store::SegmentHistory;

use super::args::ChartArgs;
use super::{attached, failed};
use crate::failure::Failure;
use crate::output;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 40.0;

pub(super) async fn chart(env: &Environment, args: &ChartArgs) -> Result<(), Failure> {
    let store = attached(env, &args.stream.dir).await?;
    let segments = store.history(&args.stream.stream).await.map_err(failed)?;
    if args.stream.json {
        let all: Vec<_> = segments
            .iter()
            .map(|s| {
                serde_json::json!({
                    "segment": s.id.to_string(), "low": s.range.low, "high": s.range.high,
                    "made_at": s.made_at, "sealed_at": s.sealed_at, "start": s.start, "length": s.length,
                })
            })
            .collect();
        return super::json(&all);
    }
    output::line(&svg(&args.stream.stream.to_string(), &segments, env.clock.now_millis()));
    Ok(())
}

/// Time runs to the right, keys upwards. A segment is a box from when it was made to when it was sealed; one that was truncated
/// away is pale.
fn svg(title: &str, segments: &[SegmentHistory], now: i64) -> String {
    let first = segments.iter().map(|s| s.made_at).min().unwrap_or(now);
    let span = (now - first).max(1) as f64;
    let x = |millis: i64| MARGIN + (millis - first) as f64 / span * WIDTH;
    let y = |position: f64| MARGIN + (1.0 - position) * HEIGHT;
    let (width, height) = (WIDTH + 2.0 * MARGIN, HEIGHT + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <title>{title}</title>\n<text x=\"{MARGIN}\" y=\"24\" font-size=\"14\">{title}</text>\n"
    );
    for segment in segments {
        let (left, right) = (x(segment.made_at), x(segment.sealed_at.unwrap_or(now)));
        let (top, bottom) = (y(segment.range.high), y(segment.range.low));
        let fill = if segment.sealed_at.is_none() {
            "#8fd18f"
        } else if segment.start < segment.length {
            "#a9c4e6"
        } else {
            "#eeeeee"
        };
        let bytes = segment.length - segment.start;
        // Into a string.
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\" stroke=\"#444444\">\
             <title>{} {} {bytes} bytes</title></rect>",
            (right - left).max(1.0),
            bottom - top,
            segment.id,
            segment.range,
        );
        if right - left > 60.0 && bottom - top > 14.0 {
            let (x, y) = (left + 4.0, (top + bottom) / 2.0 + 4.0);
            let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", segment.id);
        }
    }
    let bottom = MARGIN + HEIGHT + 16.0;
    let _ = writeln!(out, "<text x=\"{MARGIN}\" y=\"{bottom}\">{:.1} s</text>", -span / 1000.0);
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">now</text>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">1</text>\n<text x=\"{}\" y=\"{}\" text-anchor=\"end\">0</text>\n</svg>",
        MARGIN + WIDTH,
        MARGIN - 6.0,
        MARGIN + 4.0,
        MARGIN - 6.0,
        MARGIN + HEIGHT
    );
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use segment_store::{KeyRange, SegmentId};

    use super::*;

    #[test]
    fn every_segment_is_a_box_in_its_time_and_keys() {
        let segment = |epoch, number, range, made_at, sealed_at| SegmentHistory {
            id: SegmentId::new(epoch, number),
            range,
            made_at,
            sealed_at,
            start: 0,
            length: 10,
        };
        let halves = KeyRange::even(2);
        let all = [
            segment(0, 0, KeyRange::ALL, 0, Some(500)),
            segment(1, 1, halves[0], 500, None),
            segment(1, 2, halves[1], 500, None),
        ];
        let drawn = svg("a/b", &all, 1000);
        assert_eq!(drawn.matches("<rect").count(), 3);
        assert!(drawn.contains("x=\"40.0\" y=\"40.0\" width=\"480.0\" height=\"400.0\""), "{drawn}");
        assert!(drawn.contains("x=\"520.0\" y=\"240.0\" width=\"480.0\" height=\"200.0\""), "{drawn}");
        assert!(drawn.ends_with("</svg>"));
    }
}
