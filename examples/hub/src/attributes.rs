//! The parameters of `/publish` and `/events` that are about attributes: `attr.role=admin`, `filter.role=admin`.
//!
//! A name may say what its values are; without that, they are text:
//!
//! | parameter | |
//! |---|---|
//! | `attr.role=admin` | text |
//! | `attr.severity:int=3` | a whole number |
//! | `attr.draft:bool=true` | a truth value |
//! | `filter.role=admin`, `filter.severity:int=3`, `filter.draft:bool=true` | events with this value; if it is repeated, with one of these |
//! | `filter.severity:min=3`, `filter.severity:max=5` | events with at least, or at most this |
//!
//! Several filters must all match.

use tidings::{AttributeName, AttributeValue, Event, Filter};

use crate::refusal::Refusal;

/// The attributes of an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Attributes(Vec<(AttributeName, AttributeValue)>);

/// The filters of a stream, of which all must match.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// The values of one attribute, of which one must match.
    values: Vec<(AttributeName, Vec<AttributeValue>)>,
    limits: Vec<Filter>,
}

impl Attributes {
    /// Adds a parameter without its `attr.`.
    ///
    /// # Errors
    ///
    /// When its name or its value is invalid.
    pub fn add(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        let (name, kind) = split(name)?;
        let value = parse(&name, kind, value)?;
        if self.0.iter().any(|(before, _)| *before == name) {
            return Err(Refusal::bad_request(format!("attribute {name} is given more than once")));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// An event with these attributes.
    pub fn of(self, event: Event) -> Event {
        self.0.into_iter().fold(event, |event, (name, value)| {
            event.with_attribute(name, value).expect("a name that was parsed is not refused")
        })
    }
}

impl Filters {
    /// Adds a parameter without its `filter.`.
    ///
    /// # Errors
    ///
    /// When its name or its value is invalid.
    pub fn add(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        let (name, kind) = split(name)?;
        let limit = match kind {
            Some("min") => Filter::at_least(&name, number(&name, &value)?),
            Some("max") => Filter::at_most(&name, number(&name, &value)?),
            kind => {
                let value = parse(&name, kind, value)?;
                match self.values.iter_mut().find(|(before, _)| *before == name) {
                    Some((_, values)) => values.push(value),
                    None => self.values.push((name, vec![value])),
                }
                return Ok(());
            }
        };
        self.limits.push(limit.map_err(Refusal::bad_request)?);
        Ok(())
    }

    /// All of them as one, if there are any.
    ///
    /// # Errors
    ///
    /// When they are too large.
    pub fn filter(self) -> Result<Option<Filter>, Refusal> {
        let values = self.values.into_iter().map(|(name, values)| Filter::one_of(name, values));
        let filters = values.chain(self.limits.into_iter().map(Ok)).collect::<Result<Vec<_>, _>>();
        let filters = filters.map_err(Refusal::bad_request)?;
        if filters.is_empty() {
            return Ok(None);
        }
        Filter::all(filters).map(Some).map_err(Refusal::bad_request)
    }
}

/// A name, and what it says of its values.
fn split(name: &str) -> Result<(AttributeName, Option<&str>), Refusal> {
    let (name, kind) = match name.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (name, None),
    };
    Ok((AttributeName::new(name).map_err(Refusal::bad_request)?, kind))
}

fn parse(
    name: &AttributeName,
    kind: Option<&str>,
    value: String,
) -> Result<AttributeValue, Refusal> {
    match kind {
        None => Ok(value.into()),
        Some("int") => number(name, &value).map(AttributeValue::from),
        Some("bool") => value.parse().map(AttributeValue::Bool).map_err(|_| {
            Refusal::bad_request(format!("attribute {name} is neither `true` nor `false`"))
        }),
        Some(_) => Err(Refusal::bad_request(format!(
            "attribute {name} has an unknown kind; there are `:int` and `:bool`, and `:min` and `:max` in filters"
        ))),
    }
}

fn number(name: &AttributeName, value: &str) -> Result<i64, Refusal> {
    let refused = |_| Refusal::bad_request(format!("attribute {name} is not a whole number"));
    value.parse().map_err(refused)
}
