//! Which of the server's session tracking the client gets to see.

use std::rc::Rc;

use steadfast_wire::response::{OkPacket, SessionStateChange};

/// What the client wants to see of session tracking.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tracking {
    /// `session_track_schema`.
    pub(crate) schema: bool,
    /// `session_track_state_change`.
    pub(crate) state_change: bool,
    /// `session_track_transaction_info` is CHARACTERISTICS.
    pub(crate) characteristics: bool,
    /// `session_track_transaction_info` is STATE or CHARACTERISTICS.
    pub(crate) transaction_state: bool,
    /// `session_track_system_variables`: names in lower case.
    pub(crate) variables: Rc<[String]>,
    /// `session_track_system_variables` is `*`.
    pub(crate) all_variables: bool,
}

impl Tracking {
    /// Whether the client asked for news of this kind.
    pub(super) fn wants(&self, change: &SessionStateChange<'_>) -> bool {
        match change {
            SessionStateChange::SystemVariable { name, .. } => {
                self.all_variables
                    || self
                        .variables
                        .iter()
                        .any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name))
            }
            SessionStateChange::Schema(_) => self.schema,
            SessionStateChange::StateChange(_) => self.state_change,
            SessionStateChange::TransactionCharacteristics(_) => self.characteristics,
            SessionStateChange::TransactionState(_) => self.transaction_state,
            SessionStateChange::Gtids { .. } | SessionStateChange::Other { .. } => true,
        }
    }
}

/// Whether an explicit transaction began or ended. MySQL then tells the transaction's state even if the client does not
/// track it (measured on 9.7); of what happens inside it tells nothing.
pub(super) fn begins_or_ends_explicitly(ok: &OkPacket<'_>) -> bool {
    let (mut state, mut characteristics) = (false, false);
    for change in ok.session_state().flatten() {
        state |= matches!(change, SessionStateChange::TransactionState(_));
        characteristics |= matches!(change, SessionStateChange::TransactionCharacteristics(_));
    }
    state && characteristics
}
