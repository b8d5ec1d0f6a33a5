//! Sets of session ids, kept as hashes: ten million of them are 160 MB.

use super::hashes::holds;
use crate::names::{SessionId, id_hash};

/// A set of ids as hashes: exact, and in canonical form. Built by streaming, sorted by [`IdSet::finish`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdSet {
    exact: Vec<u64>,
    canonical: Vec<u64>,
    unusable: u64,
}

impl IdSet {
    /// Adds an id as it was read.
    pub fn insert(&mut self, id: &SessionId) {
        if !id.is_usable() {
            self.unusable += 1;
        }
        self.exact.push(id_hash(id.as_str()));
        self.canonical.push(id.canonical_hash());
    }

    /// Sorts and removes duplicates; to be called once, after the last [`IdSet::insert`].
    pub fn finish(mut self) -> Self {
        for hashes in [&mut self.exact, &mut self.canonical] {
            hashes.sort_unstable();
            hashes.dedup();
            hashes.shrink_to_fit();
        }
        self
    }

    /// Whether the set holds exactly this id.
    pub fn contains(&self, id: &SessionId) -> bool {
        holds(&self.exact, id_hash(id.as_str()))
    }

    /// Whether the set holds an id with this canonical form.
    pub fn contains_canonical(&self, id: &SessionId) -> bool {
        holds(&self.canonical, id.canonical_hash())
    }

    /// How many distinct ids it holds.
    pub fn len(&self) -> u64 {
        self.exact.len() as u64
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty()
    }

    /// Both sets together.
    pub fn union(mut self, other: Self) -> Self {
        self.exact.extend(other.exact);
        self.canonical.extend(other.canonical);
        self.unusable += other.unusable;
        self.finish()
    }

    /// How many of its ids are not in `other`.
    pub fn missing_in(&self, other: &Self) -> u64 {
        self.exact.iter().filter(|hash| !holds(&other.exact, **hash)).count() as u64
    }

    /// How many of the ids inserted cannot be the name of a directory.
    pub fn unusable(&self) -> u64 {
        self.unusable
    }
}

impl FromIterator<SessionId> for IdSet {
    fn from_iter<I: IntoIterator<Item = SessionId>>(ids: I) -> Self {
        let mut set = Self::default();
        ids.into_iter().for_each(|id| set.insert(&id));
        set.finish()
    }
}

/// The ids of sessions in any state, as hashes of their canonical forms: a difference in spelling is no reason to call
/// one unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownIds(Vec<u64>);

impl KnownIds {
    /// Adds an id as it was read.
    pub fn insert(&mut self, id: &SessionId) {
        self.0.push(id.canonical_hash());
    }

    /// Sorts and removes duplicates; to be called once, after the last [`KnownIds::insert`].
    pub fn finish(mut self) -> Self {
        self.0.sort_unstable();
        self.0.dedup();
        self.0.shrink_to_fit();
        self
    }

    /// Whether a session in any state has this id, in any spelling.
    pub fn contains(&self, id: &SessionId) -> bool {
        holds(&self.0, id.canonical_hash())
    }

    /// Whether it knows every id of `live`, as it must.
    pub fn covers(&self, live: &IdSet) -> bool {
        live.canonical.iter().all(|hash| holds(&self.0, *hash))
    }
}
