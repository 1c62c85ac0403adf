//! Model: what the rules leave open.
//!
//! Wherever several things may come next, the model puts the likeliest first and asks here. The
//! comparison runs it again with other choices where the first ones do not explain what the
//! library did, so that any order the rules allow is accepted, and no other.

use super::state::Model;

/// The choices of one step.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Those to be made; after them the first of several is chosen.
    pub script: Vec<usize>,
    /// Those that were made: which, and of how many.
    pub made: Vec<(usize, usize)>,
}

impl Model {
    /// One of so many. Once the model has left the library's way choosing is of no use.
    pub fn choice(&mut self, of: usize) -> usize {
        let matters = of > 1 && self.shown_next().is_some();
        if !matters {
            return 0;
        }
        let at = self.choices.made.len();
        let chosen = self.choices.script.get(at).copied().unwrap_or(0).min(of - 1);
        self.choices.made.push((chosen, of));
        chosen
    }
}
