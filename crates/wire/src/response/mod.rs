//! What a server answers: OK, ERR, EOF, resultsets, prepared statements.

mod err;
mod ok;
mod session_state;

pub use err::{ErrPacket, ProgressReport};
pub use ok::{EofPacket, OkHeader, OkPacket};
pub use session_state::{SessionState, SessionStateChange, TransactionState};
