//! What `plan` shows is what `sweep` does to the same state, to the directory. Tools whose dry run differs from their run
//! have destroyed live work.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use workspace_hygiene::plan::{Decision, Verdict};

use crate::world::{DAY, World, backdate, id};

#[derive(Clone, Debug)]
struct Workspace {
    days: u32,
    live: bool,
    keep: bool,
    young_inside: bool,
    kind: u8,
}

fn workspace() -> impl Strategy<Value = Workspace> {
    let flags = (prop::bool::weighted(0.3), prop::bool::weighted(0.15), prop::bool::weighted(0.2));
    (0u32..5, flags, 0u8..12).prop_map(|(days, (live, keep, young_inside), kind)| Workspace {
        days,
        live,
        keep,
        young_inside,
        kind,
    })
}

fn build(world: &World, workspaces: &[Workspace]) {
    for (n, w) in workspaces.iter().enumerate() {
        let name = id(u32::try_from(n).unwrap());
        let path = world.root().join(&name);
        match w.kind {
            0 => fs::write(&path, "a file").unwrap(),
            1 => std::os::unix::fs::symlink("/tmp", &path).unwrap(),
            _ => {
                world.workspace(&name, w.days * DAY);
                if w.keep {
                    fs::write(path.join(".hygiene-keep"), "").unwrap();
                }
                if w.young_inside {
                    fs::write(path.join("src/main.rs"), "young").unwrap();
                } else {
                    backdate(&path, w.days * DAY);
                }
            }
        }
        world.set_live(&name, w.live);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn what_plan_shows_is_what_sweep_does(
        first in prop::collection::vec(workspace(), 0..8),
        revived in prop::collection::vec(any::<bool>(), 8),
        per_sweep in 1u32..4,
        suspended in prop::bool::weighted(0.1),
    ) {
        let mut world = World::new();
        world.part("limits", &format!("{{perSweep: {per_sweep}}}"));
        build(&world, &first);
        for round in 0..3 {
            if round == 1 {
                for (n, _) in first.iter().enumerate().filter(|(n, _)| revived[*n]) {
                    world.set_live(&id(u32::try_from(n).unwrap()), true);
                }
                world.part("suspend", if suspended { "true" } else { "false" });
            }
            let planned = world.plan();
            let names = &planned.snapshot.volume.complete().unwrap().entries;
            let quarantine: BTreeSet<String> = planned.plan.verdicts.iter().enumerate()
                .filter(|(_, v)| matches!(v, Verdict::Quarantine(_))).map(|(n, _)| names[n].name.to_string()).collect();
            let decided = |wanted: fn(&Decision) -> bool| -> BTreeSet<String> {
                planned.plan.quarantine.iter().filter(|e| wanted(&e.decision)).filter_map(|e| e.name.clone()).collect()
            };
            let restore = decided(|d| matches!(d, Decision::Restore(_)));
            let condemn = decided(|d| *d == Decision::Condemn);
            let swept = world.try_sweep(world.sources()).unwrap();
            prop_assert_eq!(&swept.observed.plan.hash, &planned.plan.hash);
            let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
            prop_assert_eq!(set(&swept.acted.quarantined), quarantine);
            prop_assert_eq!(set(&swept.acted.restored), restore);
            prop_assert_eq!(set(&swept.acted.condemned), condemn.clone());
            prop_assert_eq!(set(&swept.acted.purged), condemn);
            prop_assert!(swept.acted.errors.is_empty(), "{:?}", swept.acted.errors);
            if round == 1 {
                world.pass(8 * DAY);
            }
        }
    }
}
