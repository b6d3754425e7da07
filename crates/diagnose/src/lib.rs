//! Evidence of a lost connection in, its cause and its fix out. Pure: no IO, no clock.
//!
//! - [`Evidence`]: what is known, and what is not;
//! - [`Rule`]: one file for each cause below `causes/`, with what it means, what proves and refutes it, and its fix;
//! - [`diagnose`]: the [`Verdict`], which is one cause, or several that this evidence cannot tell apart, or an honest
//!   *unknown* with candidates and the question whose answer would decide;
//! - [`Reading`]: files that people have, as findings;
//! - [`checks`]: what may bring about the next loss, one file for each check;
//! - [`log`], [`kernel`], [`client`]: what servers, kernels and clients write, as evidence.

mod cause;
mod causes;
pub mod checks;
pub mod client;
mod dump;
mod evidence;
pub mod kernel;
pub mod log;
mod page;
mod reading;
mod rule;
mod signs;
#[cfg(test)]
mod testing;
mod told;
mod verdict;
mod words;

pub use cause::{Cause, Class};
pub use causes::{may_tell_of_a_cause, rule, tells_of_a_cause};
pub use evidence::{
    Aside, Boot, End, Evidence, Kernel, Leftover, Log, Moment, Others, Product, Reach, Server,
    Side, Variables, Wire,
};
pub use page::page;
pub use reading::{Finding, Reading, by_answer};
pub use rule::{Rule, Setting, Sign, Step};
pub use told::{Told, ToldStep};
pub use verdict::{Answer, Candidate, Certainty, Verdict, diagnose};
