//! When sweeps run and when deletion is allowed, over a year.

use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use workspace_hygiene::api::WorkspaceHygiene;
use workspace_hygiene::policy::{Policy, PolicyFault, PolicyOptions, Schedule};

fn parsed(schedule: serde_json::Value) -> Result<Schedule, Vec<PolicyFault>> {
    let resource: WorkspaceHygiene = serde_json::from_value(json!({
        "apiVersion": "hygiene.dev/v1alpha1",
        "kind": "WorkspaceHygiene",
        "metadata": {"name": "collab"},
        "spec": {
            "schedule": schedule,
            "volume": {"path": "/mnt/efs/workspaces"},
            "workspaces": {"pattern": "^(?<session>[0-9a-f-]{36})$"},
            "sessions": {"sqlite": {"path": "/mnt/db/sessions.db"}, "liveQuery": "select id from session"},
        },
    }))
    .unwrap();
    let options = PolicyOptions { allow_short_times: true, cluster: "local".into(), ..PolicyOptions::default() };
    Policy::from_resource(&resource, options).map(|policy| policy.schedule)
}

fn schedule(spec: serde_json::Value) -> Schedule {
    parsed(spec).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn berlin(year: i16, month: i8, day: i8, hour: i8, minute: i8) -> Timestamp {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    date(year, month, day).at(hour, minute, 0, 0).to_zoned(zone).unwrap().timestamp()
}

/// All sweeps of the year 2026, where each takes 20 minutes.
fn year(schedule: &Schedule) -> Vec<Timestamp> {
    let (mut due, end) = (berlin(2026, 1, 1, 0, 0), berlin(2027, 1, 1, 0, 0));
    let mut sweeps = Vec::new();
    while due < end {
        sweeps.push(due);
        let ended = due + SignedDuration::from_mins(20);
        due = schedule.next(due, ended).unwrap();
        assert!(due > ended, "two sweeps overlap");
    }
    sweeps
}

#[test]
fn every_keeps_its_distance_and_makes_up_for_nothing() {
    let sweeps = year(&schedule(json!({"every": "15m"})));
    // Each takes 20 minutes, so every other one is left out.
    assert_eq!(sweeps.len(), 365 * 24 * 2);
    assert!(sweeps.windows(2).all(|pair| pair[1].duration_since(pair[0]) == SignedDuration::from_mins(30)));
    let every = schedule(json!({"every": "1h"}));
    let begun = berlin(2026, 5, 1, 12, 0);
    let slept = begun + SignedDuration::from_hours(100) + SignedDuration::from_mins(7);
    assert_eq!(every.next(begun, slept), Some(begun + SignedDuration::from_hours(101)));
}

#[test]
fn cron_follows_the_clock_on_the_wall_over_both_changes() {
    let nightly = schedule(json!({"cron": "0 3 * * *", "timeZone": "Europe/Berlin"}));
    let sweeps = year(&nightly);
    assert_eq!(sweeps.len(), 366, "the first is at once, then one a day");
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    for sweep in &sweeps[1..] {
        let local = sweep.to_zoned(zone.clone());
        assert_eq!((local.hour(), local.minute()), (3, 0), "{local}");
    }
    // At two o'clock there is no half past two in March, and there are two of them in October.
    let half_past_two = schedule(json!({"cron": "30 2 * * *", "timeZone": "Europe/Berlin"}));
    let spring = half_past_two.next(Timestamp::UNIX_EPOCH, berlin(2026, 3, 29, 0, 0)).unwrap();
    assert!(spring >= berlin(2026, 3, 29, 1, 59) && spring <= berlin(2026, 3, 29, 3, 30), "{spring}");
    let autumn = half_past_two.next(Timestamp::UNIX_EPOCH, berlin(2026, 10, 25, 0, 0)).unwrap();
    let after = half_past_two.next(autumn, autumn).unwrap();
    assert!(after.duration_since(autumn) > SignedDuration::from_hours(12), "{autumn} and {after}: once that night");
    assert_eq!(year(&half_past_two).len(), 366);
}

#[test]
fn a_window_across_midnight_is_open_on_both_sides_of_it() {
    let nights = schedule(json!({
        "every": "15m", "timeZone": "Europe/Berlin", "windows": [{"start": "0 22 * * 1-5", "duration": "4h"}],
    }));
    // Friday the 2nd of January 2026.
    assert!(nights.open(berlin(2026, 1, 2, 21, 59)).is_err());
    assert!(nights.open(berlin(2026, 1, 2, 22, 0)).is_ok());
    assert!(nights.open(berlin(2026, 1, 3, 1, 59)).is_ok());
    let closed = nights.open(berlin(2026, 1, 3, 2, 0)).unwrap_err();
    assert_eq!(closed.opens, Some(berlin(2026, 1, 5, 22, 0)), "not on a weekend");
    assert!(closed.to_string().contains("2026-01-05 21:00Z"), "{closed}");
}

#[test]
fn windows_are_as_long_as_they_say_when_the_clocks_change() {
    let nights = schedule(json!({
        "every": "15m", "timeZone": "Europe/Berlin", "windows": [{"start": "0 1 * * *", "duration": "4h"}],
    }));
    for day in [date(2026, 3, 29), date(2026, 10, 25), date(2026, 6, 1)] {
        let from = berlin(day.year(), day.month(), day.day(), 0, 0);
        let open = (0..24 * 60).filter(|minute| nights.open(from + SignedDuration::from_mins(*minute)).is_ok()).count();
        assert_eq!(open, 4 * 60, "{day}");
    }
}

#[test]
fn what_is_no_schedule_is_refused_by_name() {
    for (spec, field) in [
        (json!({"cron": "0 0 25 * * *"}), "spec.schedule.cron"),
        (json!({"cron": "61 3 * * *"}), "spec.schedule.cron"),
        (json!({"cron": "0 3 * * *", "timeZone": "Mars/Olympus"}), "spec.schedule.timeZone"),
        (json!({"every": "10s"}), "spec.schedule.every"),
        (
            json!({"every": "1h", "windows": [{"start": "nonsense", "duration": "1h"}]}),
            "spec.schedule.windows[0].start",
        ),
        (
            json!({"every": "1h", "windows": [{"start": "0 1 * * *", "duration": "1s"}]}),
            "spec.schedule.windows[0].duration",
        ),
    ] {
        let faults = parsed(spec.clone()).unwrap_err();
        assert!(faults.iter().any(|fault| fault.field == field), "{spec}: {faults:?}");
    }
    let never = schedule(json!({"every": "1h", "windows": [{"start": "0 0 31 2 *", "duration": "1h"}]}));
    assert_eq!(never.open(berlin(2026, 1, 1, 0, 0)).unwrap_err().opens, None);
}
