//! What was measured, as JSON lines, tables, and a page with pictures.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::Table;
use serde::{Deserialize, Serialize};

use super::own::LARGE_BYTES;
use super::plot::{Bars, Group};
use super::work::Work;
use crate::report::{align, style};
use crate::statistics::{Ratio, Rounds};
use crate::way::Way;

/// What a sample tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Figure {
    /// Operations a second.
    Rate,
    /// Milliseconds that half of the operations took at most.
    P50,
    /// The same of 99 in a hundred.
    P99,
    /// The same of 999 in a thousand.
    P999,
    /// Microseconds of the proxy on a processor for a query.
    Cpu,
    /// Context switches of the proxy for a query.
    Switches,
    /// KiB that the proxy has kept resident: for an idle client, or at most more than before during a large result.
    Memory,
}

/// One work through one way in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) server: String,
    pub(super) version: String,
    pub(super) work: Work,
    pub(super) clients: u32,
    pub(super) way: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) way_version: Option<String>,
    pub(super) round: u32,
    pub(super) figures: BTreeMap<Figure, f64>,
}

/// A work, and by how many clients.
type Cell = (Work, u32);

/// The figures of one server: of a work by so many clients, those of each way.
struct Measured(BTreeMap<Cell, BTreeMap<(&'static str, Figure), Rounds>>);

impl Measured {
    fn of(samples: &[Sample], server: &str) -> Self {
        let mut measured: BTreeMap<_, BTreeMap<_, Rounds>> = BTreeMap::new();
        for sample in samples.iter().filter(|sample| sample.server == server) {
            let Some(way) = Way::ALL.iter().find(|way| way.name() == sample.way) else {
                continue;
            };
            let cell = measured.entry((sample.work, sample.clients)).or_default();
            for (figure, value) in &sample.figures {
                let rounds = cell.entry((way.name(), *figure)).or_default();
                rounds.insert(sample.round, *value);
            }
        }
        Self(measured)
    }

    fn rounds(&self, cell: Cell, way: Way, figure: Figure) -> Option<&Rounds> {
        self.0.get(&cell)?.get(&(way.name(), figure))
    }

    fn median(&self, cell: Cell, way: Way, figure: Figure) -> Option<f64> {
        self.rounds(cell, way, figure).map(Rounds::median)
    }

    fn ratio(&self, cell: Cell, way: Way, to: Way, figure: Figure) -> Option<Ratio> {
        self.rounds(cell, way, figure)?
            .ratio(self.rounds(cell, to, figure)?)
    }

    /// In the order of the works.
    fn cells(&self) -> impl Iterator<Item = Cell> {
        self.0.keys().copied()
    }

    /// Ways with such a figure.
    fn ways(&self, figure: Figure) -> Vec<Way> {
        let has = |way: &&Way| {
            self.cells()
                .any(|cell| self.rounds(cell, **way, figure).is_some())
        };
        Way::ALL.iter().filter(has).copied().collect()
    }

    fn least_rounds(&self) -> usize {
        let rounds = self
            .0
            .values()
            .flat_map(BTreeMap::values)
            .map(Rounds::count);
        rounds.min().unwrap_or_default()
    }
}

/// A table: its title, and for each work a row.
struct View {
    title: &'static str,
    figure: Figure,
    /// What the way's figure is divided by.
    to: Option<Way>,
}

const VIEWS: [View; 9] = [
    View {
        title: "Operations a second",
        figure: Figure::Rate,
        to: None,
    },
    View {
        title: "Operations a second, of those of a direct connection (more is better)",
        figure: Figure::Rate,
        to: Some(Way::Direct),
    },
    View {
        title: "Operations a second, of HAProxy's (more is better)",
        figure: Figure::Rate,
        to: Some(Way::Haproxy),
    },
    View {
        title: "Time that half of the operations take at most, of a direct connection's (less is better)",
        figure: Figure::P50,
        to: Some(Way::Direct),
    },
    View {
        title: "The same of 99 in a hundred",
        figure: Figure::P99,
        to: Some(Way::Direct),
    },
    View {
        title: "The same of 999 in a thousand",
        figure: Figure::P999,
        to: Some(Way::Direct),
    },
    View {
        title: "Time that 99 in a hundred operations take at most, of HAProxy's (less is better)",
        figure: Figure::P99,
        to: Some(Way::Haproxy),
    },
    View {
        title: "CPU time of the proxy for a query, in microseconds",
        figure: Figure::Cpu,
        to: None,
    },
    View {
        title: "CPU time of the proxy for a query, of HAProxy's (less is better)",
        figure: Figure::Cpu,
        to: Some(Way::Haproxy),
    },
];

const REST: [View; 2] = [
    View {
        title: "Context switches of the proxy for a query",
        figure: Figure::Switches,
        to: None,
    },
    View {
        title: "Memory of the proxy in KiB: for an idle client, and the most that a 100 MB result adds",
        figure: Figure::Memory,
        to: None,
    },
];

/// The tables of one server.
pub(super) fn text(samples: &[Sample], server: &str) -> String {
    let measured = Measured::of(samples, server);
    let mut text = format!(
        "{}\n\nMedians of {} rounds or more; behind a ratio of medians the least and the most of the rounds' ratios.\n",
        versions(samples, server),
        measured.least_rounds()
    );
    for view in VIEWS.iter().chain(&REST) {
        let table = table(&measured, view);
        let _ = write!(text, "\n{}\n{table}\n", view.title);
    }
    if let Some(rates) = large(&measured) {
        let _ = write!(text, "\n{rates}\n");
    }
    text
}

/// What was compared.
fn versions(samples: &[Sample], server: &str) -> String {
    let of_server = || samples.iter().filter(|sample| sample.server == server);
    let mut versions: Vec<String> = of_server()
        .map(|sample| format!("{server} {}", sample.version))
        .take(1)
        .collect();
    for way in Way::ALL {
        let version = of_server()
            .filter(|sample| sample.way == way.name())
            .find_map(|sample| sample.way_version.as_deref());
        versions.extend(version.map(|version| format!("{} {version}", way.title())));
    }
    versions.join(", ")
}

fn table(measured: &Measured, view: &View) -> Table {
    let mut ways = measured.ways(view.figure);
    ways.retain(|way| {
        Some(*way) != view.to && (view.to != Some(Way::Haproxy) || way.peer().is_none())
    });
    if view.to == Some(Way::Haproxy) {
        ways.retain(|way| *way != Way::Direct);
    }
    let mut table = Table::new();
    style(&mut table);
    table.set_header(
        ["work", "clients"]
            .into_iter()
            .chain(ways.iter().map(|way| way.title())),
    );
    for cell in measured.cells() {
        let figures: Vec<Option<String>> = ways
            .iter()
            .map(|way| match view.to {
                Some(to) => measured
                    .ratio(cell, *way, to, view.figure)
                    .map(|ratio| ratio.to_string()),
                None => measured.median(cell, *way, view.figure).map(number),
            })
            .collect();
        if figures.iter().all(Option::is_none) {
            continue;
        }
        let (work, clients) = cell;
        let first = [work.title().to_owned(), clients.to_string()];
        let rest = figures
            .into_iter()
            .map(|figure| figure.unwrap_or_else(|| "-".to_owned()));
        table.add_row(first.into_iter().chain(rest));
    }
    align(&mut table, 1);
    table
}

/// Three digits that mean something.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn large(measured: &Measured) -> Option<String> {
    let cell = (Work::LargeResult, 1);
    let rates: Vec<String> = measured
        .ways(Figure::Rate)
        .into_iter()
        .filter_map(|way| {
            let rate = measured.median(cell, way, Figure::Rate)?;
            Some(format!("{} {:.0}", way.title(), rate * LARGE_BYTES / 1e6))
        })
        .collect();
    (!rates.is_empty()).then(|| format!("The 100 MB result in MB/s: {}.", rates.join(", ")))
}

const HEAD: &str = "# What it costs\n\n\
    The same work direct, through Steadfast and through other proxies, in turn on one server: every work through every way \
    before the next round. Load generator, proxy and server share one machine's cores, so the ratios say more than the \
    figures. Each proxy has its defaults, no TLS on either leg unless the work says so, and room for the clients; Steadfast \
    tracks sessions, keeps the journal of transactions and records incidents, as always. HAProxy passes bytes and \
    understands none of them: TLS goes through it, while Steadfast and MySQL Router end it and begin another.\n\n\
    sysbench 1.0 works on one table of 100,000 rows, its first second not counted; read-only, read-write and update use \
    prepared statements. Connections, the large result and idle clients are `mysql_async`'s. CPU time, context switches and \
    memory are those of the proxy's process.\n\n\
    This page is written by\n\n    \
    steadfast-campaign bench --server mariadb --serve target/release/steadfast --json FILE --docs docs\n\n\
    and the same with `--server mysql`.\n";

/// Writes the page of all servers, and its pictures.
pub(super) fn write(samples: &[Sample], directory: &Path) -> Result<()> {
    let put = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
    };
    let mut page = HEAD.to_owned();
    for (server, title) in [("mariadb", "MariaDB"), ("mysql", "MySQL")] {
        if !samples.iter().any(|sample| sample.server == server) {
            continue;
        }
        let measured = Measured::of(samples, server);
        let _ = write!(page, "\n## {title}\n\n");
        for (name, bars) in pictures(&measured, title) {
            let file = format!("bench-{server}-{name}.svg");
            let _ = write!(page, "![{}]({file})\n\n", bars.title);
            put(&file, &bars.svg())?;
        }
        let _ = write!(page, "```text\n{}```\n", text(samples, server));
    }
    put("bench.md", &page)
}

fn pictures(measured: &Measured, server: &str) -> Vec<(&'static str, Bars)> {
    let bars = |title: String, figure, to: Option<Way>, skip: &[Way]| {
        let mut ways = measured.ways(figure);
        ways.retain(|way| !skip.contains(way));
        let groups = measured.cells().filter_map(|cell| {
            let values: Vec<Option<f64>> = ways
                .iter()
                .map(|way| match to {
                    Some(to) => Some(measured.ratio(cell, *way, to, figure)?.of_medians),
                    None => measured.median(cell, *way, figure),
                })
                .collect();
            let (work, clients) = cell;
            values.iter().any(Option::is_some).then(|| Group {
                name: format!("{}, {clients}", work.title()),
                values,
            })
        });
        let groups = groups.collect();
        Bars {
            title,
            series: ways.iter().map(|way| way.title()).collect(),
            groups,
        }
    };
    let mut cpu = bars(
        format!("{server}: CPU time of the proxy for a query, HAProxy's is 1"),
        Figure::Cpu,
        Some(Way::Haproxy),
        &[],
    );
    cpu.groups
        .retain(|group| group.values.iter().flatten().count() > 1);
    vec![
        (
            "throughput",
            bars(
                format!("{server}: operations a second, a direct connection's are 1"),
                Figure::Rate,
                Some(Way::Direct),
                &[Way::Direct],
            ),
        ),
        ("cpu", cpu),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(way: Way, round: u32, rate: f64, cpu: Option<f64>) -> Sample {
        let mut figures = BTreeMap::from([(Figure::Rate, rate)]);
        figures.extend(cpu.map(|cpu| (Figure::Cpu, cpu)));
        Sample {
            server: "mysql".to_owned(),
            version: "9.7.4".to_owned(),
            work: Work::PointText,
            clients: 16,
            way: way.name().to_owned(),
            way_version: way.peer().map(|_| "2.6".to_owned()),
            round,
            figures,
        }
    }

    fn samples() -> Vec<Sample> {
        (1..=5)
            .flat_map(|round| {
                [
                    sample(Way::Direct, round, 1000.0, None),
                    sample(Way::Haproxy, round, 500.0, Some(50.0)),
                    sample(Way::Steadfast, round, 600.0, Some(40.0)),
                ]
            })
            .collect()
    }

    #[test]
    fn the_tables_compare_with_direct_and_with_haproxy() {
        let text = text(&samples(), "mysql");
        assert!(text.contains("Medians of 5 rounds"), "{text}");
        assert!(text.contains("HAProxy 2.6"), "{text}");
        assert!(text.contains("0.60 (0.60-0.60)"), "{text}");
        assert!(text.contains("1.20 (1.20-1.20)"), "{text}");
        assert!(text.contains("0.80 (0.80-0.80)"), "{text}");
        assert!(!super::text(&samples(), "mariadb").contains("0.60"));
    }

    #[test]
    fn a_page_has_its_pictures_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        write(&samples(), directory.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        let page = read("bench.md");
        assert!(page.contains("(bench-mysql-throughput.svg)"), "{page}");
        assert!(!page.contains("## MariaDB"));
        for name in ["bench-mysql-throughput.svg", "bench-mysql-cpu.svg"] {
            assert!(read(name).contains("point select, text, 16"), "{name}");
        }
    }
}
