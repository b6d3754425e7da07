//! The brain of Steadfast, pure: what a session is, what becomes of it when its server connection is lost,
//! and whether a statement may run again.
//!
//! Nothing here does IO, looks at a clock, or draws a random number: time and random bytes are arguments, and
//! the same events always give the same actions. That is what lets every interleaving be explored.
//!
//! The order to read in: [`Statement`] (what one command may change), [`Loss`] (what is known of a lost
//! connection), [`Session`] (the machine: event in, actions out), [`Failure`] (what the client is told when it
//! cannot be hidden), [`SessionState`] (what a new server connection must be given to be the same session).

mod contract;
mod inherited;
pub mod ledger;
mod loss;
mod machine;
mod quoting;
mod state;
mod statement;
mod transaction;
mod values;

pub use contract::{Failure, FailureKind, Reason};
pub use inherited::Inherited;
pub use loss::{End, Loss, Sent};
pub use machine::{
    Action, Actions, Attachment, Catalogue, Command, Event, Flight, InsertId, Limits, Recording,
    Refusal, Response, Session, Status, Target,
};
pub use quoting::{bytes_expression, hexadecimal, identifier, use_schema};
pub use state::{Hidden, SessionState, UserVariable};
pub use statement::{Boundary, Held, Observes, PinUse, Safety, Statement};
pub use transaction::{Entry, Handle, Pins, Transaction};
pub use values::variable_expression;
