//! Looks a hash up among sorted ones.

/// Whether `sorted` holds `wanted`. Hashes are spread evenly, so that its value tells nearly where it is; a binary search
/// over all of a million costs a cache miss at most of its twenty steps. Hashes that are not spread only make it slower.
pub(super) fn holds(sorted: &[u64], wanted: u64) -> bool {
    let count = sorted.len();
    let places = |distance: u64| ((u128::from(distance) * count as u128) >> 64) as usize;
    let Some(near) = sorted.get(places(wanted)) else { return false };
    // What is met there tells how far the spread is off in this part.
    let near = match wanted.checked_sub(*near) {
        Some(ahead) => (places(wanted) + places(ahead)).min(count),
        None => places(wanted).saturating_sub(places(near - wanted)),
    };
    let mut reach = 16;
    loop {
        let (low, high) = (near.saturating_sub(reach), near.saturating_add(reach).min(count));
        let around = &sorted[low..high];
        let begins_before = low == 0 || around.first().is_some_and(|first| *first <= wanted);
        let ends_after = high == count || around.last().is_some_and(|last| *last >= wanted);
        if begins_before && ends_after {
            return around.binary_search(&wanted).is_ok();
        }
        reach = reach.saturating_mul(4);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_the_hashes_are_none_is_missed_and_none_is_made_up(
            spread in prop::collection::vec(any::<u64>(), 0..2000),
            crowd in prop::collection::vec(0u64..5000, 0..2000),
            (base, others) in (any::<u64>(), prop::collection::vec(any::<u64>(), 0..100)),
        ) {
            let crowd = crowd.into_iter().map(|n| base.saturating_add(n));
            let mut sorted: Vec<u64> = spread.into_iter().chain(crowd).chain([0, u64::MAX]).collect();
            sorted.sort_unstable();
            sorted.dedup();
            for part in [&sorted[..], &sorted[1..], &sorted[..sorted.len() - 1], &sorted[..1], &[]] {
                let neighbours = sorted.iter().flat_map(|n| [*n, n.wrapping_add(1), n.wrapping_sub(1)]);
                for wanted in neighbours.chain(others.iter().copied()) {
                    prop_assert_eq!(holds(part, wanted), part.binary_search(&wanted).is_ok());
                }
            }
        }
    }
}
