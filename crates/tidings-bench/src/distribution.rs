use serde::{Deserialize, Serialize};

/// How times are distributed, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Distribution {
    pub(crate) samples: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Distribution {
    /// The distribution of these times; `None` without any.
    pub(crate) fn of(mut micros: Vec<f64>) -> Option<Self> {
        micros.sort_by(f64::total_cmp);
        let max = *micros.last()?;
        // The smallest time that this percentage does not exceed.
        let percentile =
            |percent: usize| micros[(micros.len() * percent).div_ceil(100).saturating_sub(1)];
        Some(Self { samples: micros.len(), p50: percentile(50), p99: percentile(99), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times = (1..=200).rev().map(f64::from).collect();
        let expected = Distribution { samples: 200, p50: 100.0, p99: 198.0, max: 200.0 };
        assert_eq!(Distribution::of(times), Some(expected));
        assert_eq!(Distribution::of(vec![7.0]).map(|it| (it.p50, it.p99)), Some((7.0, 7.0)));
        assert_eq!(Distribution::of(Vec::new()), None);
    }
}
