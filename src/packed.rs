//! A value that is kept for long and looked at seldom, in one small piece of memory: as its JSON, compressed. Of a thousand
//! resources what is kept between sweeps is most of what a controller holds, and as structures it is hundreds of small pieces
//! each.

use std::fmt;
use std::marker::PhantomData;
use std::sync::OnceLock;

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// From how many bytes of JSON on a value is like what others have to say: a status after its first sweep has some 1 600, one before
/// it less than 500. Where the first is another one, such as a refusal at length, the others only take more room.
const TYPICAL: usize = 1024;

/// The first value of some size. Most of a status is what those of all resources have: the names of its fields, the words of
/// its conditions. LZ4 writes of what is in a dictionary only where it is.
static DICTIONARY: OnceLock<Box<[u8]>> = OnceLock::new();

/// A value as its JSON. Times of the API have whole seconds then, as in a status that was written.
pub(crate) struct Packed<T> {
    compressed: Box<[u8]>,
    dictionary: &'static [u8],
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned + Default> Packed<T> {
    /// Packs it. One that has no JSON, which no type here is, comes out as the default.
    pub(crate) fn new(value: &T) -> Self {
        let json = serde_json::to_vec(value).unwrap_or_default();
        let dictionary = match json.len() >= TYPICAL {
            true => DICTIONARY.get_or_init(|| json.clone().into_boxed_slice()),
            false => DICTIONARY.get().map_or(&[][..], |known| known),
        };
        let compressed = compress_prepend_size_with_dict(&json, dictionary).into_boxed_slice();
        Self { compressed, dictionary, of: PhantomData }
    }

    /// The value.
    pub(crate) fn get(&self) -> T {
        serde_json::from_slice(&self.json()).unwrap_or_default()
    }
}

impl<T> Packed<T> {
    fn json(&self) -> Vec<u8> {
        decompress_size_prepended_with_dict(&self.compressed, self.dictionary).unwrap_or_default()
    }
}

impl<T: Serialize + DeserializeOwned + Default> Default for Packed<T> {
    fn default() -> Self {
        Self::new(&T::default())
    }
}

impl<T> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Packed").field(&String::from_utf8_lossy(&self.json())).finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::WorkspaceHygieneStatus;
    use crate::report::status::LastState;

    #[test]
    fn what_is_unpacked_is_what_was_packed() {
        let mut state = LastState::default();
        state.status.observed_generation = 7;
        state.reclaimed.bytes = u64::MAX;
        let packed = Packed::new(&state);
        let again = packed.get();
        assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&state).unwrap());
        assert_eq!(
            Packed::<LastState>::default().get().status.observed_generation,
            LastState::default().status.observed_generation
        );
    }

    /// What the first sweep of a volume leaves, in the fewest words.
    #[test]
    fn a_status_is_typical_from_its_first_sweep_on() {
        let condition = |kind: &str, message: &str| {
            let (reason, status, time) = ("Swept", "True", "2026-01-01T00:00:00Z");
            json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": time,
                "observedGeneration": 1})
        };
        let status = json!({
            "observedGeneration": 1,
            "conditions": [
                condition("Ready", "the spec is accepted, the sources answer, and the last sweep finished"),
                condition("SourcesAvailable", "every source that is configured answered"),
                condition("DeletionAllowed", "spec.mode is Report, which changes nothing"),
                condition("BacklogDrained", "no orphan waits for its turn"),
            ],
            "lastSweep": {
                "id": "01a223d1-194b-73c0-b8db-1911bc5e9284", "generation": 1, "result": "Completed",
                "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:00Z",
                "planHash": "85517b80cc69c83755ecf7b8d6d9abf6", "directories": 0, "orphans": 0, "confirmed": 0,
                "quarantined": 0, "restored": 0, "purged": 0, "errors": 0,
            },
        });
        let status: WorkspaceHygieneStatus = serde_json::from_value(status).unwrap();
        let json = serde_json::to_vec(&status).unwrap().len();
        assert!(json >= TYPICAL, "{json}");
        let unswept = serde_json::to_vec(&WorkspaceHygieneStatus::default()).unwrap().len();
        assert!(unswept < TYPICAL, "{unswept}");
    }

    #[test]
    fn what_is_like_another_takes_little_and_what_is_not_comes_out_as_it_was() {
        let typical = |n: u32| (0..100).map(|field| format!("field {field} of {n}")).collect::<Vec<_>>();
        let first = Packed::new(&typical(1));
        let second = Packed::new(&typical(2));
        let random: Vec<_> = (0..200).map(|_| uuid::Uuid::now_v7().to_string()).collect();
        let other = Packed::new(&random);
        assert_eq!((first.get(), second.get(), other.get()), (typical(1), typical(2), random));
        let json = serde_json::to_vec(&typical(2)).unwrap().len();
        assert!(second.compressed.len() * 3 < json, "{} of {json}", second.compressed.len());
    }
}
