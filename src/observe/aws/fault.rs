//! What went wrong with a call, and what can be done. The text of an AWS error is never repeated: that of a wrong signature
//! holds the headers that were signed, the session token among them.

use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};

/// Longest code or word of AWS that is shown, in bytes.
const LONGEST_WORD: usize = 64;

/// A call that is made: which one, of which action of IAM, and on what.
#[derive(Clone, Copy, Debug)]
pub(in crate::observe) struct Called<'a> {
    /// The action as IAM writes it, `ecs:ListTasks`.
    pub action: &'static str,
    /// On what: `cluster prod in eu-central-1`.
    pub of: &'a str,
}

impl Called<'_> {
    /// Why the call gave no answer that can be relied on, in one sentence.
    pub fn failed<E: ProvideErrorMetadata, R>(&self, error: &SdkError<E, R>) -> String {
        let why = match error {
            SdkError::ServiceError(answered) => return self.refused(answered.err().code()),
            SdkError::TimeoutError(_) => "gave no whole answer in time".to_owned(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => "cannot be reached in time".to_owned(),
            SdkError::DispatchFailure(failure) if failure.is_io() => {
                "cannot be reached, or the connection was cut".to_owned()
            }
            SdkError::ResponseError(_) => "gave an answer that is cut short or cannot be read".to_owned(),
            _ => "could not be sent: are there credentials (the task role, or AWS_ACCESS_KEY_ID and the like), and is \
                  AWS_ENDPOINT_URL right where it is set?"
                .to_owned(),
        };
        self.tell(&why)
    }

    /// An answer that came, and is not the whole answer.
    pub fn partial(&self, what: &str) -> String {
        self.tell(&format!("gave a partial answer: {what}"))
    }

    fn tell(&self, why: &str) -> String {
        format!("{} of {} {why}", self.action, self.of)
    }

    fn refused(&self, code: Option<&str>) -> String {
        // An answer that cannot be taken apart is told by the SDK as an error that has no code.
        let Some(code) = code.map(word) else {
            return self.tell("gave an answer that is cut short or cannot be read");
        };
        let lower = code.to_ascii_lowercase();
        let way_out = if lower.contains("expiredtoken") || lower.contains("requestexpired") {
            "the credentials have expired; renew them, or use a task role, which the SDK renews".to_owned()
        } else if lower.contains("accessdenied") || lower.contains("unauthorized") {
            format!("allow {} to the role this runs as", self.action)
        } else if lower.contains("throttl") || lower.contains("toomanyrequests") || lower.contains("limitexceeded") {
            "AWS throttles, and several attempts with pauses did not help; the next sweep asks again".to_owned()
        } else if lower.contains("notfound") {
            "check names and region in the spec".to_owned()
        } else if lower.contains("token") || lower.contains("signature") || lower.contains("authfailure") {
            "AWS does not accept the credentials; check where they come from".to_owned()
        } else {
            "the next sweep asks again".to_owned()
        };
        self.tell(&format!("was answered with {code}: {way_out}"))
    }
}

/// A word of AWS as it may be shown: letters, digits and a few signs, not too long. Whatever else is no word.
pub(in crate::observe) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:".contains(c);
    if !text.is_empty() && text.len() <= LONGEST_WORD && text.chars().all(plain) {
        text.to_owned()
    } else {
        "a word that cannot be shown".to_owned()
    }
}
