//! Texts with a form of their own: durations, sizes, prices.
//!
//! Reading one from JSON never fails, whatever it holds; `parse` does, and says what to write instead. (A type that
//! refused on reading would let one stored oddity break the list of all resources.)

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::forms::{self, Form};

/// Why a text could not be parsed; finishes the sentence `"7d" …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} (accepted: {accepted})")]
pub struct TextError {
    /// What is wrong, and the way out where there is a plain one.
    pub problem: String,
    /// The form that is accepted, in words.
    pub accepted: &'static str,
}

impl TextError {
    fn new(problem: impl Into<String>, form: Form) -> Self {
        Self { problem: problem.into(), accepted: form.accepted }
    }
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $form:expr, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes a text as it was written, unchecked.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $form.pattern, "maxLength": $max })
            }
        }
    };
}

text_type!(
    /// A duration such as `90s`, `24h` or `1h30m`.
    DurationString,
    forms::DURATION,
    28
);
text_type!(
    /// A number of bytes such as `500Gi` or `1.5Ti`.
    SizeString,
    forms::SIZE,
    15
);
text_type!(
    /// A price in a currency of the reader's choice, such as `0.36`.
    PriceString,
    forms::PRICE,
    13
);

impl DurationString {
    /// The length of time.
    ///
    /// # Errors
    ///
    /// Where the text is not a duration; for days and weeks the error says the same time in hours.
    ///
    /// ```
    /// use std::time::Duration;
    /// use workspace_hygiene::api::DurationString;
    ///
    /// assert_eq!(DurationString::from("1h30m").parse(), Ok(Duration::from_secs(5400)));
    /// assert!(DurationString::from("7d").parse().unwrap_err().to_string().contains("7d is 168h"));
    /// ```
    pub fn parse(&self) -> Result<Duration, TextError> {
        let mut rest = self.0.as_str();
        let mut total = Duration::ZERO;
        let mut parts = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            // "ms" before "m": the longer unit wins.
            let unit = ["ms", "h", "m", "s"].into_iter().find(|unit| tail.starts_with(unit));
            let (Some(unit), Ok(number), true) = (unit, number.parse::<u64>(), (1..=5).contains(&number.len())) else {
                return Err(self.not_a_duration());
            };
            total += match unit {
                "ms" => Duration::from_millis(number),
                "s" => Duration::from_secs(number),
                "m" => Duration::from_secs(number * 60),
                _ => Duration::from_secs(number * 3600),
            };
            rest = &tail[unit.len()..];
            parts += 1;
        }
        if (1..=4).contains(&parts) { Ok(total) } else { Err(self.not_a_duration()) }
    }

    fn not_a_duration(&self) -> TextError {
        let text = self.0.trim();
        let hint = match text.split_at_checked(text.len().saturating_sub(1)) {
            Some((days, "d")) => in_hours(text, days, 24),
            Some((weeks, "w")) => in_hours(text, weeks, 168),
            Some((_, last)) if !text.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse::<u32>().ok().map(|_| format!("; {text} has no unit, seconds are {text}s"))
            }
            _ => None,
        };
        TextError::new(format!("is not a duration{}", hint.unwrap_or_default()), forms::DURATION)
    }
}

fn in_hours(text: &str, number: &str, hours: u64) -> Option<String> {
    let number = number.parse::<u64>().ok().filter(|n| *n < 100_000)?;
    Some(format!("; {text} is {}h", number * hours))
}

impl SizeString {
    /// The number of bytes, rounded down.
    ///
    /// # Errors
    ///
    /// Where the text is not a size, or is more than 64 bits can hold.
    pub fn parse(&self) -> Result<u64, TextError> {
        let text = self.0.as_str();
        let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let unit = match unit {
            "k" => 1000,
            "M" => 1000_u128.pow(2),
            "G" => 1000_u128.pow(3),
            "T" => 1000_u128.pow(4),
            "P" => 1000_u128.pow(5),
            "Ki" => 1024,
            "Mi" => 1024_u128.pow(2),
            "Gi" => 1024_u128.pow(3),
            "Ti" => 1024_u128.pow(4),
            "Pi" => 1024_u128.pow(5),
            _ => return Err(TextError::new("is not a size", forms::SIZE)),
        };
        let sound = (1..=9).contains(&whole.len())
            && !whole.starts_with('0')
            && fraction.len() <= 3
            && number.contains('.') != fraction.is_empty();
        let thousandths = format!("{whole}{fraction:0<3}").parse::<u128>();
        let (true, Ok(thousandths)) = (sound, thousandths) else {
            return Err(TextError::new("is not a size", forms::SIZE));
        };
        u64::try_from(thousandths * unit / 1000)
            .map_err(|_| TextError::new("is more bytes than any file system holds", forms::SIZE))
    }
}

impl PriceString {
    /// The price in millionths of the currency.
    ///
    /// # Errors
    ///
    /// Where the text is not a decimal number of the accepted form.
    pub fn parse_micros(&self) -> Result<u64, TextError> {
        let (whole, fraction) = self.0.split_once('.').unwrap_or((&self.0, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let sound = (1..=6).contains(&whole.len())
            && fraction.len() <= 6
            && digits(whole)
            && digits(fraction)
            && self.0.contains('.') != fraction.is_empty();
        match format!("{whole}{fraction:0<6}").parse() {
            Ok(micros) if sound => Ok(micros),
            _ => Err(TextError::new("is not a price", forms::PRICE)),
        }
    }
}

/// `bytes` with one decimal and a binary unit, as `status` and the tables print sizes: `1.4Gi`, `512`, `3Ti`.
pub fn human_size(bytes: u64) -> String {
    let units = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = 0;
    while tenths >= 10_235 && unit + 1 < units.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    let (whole, tenth) = (tenths / 10, tenths % 10);
    if tenth == 0 { format!("{whole}{}", units[unit]) } else { format!("{whole}.{tenth}{}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up_their_parts() {
        for (text, millis) in
            [("90s", 90_000), ("24h", 86_400_000), ("1h30m", 5_400_000), ("1m500ms", 60_500), ("0s", 0), ("1s1s", 2000)]
        {
            assert_eq!(DurationString::from(text).parse(), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_duration_that_parses_matches_the_pattern_and_no_other_does() {
        let pattern = regex::Regex::new(forms::DURATION.pattern).unwrap();
        for text in
            ["", "7d", "1", "h", "1h ", "-1h", "1.5h", "100000h", "99999h", "1h1h1h1h", "1h1h1h1h1h", "5ms", "1é"]
        {
            assert_eq!(DurationString::from(text).parse().is_ok(), pattern.is_match(text), "{text:?}");
        }
    }

    #[test]
    fn days_and_weeks_are_answered_in_hours_and_bare_numbers_in_seconds() {
        let problem = |text: &str| DurationString::from(text).parse().unwrap_err().problem;
        assert_eq!(problem("7d"), "is not a duration; 7d is 168h");
        assert_eq!(problem("2w"), "is not a duration; 2w is 336h");
        assert_eq!(problem("30"), "is not a duration; 30 has no unit, seconds are 30s");
        assert_eq!(problem("soon"), "is not a duration");
        assert_eq!(problem(""), "is not a duration");
    }

    #[test]
    fn sizes_are_exact_bytes() {
        for (text, bytes) in
            [("500Gi", 500 << 30), ("1k", 1000), ("1.5Ti", 3 << 39), ("1.001k", 1001), ("1P", 10_u64.pow(15))]
        {
            assert_eq!(SizeString::from(text).parse(), Ok(bytes), "{text}");
        }
        assert!(SizeString::from("999999999Pi").parse().unwrap_err().problem.contains("more bytes"));
    }

    #[test]
    fn a_size_that_parses_matches_the_pattern_and_no_other_does() {
        let pattern = regex::Regex::new(forms::SIZE.pattern).unwrap();
        for text in
            ["", "5", "0Gi", "01Gi", "1.Gi", ".5Gi", "1.2345Gi", "1.5Gi", "1 Gi", "1gi", "1K", "1234567890k", "1.2.3k"]
        {
            assert_eq!(SizeString::from(text).parse().is_ok(), pattern.is_match(text), "{text:?}");
        }
    }

    #[test]
    fn prices_are_exact_millionths() {
        assert_eq!(PriceString::from("0.36").parse_micros(), Ok(360_000));
        assert_eq!(PriceString::from("12").parse_micros(), Ok(12_000_000));
        for text in ["", ".5", "1.", "-1", "1e3", "€1", "1.2345678"] {
            assert!(PriceString::from(text).parse_micros().is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_printed_with_one_decimal_at_most() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1Ki"),
            (1536, "1.5Ki"),
            (3 << 40, "3Ti"),
            (1_503_238_554, "1.4Gi"),
            ((1 << 20) - 1, "1Mi"),
            (u64::MAX, "16Ei"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
    }
}
