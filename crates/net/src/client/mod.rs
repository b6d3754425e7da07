//! Steadfast's own MySQL client: greeting, login, hidden commands.

mod answer;
mod connection;
mod dialogue;
mod greeting;
mod login;
mod relay;
mod result;

pub use connection::ServerConnection;
pub use greeting::{Greeted, OwnedGreeting, greet};
pub use login::Login;
pub use relay::{Pending, RelayStep};
pub use result::{MAX_RESULT, OwnedColumn, OwnedOk, QueryResult};
