//! A value that is kept for long and looked at seldom, in one piece of memory: as its JSON. Of a thousand resources what is
//! kept between sweeps is most of what a controller holds, and as structures it is hundreds of small pieces each.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value as its JSON. Times of the API have whole seconds then, as in a status that was written.
pub(crate) struct Packed<T> {
    json: Box<[u8]>,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned + Default> Packed<T> {
    /// Packs it. One that has no JSON, which no type here is, comes out as the default.
    pub(crate) fn new(value: &T) -> Self {
        let json = serde_json::to_vec(value).unwrap_or_default();
        Self { json: json.into_boxed_slice(), of: PhantomData }
    }

    /// The value.
    pub(crate) fn get(&self) -> T {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }
}

impl<T: Serialize + DeserializeOwned + Default> Default for Packed<T> {
    fn default() -> Self {
        Self::new(&T::default())
    }
}

impl<T> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Packed").field(&String::from_utf8_lossy(&self.json)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
