use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Ten minutes. A longer time is recorded as this.
const LONGEST: u64 = 600_000_000;

/// A distribution of times in microseconds, to three digits.
///
/// The distributions of several processes are merged, not averaged. It is serialized as a list of
/// pairs: a time, and how often it was recorded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latency {
    /// `None` while it is empty: an empty histogram would hold its buckets, too.
    histogram: Option<Histogram<u64>>,
}

impl Latency {
    pub(crate) fn record(&mut self, micros: u64) {
        self.record_many(micros, 1);
    }

    fn record_many(&mut self, micros: u64, times: u64) {
        let histogram = match &mut self.histogram {
            Some(histogram) => histogram,
            empty => match Histogram::new_with_bounds(1, LONGEST, 3) {
                Ok(new) => empty.insert(new),
                // The bounds are valid constants.
                Err(_) => return,
            },
        };
        histogram.saturating_record_n(micros.min(LONGEST), times);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (micros, times) in other.counts() {
            self.record_many(micros, times);
        }
    }

    /// How many times were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::len)
    }

    /// The time in microseconds that this part of all times, between 0 and 1, does not exceed; 0 if
    /// there are none.
    pub(crate) fn quantile(&self, part: f64) -> u64 {
        self.histogram.as_ref().map_or(0, |histogram| histogram.value_at_quantile(part))
    }

    /// The longest time, in microseconds.
    pub(crate) fn max(&self) -> u64 {
        self.histogram.as_ref().map_or(0, Histogram::max)
    }

    /// The average, in microseconds.
    pub(crate) fn mean(&self) -> f64 {
        self.histogram.as_ref().map_or(0.0, Histogram::mean)
    }

    /// Each time that was recorded, rounded, in microseconds, and how often; ascending.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        let recorded = self.histogram.iter().flat_map(Histogram::iter_recorded);
        recorded.map(|step| (step.value_iterated_to(), step.count_at_value()))
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.counts())
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut latency = Self::default();
        for (micros, times) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            latency.record_many(micros, times);
        }
        Ok(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_and_serialized_distributions_are_the_same() {
        let mut all = Latency::default();
        let mut merged = Latency::default();
        for part in 0..3 {
            let mut latency = Latency::default();
            for micros in (part * 1000..(part + 1) * 100_000).step_by(17) {
                latency.record(micros);
                all.record(micros);
            }
            let line = serde_json::to_string(&latency).unwrap();
            merged.add(&serde_json::from_str(&line).unwrap());
        }
        assert_eq!(merged.count(), all.count());
        for part in [0.0, 0.5, 0.99, 0.999, 1.0] {
            assert_eq!(merged.quantile(part), all.quantile(part), "{part}");
        }
    }

    #[test]
    fn an_empty_one_has_no_times() {
        let empty = Latency::default();
        assert_eq!((empty.count(), empty.quantile(0.5), empty.max()), (0, 0, 0));
        assert_eq!(serde_json::to_string(&empty).unwrap(), "[]");
    }

    #[test]
    fn a_time_over_the_limit_is_counted() {
        let mut latency = Latency::default();
        latency.record(u64::MAX);
        assert!(latency.max() >= LONGEST);
    }
}
