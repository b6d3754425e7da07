//! One-pass byte lexer for MySQL and MariaDB statements: class, digest and parts.
//!
//! No syntax tree is built. What is not recognised is *unknown*, never *harmless*: a class
//! without effects is given only to text that changes nothing by what it says. All functions
//! accept any bytes, never panic and take time linear in the length of the text.

mod aftermath;
mod cache;
mod class;
mod classify;
mod dialect;
mod digest;
mod functions;
mod insert;
mod keywords;
mod kill;
mod lexer;
mod locks;
mod names;
mod prepare;
mod scan;
mod set;
mod shape;
mod variables;

pub use aftermath::{
    Answered, Answers, Condition, Conditions, ShowConditions, answer, mentions_tables,
    show_conditions,
};
pub use cache::ClassCache;
pub use class::{Class, Control, Effects, InsertRows, InsertShape, Kind, Tri, Uses};
pub use classify::classify;
pub use dialect::{Charset, Dialect, Server};
pub use digest::{digest, normalize};
pub use insert::{InsertTarget, insert_target};
pub use kill::{KillBy, KillTarget, kill_target};
pub use locks::{UserLocks, user_locks};
pub use names::mentions;
pub use prepare::{
    ExecuteParts, PrepareParts, PrepareSource, deallocate_name, execute_parts, prepare_parts,
};
pub use set::{Assignment, Scope, Target, set_assignments};
pub use variables::{LiteralAssignment, literal_assignments, user_variables};
