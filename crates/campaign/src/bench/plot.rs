//! Bars in SVG.

use std::fmt::Write;

/// Groups of bars, one below the other.
pub(super) struct Bars {
    pub(super) title: String,
    /// What the bars of each group are.
    pub(super) series: Vec<&'static str>,
    pub(super) groups: Vec<Group>,
}

pub(super) struct Group {
    pub(super) name: String,
    /// One of each series, or none.
    pub(super) values: Vec<Option<f64>>,
}

/// Of the series, told apart by people who see few colours too (Okabe and Ito).
const COLOURS: [&str; 6] = [
    "#999999", "#56b4e9", "#e69f00", "#cc79a7", "#009e73", "#0072b2",
];

const WIDTH: f64 = 860.0;
/// Of the names of the groups.
const LEFT: f64 = 210.0;
/// For the figure behind the longest bar.
const RIGHT: f64 = 60.0;
const BAR: f64 = 11.0;
const GAP: f64 = 10.0;
const LINE: f64 = 18.0;

impl Bars {
    /// The picture.
    pub(super) fn svg(&self) -> String {
        let most = self
            .groups
            .iter()
            .flat_map(|group| group.values.iter().flatten())
            .fold(1.0_f64, |most, value| most.max(*value));
        let scale = (WIDTH - LEFT - RIGHT) / most;
        let top = LINE * 3.0;
        let mut body = String::new();
        let mut y = top;
        for group in &self.groups {
            let begin = y;
            for (number, value) in group.values.iter().enumerate() {
                let Some(value) = value else { continue };
                let width = value * scale;
                let colour = COLOURS[number % COLOURS.len()];
                let _ = writeln!(
                    body,
                    r#"<rect x="{LEFT}" y="{y:.1}" width="{width:.1}" height="{:.1}" fill="{colour}"/>"#,
                    BAR - 1.0
                );
                let _ = writeln!(
                    body,
                    r##"<text x="{:.1}" y="{:.1}" font-size="9" fill="#555555">{value:.2}</text>"##,
                    LEFT + width + 4.0,
                    y + BAR - 2.5
                );
                y += BAR;
            }
            let _ = writeln!(
                body,
                r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT - 8.0,
                f64::midpoint(begin, y) + 4.0,
                escaped(&group.name)
            );
            y += GAP;
        }
        // What is compared with.
        let one = LEFT + scale;
        let _ = writeln!(
            body,
            r##"<line x1="{one:.1}" y1="{:.1}" x2="{one:.1}" y2="{y:.1}" stroke="#333333" stroke-dasharray="3 3"/>"##,
            top - 4.0
        );
        let mut svg = format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y:.0}" width="{WIDTH}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="12" y="{LINE}" font-size="14" font-weight="bold">{}</text>
"##,
            escaped(&self.title)
        );
        let mut x = 12.0;
        for (number, series) in self.series.iter().enumerate() {
            if !self.has(number) {
                continue;
            }
            let colour = COLOURS[number % COLOURS.len()];
            let _ = writeln!(
                svg,
                r#"<rect x="{x:.0}" y="{:.0}" width="10" height="10" fill="{colour}"/><text x="{:.0}" y="{:.0}">{}</text>"#,
                LINE * 2.0 - 9.0,
                x + 14.0,
                LINE * 2.0,
                escaped(series)
            );
            x += 34.0 + series.len() as f64 * 6.5;
        }
        svg.push_str(&body);
        svg.push_str("</svg>\n");
        svg
    }

    fn has(&self, series: usize) -> bool {
        let mut values = self.groups.iter().map(|group| group.values.get(series));
        values.any(|value| matches!(value, Some(Some(_))))
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fits() {
        let bars = Bars {
            title: "a < b".to_owned(),
            series: vec!["one", "two", "none"],
            groups: vec![Group {
                name: "work".to_owned(),
                values: vec![Some(2.0), Some(0.5), None],
            }],
        };
        let svg = bars.svg();
        let longest = WIDTH - LEFT - RIGHT;
        assert!(svg.contains(&format!(r#"width="{longest:.1}""#)), "{svg}");
        assert!(svg.contains(&format!(r#"width="{:.1}""#, longest / 4.0)));
        assert!(svg.contains("a &lt; b"));
        assert!(!svg.contains("none"));
    }
}
