//! The table that updates live: redrawn in place on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::bank::CLIENTS;
use super::faults::Fault;
use super::tally::Glance;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// Paints text, or leaves it alone where colour is not wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Paint {
    colour: bool,
}

impl Paint {
    /// Colour only on a terminal, and not against the wish of `NO_COLOR`.
    pub(super) fn for_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        Self {
            colour: wanted && is_terminal(),
        }
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { colour: false }
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("{code}{text}{PLAIN}")
        } else {
            text.to_owned()
        }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with(BOLD, text)
    }

    /// Something that is as it should be, or is not.
    pub(super) fn verdict(self, good: bool, text: &str) -> String {
        self.with(if good { GREEN } else { RED }, text)
    }

    fn warning(self, text: &str) -> String {
        self.with(YELLOW, text)
    }
}

fn is_terminal() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// What is shown at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Moment {
    pub(super) elapsed: Duration,
    pub(super) total: Duration,
    pub(super) direct: Glance,
    pub(super) steadfast: Glance,
    pub(super) fault: Option<Fault>,
}

/// Where moments are shown.
pub(super) enum Screen {
    /// Redrawn in place; so many lines were drawn.
    Terminal { paint: Paint, drawn: usize },
    /// A line at these times.
    Lines { next: Duration },
    /// Nowhere: the standard output is for the JSON.
    Silent,
}

impl Screen {
    pub(super) fn new(silent: bool) -> Self {
        if silent {
            Self::Silent
        } else if is_terminal() {
            Self::Terminal {
                paint: Paint::for_stdout(),
                drawn: 0,
            }
        } else {
            Self::Lines {
                next: Duration::ZERO,
            }
        }
    }

    /// Shows the moment where and when it is to be shown.
    pub(super) fn show(&mut self, moment: &Moment) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match self {
            Self::Silent => return Ok(()),
            Self::Lines { next } => {
                if moment.elapsed < *next {
                    return Ok(());
                }
                *next = moment.elapsed + LINE_EVERY;
                writeln!(out, "{}", line(moment))?;
            }
            Self::Terminal { paint, drawn } => {
                // Up to the first line of the table; no wrapping in a narrow window, or the
                // next redraw would begin too low.
                if *drawn > 0 {
                    write!(out, "\x1b[{drawn}A")?;
                }
                write!(out, "\x1b[?7l")?;
                let table = table(moment, *paint);
                for line in &table {
                    writeln!(out, "\x1b[2K{line}")?;
                }
                write!(out, "\x1b[?7h")?;
                *drawn = table.len();
            }
        }
        out.flush()
    }
}

fn line(moment: &Moment) -> String {
    let side = |glance: &Glance| {
        format!(
            "{} transfers, {} failures, {} waiting",
            glance.done, glance.failures, glance.waiting
        )
    };
    format!(
        "{:>5}  direct: {}; through Steadfast: {}; {}",
        clock(moment.elapsed),
        side(&moment.direct),
        side(&moment.steadfast),
        moment.fault.map_or("no fault", Fault::now)
    )
}

fn table(moment: &Moment, paint: Paint) -> Vec<String> {
    let left = moment.total.saturating_sub(moment.elapsed);
    let time = match left {
        Duration::ZERO => "finishing".to_owned(),
        left => format!("{} left", clock(left + Duration::from_millis(999))),
    };
    let row = |name: &str, glance: &Glance| {
        let failures = format!("{:>12}", glance.failures);
        let waiting = format!("{:>13}", glance.waiting);
        format!(
            "  {name:<18}{:>12}{}{}{:>15}",
            glance.done,
            paint.verdict(glance.failures == 0, &failures),
            if glance.waiting > 0 {
                paint.warning(&waiting)
            } else {
                waiting
            },
            seconds(glance.longest_pause)
        )
    };
    let heading = format!(
        "  {:<18}{:>12}{:>12}{:>13}{:>15}",
        format!("{CLIENTS} clients each"),
        "transfers",
        "failures",
        "waiting now",
        "longest pause"
    );
    let now = moment
        .fault
        .map_or("no fault".to_owned(), |fault| paint.warning(fault.now()));
    vec![
        String::new(),
        paint.bold(&heading),
        row("direct", &moment.direct),
        row("through Steadfast", &moment.steadfast),
        String::new(),
        format!("  {time:<18}now: {now}"),
    ]
}

/// Minutes and seconds.
pub(super) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// Seconds with a tenth.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment() -> Moment {
        let glance = |failures, waiting| Glance {
            done: 1204,
            failures,
            waiting,
            longest_pause: Duration::from_millis(2140),
        };
        Moment {
            elapsed: Duration::from_millis(17_500),
            total: Duration::from_secs(60),
            direct: glance(112, 0),
            steadfast: glance(0, 12),
            fault: Some(Fault::Freeze),
        }
    }

    #[test]
    fn the_table_lines_up_and_fits_80_columns() {
        let table = table(&moment(), Paint::none());
        insta::assert_snapshot!(table.join("\n"));
        assert!(table.iter().all(|line| line.chars().count() < 80));
        let width = |n: usize| table[n].chars().count();
        assert!(width(1) == width(2) && width(2) == width(3));
    }

    #[test]
    fn colour_does_not_change_the_text() {
        let painted = table(&moment(), Paint { colour: true }).join("\n");
        let mut bare = painted.clone();
        for code in [RED, GREEN, YELLOW, BOLD, PLAIN] {
            bare = bare.replace(code, "");
        }
        assert_ne!(painted, bare);
        assert_eq!(bare, table(&moment(), Paint::none()).join("\n"));
    }

    #[test]
    fn without_a_terminal_it_is_one_line() {
        insta::assert_snapshot!(line(&moment()));
    }
}
