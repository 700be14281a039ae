//! Occasions: the conditions of runs, and runs that are shaped so that one kind of situation occurs
//! repeatedly.
//!
//! A third of all seeds are shaped for a random scenario. A hunt for a deliberate fault runs the
//! seeds of the scenario in which that fault does harm. The rules and the other random choices of
//! the seeds are the same.

mod draw;
mod shapes;

pub mod knobs;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod scenario;

use crate::byzantine::Lie;
use crate::occasions::knobs::{Fault, Knobs};
use crate::random::Random;

pub use scenario::Scenario;

/// What all runs of a hunt have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occasion {
    /// The scenario; the mix of all if `None`.
    pub scenario: Option<Scenario>,
    /// Behaviours of the first faulty member. It is the first primary unless the scenario chooses
    /// another one.
    pub lies: &'static [Lie],
}

impl Occasion {
    /// The runs of this scenario.
    pub const fn of(scenario: Option<Scenario>) -> Self {
        Occasion { scenario, lies: &[] }
    }

    /// Changes the drawn parameters so that the situation occurs.
    pub(crate) fn shape(self, knobs: &mut Knobs, random: &mut Random) {
        if let Some(scenario) = self.scenario {
            scenario.shape(knobs, random);
            knobs.scenario = Some(scenario);
        }
        if self.lies.is_empty() {
            return;
        }
        knobs.calm = false;
        if knobs.tolerated() == 0 {
            knobs.members = 4;
        }
        let lies = Fault::Lies(self.lies.to_vec());
        match knobs.faulty.first_mut() {
            Some((_, fault)) => *fault = lies,
            None => {
                knobs.old_images = 0;
                knobs.faulty = vec![(0, lies)];
            }
        }
    }
}

impl std::fmt::Display for Occasion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(scenario) = self.scenario {
            write!(f, " --scenario {scenario:?}")?;
        }
        if !self.lies.is_empty() {
            write!(f, " --lies ")?;
            for (index, lie) in self.lies.iter().enumerate() {
                write!(f, "{}{lie:?}", if index > 0 { "," } else { "" })?;
            }
        }
        Ok(())
    }
}
