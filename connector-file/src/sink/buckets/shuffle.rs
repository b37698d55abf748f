//! One writer per bucket: rows are dealt to the writers by their buckets.

use std::sync::{Arc, OnceLock};

use connector_api::env::Environment;
use connector_api::sink::Partitioner;

use super::{BucketRules, Buckets, Clock};
use crate::format::FileBatch;

/// What the writers of a plan share with those who deal rows to them: the time of day. Writers are opened before rows are dealt.
pub(crate) type SharedClock = Arc<OnceLock<Environment>>;

/// Deals rows to writers by their buckets: those of a bucket go to one writer, whoever deals them.
///
/// Where the time of writing tells the bucket it is read here, once per batch, and becomes the rows' time, so that the writer
/// comes to the same bucket. A batch in which the bucket of a row can't be told goes to the first writer as a whole, which
/// finds that out again and says so.
pub(crate) fn partitioner<B: FileBatch>(rules: &BucketRules, clock: SharedClock) -> Partitioner<B> {
    let rules = rules.clone();
    Arc::new(move |mut batch, targets| {
        let mut now = 0;
        if rules.clock() == Clock::Processing {
            let Some(env) = clock.get() else { return vec![(0, batch)] };
            now = env.clock.now_millis();
            batch.timestamps = vec![now; batch.rows.rows()];
        }
        match Buckets::new(&rules, true).try_deal(batch, now) {
            Ok(parts) => parts.into_iter().map(|(bucket, part)| (target(&bucket, targets), part)).collect(),
            Err((batch, _)) => vec![(0, batch)],
        }
    })
}

/// The writer of a bucket: FNV-1a (Fowler, Noll, Vo), mixed once more since only its remainder counts.
fn target(bucket: &str, targets: u32) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bucket.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((hash >> 32) % u64::from(targets.max(1))) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::buckets::{BucketLevel, BucketOptions};
    use bytes::Bytes;
    use connector_api::message::Span;
    use connector_api::{Batch, MessageBatch, RowBatch};
    use testkit::fs::SimFs;
    use testkit::sim;

    fn rows(texts: &[&str]) -> MessageBatch {
        let mut buffer = String::new();
        let spans = texts.iter().map(|text| {
            let start = buffer.len() as u32;
            buffer.push_str(text);
            Span::new(start, buffer.len() as u32)
        });
        let spans = spans.collect();
        MessageBatch::from_spans(Bytes::from(buffer), spans).unwrap()
    }

    fn by_field() -> BucketRules {
        BucketRules::new(&BucketOptions::field("k")).unwrap()
    }

    #[test]
    fn every_row_of_a_bucket_goes_to_one_writer_in_its_order() {
        let deal = partitioner::<MessageBatch>(&by_field(), SharedClock::default());
        let texts: Vec<String> = (0..60).map(|i| format!(r#"{{"k": {}, "n": {i}}}"#, i * 7 % 10)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut of_key: std::collections::BTreeMap<String, (u32, usize)> = Default::default();
        let (mut seen, mut used) = (0, std::collections::BTreeSet::new());
        for (writer, part) in deal(Batch::new(rows(&texts)), 4) {
            assert!(writer < 4);
            used.insert(writer);
            for row in part.rows.iter() {
                let row: serde_json::Value = serde_json::from_slice(row.value.unwrap()).unwrap();
                let n = row["n"].as_u64().unwrap() as usize;
                let before = of_key.insert(row["k"].to_string(), (writer, n));
                assert!(before.is_none_or(|(w, m)| w == writer && m < n), "{row}");
                seen += 1;
            }
        }
        assert_eq!((seen, of_key.len()), (60, 10));
        assert!(used.len() > 1, "all went to one writer");
    }

    #[test]
    fn a_row_without_a_bucket_reaches_a_writer_that_says_so() {
        let deal = partitioner::<MessageBatch>(&by_field(), SharedClock::default());
        let mut parts = deal(Batch::new(rows(&[r#"{"k": 1}"#, "no json"])), 4);
        let (writer, batch) = parts.pop().unwrap();
        assert_eq!((writer, batch.rows.rows(), parts.len()), (0, 2, 0));
        let error = Buckets::new(&by_field(), true).deal(batch, 0).unwrap_err().to_string();
        assert!(error.contains("row 1 of the batch") && error.contains("buckets.field"), "{error}");
    }

    #[test]
    fn the_time_of_writing_is_stamped_so_that_the_writer_cannot_decide_otherwise() {
        let rules = BucketRules::new(&BucketOptions::processing_time("%F/%T")).unwrap();
        let clock = SharedClock::default();
        let deal = partitioner::<MessageBatch>(&rules, clock.clone());
        sim::run(async {
            assert!(clock.set(sim::environment(&SimFs::new(), 1)).is_ok());
            let now = clock.get().unwrap().clock.now_millis();
            let (_, part) = deal(Batch::new(rows(&["a", "b"])), 4).pop().unwrap();
            assert_eq!(part.timestamps, [now, now]);
            let at_once = Buckets::new(&rules, true).deal(part.clone(), now).unwrap();
            let later = Buckets::new(&rules, true).deal(part.clone(), now + 10_000).unwrap();
            assert_eq!(at_once[0].0, later[0].0);
            // A writer that is not told to use the stamp decides otherwise: the check can fail.
            let otherwise = Buckets::new(&rules, false).deal(part, now + 10_000).unwrap();
            assert_ne!(at_once[0].0, otherwise[0].0);
        });
    }

    #[test]
    fn levels_are_directories_in_directories() {
        let mut levels = BucketOptions::event_time("%F").0;
        levels.push(BucketLevel { field: Some("k".into()), ..BucketLevel::default() });
        let rules = BucketRules::new(&BucketOptions(levels)).unwrap();
        let batch =
            Batch::with_timestamps(rows(&[r#"{"k":"a/b"}"#, r#"{"k":null}"#]), vec![0, 86_400_000]).unwrap();
        let parts = Buckets::new(&rules, false).deal(batch, 0).unwrap();
        let names: Vec<&str> = parts.iter().map(|(bucket, _)| &**bucket).collect();
        assert_eq!(names, ["1970-01-01/k=a%2Fb", "1970-01-02/k=__HIVE_DEFAULT_PARTITION__"]);
    }
}
