use std::time::{Duration, Instant};

/// The query of a request: `topic=…` any number of times, `count=…`, `history=all`, `interval=…` in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) topics: Vec<String>,
    pub(super) count: usize,
    pub(super) history: bool,
    pub(super) interval: Duration,
}

impl Query {
    /// Parses the part of a URL after the question mark.
    pub(super) fn parse(query: &str) -> Self {
        let (topics, interval) = (Vec::new(), Duration::ZERO);
        let mut read = Self { topics, count: 1, history: false, interval };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "topic" => read.topics.push(value.into_owned()),
                "count" => read.count = value.parse().unwrap_or(1),
                "history" => read.history = value == "all",
                "interval" => {
                    read.interval = Duration::from_millis(value.parse().unwrap_or_default());
                }
                _ => {}
            }
        }
        read
    }

    /// The topics of the events to publish, in order: each topic `count` times.
    pub(super) fn publications(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().flat_map(|topic| std::iter::repeat_n(topic.as_str(), self.count))
    }
}

/// The response to a publication: how long it took, without the request around it.
pub(super) fn answer(took: Duration) -> String {
    format!("{{\"nanoseconds\":{}}}", took.as_nanos())
}

/// Runs a publication and returns the response with its time.
pub(super) fn timed(publish: impl FnOnce()) -> String {
    let began = Instant::now();
    publish();
    answer(began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_add_up_and_the_rest_has_defaults() {
        let query = Query::parse("topic=a&topic=b%2Fc");
        let topics = vec!["a".to_owned(), "b/c".to_owned()];
        let interval = Duration::ZERO;
        assert_eq!(query, Query { topics, count: 1, history: false, interval });
        assert_eq!(Query::parse("topic=a&count=100&history=all").count, 100);
    }
}
