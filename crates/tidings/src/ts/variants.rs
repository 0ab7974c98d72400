//! Reads the variants of an enum from what ts-rs says about it: a union with a member for each variant, by its tagging.
//!
//! | tagging | a variant without and with content |
//! |---|---|
//! | external | `"closed"`, `{ "created": Order }` |
//! | adjacent | `{ "t": "closed" }`, `{ "t": "created", "c": Order }` |
//! | internal | `{ "type": "closed" }`, `{ "type": "created", number: number, }`, `{ "type": "created" } & Order` |
//!
//! ts-rs quotes tags and names of variants always, and fields only if they are no identifiers.

/// An event's name, and the TypeScript of its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) name: String,
    pub(super) data: String,
}

impl Variant {
    fn new(name: &str, data: impl Into<String>) -> Self {
        Self { name: name.to_owned(), data: data.into() }
    }

    fn without_data(name: &str) -> Self {
        // What the client makes of no data.
        Self::new(name, "undefined")
    }
}

/// The variants in their order; or why they cannot be told.
pub(super) fn variants(union: &str) -> Result<Vec<Variant>, &'static str> {
    let members: Option<Vec<_>> = split(union, '|').into_iter().map(Member::read).collect();
    let members = members.filter(|members| !members.is_empty()).ok_or("it is no tagged enum")?;
    match (external(&members), tagged(&members)) {
        (Some(variants), None) | (None, Some(Ok(variants))) => Ok(variants),
        (None, Some(Err(why))) => Err(why),
        (Some(_), Some(_)) => Err("the only variant may be tagged externally or internally"),
        (None, None) => Err("it is no tagged enum"),
    }
}

/// A member of a union.
enum Member<'a> {
    /// `"name"`
    Literal(&'a str),
    /// `{ "key": value, fields } & with`
    Object { key: &'a str, value: &'a str, fields: Vec<&'a str>, with: Vec<&'a str> },
}

impl<'a> Member<'a> {
    fn read(text: &'a str) -> Option<Self> {
        if let Some(name) = literal(text) {
            return Some(Self::Literal(name));
        }
        let mut parts = split(text, '&').into_iter();
        let fields = parts.next()?.strip_prefix('{')?.strip_suffix('}')?;
        let mut fields = split(fields, ',').into_iter();
        let (key, value) = quoted_field(fields.next()?)?;
        Some(Self::Object { key, value, fields: fields.collect(), with: parts.collect() })
    }
}

fn external(members: &[Member<'_>]) -> Option<Vec<Variant>> {
    let mut variants: Vec<Variant> = Vec::new();
    for member in members {
        let variant = match member {
            Member::Literal(name) => Variant::without_data(name),
            Member::Object { key, value, fields, with } if fields.is_empty() && with.is_empty() => {
                Variant::new(key, *value)
            }
            Member::Object { .. } => return None,
        };
        if variants.iter().any(|other| other.name == variant.name) {
            return None;
        }
        variants.push(variant);
    }
    Some(variants)
}

fn tagged(members: &[Member<'_>]) -> Option<Result<Vec<Variant>, &'static str>> {
    let mut tag = None;
    let mut variants = Vec::new();
    for member in members {
        let Member::Object { key, value, fields, with } = member else { return None };
        if *tag.get_or_insert(key) != key {
            return None;
        }
        variants.push((literal(value)?, fields, with));
    }
    let content = content(variants.iter().map(|(_, fields, with)| (&***fields, &***with)));
    if content.is_some_and(|content| !is_identifier(content)) {
        return Some(Err("it may be tagged internally or adjacently"));
    }
    let variants = variants.into_iter().map(|(name, fields, with)| match (&**fields, &**with) {
        ([], [] | ["null"]) => Variant::without_data(name),
        ([field], []) if content.is_some() => {
            Variant::new(name, quoted_field(field).map_or("unknown", |(_, value)| value))
        }
        ([], with) => Variant::new(name, with.join(" & ")),
        (fields, with) => {
            let object = format!("{{ {}, }}", fields.join(", "));
            Variant::new(name, [&[&*object], with].concat().join(" & "))
        }
    });
    Some(Ok(variants.collect()))
}

/// The key of the content, if the tagging is adjacent: the only field beside the tag, the same in all variants that have one.
fn content<'a>(variants: impl Iterator<Item = (&'a [&'a str], &'a [&'a str])>) -> Option<&'a str> {
    let mut content = None;
    for variant in variants {
        match variant {
            ([], []) => {}
            ([field], []) => {
                let (key, _) = quoted_field(field)?;
                if *content.get_or_insert(key) != key {
                    return None;
                }
            }
            _ => return None,
        }
    }
    content
}

/// The key and the type of `"key": type`.
fn quoted_field(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.strip_prefix('"')?.split_once('"')?;
    Some((key, value.trim_start().strip_prefix(':')?.trim_start()))
}

/// The text of `"text"`.
fn literal(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"').filter(|text| !text.contains('"'))
}

/// As ts-rs has it.
fn is_identifier(name: &str) -> bool {
    !name.starts_with(char::is_numeric)
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$'))
}

/// The pieces between separators that are in no brackets, strings and comments.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut pieces, mut begin, mut depth) = (Vec::new(), 0, 0_usize);
    let (mut previous, mut skip_to) = (' ', 0);
    for (at, c) in text.char_indices() {
        if at < skip_to {
            continue;
        }
        let rest = &text[at + c.len_utf8()..];
        match c {
            '"' | '\'' | '`' => skip_to = at + 1 + rest.find(c).map_or(rest.len(), |end| end + 1),
            '/' if rest.starts_with('*') => {
                skip_to = at + 1 + rest.find("*/").map_or(rest.len(), |end| end + 2);
            }
            '{' | '(' | '[' | '<' => depth += 1,
            // An arrow is no bracket.
            '>' if previous == '=' => {}
            '}' | ')' | ']' | '>' => depth = depth.saturating_sub(1),
            _ if c == separator && depth == 0 => {
                pieces.push(&text[begin..at]);
                begin = at + c.len_utf8();
            }
            _ => {}
        }
        previous = c;
    }
    pieces.push(&text[begin..]);
    pieces.into_iter().map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_read(union: &str, expected: &[(&str, &str)]) {
        let variants = variants(union).expect("it is a tagged enum");
        let found: Vec<_> = variants.iter().map(|v| (v.name.as_str(), v.data.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[track_caller]
    fn assert_refused(union: &str, why: &str) {
        assert_eq!(variants(union).err(), Some(why), "{union}");
    }

    #[test]
    fn external_tagging() {
        assert_read(
            r#""closed" | { "order.created": Order } | { "pair": [number, string] } | { "note": string | null }"#,
            &[
                ("closed", "undefined"),
                ("order.created", "Order"),
                ("pair", "[number, string]"),
                ("note", "string | null"),
            ],
        );
    }

    #[test]
    fn strings_comments_and_brackets_are_no_separators() {
        let moved = "{ \n/**\n * a | } \" b\n */\nfrom: string, \"a|b\": (Map<A, B> | null), f: (a: A) => B, }";
        assert_read(
            &format!("{{ \"moved\": {moved} }} | \"a | b\""),
            &[("moved", moved), ("a | b", "undefined")],
        );
    }

    #[test]
    fn adjacent_tagging() {
        assert_read(
            r#"{ "t": "closed" } | { "t": "created", "c": Order } | { "t": "moved", "c": { from: string, } }"#,
            &[("closed", "undefined"), ("created", "Order"), ("moved", "{ from: string, }")],
        );
        assert_read(r#"{ "t": "created", "c": Order }"#, &[("created", "Order")]);
    }

    #[test]
    fn internal_tagging() {
        assert_read(
            r#"{ "type": "closed" } | { "type": "created" } & Order | { "type": "moved", from: string, to: A | B, }
               | { "type": "empty", } | { "type": "unit" } & null | { "type": "more", a: A, } & (B)"#,
            &[
                ("closed", "undefined"),
                ("created", "Order"),
                ("moved", "{ from: string, to: A | B, }"),
                ("empty", "undefined"),
                ("unit", "undefined"),
                ("more", "{ a: A, } & (B)"),
            ],
        );
        // A field of the same name in all variants is no content.
        let same = r#"{ "type": "a", order: Order, } | { "type": "b", order: Order, }"#;
        assert_read(same, &[("a", "{ order: Order, }"), ("b", "{ order: Order, }")]);
        assert_read(r#"{ "t": "a" } | { "t": "b" }"#, &[("a", "undefined"), ("b", "undefined")]);
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        let no_enum = "it is no tagged enum";
        for union in [
            "Order",
            "number | null",
            "{ number: number, }",
            "Record<symbol, never>",
            "never",
            "",
            r#""a" | string"#,
            r#""a" | "a""#,
            r#""a" | { "type": "b", c: C, }"#,
            r#"{ "t": "a" } | { "u": "a" } & B"#,
        ] {
            assert_refused(union, no_enum);
        }
        assert_refused(
            r#"{ "t": "a" }"#,
            "the only variant may be tagged externally or internally",
        );
        assert_refused(r#"{ "t": "a", "b-c": D }"#, "it may be tagged internally or adjacently");
    }
}
