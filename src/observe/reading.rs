//! The answer of one source: whole, or not at all.

/// The answer of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<T> {
    /// The source answered in full.
    Complete(T),
    /// The source did not answer in full, and why. Never to be read as an empty answer.
    Unavailable(String),
}

impl<T> Reading<T> {
    /// The answer, where there is one.
    pub fn complete(&self) -> Option<&T> {
        match self {
            Self::Complete(value) => Some(value),
            Self::Unavailable(_) => None,
        }
    }

    /// Why there is no answer.
    pub fn unavailable(&self) -> Option<&str> {
        match self {
            Self::Complete(_) => None,
            Self::Unavailable(reason) => Some(reason),
        }
    }
}

impl<T, E: std::fmt::Display> From<Result<T, E>> for Reading<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(value) => Self::Complete(value),
            Err(error) => Self::Unavailable(error.to_string()),
        }
    }
}
