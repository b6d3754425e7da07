//! What a server answers: OK, ERR, EOF, resultsets, prepared statements.

mod column;
mod err;
mod ok;
mod prepare;
mod row;
mod session_state;

pub use column::{ColumnCount, ColumnDefinition, ExtendedMetadata, LocalInfile, UNSIGNED_FLAG};
pub use err::{ErrPacket, ProgressReport};
pub use ok::{EofPacket, OkHeader, OkPacket};
pub use prepare::PrepareOk;
pub use row::{BinaryRow, TextRow, TextRowIter};
pub use session_state::{SessionState, SessionStateChange, TransactionState};
