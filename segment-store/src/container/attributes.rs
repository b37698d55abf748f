//! The attributes of a segment. Most segments have one: the last event of the one writer they ever had.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The most attributes a segment may have: one for each writer that ever wrote to it, and those that were set.
pub const MAX_ATTRIBUTES: usize = 100_000;

/// Values by attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<u128, i64>", into = "BTreeMap<u128, i64>")]
pub(crate) enum Attributes {
    #[default]
    None,
    One(Box<(u128, i64)>),
    Many(BTreeMap<u128, i64>),
}

impl Attributes {
    /// Whether there may be one more. `what` names them in the error.
    pub(crate) fn check_room(&self, what: &'static str) -> Result<()> {
        if self.len() < MAX_ATTRIBUTES {
            return Ok(());
        }
        Err(Error::Limit { what, given: MAX_ATTRIBUTES as u64 + 1, limit: MAX_ATTRIBUTES as u64 })
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(_) => 1,
            Self::Many(all) => all.len(),
        }
    }

    pub(crate) fn get(&self, attribute: u128) -> Option<i64> {
        match self {
            Self::None => None,
            Self::One(one) => (one.0 == attribute).then_some(one.1),
            Self::Many(all) => all.get(&attribute).copied(),
        }
    }

    pub(crate) fn insert(&mut self, attribute: u128, value: i64) {
        match self {
            Self::None => *self = Self::One(Box::new((attribute, value))),
            Self::One(one) if one.0 == attribute => one.1 = value,
            Self::One(one) => *self = Self::Many([**one, (attribute, value)].into()),
            Self::Many(all) => drop(all.insert(attribute, value)),
        }
    }

    pub(crate) fn remove(&mut self, attribute: u128) {
        match self {
            Self::None => {}
            Self::One(one) if one.0 == attribute => *self = Self::None,
            Self::One(_) => {}
            Self::Many(all) => drop(all.remove(&attribute)),
        }
    }
}

impl From<BTreeMap<u128, i64>> for Attributes {
    fn from(all: BTreeMap<u128, i64>) -> Self {
        match (all.len(), all.first_key_value()) {
            (0, _) | (_, None) => Self::None,
            (1, Some((&attribute, &value))) => Self::One(Box::new((attribute, value))),
            _ => Self::Many(all),
        }
    }
}

impl From<Attributes> for BTreeMap<u128, i64> {
    fn from(attributes: Attributes) -> Self {
        match attributes {
            Attributes::None => Self::new(),
            Attributes::One(one) => [*one].into(),
            Attributes::Many(all) => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_map_and_stored_as_one() {
        let (mut attributes, mut map) = (Attributes::default(), BTreeMap::new());
        let steps = [
            (1, Some(5)),
            (1, Some(6)),
            (2, None),
            (2, Some(7)),
            (3, Some(8)),
            (1, None),
            (2, None),
            (3, None),
        ];
        for (attribute, value) in steps {
            match value {
                Some(value) => {
                    attributes.insert(attribute, value);
                    map.insert(attribute, value);
                }
                None => {
                    attributes.remove(attribute);
                    map.remove(&attribute);
                }
            }
            assert_eq!(attributes.len(), map.len());
            assert!((0..5).all(|attribute| attributes.get(attribute) == map.get(&attribute).copied()));
            let bytes = postcard::to_stdvec(&attributes).unwrap();
            assert_eq!(bytes, postcard::to_stdvec(&map).unwrap());
            let read: Attributes = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(BTreeMap::from(read), map);
        }
        attributes.insert(9, 1);
        attributes.remove(9);
        assert_eq!(attributes.len(), 0);
    }
}
