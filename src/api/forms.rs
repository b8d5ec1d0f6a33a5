//! The patterns of the schema, each with the plain words for it.
//!
//! The CRD carries the pattern; people who run the command line are told the words. A pattern that is not in [`ALL`]
//! would reach them raw, so a test walks the schema and refuses one.

/// A pattern and what it accepts, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The regular expression as the CRD carries it.
    pub pattern: &'static str,
    /// What the expression accepts, in words that finish "accepted: …".
    pub accepted: &'static str,
}

/// A duration.
pub const DURATION: Form = Form {
    pattern: "^([0-9]{1,5}(h|m|s|ms)){1,4}$",
    accepted: "one to four numbers, each with a unit h, m, s or ms, like 90s, 24h or 1h30m",
};

/// A size in bytes.
pub const SIZE: Form = Form {
    pattern: r"^[1-9][0-9]{0,8}(\.[0-9]{1,3})?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)$",
    accepted: "a number from 1 up and a unit k, M, G, T, P, Ki, Mi, Gi, Ti or Pi, like 500Gi or 1.5Ti",
};

/// An amount of money in one currency.
pub const PRICE: Form = Form {
    pattern: r"^[0-9]{1,6}(\.[0-9]{1,6})?$",
    accepted: "a decimal number in quotes, without a currency, like \"0.36\"",
};

/// One SQL statement.
pub const SQL: Form =
    Form { pattern: "^[^;]+$", accepted: "one statement of 1 to 8192 characters, without a semicolon" };

/// An absolute path in its shortest spelling.
pub const ABSOLUTE_PATH: Form = Form {
    pattern: r"^(/([^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+))+/?$",
    accepted: "an absolute path below /, without . or .. or empty components, like /mnt/efs/workspaces",
};

/// A relative path in its shortest spelling.
pub const RELATIVE_PATH: Form = Form {
    pattern: r"^([^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+)(/([^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+))*$",
    accepted: "a relative path without . or .. or empty components, like workspaces or data/workspaces",
};

/// The name of a Kubernetes object.
pub const OBJECT_NAME: Form = Form {
    pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    accepted: "lower-case letters, digits, - and ., beginning and ending with a letter or a digit",
};

/// A name that is one DNS label.
pub const LABEL_NAME: Form = Form {
    pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    accepted: "lower-case letters, digits and -, beginning and ending with a letter or a digit",
};

/// A key inside a Secret or a ConfigMap.
pub const DATA_KEY: Form = Form { pattern: "^[-._a-zA-Z0-9]+$", accepted: "letters, digits, -, _ and ." };

/// The key of a label or an annotation.
pub const LABEL_KEY: Form = Form {
    pattern: r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
    accepted: "an optional DNS name and a slash, then up to 63 letters, digits, -, _ and ., like example.com/session",
};

/// The value of a label.
pub const LABEL_VALUE: Form = Form {
    pattern: "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$",
    accepted: "up to 63 letters, digits, -, _ and ., beginning and ending with a letter or a digit",
};

/// A cron expression with five fields.
pub const CRON: Form = Form {
    pattern: "^[0-9A-Za-z*,/?#-]+( [0-9A-Za-z*,/?#-]+){4}$",
    accepted: "five fields with one space between them: minute hour day month weekday, like \"0 3 * * *\"",
};

/// The name of a time zone.
pub const TIME_ZONE: Form =
    Form { pattern: "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$", accepted: "an IANA time zone, like Europe/Berlin" };

/// The id of an EFS file system.
pub const FILE_SYSTEM_ID: Form =
    Form { pattern: "^fs-[0-9a-f]{8,40}$", accepted: "the id of an EFS file system, like fs-0123456789abcdef0" };

/// An AWS region.
pub const REGION: Form =
    Form { pattern: "^[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}$", accepted: "an AWS region, like eu-central-1" };

/// The name of an ECS cluster, service or task family.
pub const ECS_NAME: Form = Form { pattern: "^[A-Za-z0-9_-]+$", accepted: "letters, digits, - and _" };

/// The key of an AWS tag.
pub const TAG_KEY: Form =
    Form { pattern: "^[A-Za-z0-9 _.:/=+@-]+$", accepted: "letters, digits, spaces and any of _ . : / = + @ -" };

/// An HTTP address without user, password and fragment. Blanks by their numbers: `\s` is more to Rust than to Go.
pub const HTTP_URL: Form = Form {
    pattern: r"^https?://[^/@?#\x00-\x20\x7f]+(/[^#\x00-\x20\x7f]*)?$",
    accepted: "an http or https address without a user name, like http://collab:4096/healthz",
};

/// An amount of a compute resource.
pub const RESOURCE_AMOUNT: Form = Form {
    pattern: r"^[0-9]{1,12}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$",
    accepted: "a Kubernetes quantity in quotes, like \"500m\" or \"256Mi\"",
};

/// `type` of a condition.
pub const CONDITION_TYPE: Form = Form { pattern: "^[A-Z][A-Za-z]*$", accepted: "letters, beginning with a capital" };

/// `reason` of a condition.
pub const CONDITION_REASON: Form =
    Form { pattern: "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", accepted: "letters and digits without spaces" };

/// Every form the schema uses.
pub const ALL: &[&Form] = &[
    &DURATION,
    &SIZE,
    &PRICE,
    &SQL,
    &ABSOLUTE_PATH,
    &RELATIVE_PATH,
    &OBJECT_NAME,
    &LABEL_NAME,
    &DATA_KEY,
    &LABEL_KEY,
    &LABEL_VALUE,
    &CRON,
    &TIME_ZONE,
    &FILE_SYSTEM_ID,
    &REGION,
    &ECS_NAME,
    &TAG_KEY,
    &HTTP_URL,
    &RESOURCE_AMOUNT,
    &CONDITION_TYPE,
    &CONDITION_REASON,
];

/// The form whose pattern is `pattern`.
pub fn by_pattern(pattern: &str) -> Option<&'static Form> {
    ALL.iter().copied().find(|form| form.pattern == pattern)
}
