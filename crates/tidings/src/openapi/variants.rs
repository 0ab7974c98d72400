//! Reads the variants of an enum from utoipa's schema of it, which has an item for each variant, by its tagging.
//!
//! | tagging | a variant without and with content |
//! |---|---|
//! | external | a string with one value; an object with one property |
//! | internal | an object with the tag as a property; one with more; all of the content and such an object |

use utoipa::openapi::schema::{AllOf, Array, ArrayItems, Object, OneOf, SchemaType};
use utoipa::openapi::{RefOr, Schema};

/// An event's name, the schema of its data if it has any, and what the variant's documentation says.
pub(super) struct Variant {
    pub(super) name: String,
    pub(super) data: Option<RefOr<Schema>>,
    pub(super) description: Option<String>,
}

const NO_ENUM: &str = "it is no tagged enum";

/// The variants in their order; or why they cannot be told.
pub(super) fn variants(schema: RefOr<Schema>) -> Result<Vec<Variant>, &'static str> {
    let items = match schema {
        RefOr::T(Schema::OneOf(OneOf { items, .. })) => items,
        // An enum of nothing but names.
        RefOr::T(Schema::Object(object)) => {
            let names = object.enum_values.as_deref().unwrap_or_default();
            let names: Option<Vec<_>> = names.iter().map(|name| name.as_str()).collect();
            let names = names.filter(|names| !names.is_empty()).ok_or(NO_ENUM)?;
            let variants = names.into_iter().map(|name| Variant {
                name: name.to_owned(),
                data: None,
                description: None,
            });
            return Ok(variants.collect());
        }
        _ => return Err(NO_ENUM),
    };
    let external: Option<Vec<_>> = items.iter().map(external).collect();
    let external = external.filter(|variants| are_distinct(variants));
    let tag = tag(&items);
    match (external, tag) {
        (Some(variants), None) => Ok(variants),
        (None, Some(tag)) if may_be_adjacent(&items, &tag) => {
            Err("it may be tagged internally or adjacently")
        }
        (None, Some(tag)) => {
            let variants: Option<_> = items.iter().map(|item| internal(item, &tag)).collect();
            variants.ok_or(NO_ENUM)
        }
        (Some(_), Some(_)) => Err("the only variant may be tagged externally or internally"),
        (None, None) => Err(NO_ENUM),
    }
}

fn are_distinct(variants: &[Variant]) -> bool {
    let mut names: Vec<_> = variants.iter().map(|variant| &variant.name).collect();
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
}

fn external(item: &RefOr<Schema>) -> Option<Variant> {
    let RefOr::T(Schema::Object(object)) = item else { return None };
    let description = object.description.clone();
    if let Some(name) = only_value(object) {
        return Some(Variant { name, data: None, description });
    }
    let mut properties = object.properties.iter();
    let (name, data) = properties.next().filter(|(name, _)| object.required.contains(name))?;
    if properties.next().is_some() {
        return None;
    }
    Some(Variant { name: name.clone(), data: Some(with_any_items(data.clone())), description })
}

/// The only value that a string may have.
fn only_value(object: &Object) -> Option<String> {
    match object.enum_values.as_deref() {
        Some([value]) => value.as_str().map(str::to_owned),
        _ => None,
    }
}

/// The property of all items that has one value in each.
fn tag(items: &[RefOr<Schema>]) -> Option<String> {
    let mut tags: Option<Vec<String>> = None;
    for item in items {
        let (object, _) = tagged_object(item)?;
        let found = object.properties.iter().filter(|(key, value)| {
            object.required.contains(key)
                && matches!(value, RefOr::T(Schema::Object(value)) if only_value(value).is_some())
        });
        let found: Vec<_> = found.map(|(key, _)| key.clone()).collect();
        tags = Some(match tags {
            None => found,
            Some(tags) => tags.into_iter().filter(|tag| found.contains(tag)).collect(),
        });
    }
    match tags.as_deref() {
        Some([tag]) => Some(tag.clone()),
        _ => None,
    }
}

/// The object that has the tag, and the schemas beside it.
fn tagged_object(item: &RefOr<Schema>) -> Option<(&Object, &[RefOr<Schema>])> {
    match item {
        RefOr::T(Schema::Object(object)) => Some((object, &[])),
        RefOr::T(Schema::AllOf(AllOf { items, .. })) => match items.split_last()? {
            (RefOr::T(Schema::Object(object)), others) => Some((object, others)),
            _ => None,
        },
        _ => None,
    }
}

/// Whether all variants have one property beside the tag at most, and it is the same.
fn may_be_adjacent(items: &[RefOr<Schema>], tag: &str) -> bool {
    let mut content = None;
    items.iter().all(|item| {
        let Some((object, [])) = tagged_object(item) else { return false };
        let mut others = object.properties.keys().filter(|key| *key != tag);
        let first = others.next();
        others.next().is_none() && first.is_none_or(|key| *content.get_or_insert(key) == key)
    }) && content.is_some()
}

fn internal(item: &RefOr<Schema>, tag: &str) -> Option<Variant> {
    let (object, others) = tagged_object(item)?;
    let name = match object.properties.get(tag)? {
        RefOr::T(Schema::Object(value)) => only_value(value)?,
        _ => return None,
    };
    let mut rest = object.clone();
    rest.properties.retain(|key, _| key != tag);
    rest.required.retain(|key| key != tag);
    let description = rest.description.take();
    let rest = (!rest.properties.is_empty()).then_some(RefOr::T(Schema::Object(rest)));
    let mut parts: Vec<_> = others.iter().cloned().chain(rest).collect();
    let data = match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => {
            let mut all = AllOf::new();
            all.items = parts;
            Some(Schema::AllOf(all).into())
        }
    };
    Some(Variant { name, data, description })
}

/// utoipa says of the items of a tuple variant that they are objects, whatever they are.
fn with_any_items(data: RefOr<Schema>) -> RefOr<Schema> {
    match data {
        RefOr::T(Schema::Array(mut array)) if is_tuple(&array) => {
            let any: Schema = Object::with_type(SchemaType::AnyValue).into();
            array.items = ArrayItems::RefOrSchema(Box::new(any.into()));
            Schema::Array(array).into()
        }
        data => data,
    }
}

fn is_tuple(array: &Array) -> bool {
    let is_object = match &array.items {
        ArrayItems::RefOrSchema(items) => **items == RefOr::T(Schema::Object(Object::new())),
        ArrayItems::False => false,
    };
    is_object && array.min_items.is_some() && array.min_items == array.max_items
}

#[cfg(test)]
mod tests {
    use utoipa::{PartialSchema, ToSchema};

    use super::*;

    /// The names, each with whether the event has data.
    #[track_caller]
    fn assert_read<E: ToSchema>(expected: &[(&str, bool)]) {
        let variants = variants(<E as PartialSchema>::schema()).expect("it is a tagged enum");
        let found: Vec<_> = variants.iter().map(|v| (v.name.as_str(), v.data.is_some())).collect();
        assert_eq!(found, expected);
    }

    #[track_caller]
    fn assert_refused<E: ToSchema>(why: &str) {
        assert_eq!(variants(<E as PartialSchema>::schema()).err(), Some(why));
    }

    macro_rules! enums {
        ($($(#[$attribute:meta])* $name:ident { $($variants:tt)* })*) => {$(
            #[derive(ToSchema)]
            #[allow(dead_code, reason = "only its schema is read")]
            $(#[$attribute])*
            enum $name { $($variants)* }
        )*};
    }

    #[test]
    fn enums_of_nothing_but_names_are_read() {
        enums! {
            External { A, B }
            One { A }
            #[serde(tag = "type", rename_all = "lowercase")]
            Internal { A, B }
        }
        assert_read::<External>(&[("A", false), ("B", false)]);
        assert_read::<One>(&[("A", false)]);
        assert_read::<Internal>(&[("a", false), ("b", false)]);
    }

    #[test]
    fn variants_have_their_content_without_the_tag() {
        enums! {
            External { A(u8), B { b: u8 }, C, D {} }
            #[serde(tag = "type")]
            Internal { B { b: u8, c: u8 }, C, D {} }
        }
        assert_read::<External>(&[("A", true), ("B", true), ("C", false), ("D", true)]);
        assert_read::<Internal>(&[("B", true), ("C", false), ("D", false)]);
        let variants = variants(Internal::schema()).expect("it is a tagged enum");
        let Some(RefOr::T(Schema::Object(data))) = &variants[0].data else { panic!("an object") };
        assert_eq!(data.properties.keys().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(data.required, ["b", "c"]);
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        enums! {
            #[serde(tag = "type")]
            One { A }
            #[serde(tag = "type")]
            SameField { A { order: u8 }, B { order: u8 } }
            #[serde(tag = "t", content = "c")]
            Adjacent { A(u8), B(String) }
            #[serde(untagged)]
            Untagged { A(u8), B { b: u8, c: u8 } }
        }
        let ambiguous = "it may be tagged internally or adjacently";
        assert_refused::<One>("the only variant may be tagged externally or internally");
        assert_refused::<SameField>(ambiguous);
        assert_refused::<Adjacent>(ambiguous);
        assert_refused::<Untagged>(NO_ENUM);
        assert_refused::<u8>(NO_ENUM);
        assert_refused::<String>(NO_ENUM);
    }
}
