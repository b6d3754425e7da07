//! What clients say when they lose a connection, as people paste it.
//!
//! A client's words tell that the connection ended, never why: 2006, 2013, 08S01, ECONNRESET and *invalid connection* are
//! shapes of one event. What can be taken from them is the server's own error number where it got through, the moment,
//! and numbers: the operating system's, sizes, times.

mod numbers;
mod phrases;

use core::time::Duration;

use serde::{Deserialize, Serialize};

use self::phrases::{List, Said};
use crate::causes::is_no_loss;
use crate::log::MAX_LINE;

/// What a client said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientMessage {
    /// The error's number; 2xxx are the client library's own, others the server's.
    pub code: Option<u16>,
    /// When it happened.
    pub moment: Option<ClientMoment>,
    /// The client itself gave up waiting.
    pub timed_out: bool,
    /// The operating system's error number, as Linux has it.
    pub os_error: Option<u32>,
    /// For how long the client had received nothing.
    #[serde(with = "crate::words::maybe_millis")]
    pub since_received: Option<Duration>,
    /// For how long the client had sent nothing.
    #[serde(with = "crate::words::maybe_millis")]
    pub since_sent: Option<Duration>,
    /// It says that packets came in another order than they should, or that commands were out of sync.
    pub out_of_order: bool,
    /// A packet was larger than the client, or the server as far as the client knows, allows.
    pub too_large: bool,
    /// A proxy said it, not a server.
    pub proxy: bool,
    /// The server's id of the connection, where the driver names it.
    pub connection: Option<u64>,
    /// The message itself, at most [`MAX_LINE`] bytes.
    pub text: String,
}

/// When a client's connection was lost, as far as its message tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientMoment {
    /// While it connected: no greeting yet.
    Connecting,
    /// While it logged in.
    Login,
    /// While it was idle, or when it began a command: the connection was lost before.
    Sending,
    /// While it waited for the response.
    Waiting,
    /// In the middle of a result.
    Reading,
}

/// Whether a message is Steadfast's own: its number tells the client what to do, not what the server said.
pub(crate) fn is_steadfasts(text: &str) -> bool {
    text.contains("Steadfast: ")
}

/// Bytes of a paste that are looked at.
const MAX_PASTE: usize = 64 << 10;

impl ClientMessage {
    /// Whether this text, or a part of it, may be a message: a quick look.
    pub(crate) fn may_be(text: &str) -> bool {
        let said = Said::of(text);
        said.is_worded()
            || (said.has(List::Codes)
                && (numbers::code(text, false).is_some() || numbers::workbench_gave_up(text)))
    }

    /// Whether both say the same, as far as it matters.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.code, self.moment, self.timed_out, self.os_error)
            == (other.code, other.moment, other.timed_out, other.os_error)
    }

    /// The server's own error, where it got through: not what a server, or the network below it, says of any end of a
    /// connection (1158 to 1161, 1184), nor what a proxy says.
    pub(crate) fn servers_own(&self) -> Option<u16> {
        let code = self.code?;
        let is_own = !matches!(code, 1158..=1161 | 1184 | 2000..3000 | 9000..);
        (is_own && !self.proxy && !is_steadfasts(&self.text)).then_some(code)
    }

    /// What a paste says of a lost or refused connection; `None`: nothing. The paste may hold other lines too, be cut or
    /// wrapped, and have any kind of line ends; of more than 64 KiB the first are read.
    pub fn read(paste: &str) -> Option<Self> {
        let mut end = paste.len().min(MAX_PASTE);
        while !paste.is_char_boundary(end) {
            end -= 1;
        }
        // Wrapped lines are joined again.
        let mut text = String::with_capacity(end);
        for word in paste[..end].split_whitespace() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        let said = Said::of(&text);
        if said.is_empty() || said.has(List::Servers) {
            return None;
        }
        let gave_up_alone = said.has(List::Codes) && numbers::workbench_gave_up(&text);
        let timed_out = said.has(List::GaveUp) || gave_up_alone;
        let worded = said.is_worded() || gave_up_alone;
        let known = worded || said.has(List::Codes);
        if !known || (said.has(List::NoLoss) && !said.has(List::Losses)) {
            return None;
        }
        let code = numbers::code(&text, worded);
        // What Steadfast says, it says of a loss.
        let no_loss = |code| is_no_loss(code, &text) && !is_steadfasts(&text);
        if !worded && code.is_none_or(no_loss) {
            return None;
        }
        let lower = text.to_lowercase();
        let os_error = numbers::os_error(&text, &lower);
        let out_of_order = said.has(List::OutOfOrder);
        let idle_error = out_of_order && numbers::is_4031_out_of_order(&lower);
        let code = code.or_else(|| numbers::code_in_words(&lower));
        let moment = if said.has(List::Login) {
            Some(ClientMoment::Login)
        } else if said.has(List::Connecting) {
            Some(ClientMoment::Connecting)
        } else if said.has(List::Reading) {
            Some(ClientMoment::Reading)
        } else if said.has(List::Sending) {
            Some(ClientMoment::Sending)
        } else if said.has(List::Waiting) {
            Some(ClientMoment::Waiting)
        } else if matches!(code, Some(2002 | 2003)) {
            Some(ClientMoment::Connecting)
        } else {
            None
        };
        Some(Self {
            code: if idle_error { Some(4031) } else { code },
            moment,
            timed_out,
            os_error,
            since_received: numbers::received_ago(&text),
            since_sent: numbers::sent_ago(&text),
            out_of_order: out_of_order && !idle_error,
            too_large: said.has(List::TooLarge),
            proxy: said.has(List::Proxies),
            connection: numbers::connection(&text),
            text: excerpt(&text),
        })
    }
}

/// The part of the text that says it.
fn excerpt(text: &str) -> String {
    if text.len() <= MAX_LINE {
        return text.to_owned();
    }
    let lower = text.to_ascii_lowercase();
    let at = phrases::first(&lower).unwrap_or(0).saturating_sub(60);
    crate::log::cut(text, at, MAX_LINE).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ClientMessage {
        ClientMessage::read(text).unwrap_or_else(|| panic!("not a message: {text}"))
    }

    #[test]
    fn the_number_is_found_in_every_shape() {
        let shapes = [
            (
                "ERROR 2013 (HY000): Lost connection to MySQL server during query",
                2013,
            ),
            (
                "ERROR 2013 (HY000) at line 44: Lost connection to MySQL server during query",
                2013,
            ),
            (
                "pymysql.err.OperationalError: (2013, 'Lost connection to MySQL server during query')",
                2013,
            ),
            (
                "SQLSTATE[HY000]: General error: 2006 MySQL server has gone away",
                2006,
            ),
            ("SQLSTATE[HY000] [2002] Connection refused", 2002),
            (
                "Error Code: 2013. Lost connection to MySQL server during query\t30.002 sec",
                2013,
            ),
            (
                "/* SQL Error (2013): Lost connection to server during query */",
                2013,
            ),
            (
                "2013 - Lost connection to server at 'handshake: reading initial communication packet'",
                2013,
            ),
            (
                "mysqldump: Error 2013: Lost connection to MySQL server during query when dumping table `t` at row: 12",
                2013,
            ),
            ("#2006 - MySQL server has gone away", 2006),
            (
                "error returned from database: 4031 (HY000): The client was disconnected",
                4031,
            ),
            (
                "Error: The client was disconnected by the server because of inactivity. errno: 4031,",
                4031,
            ),
            ("Error 1040 (08004): Too many connections", 1040),
            (
                "Error reading packet from server: Lost connection to master (server_errno=2013)",
                2013,
            ),
            (
                "(2006, \"MySQL server has gone away (BrokenPipeError(32, 'Broken pipe'))\")",
                2006,
            ),
            (
                "SQLSTATE[08S01]: Communication link failure: 1053 Server shutdown in progress",
                1053,
            ),
        ];
        for (text, code) in shapes {
            assert_eq!(read(text).code, Some(code), "{text}");
        }
    }

    #[test]
    fn a_process_a_line_or_a_year_is_no_error() {
        for text in [
            "CRON[2006]: (root) CMD (/usr/lib/backup)",
            "#7 /srv/app/Connection.php(1040): PDO->prepare('select 1')",
            "it works since then (2013), as far as I know",
            "see issue #2006",
            "took 1205 ms",
        ] {
            assert_eq!(ClientMessage::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_year_is_no_error() {
        assert_eq!(ClientMessage::read("2013-05-06 07:08:09 all is well"), None);
        assert_eq!(ClientMessage::read("copyright 2006, 2013"), None);
    }

    #[test]
    fn moments_are_told_apart() {
        use ClientMoment as M;
        let cases = [
            (
                "Lost connection to MySQL server at 'reading initial communication packet', system error: 0",
                M::Connecting,
            ),
            (
                "Lost connection to MySQL server at 'reading authorization packet', system error: 104",
                M::Login,
            ),
            ("MySQL server has gone away", M::Sending),
            ("Lost connection to MySQL server during query", M::Waiting),
            (
                "Error 2013: Lost connection to MySQL server during query when dumping table `t` at row: 7",
                M::Reading,
            ),
            (
                "Communications link failure The last packet sent successfully to the server was 0 milliseconds ago. The driver has not received any packets from the server.",
                M::Connecting,
            ),
        ];
        for (text, moment) in cases {
            assert_eq!(read(text).moment, Some(moment), "{text}");
        }
    }

    #[test]
    fn connector_j_tells_how_long_it_was_idle() {
        for (written, millis) in [
            ("2,362,858", 2_362_858),
            ("2.362.858", 2_362_858),
            ("2\u{202f}362\u{a0}858", 2_362_858),
            ("7", 7),
        ] {
            let text = format!(
                "Communications link failure\r\n\r\nThe last packet successfully received from the server was {written} \
                 milliseconds ago.  The last packet sent successfully to the server was {written} milliseconds ago."
            );
            let message = read(&text);
            assert_eq!(
                message.since_received,
                Some(Duration::from_millis(millis)),
                "{written}"
            );
            assert_eq!(message.since_sent, Some(Duration::from_millis(millis)));
        }
    }

    #[test]
    fn the_systems_numbers_are_those_of_linux() {
        for (text, number) in [
            ("Can't connect to MySQL server on 'db' (10061)", 111),
            ("Can't connect to MySQL server on 'db:3306' (110)", 110),
            (
                "Lost connection to server at 'reading authorization packet', system error: 54 \"Connection reset by peer\"",
                104,
            ),
            (
                "(2013, 'Lost connection to MySQL server during query ([Errno 104] Connection reset by peer)')",
                104,
            ),
            ("Error: read ECONNRESET", 104),
            (
                "MySQL server has gone away (BrokenPipeError(32, 'Broken pipe'))",
                32,
            ),
        ] {
            assert_eq!(read(text).os_error, Some(number), "{text}");
        }
    }

    #[test]
    fn a_client_that_gave_up_says_so() {
        for text in [
            "(2013, 'Lost connection to MySQL server during query (timed out)')",
            "Error Code: 2013. Lost connection to MySQL server during query\t30.016 sec",
            "java.net.SocketTimeoutException: Read timed out\nCommunications link failure",
            "[mysql] packets.go:58 read tcp 10.0.0.1:5->10.0.0.2:3306: i/o timeout",
            "Timeout expired.  The timeout period elapsed prior to completion of the operation",
        ] {
            assert!(read(text).timed_out, "{text}");
        }
        assert!(
            !read("Error Code: 2013. Lost connection to MySQL server during query\t12.430 sec")
                .timed_out
        );
    }

    #[test]
    fn out_of_order_is_4031_where_its_numbers_say_so() {
        let idle = read("Warning: Packets out of order. Expected 1 received 0. Packet size=145");
        assert_eq!((idle.code, idle.out_of_order), (Some(4031), false));
        let shared = read("Packets out of order. Expected 3 received 1. Packet size=7");
        assert!(shared.out_of_order);
    }

    #[test]
    fn wrapped_text_is_one_text() {
        let message = read(
            "Lost connection to\r\n   MySQL server at 'reading initial\r\n communication packet', system\r\n error: 0",
        );
        assert_eq!(message.moment, Some(ClientMoment::Connecting));
    }

    #[test]
    fn what_is_no_loss_is_none() {
        for text in [
            "",
            "Lock wait timeout exceeded; try restarting transaction",
            "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
            "HikariPool-1 - Connection is not available, request timed out after 30000ms.",
            "all is well",
            "ERROR 1213 (40001): Deadlock found when trying to get lock; try restarting transaction",
            "ERROR 1205 (HY000) at line 3: Lock wait timeout exceeded",
            "ERROR 1317 (70100): Query execution was interrupted",
            "ERROR 1290 (HY000): The MySQL server is running with the --secure-file-priv option so it cannot execute this statement",
            "SQLSTATE[40001]: Serialization failure: 1213 Deadlock found when trying to get lock",
        ] {
            assert_eq!(ClientMessage::read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_loss_hides_none() {
        let message = read(
            "ERROR 1213 (40001): Deadlock found when trying to get lock\n\
             ERROR 2013 (HY000): Lost connection to MySQL server during query",
        );
        assert_eq!(message.code, Some(2013));
        let steadfasts = "ERROR 1317 (70100): Steadfast: somebody killed it; it is not run again (steadfast why QQLKNC)";
        assert_eq!(read(steadfasts).code, Some(1317));
    }

    #[test]
    fn a_huge_paste_is_cut() {
        let paste = format!(
            "{} Lost connection to MySQL server during query",
            "ö".repeat(40_000)
        );
        assert_eq!(ClientMessage::read(&paste), None);
        let paste = format!(
            "Lost connection to MySQL server during query {}",
            "ö".repeat(40_000)
        );
        assert!(read(&paste).text.len() <= MAX_LINE);
    }
}
