//! Whether what a sweep was told to do still stands. Asked before each step: a spec that was changed, suspended or deleted
//! stops the sweep that runs by the old one.

/// The orders of one resource.
pub trait Orders: Send + Sync {
    /// Whether they stand as they were when the sweep began.
    ///
    /// # Errors
    /// Why they do not, or why that is not known.
    fn standing(&self) -> Result<(), String>;
}

/// Orders that cannot change, such as those from standard input.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed;

impl Orders for Fixed {
    fn standing(&self) -> Result<(), String> {
        Ok(())
    }
}
