//! Figures of several rounds: their median, and ratios that show how far the rounds differ.

use std::collections::BTreeMap;
use std::fmt;

/// One figure of each round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rounds(BTreeMap<u32, f64>);

impl Rounds {
    pub(crate) fn insert(&mut self, round: u32, figure: f64) {
        self.0.insert(round, figure);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The middle figure, or the mean of the two in the middle; 0 of none.
    pub(crate) fn median(&self) -> f64 {
        let mut figures: Vec<f64> = self.0.values().copied().collect();
        figures.sort_unstable_by(f64::total_cmp);
        let middle = figures.len() / 2;
        match figures.get(middle) {
            None => 0.0,
            Some(upper) if figures.len() % 2 == 1 => *upper,
            Some(upper) => (upper + figures.get(middle.saturating_sub(1)).unwrap_or(upper)) / 2.0,
        }
    }

    /// `None`: there is nothing to compare.
    pub(crate) fn ratio(&self, to: &Self) -> Option<Ratio> {
        let of_rounds = self
            .0
            .iter()
            .filter_map(|(round, figure)| to.0.get(round).map(|other| figure / other));
        let (least, most) = of_rounds.fold((f64::INFINITY, 0.0), |(least, most), ratio| {
            (f64::min(least, ratio), f64::max(most, ratio))
        });
        let of_medians = self.median() / to.median();
        (least <= most && of_medians.is_finite()).then_some(Ratio {
            of_medians,
            least,
            most,
        })
    }
}

/// A ratio of medians, and the least and the most of the rounds' ratios.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    pub(crate) of_medians: f64,
    least: f64,
    most: f64,
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            of_medians,
            least,
            most,
        } = self;
        write!(f, "{of_medians:.2} ({least:.2}-{most:.2})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(figures: &[f64]) -> Rounds {
        let mut rounds = Rounds::default();
        for (round, figure) in figures.iter().enumerate() {
            rounds.insert(round as u32, *figure);
        }
        rounds
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(rounds(&[]).median(), 0.0);
        assert_eq!(rounds(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(rounds(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
    }

    #[test]
    fn a_ratio_shows_how_far_the_rounds_differ() {
        let ratio = rounds(&[1.0, 2.0, 6.0]).ratio(&rounds(&[2.0, 4.0, 6.0]));
        assert_eq!(ratio.unwrap().to_string(), "0.50 (0.50-1.00)");
        assert!(rounds(&[]).ratio(&rounds(&[1.0])).is_none());
        assert!(rounds(&[1.0]).ratio(&rounds(&[0.0])).is_none());
    }
}
