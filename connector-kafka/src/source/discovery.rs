//! One look at the cluster: which partitions there are, and where those that are new begin and end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use connector_api::env::Environment;
use connector_api::{Error, Result};

use super::cluster::Cluster;
use super::config::{Point, SourceConfig};
use super::error::SourceError;
use super::offsets::{Fallback, TopicPartition};
use super::split::Stop;

/// The partitions that are known, by topic.
pub(super) type Known = BTreeMap<Arc<str>, BTreeSet<i32>>;

/// What a look gave.
#[derive(Debug)]
pub(super) struct Look {
    /// Partitions that were not known, in order.
    pub(super) new: Vec<New>,
    /// Partitions that were known and are not there, or not asked for.
    pub(super) gone: BTreeSet<TopicPartition>,
}

/// A new partition.
#[derive(Debug)]
pub(super) struct New {
    pub(super) at: TopicPartition,
    /// None is the first offset that it holds.
    pub(super) next: Option<i64>,
    pub(super) stop: Option<Stop>,
}

/// Looks once. Blocks.
pub(super) fn look(config: &SourceConfig, env: &Environment, known: &Known, is_first: bool) -> Result<Look> {
    let cluster = Cluster::new(config, env)?;
    let now = config.subscriber.partitions(&cluster, is_first)?;
    let is_known = |at: &TopicPartition| known.get(&at.topic).is_some_and(|all| all.contains(&at.partition));
    let gone = known
        .iter()
        .flat_map(|(topic, all)| all.iter().map(|p| TopicPartition { topic: topic.clone(), partition: *p }))
        .filter(|at| !now.contains(at))
        .collect();
    let new: Vec<_> = now.into_iter().filter(|at| !is_known(at)).collect();
    // What comes into being while the source runs is read from its beginning, whatever the source began at.
    let start = if is_first { &config.start } else { &Point::Earliest };
    let starts = match start {
        Point::Earliest => vec![None; new.len()],
        point => offsets(&cluster, point, "start", &new)?,
    };
    let stops = stops(config, &cluster, &new)?;
    let new = new.into_iter().zip(starts).zip(stops);
    Ok(Look { new: new.map(|((at, next), stop)| New { at, next, stop }).collect(), gone })
}

/// Where the new partitions stop, and whether their ends are there already.
fn stops(config: &SourceConfig, cluster: &Cluster, new: &[TopicPartition]) -> Result<Vec<Option<Stop>>> {
    let Some(point) = &config.stop else { return Ok(vec![None; new.len()]) };
    let ends = cluster.latest(new)?;
    let offsets = match point {
        Point::Latest => ends.iter().copied().map(Some).collect(),
        point => offsets(cluster, point, "stop", new)?,
    };
    let stops = offsets.into_iter().zip(ends).map(|(offset, end)| {
        let offset = offset?;
        Some(Stop { offset, is_reached: offset <= end })
    });
    Ok(stops.collect())
}

/// The offsets of a point; none is the first one.
fn offsets(
    cluster: &Cluster,
    point: &Point,
    option: &str,
    of: &[TopicPartition],
) -> Result<Vec<Option<i64>>> {
    match point {
        Point::Earliest => Ok(cluster.earliest(of)?.into_iter().map(Some).collect()),
        Point::Latest => Ok(cluster.latest(of)?.into_iter().map(Some).collect()),
        Point::Timestamp(millis) => {
            let found = cluster.since(of, *millis)?;
            or(found, of, |without| cluster.latest(without))
        }
        Point::Committed(fallback) => {
            let found = cluster.committed(of)?;
            or(found, of, |without| match fallback {
                Fallback::Earliest => cluster.earliest(without),
                Fallback::Latest => cluster.latest(without),
                Fallback::Fail => without.first().map_or(Ok(Vec::new()), |at| {
                    let error = SourceError::NothingCommitted;
                    Err(Error::connector(format!("find the {option} of"), at.to_string(), None, error))
                }),
            })
        }
        Point::Given(given) => {
            if let Some(unknown) = given.keys().find(|at| !of.contains(at)) {
                let reason = format!("names {unknown}, which is not among the partitions that are read");
                return Err(Error::config(format!("{option}.offsets"), reason));
            }
            let one = |at: &TopicPartition| match given.get(at) {
                None if option == "stop" => {
                    Err(Error::config("stop.offsets", format!("must name each partition; {at} is missing")))
                }
                found => Ok(found.copied()),
            };
            of.iter().map(one).collect()
        }
    }
}

/// Fills what was not found.
fn or(
    mut found: Vec<Option<i64>>,
    of: &[TopicPartition],
    fill: impl FnOnce(&[TopicPartition]) -> Result<Vec<i64>>,
) -> Result<Vec<Option<i64>>> {
    let without: Vec<_> =
        found.iter().zip(of).filter(|(offset, _)| offset.is_none()).map(|(_, at)| at.clone()).collect();
    let mut filled = fill(&without)?.into_iter();
    for offset in found.iter_mut().filter(|offset| offset.is_none()) {
        *offset = filled.next();
    }
    Ok(found)
}
