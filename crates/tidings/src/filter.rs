//! Which events a client is sent, by their attributes.

use std::ops::Not;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::error::{FilterError, FilterErrorCause};
use crate::event::tags::Tags;
use crate::event::{AttributeName, AttributeValue, Attributes, Event};

/// A condition on the [attributes](Event::with_attribute) of events: of roles, tenants, severity.
///
/// A client whose subscription has a filter ([`Subscribe::filter`](crate::Subscribe::filter)) is sent the events that match,
/// and no others: to it, the others are not in the topic. Filters are data, not code: equal ones are found to be equal,
/// and the streams that have them share all work. An event is compared once with each filter of its topic, however many
/// streams have it; and with those that ask for one of some values ([`equal`](Self::equal), [`one_of`](Self::one_of), or
/// [`all`](Self::all) with one of these in it), only if it has such a value.
///
/// A comparison with an attribute that an event does not have, or that is of another kind, does not hold. So `!filter`
/// matches such an event.
///
/// ```
/// use tidings::{Event, Filter};
///
/// let filter = Filter::all([
///     Filter::one_of("role", ["admin", "editor"])?,
///     Filter::at_least("severity", 3)?,
///     !Filter::equal("draft", true)?,
/// ])?;
///
/// let event = Event::new("disk is full").with_attribute("role", "admin")?.with_attribute("severity", 4)?;
/// assert!(filter.matches(&event));
/// assert!(!filter.matches(&Event::new("hello")));
///
/// // As JSON:
/// let json = r#"{"all":[{"one_of":["role",["admin"]]},{"at_least":["severity",3]}]}"#;
/// let filter: Filter = serde_json::from_str(json)?;
/// assert_eq!(serde_json::to_string(&filter)?, json);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The order of what is combined makes no difference to equality, nor does saying the same twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "Term")]
pub struct Filter(Arc<Term>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Term {
    OneOf(AttributeName, Vec<AttributeValue>),
    AtLeast(AttributeName, i64),
    AtMost(AttributeName, i64),
    Present(AttributeName),
    All(Vec<Term>),
    Any(Vec<Term>),
    Not(Box<Term>),
}

impl Filter {
    /// The largest filter, in bytes: its names and texts, 32 for each text, 40 for each other value, and 64 for each comparison
    /// and combination.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// Events that have an attribute of this value.
    ///
    /// # Errors
    ///
    /// [`FilterErrorKind::Field`](crate::error::FilterErrorKind::Field) if the name is refused: see [`AttributeName`].
    /// [`FilterErrorKind::TooLarge`](crate::error::FilterErrorKind::TooLarge) above [`Filter::MAX_BYTES`].
    pub fn equal<N>(name: N, value: impl Into<AttributeValue>) -> Result<Self, FilterError>
    where
        N: TryInto<AttributeName>,
        N::Error: Into<FilterError>,
    {
        Self::one_of(name, [value])
    }

    /// Events that have an attribute of one of these values.
    ///
    /// # Errors
    ///
    /// As [`Filter::equal`].
    pub fn one_of<N>(
        name: N,
        values: impl IntoIterator<Item = impl Into<AttributeValue>>,
    ) -> Result<Self, FilterError>
    where
        N: TryInto<AttributeName>,
        N::Error: Into<FilterError>,
    {
        let values = values.into_iter().map(Into::into).collect();
        Self::of(Term::OneOf(name.try_into().map_err(Into::into)?, values))
    }

    /// Events that have a whole number of at least this.
    ///
    /// # Errors
    ///
    /// As [`Filter::equal`].
    pub fn at_least<N>(name: N, least: i64) -> Result<Self, FilterError>
    where
        N: TryInto<AttributeName>,
        N::Error: Into<FilterError>,
    {
        Self::of(Term::AtLeast(name.try_into().map_err(Into::into)?, least))
    }

    /// Events that have a whole number of at most this.
    ///
    /// # Errors
    ///
    /// As [`Filter::equal`].
    pub fn at_most<N>(name: N, most: i64) -> Result<Self, FilterError>
    where
        N: TryInto<AttributeName>,
        N::Error: Into<FilterError>,
    {
        Self::of(Term::AtMost(name.try_into().map_err(Into::into)?, most))
    }

    /// Events that have this attribute, whatever its value.
    ///
    /// # Errors
    ///
    /// As [`Filter::equal`].
    pub fn present<N>(name: N) -> Result<Self, FilterError>
    where
        N: TryInto<AttributeName>,
        N::Error: Into<FilterError>,
    {
        Self::of(Term::Present(name.try_into().map_err(Into::into)?))
    }

    /// Events that match all of these; every event, if there are none.
    ///
    /// # Errors
    ///
    /// [`FilterErrorKind::TooLarge`](crate::error::FilterErrorKind::TooLarge) above [`Filter::MAX_BYTES`].
    pub fn all(filters: impl IntoIterator<Item = Filter>) -> Result<Self, FilterError> {
        Self::of(Term::All(Self::terms(filters)))
    }

    /// Events that match any of these; no event, if there are none.
    ///
    /// # Errors
    ///
    /// [`FilterErrorKind::TooLarge`](crate::error::FilterErrorKind::TooLarge) above [`Filter::MAX_BYTES`].
    pub fn any(filters: impl IntoIterator<Item = Filter>) -> Result<Self, FilterError> {
        Self::of(Term::Any(Self::terms(filters)))
    }

    fn terms(filters: impl IntoIterator<Item = Filter>) -> Vec<Term> {
        filters.into_iter().map(|Self(term)| Arc::unwrap_or_clone(term)).collect()
    }

    fn of(term: Term) -> Result<Self, FilterError> {
        let term = term.in_order();
        let size = term.size();
        match size > Self::MAX_BYTES {
            true => Err(FilterErrorCause::TooLarge { size, limit: Self::MAX_BYTES }.into()),
            false => Ok(Self(Arc::new(term))),
        }
    }

    /// Whether an event is for the client. The [last event](crate::Hub::finish) of a topic is, whatever its attributes.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.passes(event.tags().map(|tags| &**tags))
    }

    /// The same for an event's tags. That a topic has ended concerns everybody.
    pub(crate) fn passes(&self, tags: Option<&Tags>) -> bool {
        #[cfg(test)]
        comparisons::count();
        static NONE: Attributes = Attributes::new();
        tags.is_some_and(|tags| tags.is_last)
            || self.0.holds(tags.map_or(&NONE, |tags| &tags.attributes))
    }

    /// For each attribute that must have one of some values in every event that matches: these values.
    pub(crate) fn needs(&self) -> impl Iterator<Item = (&AttributeName, &[AttributeValue])> {
        let terms = match &*self.0 {
            Term::All(terms) => terms,
            term => std::slice::from_ref(term),
        };
        terms.iter().filter_map(|term| match term {
            Term::OneOf(name, values) => Some((name, &values[..])),
            _ => None,
        })
    }
}

impl Not for Filter {
    type Output = Self;

    /// Events that do not match this.
    fn not(self) -> Self {
        // Not counted, and never twice in a row: a filter cannot become too large by it.
        Self(Arc::new(Term::Not(Box::new(Arc::unwrap_or_clone(self.0))).in_order()))
    }
}

impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl TryFrom<Term> for Filter {
    type Error = FilterError;

    fn try_from(term: Term) -> Result<Self, FilterError> {
        Self::of(term)
    }
}

impl Term {
    /// The one of several ways to say the same.
    fn in_order(self) -> Self {
        let sorted = |mut terms: Vec<Self>| {
            terms.sort_unstable();
            terms.dedup();
            terms
        };
        match self {
            Self::OneOf(name, mut values) => {
                values.sort_unstable();
                values.dedup();
                Self::OneOf(name, values)
            }
            Self::All(terms) => {
                let terms = terms.into_iter().map(Self::in_order).flat_map(|term| match term {
                    Self::All(terms) => terms,
                    term => vec![term],
                });
                let mut terms = sorted(terms.collect());
                if terms.len() == 1 { terms.remove(0) } else { Self::All(terms) }
            }
            Self::Any(terms) => {
                let terms = terms.into_iter().map(Self::in_order).flat_map(|term| match term {
                    Self::Any(terms) => terms,
                    term => vec![term],
                });
                let mut terms = sorted(terms.collect());
                if terms.len() == 1 { terms.remove(0) } else { Self::Any(terms) }
            }
            Self::Not(term) => match term.in_order() {
                Self::Not(term) => *term,
                term => Self::Not(Box::new(term)),
            },
            term => term,
        }
    }

    fn size(&self) -> usize {
        64 + match self {
            Self::OneOf(name, values) => {
                let values = values.iter().map(|value| 32 + value.size());
                name.as_str().len() + values.sum::<usize>()
            }
            Self::AtLeast(name, _) | Self::AtMost(name, _) | Self::Present(name) => {
                name.as_str().len()
            }
            Self::All(terms) | Self::Any(terms) => terms.iter().map(Self::size).sum(),
            Self::Not(term) => return term.size(),
        }
    }

    fn holds(&self, attributes: &Attributes) -> bool {
        let number = |name: &AttributeName| match attributes.get(name) {
            Some(AttributeValue::Integer(number)) => Some(*number),
            _ => None,
        };
        match self {
            Self::OneOf(name, values) => {
                attributes.get(name).is_some_and(|value| values.binary_search(value).is_ok())
            }
            Self::AtLeast(name, least) => number(name).is_some_and(|number| number >= *least),
            Self::AtMost(name, most) => number(name).is_some_and(|number| number <= *most),
            Self::Present(name) => attributes.contains_key(name),
            Self::All(terms) => terms.iter().all(|term| term.holds(attributes)),
            Self::Any(terms) => terms.iter().any(|term| term.holds(attributes)),
            Self::Not(term) => !term.holds(attributes),
        }
    }
}

/// Counts how often this thread compares an event with a filter.
#[cfg(test)]
pub(crate) mod comparisons {
    use std::cell::Cell;

    thread_local! {
        static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        COMPARISONS.set(COMPARISONS.get() + 1);
    }

    /// Since this was last called.
    pub(crate) fn take() -> usize {
        COMPARISONS.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FilterErrorKind;

    fn role(role: &str) -> Filter {
        Filter::equal("role", role).unwrap()
    }

    fn event(attributes: &[(&str, AttributeValue)]) -> Event {
        attributes.iter().fold(Event::new("x"), |event, (name, value)| {
            event.with_attribute(*name, value.clone()).unwrap()
        })
    }

    #[test]
    fn a_comparison_holds_for_values_of_its_kind_only() {
        let attributes = [("role", "admin".into()), ("level", 3.into()), ("draft", true.into())];
        let event = event(&attributes);
        for (filter, holds) in [
            (role("admin"), true),
            (role("editor"), false),
            (Filter::one_of("role", ["editor", "admin"]).unwrap(), true),
            (Filter::one_of("role", [""; 0]).unwrap(), false),
            (Filter::equal("level", 3).unwrap(), true),
            (Filter::equal("level", "3").unwrap(), false),
            (Filter::equal("draft", true).unwrap(), true),
            (Filter::equal("draft", "true").unwrap(), false),
            (Filter::at_least("level", 3).unwrap(), true),
            (Filter::at_least("level", 4).unwrap(), false),
            (Filter::at_most("level", 3).unwrap(), true),
            (Filter::at_most("level", 2).unwrap(), false),
            (Filter::at_least("role", i64::MIN).unwrap(), false),
            (Filter::at_most("draft", i64::MAX).unwrap(), false),
            (Filter::present("role").unwrap(), true),
            (Filter::present("tenant").unwrap(), false),
            (!Filter::equal("tenant", "a").unwrap(), true),
            (Filter::all([]).unwrap(), true),
            (Filter::any([]).unwrap(), false),
            (Filter::all([role("admin"), Filter::at_least("level", 4).unwrap()]).unwrap(), false),
            (Filter::any([role("editor"), Filter::at_least("level", 3).unwrap()]).unwrap(), true),
        ] {
            assert_eq!(filter.matches(&event), holds, "{filter:?}");
            assert_eq!((!filter.clone()).matches(&event), !holds, "{filter:?}");
        }
        assert!(!role("admin").matches(&Event::new("x")));
        assert!((!role("admin")).matches(&Event::new("x")));
    }

    #[test]
    fn the_last_event_of_a_topic_matches_every_filter() {
        let last = Event::new("x").with_tags(Tags { is_last: true, ..Tags::default() });
        assert!(role("admin").matches(&last));
    }

    #[test]
    fn filters_that_say_the_same_are_equal() {
        let (a, b, c) = (role("a"), role("b"), Filter::present("c").unwrap());
        let all = |filters: &[&Filter]| Filter::all(filters.iter().map(|&it| it.clone())).unwrap();
        assert_eq!(all(&[&a, &b]), all(&[&b, &a, &b]));
        assert_eq!(all(&[&a, &all(&[&c, &b])]), all(&[&a, &b, &c]));
        assert_eq!(all(&[&a]), a);
        assert_eq!(!!a.clone(), a);
        assert_eq!(Filter::one_of("x", [2, 1, 2]).unwrap(), Filter::one_of("x", [1, 2]).unwrap());
        assert_ne!(all(&[&a, &b]), Filter::any([a, b]).unwrap());
    }

    #[test]
    fn a_filter_is_the_same_after_it_was_written_and_read() {
        let filter = Filter::any([
            Filter::all([role("a"), Filter::at_least("level", -3).unwrap()]).unwrap(),
            !Filter::one_of("x", [AttributeValue::from(true), 1.into(), "1".into()]).unwrap(),
            Filter::at_most("y", 7).unwrap(),
            Filter::present("z").unwrap(),
        ])
        .unwrap();
        let json = serde_json::to_string(&filter).unwrap();
        assert_eq!(serde_json::from_str::<Filter>(&json).unwrap(), filter);
        let error = serde_json::from_str::<Filter>(r#"{"present":"a b"}"#).unwrap_err();
        assert!(error.to_string().starts_with("attribute name contains ' ' at byte 1"), "{error}");
    }

    #[test]
    fn a_filter_that_is_too_large_is_refused() {
        let of = |count: i64| Filter::one_of("x", 0..count);
        // 64 and 1, and 40 for each number.
        assert!(of(407).is_ok());
        let error = of(408).unwrap_err();
        assert_eq!(error.kind(), FilterErrorKind::TooLarge);
        assert_eq!(error.to_string(), "filter is 16385 bytes, over the limit of 16384");
        let half = of(210).unwrap();
        assert!(Filter::all([half.clone(), Filter::one_of("y", 0..210).unwrap()]).is_err());
        let json = format!(r#"{{"all":[{0},{1}]}}"#, serde_json::to_string(&half).unwrap(), {
            serde_json::to_string(&Filter::one_of("y", 0..210).unwrap()).unwrap()
        });
        assert!(serde_json::from_str::<Filter>(&json).is_err());
        let error = Filter::present("a b").unwrap_err();
        assert_eq!(error.kind(), FilterErrorKind::Field);
        assert_eq!(error.to_string(), "attribute name contains ' ' at byte 1");
    }
}
